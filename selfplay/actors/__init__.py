"""Self-play: compiled games side by side, actors' processes, and their pool."""
