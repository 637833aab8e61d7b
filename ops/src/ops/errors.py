"""The error whose text is for the user."""


class MarketError(Exception):
    """Say in one sentence what was wrong and what to do about it."""
