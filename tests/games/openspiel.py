"""Plays a game and OpenSpiel's implementation of it side by side and demands that they agree at every ply."""

import numpy as np
import pyspiel

from keima import games
from keima.games.contract import FIRST_WINS, SECOND_WINS
from tests.games.drivers import record_games


def assert_same_games(spec: str, spiel_name: str, actions=None, *, variants: int = 1, count: int) -> None:
    """Random games of `spec`: the same legal actions, side to move, length and outcome in OpenSpiel's `spiel_name`.

    `actions`[player, a] is what OpenSpiel calls action a of that player, the same number where it is None.
    OpenSpiel may have several numbers for a move of which one is legal at a time (a capture has its own):
    with `variants` = V, its numbers V * a ... V * a + V - 1 all stand for `actions`' number a.
    """
    game = games.load(spec)
    spiel_game = pyspiel.load_game(spiel_name)
    assert spiel_game.max_game_length() >= game.max_plies
    if actions is None:
        actions = np.tile(np.arange(game.num_actions), (2, 1))
    for number, recording in enumerate(record_games(game, count)):
        state = spiel_game.new_initial_state()
        expected = actions[
            np.repeat(recording.players, np.diff(recording.legal_ends, prepend=0)), recording.legal
        ].tolist()
        moves = actions[recording.players, recording.actions]
        start = 0
        for ply, (player, end, move) in enumerate(
            zip(recording.players.tolist(), recording.legal_ends.tolist(), moves.tolist(), strict=True)
        ):
            legal = state.legal_actions()  # sorted; none when the game is over
            named = [action // variants for action in legal] if variants > 1 else legal
            assert sorted(expected[start:end]) == named, f"{spec}, game {number}, ply {ply}:\n{state}"
            assert state.current_player() == player, f"{spec}, game {number}, ply {ply}:\n{state}"
            state.apply_action(legal[named.index(move)] if variants > 1 else move)
            start = end
        assert state.is_terminal(), f"{spec}, game {number}:\n{state}"
        first, second = state.returns()
        assert first == -second == {FIRST_WINS: 1, SECOND_WINS: -1}.get(recording.outcome, 0), f"{number}:\n{state}"
