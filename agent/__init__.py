"""Who plays: networks, checkpoints, players, engine protocols, the terminal, the commands."""
