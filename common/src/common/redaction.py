"""Secrets out of text, and text of others in a form that can be shown."""

from collections.abc import Iterable
from urllib.parse import quote, quote_plus

from pydantic import SecretStr

MAX_CHARACTERS = 300
MASK = "***"


def redact(text: str, secrets: Iterable[SecretStr | None]) -> str:
    """Replace each secret, also as it stands in a URL."""
    for secret in secrets:
        value = secret.get_secret_value() if secret else ""
        if value:
            for written in {value, quote(value, safe=""), quote_plus(value)}:
                text = text.replace(written, MASK)
    return text


def printable(text: str) -> str:
    """Return a text of another program as one line that no terminal interprets, cut to MAX_CHARACTERS."""
    line = " ".join(text.split())
    return "".join(letter if letter.isprintable() else "?" for letter in line)[:MAX_CHARACTERS]
