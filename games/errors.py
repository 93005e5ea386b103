"""The one kind of error whose message is for the user; here, since whoever raises it need not load the compiler."""


class GameError(ValueError):
    """A game, its parameters, a move, a position or a file of it is not what it should be."""
