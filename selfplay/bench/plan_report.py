"""What `keima plan` found, for people."""

import math
import textwrap

from keima.selfplay.bench.plan import Forecast, Plan

WIDTH = 110
_SETTABLE = ("selfplay.actors", "selfplay.parallel_games", "learner.batch_size", "replay.window_min")


def in_words(plan: Plan) -> str:
    """The plan as text: what to choose and why, how fast a run then is, when it is how strong."""
    cores, gpu = plan.measured.cores, plan.machine["gpu"]
    lines = [
        f"{plan.game} on {plan.machine['processor'] or plan.machine['system']}, {cores} core{'' if cores == 1 else 's'}"
        f"{', ' + gpu if gpu else ''}, inference by {plan.measured.backend}",
        "",
    ]
    for choice in plan.choices:
        kept = "" if choice.in_config in ("auto", choice.value) else f" (the config has {choice.in_config})"
        lines += [f"{choice.option} = {choice.value}{kept}", *_indented(choice.why)]
    lines += ["network", *_indented(plan.network), ""]
    limit = "which holds the actors up" if plan.learner_share > 0.97 else "the rest is the actors'"
    lines += textwrap.wrap(
        f'With the config\'s own numbers, and these where it says "auto": {_speed(plan)}, '
        f"{about(plan.positions_in_its_minutes)} in its {plan.minutes:g} minutes; the learner takes "
        f"{plan.learner_share:.0%} of its thread's time, {limit}. Without start-up, measurements of strength and "
        "other work on the machine.",
        WIDTH,
    )
    if plan.forecasts:
        lines += ["", *textwrap.wrap(f"By the published curve ({plan.curve}):", WIDTH)]
        lines += [f"  {f.level:4.0%}  {f.strength:<18} {_when(f)}" for f in plan.forecasts]
    for note in plan.notes:
        lines += ["", *textwrap.wrap(note, WIDTH)]
    changed = [c for c in plan.choices if c.option in _SETTABLE and c.in_config not in ("auto", c.value)]
    if changed:
        lines += ["", "To use these: " + " ".join(f"--set {choice.option}={choice.value}" for choice in changed)]
    return "\n".join(lines)


def about(number: float) -> str:
    """With three digits that mean something: 2,600,000."""
    if number < 1:
        return f"{number:.2g}"
    return f"{round(number, 2 - math.floor(math.log10(number))):,.0f}"


def _speed(plan: Plan) -> str:
    pace = plan.pace
    text = f"{pace.positions_per_s:,.0f} positions/s"
    if pace.grows_after_minutes >= plan.minutes:
        return text
    return (
        f"{text}, about {about(pace.grown_positions_per_s)} after {pace.grows_after_minutes:g} minutes, when it grows"
    )


def _when(forecast: Forecast) -> str:
    if forecast.minutes is None or forecast.positions is None:
        return "beyond the curve's end"
    return f"{forecast.minutes:6.1f} minutes, {about(forecast.positions)} positions"


def _indented(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent="    ", subsequent_indent="    ")
