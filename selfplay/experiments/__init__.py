"""Sweeps and ablations."""
