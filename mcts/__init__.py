"""The search: numpy and numba only; the evaluator is passed in."""
