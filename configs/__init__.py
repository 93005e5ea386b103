"""Shipped settings: one TOML file a run, holding only what differs from the defaults."""
