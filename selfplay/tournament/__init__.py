"""Tournaments: games between players, what they say of the players' strengths, and how that is shown."""
