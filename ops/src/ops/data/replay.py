"""Play a recording through the feed service, and wait until the last of its trades is stored."""

import socket
import struct
import time
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import orjson
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.sync.client import ClientConnection, connect

from common.frames import read_frame
from common.limits import MAX_FRAME_BYTES
from common.recording import Frame, RecordingError, read_recording
from ops.data.replay_tracker import Partition, ReplayTracker
from ops.data.stall_detector import NO_PROGRESS_SECONDS, StallDetector
from ops.errors import MarketError
from ops.inspection.metrics import read_info
from ops.report import Report
from ops.settings import OpsSettings

CHUNK_CHARACTERS = 128 * 1024  # pragma: no mutate: some frames at a time
FUTURE_TOLERANCE_MS = 5 * 60 * 1000
HOUR_MS = 3_600_000
LAST_TIMESTAMP_MS = 253_402_300_799_999  # the year 9999, the last that is stored


class ReplayResult(NamedTuple):
    """What became of a recording; `stored` and `dead_lettered` are known only after a wait.

    `seconds` run from the first frame sent until the collector had the last one, or, with a wait, until every
    trade was stored and every window final.
    """

    trades: int
    stored: int | None
    dead_lettered: int | None
    seconds: float
    trades_per_second: float
    journals: list[str]


class Survey(NamedTuple):
    """What a recording holds: `partitions` counts the trades of a (symbol, start of the hour in ms).

    The times of receipts and trades are in ms; those of trades are None when it has none.
    """

    frames: int
    trades: int
    partitions: dict[Partition, int]
    first_receipt: int
    last_receipt: int
    first_trade: int | None
    newest_trade: int | None


def replay(  # noqa: PLR0917
    path: Path, speed: float | None, as_now: bool, wait: bool, into_live: bool, report: Report
) -> ReplayResult:
    """Play a recording at `speed` times its own pace, None being as fast as it is taken.

    Raises MarketError with a sentence.
    """
    settings = OpsSettings.load()
    check_collector(settings, into_live)
    try:
        survey = survey_frames(read_recording(path))
        shift = shift_to_now(survey, speed, time.time_ns() // 1_000_000) if as_now else 0
        if shift:
            survey = survey_frames(shifted(read_recording(path), shift))
    except RecordingError as error:
        raise MarketError(str(error)) from None
    report(f"{path.name} holds {survey.trades:,} trades in {survey.frames:,} frames.")
    if not wait:
        journals, started = play(settings, shifted(read_recording(path), shift), survey, speed, report)
        return _result(survey, None, None, time.monotonic() - started, journals)
    with ReplayTracker(settings) as tracker:
        journals, started = play(settings, shifted(read_recording(path), shift), survey, speed, report)
        stored, dead_lettered = tracker.wait_until_stored(survey.trades, survey.partitions, journals, report)
        tracker.wait_until_final(report)
        return _result(survey, stored, dead_lettered, time.monotonic() - started, journals)


def check_collector(settings: OpsSettings, into_live: bool) -> None:
    """Raise MarketError when no collector runs, or when it receives live trades and may not mix them."""
    info = read_info("COLLECTOR_METRICS_PORT", "market_collector_info", settings.market_home)
    if not info:
        raise MarketError("The collector was not running; start the stack with ./market up.")
    if info["feed"] == "live" and not into_live:
        raise MarketError(
            "The feed was live, and a replay would mix recorded trades into it: stop it with ./market down "
            "and start with --feed none, or say --into-live."
        )


def check_size(line: int, frame: Frame) -> None:
    """Expect a frame that the collector takes."""
    size = len(frame.text.encode("utf-8", "surrogatepass"))
    if size > MAX_FRAME_BYTES:
        raise MarketError(
            f"Line {line} held a frame of {size} bytes, and the collector takes at most {MAX_FRAME_BYTES}: "
            "remove that line."
        )


def survey_frames(frames: Iterable[Frame]) -> Survey:
    """Count what a recording holds."""
    count = trades = 0
    first_receipt = last_receipt = 0
    first_trade = newest_trade = None
    partitions: Counter[Partition] = Counter()
    for count, frame in enumerate(frames, start=1):
        if count == 1:
            first_receipt = frame.received_ms
        last_receipt = frame.received_ms
        check_size(count, frame)
        content = read_frame(frame.text)
        trades += content.trade_count
        for symbol, group in content.trades.items():
            for trade in group:
                traded_ms = trade["t"]
                if 0 <= traded_ms <= LAST_TIMESTAMP_MS:
                    partitions[symbol, traded_ms - traded_ms % HOUR_MS] += 1
                    first_trade = traded_ms if first_trade is None else first_trade
                    newest_trade = traded_ms if newest_trade is None else max(newest_trade, traded_ms)
    return Survey(count, trades, dict(partitions), first_receipt, last_receipt, first_trade, newest_trade)


def shift_to_now(survey: Survey, speed: float | None, now_ms: int) -> int:
    """Return the shift in ms that makes a recording's newest trade, or when paced its first, be now."""
    if survey.first_trade is None or survey.newest_trade is None:
        return 0
    if speed is None:
        return now_ms - survey.newest_trade
    lead = (survey.last_receipt - survey.first_receipt) * (1 - 1 / speed)
    if lead > FUTURE_TOLERANCE_MS:
        raise MarketError(
            f"With --as-now, --speed {speed:g} would have stamped trades {lead / 60_000:.0f} minutes in the "
            "future, and such trades are refused: take --speed 1 or --speed max."
        )
    return now_ms - survey.first_trade


def shifted(frames: Iterable[Frame], shift: int) -> Iterator[Frame]:
    """Yield frames with receipts and trades `shift` ms later; without a shift, the very same texts."""
    for frame in frames:
        yield Frame(frame.received_ms + shift, _shift_text(frame.text, shift)) if shift else frame


def _shift_text(text: str, shift: int) -> str:
    try:
        frame = orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
    if not isinstance(frame, dict) or frame.get("type") != "trade" or not isinstance(frame.get("data"), list):
        return text
    for trade in frame["data"]:
        traded_ms = trade.get("t") if isinstance(trade, dict) else None
        if not isinstance(traded_ms, int | float) or isinstance(traded_ms, bool):
            continue
        if 0 <= traded_ms <= LAST_TIMESTAMP_MS:
            trade["t"] = traded_ms + shift
    return orjson.dumps(frame).decode()


def chunks(frames: Iterable[Frame], speed: float | None) -> Iterator[tuple[float, list[str]]]:
    """Yield texts that go together, with the seconds after the start at which they are due (0 unpaced)."""
    chunk: list[str] = []
    size = 0
    due = 0.0
    first: int | None = None
    for frame in frames:
        first = frame.received_ms if first is None else first
        frame_due = max(due, (frame.received_ms - first) / 1000 / speed) if speed else 0.0
        if chunk and (frame_due > due or size > CHUNK_CHARACTERS):
            yield due, chunk
            chunk, size = [], 0
        due = frame_due
        chunk.append(frame.text)
        size += len(frame.text)
    if chunk:
        yield due, chunk


def play(
    settings: OpsSettings, frames: Iterable[Frame], survey: Survey, speed: float | None, report: Report
) -> tuple[list[str], float]:
    """Send all frames; return the journals that the collector wrote them to, and when the first was sent."""
    address = f"ws://{settings.feed_host}:{settings.feed_port}/replay"
    run = str(uuid.uuid4())
    try:
        with connect(
            address, proxy=None, compression=None, max_size=None, ping_interval=None, close_timeout=1
        ) as connection:
            limit_sending(connection.socket)
            journals: list[str] = []
            connection.send(orjson.dumps({"run": run}).decode())
            stall = StallDetector("The feed service took no more frames", report)
            started = time.monotonic()
            sent = 0
            try:
                for due, chunk in chunks(frames, speed):
                    _read_answers(connection, journals, started + due)
                    connection.send(orjson.dumps(chunk).decode())
                    sent += len(chunk)
                    stall.update(sent, f"{sent:,} of {survey.frames:,} frames were sent")
                connection.send(orjson.dumps({"end": True}).decode())
            except ConnectionClosed:
                pass  # why it ended is among the answers
            while not _read_answer(connection, journals, NO_PROGRESS_SECONDS):
                continue
            return journals, started
    except ConnectionClosed:
        raise MarketError(
            f"The feed service ended the replay, or took no frames for {NO_PROGRESS_SECONDS:.0f} s; "
            "see ./market logs feed."
        ) from None
    except TimeoutError:
        raise MarketError(
            f"The feed service did not answer for {NO_PROGRESS_SECONDS:.0f} s; see ./market logs feed."
        ) from None
    except (OSError, InvalidHandshake):
        raise MarketError(
            f"The feed service did not answer at {address}; start the stack with ./market up."
        ) from None


def limit_sending(connection: socket.socket) -> None:
    """Let a send fail after NO_PROGRESS_SECONDS; websockets itself waits for ever for a peer that hangs.

    A limit of the whole socket would also end a paced replay, in which answers may be far apart.
    """
    seconds, fraction = divmod(NO_PROGRESS_SECONDS, 1)
    limit = struct.pack("ll", int(seconds), int(fraction * 1_000_000))
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)


def _read_answers(connection: ClientConnection, journals: list[str], until: float) -> None:
    """Read answers until a moment; if that has passed, those that are there."""
    while True:
        try:
            _read_answer(connection, journals, max(until - time.monotonic(), 0))
        except TimeoutError:
            return


def _read_answer(connection: ClientConnection, journals: list[str], seconds: float) -> bool:
    """Read one answer; return whether it was the last. Raise TimeoutError when none comes."""
    answer = orjson.loads(connection.recv(seconds))
    if answer["type"] == "error":
        raise MarketError(answer["msg"])
    if answer["type"] == "journal":
        journals.append(answer["journal"])
    return bool(answer["type"] == "done")


def _result(
    survey: Survey, stored: int | None, dead_lettered: int | None, seconds: float, journals: list[str]
) -> ReplayResult:
    rate = round(survey.trades / seconds, 1)
    return ReplayResult(survey.trades, stored, dead_lettered, round(seconds, 3), rate, journals)
