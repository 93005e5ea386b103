"""A training run's options: their schema, and where they are read from."""
