"""How fast everything runs on this machine, and what suits it."""
