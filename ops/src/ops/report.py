"""Where a command says how far it is."""

from collections.abc import Callable

# Takes one line for the user.
Report = Callable[[str], None]
