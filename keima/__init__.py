"""Keima: AlphaZero for people without a data centre."""
