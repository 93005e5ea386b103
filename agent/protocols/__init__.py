"""Keima as an engine for other programs."""
