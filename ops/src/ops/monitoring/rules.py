"""The alert rules of ops/monitoring, from the files that Prometheus reads too, and which of them hold."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import yaml

from common.settings import ROOT
from ops.monitoring.expression import Expression, evaluate, parse, seconds, windows
from ops.monitoring.samples import History, Labels, Sample

FOLDER = ROOT / "ops" / "monitoring"
LABEL = re.compile(r"\{\{ \$labels\.([a-z_]+) \}\}")
VALUE = re.compile(r'\{\{ \$value \| printf "(%[.0-9]*[fg])" \}\}')


class Rule(NamedTuple):
    """One rule; an expression that has held for `seconds` is an alert.

    `meaning` says what an alert means, `command` what helps.
    """

    alert: str
    expression: Expression
    seconds: float
    severity: str
    summary: str
    meaning: str
    command: str


class Alert(NamedTuple):
    """What is the matter; `since` is when it began, `key` tells it from others."""

    key: str
    severity: str
    since: float
    summary: str
    meaning: str
    command: str


def load_rules(folder: Path = FOLDER) -> tuple[Rule, ...]:
    """Read every rule file of a folder."""
    return tuple(
        Rule(
            rule["alert"],
            parse(rule["expr"]),
            seconds(rule.get("for", "0s")),
            rule["labels"]["severity"],
            rule["annotations"]["summary"],
            rule["annotations"]["meaning"],
            rule["annotations"]["command"],
        )
        for path in sorted(folder.glob("*.rules.yml"))
        for group in yaml.safe_load(path.read_text())["groups"]
        for rule in group["rules"]
    )


def render(template: str, labels: Labels, value: float) -> str:
    """Fill in the labels and the value, as Prometheus does."""
    named = dict(labels)
    with_labels = LABEL.sub(lambda found: named.get(found[1], ""), template)
    return VALUE.sub(lambda found: found[1] % value, with_labels)


@dataclass
class Judge:
    """Knows since when the expression of each rule has held."""

    rules: Sequence[Rule]
    history: History = field(init=False)
    _since: dict[tuple[int, Labels], float] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.history = History(windows([rule.expression for rule in self.rules]))

    def judge(self, now: float, samples: Iterable[Sample]) -> list[Alert]:
        """Take the samples of a moment; return the alerts of that moment."""
        self.history.add(now, samples)
        holding = {
            (number, labels): value
            for number, rule in enumerate(self.rules)
            for labels, value in evaluate(rule.expression, self.history, now).items()
        }
        self._since = {key: self._since.get(key, now) for key in holding}
        return list(self._alerts(now, holding))

    def _alerts(self, now: float, holding: Mapping[tuple[int, Labels], float]) -> Iterator[Alert]:
        for (number, labels), value in holding.items():
            rule, since = self.rules[number], self._since[number, labels]
            if now - since >= rule.seconds:
                texts = (render(text, labels, value) for text in (rule.summary, rule.meaning, rule.command))
                yield Alert(key(rule.alert, labels), rule.severity, since, *texts)


def key(alert: str, labels: Labels) -> str:
    """Return what tells an alert from others, such as `ServiceDown service=kafka`."""
    return " ".join([alert, *(f"{name}={value}" for name, value in sorted(labels))])
