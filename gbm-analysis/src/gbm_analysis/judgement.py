"""How good the stored forecasts were: running figures of all, of each asset class and of each symbol."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from common.symbols import asset_class
from gbm_analysis.evaluation import figures, plain_verdict, verdict
from gbm_analysis.records import Judgement, Outcome, Scope

ALL = "all"


def judge_outcomes(outcomes: Mapping[str, Sequence[Outcome]]) -> Iterator[Judgement]:
    """Judge each symbol's outcomes, which are in the order of time, and those of its groups."""
    groups: defaultdict[tuple[Scope, str], list[Sequence[Outcome]]] = defaultdict(list)
    for symbol, series in outcomes.items():
        if series:
            groups["overall", ALL].append(series)
            groups["class", asset_class(symbol)].append(series)
            groups["symbol", symbol].append(series)
    for (scope, name), group in groups.items():
        forecast = figures([[verdict(one.score, one.spot) for one in series] for series in group])
        plain = figures([[plain_verdict(one.score, one.spot) for one in series] for series in group])
        if forecast is not None and plain is not None:
            first = min(series[0].forecast_time for series in group)
            last = max(series[-1].forecast_time for series in group)
            yield Judgement(scope, name, first, last, forecast, plain)
