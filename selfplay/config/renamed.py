"""Options that had another name once: files and `--set` with the old name are still read, and a line says the new one.

The one place to write a renaming down. Configs, the configs of old runs, `--set`, sweeps, ablations and curves come
through here.
"""

import multiprocessing
import sys
from collections.abc import Mapping
from typing import Any

RENAMED = {
    "also": "board_mix",
    "growth.at_share": "growth.at_progress",
    "learner.final_learning_rate_share": "learner.final_learning_rate_fraction",
    "learner.reply_weight": "learner.opponent_policy_weight",
    "network.reply_head": "network.opponent_policy_head",
    "replay.surprise_share": "replay.surprise_fraction",
    "selfplay.decided_check_share": "selfplay.decided_check_fraction",
    "selfplay.decided_full_share": "selfplay.decided_full_fraction",
    "selfplay.full_search_share": "selfplay.full_search_fraction",
    "selfplay.opening_random_share": "selfplay.opening_random_fraction",
    "selfplay.slots": "selfplay.parallel_games",
}
"""By the old name, with its section: the name since."""

_told: set[tuple[str, str]] = set()


def with_new_names(values: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """A config file's tables with the names of today, and the old names that were found.

    An option that is there by both names keeps the old one too, which validation then refuses.
    """
    found: dict[str, Any] = {key: dict(one) if isinstance(one, dict) else one for key, one in values.items()}
    old_names = []
    for old, new in RENAMED.items():
        section, _, name = old.rpartition(".")
        table = found.get(section) if section else found
        new_name = new.rpartition(".")[2]
        if isinstance(table, dict) and name in table and new_name not in table:
            table[new_name] = table.pop(name)
            old_names.append(old)
    return found, old_names


def flat_with_new_names(values: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The same for options by their full names: `{"selfplay.slots": 64}`."""
    old_names = [key for key in values if key in RENAMED and RENAMED[key] not in values]
    return {RENAMED[key] if key in old_names else key: value for key, value in values.items()}, old_names


def tell_new_names(source: str, old_names: list[str]) -> None:
    """One line on stderr, once for a source; none by actors, who read the config that their run has told of.

    source: where the old names stand, as messages have it.
    """
    told = (source, ", ".join(old_names))
    if not old_names or told in _told or multiprocessing.parent_process() is not None:
        return
    _told.add(told)
    renamed = ", ".join(f"{old} is now {RENAMED[old]}" for old in old_names)
    print(f"{source}: read as before, but renamed since: {renamed}", file=sys.stderr)
