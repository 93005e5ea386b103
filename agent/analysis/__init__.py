"""Explanations of moves, evaluation on scored positions, search results as text."""
