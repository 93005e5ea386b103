"""A function as an evaluator of a search."""

from keima.mcts.evaluator import Evaluate, Judge


class Judged(Evaluate):
    """Judges planes by a function, and asks for nothing else."""

    def __init__(self, judge: Judge) -> None:
        self._judge = judge

    def __call__(self, planes, /):
        return self._judge(planes)
