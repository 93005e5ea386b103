"""Play in the terminal: the session at the board, line mode, full screen."""
