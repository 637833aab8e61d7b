"""The pages' charts, as pure functions of the data."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from common.colors import symbol_color
from common.gbm.model import Model
from streamlit_pages.candles import Bars, Floats, Times, break_at_gaps, max_gap_seconds
from streamlit_pages.comparison import changes
from streamlit_pages.record import Running
from streamlit_pages.simulation import Effect, Paths, Simulation
from streamlit_pages.store import Distribution, Forecast, Gap, to_datetime64
from streamlit_pages.watch import Look

# All are visible on a light and on a dark page.
UP, DOWN = "#26a69a", "#ef5350"
VWAP = "#ffb74d"
STORED, STORED_WIDE, STORED_NARROW = "#64b5f6", "rgba(100, 181, 246, 0.16)", "rgba(100, 181, 246, 0.26)"
SCENARIO, SCENARIO_FAINT = "#f06292", "rgba(240, 98, 146, 0.18)"
ACTUAL = "#ba68c8"
GAP = "rgba(255, 183, 77, 0.18)"
MUTED = "#90a4ae"

_PRICE = ",.8~g"
_FUTURE_SHARE = 0.4
_FAN_MARGIN = 0.9
_LABEL_MARGIN = 1.15


def candles_chart(
    candles: Bars,
    vwap: Floats,
    *,
    seconds: int,
    forecast: Forecast | None,
    gaps: Sequence[Gap],
    view: str,
) -> go.Figure:
    """Draw candles of `seconds` with volume and VWAP, and ahead of them the forecast's fan.

    A visitor's zoom stays as long as `view` stays the same.
    """
    figure = make_subplots(rows=2, shared_xaxes=True, row_heights=[0.8, 0.2], vertical_spacing=0.02)
    first, last = candles.start[0], candles.start[-1] + np.timedelta64(seconds, "s")
    end = last + (last - first) * 0.03
    low, high = float(np.nanmin(candles.low)), float(np.nanmax(candles.high))
    reach = (low, high)
    if forecast is not None:
        end = max(end, min(forecast.target_time[-1], last + (last - first) * _FUTURE_SHARE))
        times, quantiles = _from_spot(forecast, forecast.target_time, forecast.quantiles)
        shown = (times >= first) & (times <= end)
        if shown.any():
            _add_fan(figure, times[shown], quantiles[shown])
            reach = (min(low, quantiles[shown, 0].min()), max(high, quantiles[shown, -1].max()))
        if to_datetime64(forecast.forecast_time) >= first:
            _add_moment(figure, forecast.forecast_time, row=1, col=1)
    average_times, averages = break_at_gaps(candles.start, vwap, max_gap_seconds(seconds))
    figure.add_scatter(
        x=average_times,
        y=averages,
        name="VWAP",
        mode="lines",
        line={"color": VWAP, "width": 1.5},
        hovertemplate="%{y}",
        zorder=1,
    )
    figure.add_candlestick(
        x=candles.start,
        open=candles.open,
        high=candles.high,
        low=candles.low,
        close=candles.close,
        name="Price",
        increasing={"line": {"color": UP, "width": 1}, "fillcolor": UP},
        decreasing={"line": {"color": DOWN, "width": 1}, "fillcolor": DOWN},
        showlegend=False,
        zorder=2,
    )
    figure.add_bar(
        x=candles.start,
        y=candles.volume,
        name="Volume",
        marker={"color": np.where(candles.close >= candles.open, UP, DOWN), "opacity": 0.6, "line_width": 0},
        showlegend=False,
        hovertemplate="%{y:,.6~g}",
        row=2,
        col=1,
    )
    for gap in gaps:
        figure.add_vrect(
            x0=to_datetime64(gap.start),
            x1=to_datetime64(gap.end),
            fillcolor=GAP,
            line_width=0,
            layer="below",
            annotation={"text": "feed gap", "font": {"size": 11, "color": VWAP}},
            annotation_position="bottom right",
            row=1,
            col=1,
        )
    figure.update_xaxes(
        range=[first, end], rangeslider_visible=False, showspikes=True, spikethickness=1, spikedash="dot"
    )
    figure.update_yaxes(side="right", range=_price_range(low, high, *reach), tickformat=_PRICE, row=1, col=1)
    figure.update_yaxes(side="right", nticks=3, tickformat=".3~s", showgrid=False, row=2, col=1)
    return _finish(figure, 520, view, hovermode="x unified", bargap=0.15)


def fan_chart(
    forecast: Forecast,
    times: Times,
    prices: Floats,
    simulated: Simulation | None,
    view: str,
    *,
    paths: Paths | None = None,
) -> go.Figure:
    """Draw a forecast as a fan with the actual `prices` at `times`; a scenario and some paths over it."""
    figure = go.Figure()
    _add_fan(figure, *_from_spot(forecast, forecast.target_time, forecast.quantiles))
    if paths is not None:
        _add_paths(figure, paths)
    if simulated is not None:
        _add_scenario(figure, forecast, simulated)
    if len(times):
        figure.add_scatter(x=times, y=prices, name="actual", mode="lines", line={"color": ACTUAL, "width": 2})
    _add_moment(figure, forecast.forecast_time)
    figure.update_yaxes(side="right", tickformat=_PRICE)
    return _finish(figure, 430, view, hovermode="x unified")


def distribution_chart(
    stored: Distribution, model: Model, forecast: Forecast, simulated: Simulation | None, view: str
) -> go.Figure:
    """Draw the histogram and the closed form of a forecast's terminal price, and those of a scenario."""
    figure = go.Figure()
    top = _add_distribution(figure, stored, model, forecast.horizon, color=STORED, suffix="")
    if simulated is not None:
        peak = _add_distribution(
            figure,
            simulated.distribution,
            simulated.model,
            simulated.horizon,
            color=SCENARIO,
            suffix=", scenario",
        )
        top = max(top, peak)
    _add_price(figure, forecast.spot, "spot", MUTED)
    if np.isfinite(forecast.actual[-1]):
        _add_price(figure, float(forecast.actual[-1]), "actual", ACTUAL)
    figure.update_xaxes(tickformat=_PRICE)
    figure.update_yaxes(showticklabels=False, title="density", range=[0, top * _LABEL_MARGIN])
    return _finish(figure, 380, view, barmode="overlay", bargap=0, hovermode="x")


def pit_chart(counts: Sequence[int], plain: Sequence[int] | None = None) -> go.Figure:
    """Draw the PIT histogram of outcomes, in equal bins from 0 to 1; calibrated forecasts make it uniform.

    `plain` are the counts of the plain model, drawn beside.
    """
    bins = len(counts)
    figure = go.Figure()
    figure.add_bar(
        x=(np.arange(bins) + 0.5) / bins,
        y=counts,
        width=1 / bins,
        name="forecast",
        marker={"color": STORED, "opacity": 0.6},
    )
    if plain is not None:
        figure.add_scatter(
            x=(np.arange(bins) + 0.5) / bins,
            y=plain,
            name="plain GBM",
            mode="lines",
            line={"color": SCENARIO, "width": 2, "shape": "hvh"},
        )
    figure.add_hline(
        y=float(sum(counts)) / bins,
        line={"color": MUTED, "dash": "dash", "width": 1},
        annotation={"text": "uniform", "font": {"size": 11, "color": MUTED}},
        annotation_position="top right",
    )
    figure.update_xaxes(title="quantile of the outcome in its forecast (PIT)", tickformat=".0%", range=[0, 1])
    figure.update_yaxes(title="forecasts", rangemode="tozero")
    return _finish(figure, 260, "pit", showlegend=plain is not None, bargap=0.05)


def coverage_chart(record: Running, view: str) -> go.Figure:
    """Draw the share of outcomes inside both bands up to each forecast, beside what it should be."""
    figure = go.Figure()
    for share, inside, color in ((0.9, record.inside_90, STORED), (0.5, record.inside_50, VWAP)):
        figure.add_scatter(
            x=record.times,
            y=inside,
            name=f"inside the {share:.0%} band",
            mode="lines",
            line={"color": color, "width": 2},
            hovertemplate="%{y:.1%}",
        )
        figure.add_hline(y=share, line={"color": color, "dash": "dash", "width": 1})
    figure.update_yaxes(range=[0, 1.02], tickformat=".0%")
    return _finish(figure, 280, view, hovermode="x unified")


def skill_chart(record: Running, view: str) -> go.Figure:
    """Draw the forecast's CRPS skill up to each forecast, against the naive forecast and the plain model."""
    figure = go.Figure()
    for skill, name, color in (
        (record.naive_skill, "against “no change”", STORED),
        (record.plain_skill, "against plain GBM", SCENARIO),
    ):
        figure.add_scatter(
            x=record.times,
            y=skill,
            name=name,
            mode="lines",
            line={"color": color, "width": 2},
            hovertemplate="%{y:+.1%}",
        )
    figure.add_hline(y=0, line={"color": MUTED, "dash": "dash", "width": 1})
    figure.update_yaxes(tickformat="+.0%")
    return _finish(figure, 280, view, hovermode="x unified")


def effects_chart(effects: Mapping[str, Sequence[Effect]], view: str) -> go.Figure:
    """Draw how the density of the terminal price changes with each parameter, one small chart each."""
    figure = make_subplots(
        1, len(effects), subplot_titles=list(effects), shared_xaxes=True, shared_yaxes=True
    )
    for column, lines in enumerate(effects.values(), start=1):
        for effect, color, dash in zip(lines, (DOWN, STORED, UP), ("dot", "solid", "dash"), strict=True):
            figure.add_scatter(
                x=effect.prices,
                y=effect.densities,
                name="as it is" if effect.factor == 1 else f"{effect.factor - 1:+.0%}",
                legendgroup=dash,
                showlegend=column == 1,
                mode="lines",
                line={"color": color, "width": 2, "dash": dash},
                hoverinfo="skip",
                row=1,
                col=column,
            )
    figure.update_xaxes(tickformat=_PRICE, nticks=4)
    figure.update_yaxes(showticklabels=False)
    return _finish(figure, 240, view)


def changes_chart(candles: Mapping[str, Bars], view: str) -> go.Figure:
    """Draw each symbol's change since its first candle, in the symbol's color."""
    figure = go.Figure()
    for symbol, bars in candles.items():
        times, values = changes(bars)
        figure.add_scatter(
            x=times,
            y=values,
            name=symbol,
            mode="lines",
            line={"color": symbol_color(symbol), "width": 2},
            hovertemplate="%{y:+.2%}",
        )
    figure.add_hline(y=0, line={"color": MUTED, "dash": "dash", "width": 1})
    figure.update_yaxes(side="right", tickformat="+.2%")
    return _finish(figure, 420, f"{view} {' '.join(candles)}", hovermode="x unified")


def small_candles_chart(candles: Mapping[str, Bars], view: str) -> go.Figure:
    """Draw each symbol's candles in a chart of its own, over the same span of time."""
    columns = min(2, len(candles))
    rows = -(-len(candles) // columns)
    figure = make_subplots(rows, columns, subplot_titles=list(candles), shared_xaxes="all")
    for place, bars in enumerate(candles.values()):
        figure.add_candlestick(
            x=bars.start,
            open=bars.open,
            high=bars.high,
            low=bars.low,
            close=bars.close,
            increasing={"line": {"color": UP, "width": 1}, "fillcolor": UP},
            decreasing={"line": {"color": DOWN, "width": 1}, "fillcolor": DOWN},
            name=list(candles)[place],
            row=place // columns + 1,
            col=place % columns + 1,
        )
    figure.update_xaxes(rangeslider_visible=False)
    figure.update_yaxes(side="right", tickformat=_PRICE)
    return _finish(figure, 60 + 260 * rows, f"{view} {' '.join(candles)}", showlegend=False)


def correlation_chart(symbols: Sequence[str], matrix: Floats) -> go.Figure:
    """Draw a matrix of correlations (symbols, symbols); a cell without one stays empty."""
    figure = go.Figure()
    figure.add_heatmap(
        x=list(symbols),
        y=list(symbols),
        z=matrix,
        zmin=-1,
        zmax=1,
        colorscale="RdBu",
        texttemplate="%{z:.2f}",
        hovertemplate="%{y} and %{x}: %{z:.3f}<extra></extra>",
    )
    figure.update_yaxes(autorange="reversed")
    return _finish(figure, 120 + 36 * max(6, len(symbols)), "correlations")


def widths_chart(symbols: Sequence[str], narrow: Floats, wide: Floats) -> go.Figure:
    """Draw the widths of the 50 % and the 90 % band of each symbol's forecast."""
    figure = go.Figure()
    for values, name, opacity in ((wide, "90 % band", 0.45), (narrow, "50 % band", 1.0)):
        figure.add_bar(
            x=values,
            y=list(symbols),
            orientation="h",
            name=name,
            marker={"color": [symbol_color(symbol) for symbol in symbols], "opacity": opacity},
            hovertemplate="%{x:.3%}",
        )
    figure.update_xaxes(tickformat=".2%", rangemode="tozero")
    figure.update_yaxes(autorange="reversed")
    return _finish(
        figure, 120 + 36 * max(6, len(symbols)), "widths", barmode="overlay", hovermode="y unified"
    )


def batches_chart(looks: Sequence[Look]) -> go.Figure:
    """Draw how long the batches of each query took, on average between two looks."""
    queries = sorted({query for look in looks for query in look.batches})
    return _seconds_chart(looks, {query: [look.batches.get(query) for look in looks] for query in queries})


def latency_chart(looks: Sequence[Look]) -> go.Figure:
    """Draw the times from receipt to stored that shares of the trades had at most."""
    shares = sorted({share for look in looks for share in look.latency}, key=float)
    lines = {share: [look.latency.get(share) for look in looks] for share in shares}
    return _seconds_chart(looks, {f"{100 * float(share):.0f} % of trades": lines[share] for share in shares})


def _seconds_chart(looks: Sequence[Look], lines: Mapping[str, Sequence[float | None]]) -> go.Figure:
    figure = go.Figure()
    times = [to_datetime64(look.at) for look in looks]
    for (name, seconds), color in zip(lines.items(), (STORED, VWAP, ACTUAL), strict=False):
        figure.add_scatter(
            x=times,
            y=seconds,
            name=name,
            mode="lines+markers",
            marker={"size": 4},
            line={"color": color, "width": 1.5},
            hovertemplate="%{y:.2f} s",
        )
    figure.update_yaxes(rangemode="tozero", ticksuffix=" s")
    return _finish(figure, 260, "last hour", hovermode="x unified", showlegend=True)


def _price_range(low: float, high: float, lowest: float, highest: float) -> list[float]:
    """Widen the range for a fan from `lowest` to `highest`, within limits that keep the candles readable."""
    margin = (high - low or high * 0.001) * _FAN_MARGIN
    bottom, top = max(lowest, low - margin), min(highest, high + margin)
    margin = (top - bottom) * 0.04
    return [bottom - margin, top + margin]


def _from_spot(forecast: Forecast, targets: Times, quantiles: Floats) -> tuple[Times, Floats]:
    """Let a fan begin at the spot, where every quantile is the same."""
    start, spot = to_datetime64(forecast.forecast_time), np.full((1, quantiles.shape[1]), forecast.spot)
    return np.concatenate([[start], targets]), np.concatenate([spot, quantiles])


def _add_fan(figure: go.Figure, times: Times, quantiles: Floats) -> None:
    for low, high, name, color in ((0, 4, "5 % to 95 %", STORED_WIDE), (1, 3, "25 % to 75 %", STORED_NARROW)):
        for column in (high, low):
            lower = column == low
            figure.add_scatter(
                x=times,
                y=quantiles[:, column],
                name=name,
                legendgroup=name,
                showlegend=lower,
                mode="lines",
                line={"width": 0},
                fill="tonexty" if lower else None,
                fillcolor=color,
                hoverinfo="skip",
            )
    figure.add_scatter(
        x=times,
        y=quantiles[:, 2],
        name="median",
        mode="lines",
        line={"color": STORED, "width": 2},
        hovertemplate="%{y}",
    )


def _add_paths(figure: go.Figure, paths: Paths) -> None:
    # One trace for all paths, with a break after each.
    breaks = np.full((len(paths.prices), 1), np.nan)
    figure.add_scatter(
        x=np.tile(np.append(paths.target_time, paths.target_time[-1]), len(paths.prices)),
        y=np.hstack([paths.prices, breaks]).ravel(),
        name=f"{len(paths.prices)} paths",
        mode="lines",
        line={"color": SCENARIO_FAINT, "width": 1},
        hoverinfo="skip",
    )


def _add_scenario(figure: go.Figure, forecast: Forecast, simulated: Simulation) -> None:
    times, quantiles = _from_spot(forecast, simulated.target_time, simulated.forecast.quantiles)
    for column, name in ((4, "5 % to 95 %, scenario"), (0, None), (2, "median, scenario")):
        figure.add_scatter(
            x=times,
            y=quantiles[:, column],
            name=name,
            mode="lines",
            line={"color": SCENARIO, "width": 2, "dash": "solid" if column == 2 else "dot"},
            showlegend=name is not None,
            hoverinfo="skip" if name is None else None,
        )


def _add_distribution(
    figure: go.Figure, histogram: Distribution, model: Model, horizon: float, *, color: str, suffix: str
) -> float:
    """Add a histogram under its model's density; return how high they reach."""
    prices = np.linspace(histogram.low[0], histogram.high[-1], 201)
    density = model.density(prices, horizon)
    figure.add_bar(
        x=(histogram.low + histogram.high) / 2,
        y=histogram.density,
        width=histogram.high - histogram.low,
        name=f"simulated{suffix}",
        marker={"color": color, "opacity": 0.35, "line_width": 0},
        customdata=histogram.count,
        hovertemplate="%{customdata:,} paths",
    )
    figure.add_scatter(
        x=prices,
        y=density,
        name=f"closed form{suffix}",
        mode="lines",
        line={"color": color, "width": 2},
        hoverinfo="skip",
    )
    return float(max(density.max(), histogram.density.max()))


def _add_price(figure: go.Figure, price: float, text: str, color: str) -> None:
    figure.add_vline(
        x=price,
        line={"color": color, "width": 1.5, "dash": "dash"},
        annotation={"text": text, "font": {"color": color}},
        annotation_position="top right",
    )


def _add_moment(figure: go.Figure, forecast_time: datetime, **place: int) -> None:
    # As the other times of a chart: a browser takes a number for a time of its own zone.
    at = to_datetime64(forecast_time)
    figure.add_vline(x=at, line={"color": MUTED, "width": 1, "dash": "dash"}, **place)
    figure.add_annotation(
        x=at,
        y=1,
        yref="y domain",
        text="forecast",
        font={"size": 11, "color": MUTED},
        showarrow=False,
        xanchor="right",
        yanchor="top",
        **place,
    )


def _finish(figure: go.Figure, height: int, view: str, **layout: Any) -> go.Figure:
    figure.update_layout(
        height=height,
        margin={"l": 8, "r": 8, "t": 28, "b": 8},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 1, "xanchor": "right"},
        uirevision=view,
        dragmode="zoom",
        **layout,
    )
    return figure
