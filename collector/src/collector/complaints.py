"""What a feed complains about, told once with its count."""

from dataclasses import dataclass

SUMMARY_SECONDS = 600.0
MAX_TEXTS = 10


@dataclass
class _Repeated:
    since: float
    count: int = 0


class Complaints:
    """Decides which complaints are told: each text at once the first time, its repeats as a count.

    At most MAX_TEXTS texts are remembered; what comes beyond them is only counted.
    """

    def __init__(self) -> None:
        self._repeated: dict[str, _Repeated] = {}
        self._others = _Repeated(0.0)

    def add(self, text: str, now: float) -> bool:
        """Note a complaint; return whether it is to be told now."""
        repeated = self._repeated.get(text)
        if repeated is not None:
            repeated.count += 1
            return False
        if len(self._repeated) >= MAX_TEXTS:
            if self._others.count == 0:
                self._others.since = now
            self._others.count += 1
            return False
        self._repeated[text] = _Repeated(now)
        return True

    def due(self, now: float) -> list[str]:
        """Return the counts of what was repeated, once they are SUMMARY_SECONDS old."""
        summaries = []
        for text, repeated in list(self._repeated.items()):
            if now - repeated.since < SUMMARY_SECONDS:
                continue
            if repeated.count:
                summaries.append(f"{text} (repeated {repeated.count} times)")
                self._repeated[text] = _Repeated(now)
            else:
                del self._repeated[text]
        if self._others.count and now - self._others.since >= SUMMARY_SECONDS:
            summaries.append(f"{self._others.count} other errors")
            self._others.count = 0
        return summaries
