"""GTP's commands that only Go has: handicap, rules, what is dead, the score, playing on until nothing dead is left."""

import json
from collections.abc import Callable
from typing import Any

from keima.agent.contracts.territory import Territory
from keima.agent.contracts.thinking import Limit, Thinker
from keima.agent.go.dead_stones import (
    Judged,
    Status,
    before_passes,
    dead_cells,
    is_self_atari,
    judge_chains,
    knows_dead_stones,
    liberties,
    points_without_dead,
)
from keima.agent.go.rules import KGS, has_rules, parameters_of, rules_as_json
from keima.agent.protocols.gtp.board_setup import BoardSetup, black_points, is_empty
from keima.agent.protocols.gtp.move_commands import Mover, name_of, names_of
from keima.agent.protocols.gtp.syntax import Command, GtpError, colour_of, exactly, refused, stones_of
from keima.games.contract import PLAYER
from keima.games.position import Position


class GoCommands:
    """What Go's controllers ask for beside moves."""

    def __init__(self, table: BoardSetup, mover: Mover, log: Callable[[str], Any]) -> None:
        self._table, self._mover, self._log = table, mover, log
        self._judged: tuple[Position, int, list[Judged]] | None = None  # of a position after so many moves

    def commands(self) -> dict[str, Command]:
        """Those that there are for the table's game."""
        known: dict[str, Command] = {}
        if self._table.has_handicap:
            known |= {
                "fixed_handicap": self._fixed_handicap,
                "place_free_handicap": self._place_free_handicap,
                "set_free_handicap": self._set_free_handicap,
            }
        if has_rules(self._table.plain_game):
            known |= {
                "get_komi": lambda _: f"{self._table.komi:g}",
                "kata-get-rules": lambda _: rules_as_json(self._game),
                "kata-set-rules": lambda arguments: self._set_rules(" ".join(arguments)),
                "kata-set-rule": self._set_rule,
                "kgs-rules": self._kgs_rules,
            }
        if knows_dead_stones(self._table.plain_game):
            known |= {
                "final_status_list": self._final_status_list,
                "kgs-genmove_cleanup": self._genmove_cleanup,
                "kgs-game_over": self._game_over,
            }
            if isinstance(self._table.player, Thinker):
                known |= {"kata-raw-nn": self._raw_network}
        return known

    def final_score(self) -> str | None:
        """GTP's final_score, once dead stones are off the board; None for games that know of none.

        Under Tromp-Taylor rules a game that is over is counted as it stands, as these say.
        """
        position = self._table.position
        if not knows_dead_stones(position.game):
            return None
        if position.is_over and self._game.rules == "tromp-taylor":
            return score_text(self._table.exactly(position.game.points(position.state)))
        return score_text(self._table.exactly(points_without_dead(position, self._judge())))

    @property
    def _game(self) -> Any:
        return self._table.position.game

    # --- handicap, section 4.1

    def _fixed_handicap(self, arguments: list[str]) -> str:
        """Stones on the points that the protocol fixes; the game's rules know which."""
        stones = stones_of(arguments)
        self._expect_empty_board()
        with refused("invalid number of stones"):
            self._table.give_handicap(stones, "fixed")
        return names_of(self._game, black_points(self._table.position))

    def _place_free_handicap(self, arguments: list[str]) -> str:
        """The engine may place fewer stones than it is given, and does where there are more than fixed points."""
        stones = stones_of(arguments)
        self._expect_empty_board()
        height, width = self._game.shape
        if stones >= height * width:
            raise GtpError("invalid number of stones")
        with refused("invalid number of stones"):
            points = self._table.handicap_points(stones)
            self._table.place_handicap(points)
        return names_of(self._game, points)

    def _set_free_handicap(self, arguments: list[str]) -> str:
        if len(arguments) < 2:
            raise GtpError("bad vertex list")
        self._expect_empty_board()
        with refused("bad vertex list"):
            self._table.place_handicap([text.lower() for text in arguments])
        return ""

    def _expect_empty_board(self) -> None:
        position = self._table.position
        if position.actions or not is_empty(position):
            raise GtpError("board not empty")

    # --- rules

    def _set_rules(self, text: str) -> str:
        if not text:
            raise GtpError("syntax error")
        self._table.set_parameters(**parameters_of(self._game, text))
        return ""

    def _set_rule(self, arguments: list[str]) -> str:
        """One of the keys that kata-get-rules tells, the others as they are."""
        name, value = exactly(2, arguments)
        if name not in json.loads(rules_as_json(self._game)):
            raise GtpError(f"unknown rule {name[:40]!r}")
        known: dict[str, Any] = {"true": True, "false": False}
        return self._set_rules(json.dumps({name: known.get(value.lower(), value)}))

    def _kgs_rules(self, arguments: list[str]) -> str:
        (name,) = exactly(1, arguments)
        if name.lower() not in KGS:
            raise GtpError(f"unknown rules: expected one of {', '.join(KGS)}")
        return self._set_rules(KGS[name.lower()])

    # --- the end, sections 6.3.4 and 6.3.5

    def _judge(self) -> list[Judged]:
        """The chains on the board with their status, the same however often it is asked for."""
        position = self._table.position
        key = position, len(position.actions)
        if self._judged is None or self._judged[:2] != key:
            self._judged = (*key, judge_chains(position, self._territory()))
        return self._judged[2]

    def _territory(self) -> Territory:
        player = self._table.player
        if isinstance(player, Thinker) and player.territory is not None:
            return player.territory
        from keima.agent.go.playouts import PlayoutTerritory, has_playouts

        if not has_playouts(self._game):
            raise GtpError(f"{player.name} cannot tell what is dead")
        return PlayoutTerritory(self._game)

    def _final_status_list(self, arguments: list[str]) -> str:
        """A chain a line."""
        if not arguments:
            raise GtpError("missing status")
        if arguments[0] not in [status.value for status in Status]:
            raise GtpError("invalid status")
        chains = [chain.cells for chain in self._judge() if chain.status.value == arguments[0]]
        return "\n".join(names_of(self._game, [self._game.cell_to_text(cell) for cell in cells]) for cells in chains)

    def _genmove_cleanup(self, arguments: list[str]) -> str:
        """A move as `genmove` makes it, but one that removes dead stones of the opponent's as long as there are any."""
        colour = colour_of(exactly(1, arguments)[0])
        position = self._mover.turned(colour)
        game, board = position.game, position.game.board(position.state)
        dead = {cell for cell in dead_cells(self._judge(), 1 - colour) if board.flat[cell]}
        passing = game.shape[0] * game.shape[1]
        legal = position.legal_actions()
        # Chains with few liberties first, and what puts nothing of one's own in danger before what does.
        wanted: list[tuple[bool, int, int]] = []
        for chain in self._judge():
            if chain.player != colour and dead.issuperset(chain.cells):
                free = liberties(board, chain.cells)
                wanted += [(is_self_atari(board, cell, colour), len(free), cell) for cell in free if cell in legal]
        action = min(wanted)[2] if wanted else passing
        if action not in legal:
            raise GtpError("the game is over")
        self._table.play(colour, action)
        return name_of(game, game.action_to_text(position.state, action))

    def _game_over(self, arguments: list[str]) -> str:
        self._log(f"game over: {self.final_score()}")
        return ""

    # --- the network's first thought

    def _raw_network(self, arguments: list[str]) -> str:
        """KataGo's kata-raw-nn; the symmetry it may be asked for is passed over, the board is judged as it is."""
        position, player = before_passes(self._table.position), self._table.player
        if position.is_over:
            raise GtpError("the game is over")
        assert isinstance(player, Thinker)
        info = player.think(position, Limit(simulations=1))
        if info.wdl is None:
            raise GtpError(f"{player.name} has no network")
        estimate = self._territory().estimate([position.state])[0]
        height, width = position.game.shape
        priors = {line.action: f"{line.prior:.6f}" for line in info.variations}
        policy = [priors.get(cell, "NAN") for cell in range(height * width)]
        owned = [f"{-owner:.6f}" for owner in estimate.ownership]
        win, _, loss = info.wdl if position.state[PLAYER] == 1 else info.wdl[::-1]
        said = ["symmetry 0", f"whiteWin {win:.6f}", f"whiteLoss {loss:.6f}", "noResult 0.000000"]
        said += [f"whiteLead {-estimate.points:.3f}", "policy", *_rows(policy, width)]
        said += [f"policyPass {priors.get(height * width, 'NAN')}", "whiteOwnership", *_rows(owned, width)]
        return "\n".join(said)


def score_text(points: float) -> str:
    """The first player's points less the second's, as GTP has it."""
    return "0" if points == 0 else f"{'B' if points > 0 else 'W'}+{abs(points):g}"


def _rows(numbers: list[str], width: int) -> list[str]:
    return [" ".join(numbers[start : start + width]) for start in range(0, len(numbers), width)]
