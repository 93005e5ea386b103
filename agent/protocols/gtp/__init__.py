"""Keima as a GTP engine."""
