"""What a network says of results: the probabilities of win, draw and loss."""

import importlib.util
import threading
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from keima.agent.inference.evaluator import NOT_NUMBERS
from keima.agent.nets.network import Network
from keima.games.contract import Game, GameError


class OutcomeJudge:
    """What a network says of results: win, draw and loss apart, where an evaluator gives one value. In float32.

    By OpenVINO where it is installed: a single position on a busy machine took torch's threads half a second.
    """

    def __init__(self, game: Game, network: Network, at_once: int = 256) -> None:
        """`at_once`: how many positions are judged in one batch, which bounds the memory."""
        self._game = game
        self._network = network.for_inference().cpu().float()
        self._at_once = at_once
        self._request: Any = None
        self._lock = threading.Lock()  # one request, and a screen may ask from several threads

    def __call__(self, planes: NDArray[np.float32]) -> NDArray[np.float32]:
        """Planes [n, C, H, W] -> probabilities [n, 3] of win, draw and loss for the side to move.

        Raises GameError where one is not a number.
        """
        with self._lock:
            parts = [self._judge(planes[i : i + self._at_once]) for i in range(0, len(planes), self._at_once)]
        outcomes = np.concatenate(parts)
        if not np.isfinite(outcomes).all():
            raise GameError(NOT_NUMBERS)
        return outcomes

    def _judge(self, planes: NDArray[np.float32]) -> NDArray[np.float32]:
        if importlib.util.find_spec("openvino") is None:
            with torch.inference_mode():
                return self._network.outcomes(torch.from_numpy(planes)).numpy()
        if self._request is None:
            from keima.agent.inference.openvino_evaluator import compile_outcomes

            self._request = compile_outcomes(self._network, self._game)
        answers = self._request.infer([planes], share_inputs=True, share_outputs=True)
        return np.array(answers[0], np.float32)
