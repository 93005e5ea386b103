"""Players as text, without making them: what is asked for, checked, and one spelling for each player.

    KIND[:ARGUMENT] [OPTION=VALUE ...]

    shipped simulations=400 temperature=0.3
    rollout:1000 seed=7
    runs/mine seconds=2 name="my net"
    gtp:"gnugo --mode gtp --level 10" seconds=2
    uci:"stockfish" nodes=1000 set="Hash=16, Threads=1"

What no kind's name begins is the path of a checkpoint or of a run's folder. An argument or a value stands in double
quotes where it has spaces that would be misread, with \\" and \\\\ for these two characters; a command may also stand
there bare, since options are recognised from the end. `PlayerSpec.text` is the same for all spellings of a player.
"""

import dataclasses
import difflib
import math
import os.path
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field

from keima.games.contract import GameError

CHECKPOINT = "checkpoint"
"""The kind of a player that is given by a path alone."""
ENGINES = ("gtp", "uci", "usi")
"""Kinds whose argument is the command line of another program; the kind is the protocol it speaks."""
MAX_SIMULATIONS = 1_000_000

_WORD = re.compile(r'(?:[^\s"]|"(?:[^"\\]|\\.)*")+')
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_OPTION = re.compile(r'([A-Za-z_]\w*)=((?:[^\s"]+|"(?:[^"\\]|\\.)*")?)', re.DOTALL)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")

Value = int | float | str


@dataclass(frozen=True)
class _OptionType:
    """What an option's value may be: numbers from `low` to `high`, or text."""

    type: type
    low: float = 0
    high: float = 0

    def parse(self, label: str, text: str) -> Value:
        """The value. Raises GameError, which begins with `label`."""
        if self.type is str:
            if not text.strip() or len(text) > 200 or _CONTROL.search(text):
                raise GameError(f"{label}: expected 1 to 200 printable characters, got {text!r}")
            return text.strip()
        value: float = math.nan
        if self.type is int:
            if re.fullmatch(r"[0-9]{1,20}", text, re.ASCII):
                value = int(text)
        elif re.fullmatch(r"[0-9.]{1,20}(e-?[0-9]{1,2})?", text, re.ASCII):
            try:
                value = float(text)
            except ValueError:
                value = math.nan
        if not self.low <= value <= self.high:
            expected = "a whole number" if self.type is int else "a number"
            raise GameError(f"{label}: expected {expected} from {self.low} to {self.high}, got {text!r}")
        return value


OPTIONS = {
    "simulations": _OptionType(int, 0, MAX_SIMULATIONS),  # a move, of a tree search; 0 is a network's policy alone
    "seconds": _OptionType(float, 0.001, 86400),  # a move
    "temperature": _OptionType(float, 0, 10),  # 0 plays the best move, 1 in proportion to visits or to the policy
    "c_puct": _OptionType(float, 0.01, 100),  # how much a tree search tries what the network thinks well of
    "resign": _OptionType(float, 0, 0.5),  # gives up below this winning probability; 0 never
    "nodes": _OptionType(int, 1, 10**15),  # a move, as the player counts them
    "depth": _OptionType(int, 1, 1000),  # plies looked ahead
    "level": _OptionType(int, 0, 100),  # as the engine understands it
    "timeout": _OptionType(float, 0.05, 86400),  # seconds that an engine may take beyond what it was given
    "set": _OptionType(str),  # an engine's own options: "Hash=16, Threads=1"; GTP commands: "kgs-rules=aga"
    "backend": _OptionType(str),  # what runs the network, as `keima bench` lists them
    "seed": _OptionType(int, 0, 2**63 - 1),
    "name": _OptionType(str),  # what the player is called in tables
}
_SEARCH = ("simulations", "seconds", "temperature", "resign", "seed", "name")
_NETWORK = (*_SEARCH, "backend", "c_puct")
ACCEPTED_OPTIONS: Mapping[str, tuple[str, ...]] = {
    "random": ("seed", "name"),
    "rollout": _SEARCH,
    "alphabeta": ("depth", "seconds", "nodes", "seed", "name"),
    "exact": ("seed", "name"),
    "shipped": _NETWORK,
    "raw": ("temperature", "seed", "name", "backend"),
    CHECKPOINT: _NETWORK,
    "gtp": ("seconds", "level", "set", "timeout", "name"),
    "uci": ("nodes", "depth", "seconds", "level", "set", "timeout", "name"),
    "usi": ("nodes", "depth", "seconds", "level", "set", "timeout", "name"),
}
KINDS = tuple(kind for kind in ACCEPTED_OPTIONS if kind != CHECKPOINT)
"""The words that a player's text may begin with."""
_NUMBERED = {"rollout": "simulations", "alphabeta": "depth"}
"""Kinds whose argument is a number, and the option that says the same."""
_LIMITS = ("simulations", "seconds", "nodes", "depth")
"""Options that say what a move may cost."""


@dataclass(frozen=True)
class PlayerSpec:
    """A player asked for; see the module's docstring. Equal where `text` is."""

    kind: str
    """One of KINDS, or CHECKPOINT."""
    argument: str | None = None
    """A path for CHECKPOINT and `raw`, a command line for an engine; None where there is none."""
    options: Mapping[str, Value] = field(default_factory=dict)
    """Its options by their names, in the order of the names; `rollout:1000` has simulations, `alphabeta:4` depth."""

    def __hash__(self) -> int:
        return hash(self.text)

    @property
    def text(self) -> str:
        """The one spelling of this player, which `parse` reads back."""
        options = dict(self.options)
        base = self.kind
        if self.kind in _NUMBERED:
            number = options.pop(_NUMBERED[self.kind], None)
            base += f":{number}" if number is not None else ""
        elif self.argument is not None:
            written = _quoted(self.argument, always=self.kind in ENGINES)
            base = written if self.kind == CHECKPOINT else f"{base}:{written}"
        return " ".join([base, *(f"{name}={_written(value)}" for name, value in options.items())])

    @property
    def label(self) -> str:
        """What it is called: its name if it was given one, else its text."""
        return str(self.options.get("name", self.text))

    @property
    def has_limit(self) -> bool:
        """Whether it says what a move may cost."""
        return any(name in self.options for name in _LIMITS)

    def completed(self, **limits: Value | None) -> "PlayerSpec":
        """The same with these options, of those that its kind takes, where it says nothing of what a move may cost.

        As `completed(simulations=400, seconds=None)`; None stands for no such limit.
        """
        if self.has_limit:
            return self
        added = {k: v for k, v in limits.items() if v is not None and k in ACCEPTED_OPTIONS[self.kind]}
        return dataclasses.replace(self, options=dict(sorted({**self.options, **added}.items())))


def parse(text: str) -> PlayerSpec:
    """The player that `text` asks for. Raises GameError with a message of one line; looks at no file."""
    text = re.sub(r"[\t\r\n]", " ", text).strip()
    if _CONTROL.search(text):
        raise GameError(f"player {text!r}: expected printable characters")
    if _WORD.sub("", text).strip():
        raise GameError(f"player {text!r}: a double quote is not closed")
    words = list(_WORD.finditer(text))
    end = len(words)
    while end > 0 and _OPTION.fullmatch(words[end - 1].group()):
        end -= 1
    base = text[: words[end - 1].end()] if end else ""
    if not base:
        raise GameError(f"no player {text!r}: expected one of {', '.join(KINDS)}, or a checkpoint or a run's folder")
    kind, argument = _kind_and_argument(base)
    given = _options(kind, [word.group() for word in words[end:]])
    if kind in _NUMBERED and argument is not None:
        option = _NUMBERED[kind]
        if option in given:
            raise GameError(f"{kind}: {option} are said twice, {argument} and {given[option]}")
        given[option] = _number(kind, argument)
        argument = None
    if kind == "rollout" and given.get("simulations") == 0:
        raise GameError("rollout: expected at least 1 simulation, got 0")
    if "set" in given:
        given["set"] = _engine_options_text(kind, str(given["set"]))
    return PlayerSpec(kind, argument, dict(sorted(given.items())))


def engine_options(spec: PlayerSpec) -> dict[str, str]:
    """What the option `set` asks for: the engine's own options by their names."""
    pairs = (item.partition("=") for item in str(spec.options.get("set", "")).split(",") if item.strip())
    return {name.strip(): value.strip() for name, _, value in pairs}


def _kind_and_argument(base: str) -> tuple[str, str | None]:
    """The kind and its argument, in its one spelling."""
    kind, colon, rest = base.partition(":")
    rest = _unquoted(rest.strip())
    if kind in ENGINES:
        return kind, _command(kind, rest)
    if kind in _NUMBERED:
        return kind, rest or None
    if kind == "raw":
        # The net that is shipped is what `raw` means by itself.
        return kind, None if rest in ("", "shipped") else _path(rest)
    if kind in KINDS:
        if rest:
            raise GameError(f"{kind}: takes nothing after a colon, got {rest!r}")
        return kind, None
    if not colon and base.split()[0] in KINDS:
        first, following = base.split(None, 1)
        raise GameError(f"{first}: expected options as {_example(first)}, got {following!r}")
    return CHECKPOINT, _path(_unquoted(base))


def _path(text: str) -> str:
    """A path in its shortest form, which no kind's name begins."""
    if not text.strip():
        raise GameError("expected the path of a checkpoint or of a run's folder, got an empty text")
    path = os.path.normpath(text)
    return f"./{path}" if path.partition(":")[0] in KINDS else path


def _command(kind: str, text: str) -> str:
    try:
        words = shlex.split(text)
    except ValueError:
        raise GameError(f"{kind}: a quote is not closed in the command {text!r}") from None
    if not words or not words[0] or _CONTROL.search(text):
        raise GameError(f'{kind}: expected the command of an engine, as {kind}:"ENGINE --its-options", got {text!r}')
    return shlex.join(words)


def _number(kind: str, text: str) -> int:
    option = OPTIONS[_NUMBERED[kind]]
    what = {"rollout": "a number of playouts", "alphabeta": "a number of plies"}[kind]
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:10]) <= option.high):
        raise GameError(f"{kind}: expected {what} from 1 to {option.high}, got {text!r}")
    return int(text)


def _options(kind: str, words: list[str]) -> dict[str, Value]:
    given: dict[str, Value] = {}
    accepted = ACCEPTED_OPTIONS[kind]
    for word in words:
        match = _OPTION.fullmatch(word)
        assert match is not None
        name, written = match.groups()
        if name not in accepted:
            close = difflib.get_close_matches(name, accepted, n=1)
            hint = f" (did you mean {close[0]}?)" if close else ""
            raise GameError(f"{kind}: unknown option {name!r}{hint}; it takes {', '.join(accepted)}")
        if name in given:
            raise GameError(f"{kind}: the option {name} is said twice")
        given[name] = OPTIONS[name].parse(f"{kind}: {name}", _unquoted(written))
    return given


def _engine_options_text(kind: str, text: str) -> str:
    """The option `set` in its one spelling."""
    pairs = [item.partition("=") for item in text.split(",") if item.strip()]
    if not pairs or not all(name.strip() and equals for name, equals, _ in pairs):
        raise GameError(f'{kind}: set: expected "Name=value, Name=value", got {text!r}')
    return ", ".join(sorted(f"{name.strip()}={value.strip()}" for name, _, value in pairs))


def _example(kind: str) -> str:
    return {"simulations": "simulations=400", "depth": "depth=4"}.get(ACCEPTED_OPTIONS[kind][0], "name=Ada")


def _unquoted(text: str) -> str:
    match = _QUOTED.fullmatch(text)
    return re.sub(r'\\(["\\])', r"\1", match.group(1)) if match else text


def _quoted(text: str, *, always: bool = False) -> str:
    if always or not text or re.search(r'[\s"]', text) or _OPTION.fullmatch(text):
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return text


def _written(value: Value) -> str:
    if isinstance(value, str):
        return _quoted(value)
    return repr(value).removesuffix(".0")
