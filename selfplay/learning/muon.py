"""Muon: steps along orthogonalized momentum, for the filters of convolutions that a normalization follows.

A filter bank is taken as a matrix with a row for each output channel. Its step is its momentum with all singular values
brought near 1, so that it moves equally far in every direction in which the gradients have agreed, the rare ones, too
(K. Jordan and others, "Muon: an optimizer for hidden layers in neural networks", 2024). Where a batch normalization
follows, the matrix's length has no influence on the output. So the length is kept, and the learning rate is a step's
length as a fraction of it.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

ITERATIONS = 5
COEFFICIENTS = 3.4445, -4.7750, 2.0315
"""Jordan's: of the odd polynomial of degree 5 that takes singular values from (0, 1] to 0.7 to 1.2 when iterated."""


class Muon(torch.optim.Optimizer):
    """See the module's docstring. State of a parameter: `momentum` [rows, columns] and `length`, that it keeps."""

    def __init__(self, parameters: Iterable[Tensor], lr: float, momentum: float = 0.95) -> None:
        """lr: the share of a matrix's length that a step is long. momentum: what a step leaves of the former ones."""
        super().__init__(parameters, {"lr": lr, "momentum": momentum})

    @staticmethod
    @torch.no_grad()
    def new_state(parameter: Tensor) -> dict[str, Tensor]:
        """A parameter's state before its first step."""
        matrix = parameter.reshape(len(parameter), -1)
        return {"momentum": torch.zeros_like(matrix), "length": torch.linalg.vector_norm(matrix)}

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """One step along the gradients that there are."""
        assert closure is None
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                gradient = parameter.grad.reshape(len(parameter), -1)
                state = self.state[parameter]
                if not state:
                    state.update(self.new_state(parameter))
                momentum, length = state["momentum"], state["length"]
                momentum.lerp_(gradient, 1 - group["momentum"])
                direction = orthogonalized(gradient.lerp(momentum, group["momentum"]))  # Nesterov's
                step = direction * (group["lr"] * length / min(direction.shape) ** 0.5)
                parameter.sub_(step.reshape(parameter.shape))
                parameter.mul_(length / torch.linalg.vector_norm(parameter).clamp_min(1e-12))


def orthogonalized(matrix: Tensor) -> Tensor:
    """[rows, columns] with the same singular vectors and singular values near 1, by Newton and Schulz's iteration."""
    is_tall = matrix.shape[0] > matrix.shape[1]
    x: Tensor = matrix.T if is_tall else matrix
    x = x / torch.linalg.vector_norm(x).clamp_min(1e-12)
    a, b, c = COEFFICIENTS
    for _ in range(ITERATIONS):
        squared = x @ x.T
        x = a * x + (b * squared + c * (squared @ squared)) @ x
    return x.T if is_tall else x
