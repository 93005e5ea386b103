"""The full screen in the terminal: the board in colour, the moves so far, what the search thinks."""
