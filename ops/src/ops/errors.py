"""What goes wrong and is told to the user."""


class MarketError(Exception):
    """Say in one sentence what was wrong and what to do about it."""
