"""The page of the track record: how the forecasts fared, against what they promised and against others."""

from urllib.parse import urlencode

import streamlit as st

from common.symbols import asset_class
from streamlit_pages import cached_queries, formats
from streamlit_pages.charts import coverage_chart, pit_chart, skill_chart
from streamlit_pages.record import (
    BacktestError,
    Miss,
    coverage_verdict,
    describe,
    read_backtest,
    running,
    skill,
    worst_misses,
)
from streamlit_pages.sections.header import header, wait_for_symbols
from streamlit_pages.sections.track_record import coverage_metrics
from streamlit_pages.store import Figures, Judgement, StoreUnavailableError, Symbol

TITLE = "Track record"
ICON = "🎯"
POSITION = 2

REFRESH_SECONDS = 60
WORST = 10
CHART = {"displayModeBar": False}


def draw() -> None:
    """Draw the page."""
    symbols = header(TITLE)
    if not symbols:
        wait_for_symbols()
        return
    _live_record(symbols)
    _backtest()


@st.fragment(run_every=REFRESH_SECONDS)
def _live_record(symbols: tuple[Symbol, ...]) -> None:
    try:
        judgements = cached_queries.judgements()
        if not judgements:
            st.info(
                "No forecast has reached its horizon yet. One is made every full hour; the run after its "
                "horizon scores it.",
                icon=":material/hourglass_empty:",
            )
            return
        labels = {_label(judgement): judgement for judgement in judgements}
        label = st.selectbox("Forecasts of", list(labels), key="forecasts", bind="query-params")
        judgement = labels[label or next(iter(labels))]
        _show_judgement(judgement, "live")
        misses = [
            Miss(symbol.symbol, score)
            for symbol in symbols
            if judgement.scope == "overall" or judgement.name in (symbol.symbol, asset_class(symbol.symbol))
            for score in cached_queries.scores(symbol.symbol)
        ]
        _show_history(misses, label or "")
        _show_table([one for one in judgements if one.scope == "symbol"], "by-symbol")
    except StoreUnavailableError:
        st.caption("The track record is shown again when Cassandra answers.")


def _label(judgement: Judgement) -> str:
    if judgement.scope == "symbol":
        return judgement.name
    return "all symbols" if judgement.scope == "overall" else f"all of class {judgement.name}"


def _show_judgement(judgement: Judgement, key: str) -> None:
    figures, plain = judgement.forecast, judgement.plain
    st.markdown(describe(judgement))
    if judgement.first is not None and judgement.last is not None:
        st.caption(f"Forecasts from {formats.moment(judgement.first)} to {formats.moment(judgement.last)}.")
    metrics, chart = st.columns([2, 3], gap="medium")
    with metrics:
        coverage_metrics(figures.inside_50, figures.inside_90)
        columns = st.columns(2)
        columns[0].metric(
            "Skill against “no change”",
            formats.percent(skill(figures, figures.naive_crps), signed=True),
            help="By how much the continuous ranked probability score (CRPS) is below that of “the price "
            "stays”. Above 0 is better than that.",
        )
        columns[1].metric(
            "Skill against plain GBM",
            formats.percent(skill(figures, plain.crps), signed=True),
            help="The same against a geometric Brownian motion with the calibrated volatility. "
            f"The mean log score is {figures.log_score - plain.log_score:+.3f} from that of plain GBM.",
        )
    with chart:
        st.plotly_chart(
            pit_chart(figures.pit_histogram, plain.pit_histogram),
            key=f"{key}-pit",
            config=CHART,
            alt=f"Histogram of the probability integral transform of {figures.forecasts} outcomes.",
        )


def _show_history(misses: list[Miss], label: str) -> None:
    if not misses:
        return
    st.subheader(f"The last {cached_queries.FORECAST_DAYS} days", anchor=False, divider="gray")
    record = running([miss.score for miss in sorted(misses, key=lambda miss: miss.score.forecast_time)])
    left, right = st.columns(2, gap="medium")
    with left:
        st.markdown("**Share inside the bands, up to each forecast**")
        st.plotly_chart(
            coverage_chart(record, label),
            key="coverage",
            config=CHART,
            alt="Share of outcomes inside the 50 % and the 90 % band over time.",
        )
    with right:
        st.markdown("**CRPS skill, up to each forecast**")
        st.plotly_chart(
            skill_chart(record, label),
            key="skill",
            config=CHART,
            alt="Skill against the naive forecast and against plain GBM over time.",
        )
    worst = worst_misses(misses, WORST)
    if worst:
        st.markdown("**Worst misses**")
        st.dataframe(
            {
                "ticker": [miss.symbol for miss in worst],
                "forecast": [formats.moment(miss.score.forecast_time) for miss in worst],
                "spot": [formats.price(miss.score.spot) for miss in worst],
                "actual": [formats.price(miss.score.actual) for miss in worst],
                "standard deviations": [f"{miss.score.standardised:+.2f}" for miss in worst],
                "PIT": [formats.percent(miss.score.pit) for miss in worst],
                "look": [_address(miss) for miss in worst],
            },
            key="misses",
            hide_index=True,
            column_config={"look": st.column_config.LinkColumn(display_text="open the forecast")},
        )


def _address(miss: Miss) -> str:
    parameters = {"symbol": miss.symbol, "forecast": miss.score.forecast_time.isoformat()}
    return f"/?{urlencode(parameters)}"


def _show_table(judgements: list[Judgement], key: str) -> None:
    st.subheader("By ticker", anchor=False, divider="gray")
    rows = [(one.name, one.forecast, one.plain) for one in judgements]
    with st.container(key=key):
        st.dataframe(
            {
                "ticker": [name for name, _, _ in rows],
                "forecasts": [figures.forecasts for _, figures, _ in rows],
                "inside 50 %": [formats.percent(figures.inside_50) for _, figures, _ in rows],
                "50 % band": [_verdict(figures, 0.5) for _, figures, _ in rows],
                "inside 90 %": [formats.percent(figures.inside_90) for _, figures, _ in rows],
                "90 % band": [_verdict(figures, 0.9) for _, figures, _ in rows],
                "CRPS, bp": [f"{figures.crps:.2f}" for _, figures, _ in rows],
                "skill against “no change”": [
                    formats.percent(skill(figures, figures.naive_crps), signed=True) for _, figures, _ in rows
                ],
                "skill against plain GBM": [
                    formats.percent(skill(figures, plain.crps), signed=True) for _, figures, plain in rows
                ],
            },
            hide_index=True,
        )


def _verdict(figures: Figures, share: float) -> str:
    inside, p_value = (
        (figures.inside_50, figures.kupiec_50) if share == 0.5 else (figures.inside_90, figures.kupiec_90)
    )
    return f"{coverage_verdict(inside, share, p_value, figures.forecasts)} (p {p_value:.2f})"


def _backtest() -> None:
    st.subheader("A backtest", anchor=False, divider="gray")
    uploaded = st.file_uploader(
        "Result of `./market backtest --json`", type="json", max_upload_size=5, key="backtest"
    )
    if uploaded is None:
        return
    try:
        judgements = read_backtest(uploaded.getvalue().decode("utf-8", "replace"))
    except BacktestError as error:
        st.error(str(error), icon=":material/error:")
        return
    _show_judgement(judgements[0], "backtest")
    _show_table([one for one in judgements if one.scope == "symbol"], "backtest-by-symbol")
