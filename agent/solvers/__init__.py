"""Exact solvers, found by the name of their game: `solvers/connect4.py` solves `games/connect4.py`."""
