"""The part of PromQL that the rules use, so that they hold without Prometheus too.

    EXPRESSION := COMPARISON {and COMPARISON}
    COMPARISON := VALUE (> | < | ==) NUMBER
    VALUE      := SERIES | sum(SERIES)
    SERIES     := SELECTOR | time() - SELECTOR | increase(SELECTOR[5m]) | delta(SELECTOR[5m])
    SELECTOR   := metric | metric{label="value", ...}

`increase` and `delta` are the plain difference of the window's samples; Prometheus extrapolates it to the
window's ends, so rules compare them with thresholds that no whole number of events comes close to.
"""

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from ops.monitoring.samples import History, Labels, Selector

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    ">": operator.gt,
    "<": operator.lt,
    "==": operator.eq,
}
COMPARISON = re.compile(
    r"""(?:(?P<sum>sum)\()?
        (?:(?P<age>time\(\)\ -\ )|(?P<function>increase|delta)\()?
        (?P<name>[a-z_]+)(?:\{(?P<labels>[^}]*)\})?
        (?:\[(?P<window>\d+[smhd])\]\))?
        (?(sum)\))
        \ (?P<comparison>==|>|<)\ (?P<threshold>-?[0-9.e]+)""",
    re.VERBOSE,
)
LABEL = re.compile(r'([a-z_]+)="([^"]*)"')


class ExpressionError(Exception):
    """Say in one sentence which expression is none of the known kind."""


class Comparison(NamedTuple):
    """A figure beside its threshold; `window` is 0 where it does not look back."""

    selector: Selector
    function: str | None
    window: float
    is_age: bool
    is_sum: bool
    comparison: str
    threshold: float


Expression = Sequence[Comparison]


def seconds(text: str) -> float:
    """Return the length of a duration such as `5m`."""
    return float(text[:-1]) * UNITS[text[-1]]


def parse(text: str) -> Expression:
    """Read an expression; raise ExpressionError."""
    return tuple(map(_comparison, " ".join(text.split()).split(" and ")))


def _comparison(text: str) -> Comparison:
    found = COMPARISON.fullmatch(text)
    if found is None or bool(found["function"]) != bool(found["window"]):
        raise ExpressionError(f"The rules know no such expression: {text}.")
    return Comparison(
        Selector(found["name"], frozenset(LABEL.findall(found["labels"] or ""))),
        found["function"],
        seconds(found["window"]) if found["window"] else 0.0,
        found["age"] is not None,
        found["sum"] is not None,
        found["comparison"],
        float(found["threshold"]),
    )


def windows(expressions: Sequence[Expression]) -> Mapping[str, float]:
    """Return for each metric how many seconds the expressions look back at most."""
    longest: dict[str, float] = {}
    for expression in expressions:
        for part in expression:
            longest[part.selector.name] = max(longest.get(part.selector.name, 0.0), part.window)
    return longest


def evaluate(expression: Expression, history: History, now: float) -> dict[Labels, float]:
    """Return the value of each set of labels for which every comparison holds; the first one's value."""
    first, *others = (_holding(part, history, now) for part in expression)
    return {key: value for key, value in first.items() if all(key in other for other in others)}


def _holding(part: Comparison, history: History, now: float) -> dict[Labels, float]:
    holds = COMPARISONS[part.comparison]
    values = _values(part, history, now)
    if part.is_sum:
        values = {frozenset(): sum(values.values())} if values else {}
    return {key: value for key, value in values.items() if holds(value, part.threshold)}


def _values(part: Comparison, history: History, now: float) -> dict[Labels, float]:
    series = history.values(part.selector, part.window)
    if part.function is None:
        return {key: now - values[-1] if part.is_age else values[-1] for key, values in series}
    change = {"increase": increase, "delta": delta}[part.function]
    return {key: change(values) for key, values in series if len(values) > 1}


def increase(values: Sequence[float]) -> float:
    """Return by how much a counter grew; a smaller value is a counter that began again at 0."""
    return sum(after - before if after >= before else after for before, after in pairwise(values))


def delta(values: Sequence[float]) -> float:
    """Return how a gauge changed."""
    return values[-1] - values[0]
