"""The players, and the factory that makes them from text."""
