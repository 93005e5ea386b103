"""What an ablation's table says, against numbers worked out by hand or printed in books."""

import math

import pytest

from keima.agent.analysis.evaluation import wilson_interval
from keima.selfplay.experiments.ablation import (
    ELO,
    SHARE,
    Ablation,
    Estimate,
    difference,
    notes_in_words,
    pooled_spread,
    share_in_words,
    shares_of,
    strength,
    student_quantile,
    summarize,
    table_cells,
    to_markdown,
)
from keima.selfplay.experiments.sweep_config import parse_sweep
from keima.selfplay.experiments.trial import Measurement, Result, failed, save_result


def measured(successes: float, count: int = 100, simulations: int = 0, what: str = "positions") -> Measurement:
    return Measurement(simulations, what, successes, count)


def share(successes: float, count: int = 100, what: str = "positions") -> Estimate:
    figures = shares_of([Result("x", "x", 0, {}, measurements=[measured(successes, count, what=what)])], [0])
    return figures[0]["x"]


def rows_of(results, variants, simulations):
    return summarize(results, variants, shares_of([r for r in results if not r.error], simulations), SHARE)


def result(variant: str, seed: int, raw: float, searched: float, **more) -> Result:
    measurements = [measured(raw), measured(searched, simulations=64)]
    facts = {
        "minutes": 2.0,
        "positions": 1000 * (seed + 1),
        "steps": 10 * (seed + 1),
        "evaluations": 120_000,
        "cores_used": 1.5 + seed,
    } | more
    return Result(f"{variant}-{seed}", variant, seed, {}, measurements=measurements, **facts)


# --- arithmetic


@pytest.mark.parametrize(
    ("freedom", "quantile"),
    [(1, 12.706), (2, 4.303), (3, 3.182), (4, 2.776), (5, 2.571), (8, 2.306), (13, 2.160), (30, 2.042), (120, 1.980)],
)
def test_students_quantiles_are_those_of_the_tables(freedom, quantile):
    assert student_quantile(freedom) == pytest.approx(quantile, abs=5e-4)


def test_the_spread_is_that_about_each_samples_own_mean():
    # Squares: 0.05^2 twice; 0.1^2, 0.1^2, 0.2^2; and none of a single one.
    spread, freedom = pooled_spread({"a": [0.8, 0.9], "b": [0.5, 0.5, 0.8], "c": [0.1]})
    assert freedom == 3
    assert spread == pytest.approx(math.sqrt((0.005 + 0.06) / 3))
    assert pooled_spread({"a": [0.8], "b": [0.5]})[1] == 0


def test_intervals_from_the_spread():
    one = [share(80), share(90)]
    other = [share(50), share(50), share(80)]
    spread, freedom = 0.1, 3
    found = strength(one, spread, freedom)
    assert found.value == pytest.approx(0.85)
    half = 3.18245 * 0.1 / math.sqrt(2)
    assert found.interval == pytest.approx((0.85 - half, 1.0))  # no share is above 1
    found = difference(one, other, spread, freedom)
    assert found.value == pytest.approx(0.25)
    half = 3.18245 * 0.1 * math.sqrt(1 / 2 + 1 / 3)
    assert found.interval == pytest.approx((0.25 - half, 0.25 + half), abs=1e-5)
    assert not found.excludes_zero
    assert difference(one, other, 0.05, freedom).excludes_zero


def test_one_seed_each_leaves_the_measurements_own_intervals():
    one, other = share(56, 70), share(48, 80)
    assert strength([one], math.nan, 0).interval == wilson_interval(56, 70)
    # Newcombe (1998) has this example; his method 10 gives it 0.0524 to 0.3339.
    found = difference([one], [other], math.nan, 0)
    assert found.value == pytest.approx(0.2)
    assert found.interval == pytest.approx((0.0524, 0.3339), abs=5e-5)


def test_lines_that_were_all_played_have_no_interval_of_their_own():
    one, other = share(700, 1000, what="lines"), share(600, 1000, what="lines")
    assert strength([one], math.nan, 0) == Estimate(0.7, None)
    assert difference([one], [other], math.nan, 0).interval is None
    assert share_in_words(Estimate(0.7, None)) == "70.0 %"


# --- the table


RESULTS = [
    result("base", 0, 70, 80),
    result("fast", 0, 78, 81),
    result("base", 1, 72, 84),
    result("fast", 1, 82, 83),
    Result("slow-0", "slow", 0, {}, error="ended"),
]


def test_rows():
    base, fast = rows_of(RESULTS, ["base", "fast", "slow"], [0, 64])
    assert (base.variant, base.seeds, base.positions, base.steps) == ("base", [0, 1], 1500, 15)
    assert base.evaluations_per_s == 1000  # 120,000 in two minutes
    assert base.differences == {}
    assert fast.strengths[0].value == pytest.approx(0.8)
    assert fast.differences[0].value == pytest.approx(0.09)
    # Spread raw: squares 2 * 0.01^2 + 2 * 0.02^2 = 0.001 over two degrees of freedom.
    half = 4.30265 * math.sqrt(0.001 / 2)  # sqrt(1/2 + 1/2) = 1
    assert fast.differences[0].interval == pytest.approx((0.09 - half, 0.09 + half), abs=1e-5)
    half = 4.30265 * math.sqrt((2 * 0.02**2 + 2 * 0.01**2) / 2)
    assert fast.differences[64].interval == pytest.approx((-half, half), abs=1e-5)


def test_cells_and_markdown():
    rows = rows_of(RESULTS, ["base", "fast", "slow"], [0, 64])
    table = table_cells(rows, [0, 64], 3, SHARE)
    assert table[0] == [
        *("variant", "seeds", "raw", "64 simulations", "raw, against base", "64 simulations, against base"),
        *("positions", "steps", "evaluations/s", "cores used"),
    ]
    assert table[2] == [
        *("fast", "2 of 3", "80.0 % (73.2 to 86.8)", "82.0 % (75.2 to 88.8)"),
        *("+9.0 (-0.6 to +18.6)", "+0.0 (-9.6 to +9.6)", "1,500", "15", "1,000", "2.0"),
    ]
    assert table[1][4:6] == ["", ""]
    lines = to_markdown(table).splitlines()
    assert lines[1] == "|" + "---|" * 10
    assert lines[2].startswith("| base | 2 of 3 | 71.0 % (")
    assert {line.count("|") for line in lines} == {11}


def test_what_excludes_zero_is_bold():
    results = [result("base", 0, 70, 80), result("fast", 0, 90, 82), result("base", 1, 71, 81)]
    _, fast = table_cells(rows_of(results, ["base", "fast"], [0, 64]), [0, 64], 2, SHARE)[1:]
    # One degree of freedom: 12.706 * 0.00707 * sqrt(1 + 1/2) = 0.110.
    assert fast[4] == "**+19.5** (+8.5 to +30.5)"
    assert fast[5] == "+1.5 (-9.5 to +12.5)"


def test_the_base_may_still_be_missing():
    (row,) = rows_of([result("fast", 0, 90, 82)], ["base", "fast"], [0])
    assert row.differences == {}
    assert rows_of([], ["base", "fast"], [0]) == []


def test_the_notes_say_what_the_intervals_are():
    assert "2 degrees of freedom" in notes_in_words(RESULTS)
    assert "1 degree of freedom" in notes_in_words(RESULTS[:3])
    assert "nothing is known of the chance" in notes_in_words(RESULTS[:2])
    assert "Interrupted" not in notes_in_words(RESULTS)
    resumed = [*RESULTS[:3], result("fast", 1, 82, 83, starts=2)]
    assert notes_in_words(resumed).endswith("resumed, with the games under way lost: 1 of 4.")


def test_elo_is_told_against_the_base_alone():
    """One seed: the games' own intervals; several: those of the spread, as for shares."""
    elo = {"base-0": Estimate(-10, (-10, -10)), "base-1": Estimate(10, (-40, 60)), "fast-0": Estimate(85, (35, 135))}
    results = [Result(name, name[:-2], int(name[-1]), {}, positions=1000) for name in (*elo, "wide-0")]
    rows = summarize(results, ["base", "fast", "wide"], {64: elo}, ELO)
    table = table_cells(rows, [64], 2, ELO)
    assert table[0][:4] == ["variant", "seeds", "64 simulations, Elo against base", "positions"]
    half = 12.7062 * math.sqrt(200) * math.sqrt(1 + 1 / 2)
    assert [row[:3] for row in table[1:]] == [
        ["base", "2", ""],
        ["fast", "1 of 2", f"+85 ({85 - half:+.0f} to {85 + half:+.0f})"],
        ["wide", "1 of 2", ""],  # which has not played yet
    ]
    elo = {"base-0": Estimate(0, (0, 0)), "fast-0": Estimate(85, (35, 140))}
    rows = summarize(results, ["base", "fast"], {64: elo}, ELO)
    assert table_cells(rows, [64], 1, ELO)[2][2] == "**+85** (+35 to +140)"


# --- the trials


def test_every_variant_with_one_seed_before_the_next(tmp_path):
    text = (
        'base = "tictactoe"\nminutes = 1\nseeds = [5, 3]\nmeasure.simulations = [0]\n'
        "[variants]\nb.network.blocks = 1\na.learner.learning_rate = 0.5\n"
    )
    config = parse_sweep(text, "x.toml")
    plan = Ablation(tmp_path, config)
    order = ["base-5", "b-5", "a-5", "base-3", "b-3", "a-3"]
    assert plan.total == 6
    trials = []
    while (trial := plan.next_trial()) is not None:
        (tmp_path / "trials" / trial.name).mkdir(parents=True)
        broken = trial.name in ("b-5", "a-3")
        ended = Result(trial.name, trial.variant, trial.seed, trial.overrides, measurements=[measured(50)])
        save_result(tmp_path / "trials" / trial.name, failed(trial, "broken") if broken else ended)
        trials.append(trial)
    assert [trial.name for trial in trials] == order
    assert trials[1].overrides == {"network.blocks": 1}
    assert trials[0].overrides == {}
    assert [trial.seed for trial in trials] == [5, 5, 5, 3, 3, 3]
    assert plan.label(trials[4]) == "b, seed 3"
    assert [result.trial for result in plan.results()] == order
    assert "failed: b-5, a-3" in plan.report()[0]

    again = Ablation(tmp_path, config)  # those that failed are tried once more by each start
    assert [again.next_trial().name for _ in range(2)] == ["b-5", "a-3"]
    assert again.next_trial() is None
