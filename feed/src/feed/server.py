"""The websocket server: Finnhub's protocol for the collector, and an endpoint for recordings."""

import asyncio
import http
import logging
import time
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from common.frames import CONTROL_PREFIX
from common.instruments import instruments, search
from feed.market import TICK_MS, Market

log = logging.getLogger(__name__)

MAX_SYMBOLS = 50
TOO_MANY = "Subscribing to too many symbols"
PING = '{"type":"ping"}'
PING_SECONDS = 60.0
COLLECTOR_SECONDS = 30.0
STALLED_SECONDS = 120.0
CLOSE_SECONDS = 1.0
MAX_MESSAGE_BYTES = 64 * 1024**2
WRITE_BUFFER_BYTES = 512 * 1024
DEMO = '{"type":"source","source":"demo"}'


def source_frame(run: str, **more: bool) -> str:
    """Return the control frame before the frames of a replay."""
    return orjson.dumps({"type": "source", "source": "replay", "run": run, **more}).decode()


class Subscriber:
    """A connected client and what it wants; frames of different sources do not mix.

    `own` is the control frame of the feed's own source, None when it has none.
    """

    def __init__(self, connection: ServerConnection, own: str | None) -> None:
        self.connection = connection
        self.symbols: dict[str, None] = {}
        self._own = own
        self._last: str | None = None
        self._lock = asyncio.Lock()

    async def send(self, frames: list[str], source: str | None = None) -> None:
        """Send frames, after the control frame of their source where it is another than before."""
        source = source or self._own
        async with self._lock:
            if source is not None and source != self._last:
                await self.connection.send(source)
                self._last = source
            for frame in frames:
                await self.connection.send(frame)

    async def end(self, run: str) -> None:
        """Say that a replay has ended."""
        async with self._lock:
            self._last = None
            await self.connection.send(source_frame(run, end=True))


@dataclass
class Replay:
    """One client that plays a recording; `closed` is set when the collector has taken its last frame."""

    connection: ServerConnection
    closed: asyncio.Event = field(default_factory=asyncio.Event)


class Feed:
    """Holds the connections; `market` is None when only recordings are played."""

    def __init__(
        self,
        market: Market | None,
        ping_seconds: float = PING_SECONDS,
        collector_seconds: float = COLLECTOR_SECONDS,
    ) -> None:
        self._market = market
        self._ping_seconds = ping_seconds
        self._collector_seconds = collector_seconds
        self._by_token: dict[str, Subscriber] = {}
        self._subscriber: Subscriber | None = None
        self._connected = asyncio.Condition()
        self._replays: dict[str, Replay] = {}

    @property
    def is_connected(self) -> bool:
        """Return whether a collector is connected."""
        return self._subscriber is not None

    async def serve(self, host: str, port: int) -> Server:
        """Listen; raise OSError when the port is taken."""
        return await serve(
            self._handle,
            host,
            port,
            process_request=self._process_request,
            origins=[None],  # no web page may connect
            compression=None,
            max_size=MAX_MESSAGE_BYTES,
            max_queue=2,
            write_limit=WRITE_BUFFER_BYTES,
            ping_interval=None,
            close_timeout=CLOSE_SECONDS,
        )

    async def _handle(self, connection: ServerConnection) -> None:
        assert connection.request is not None  # noqa: S101
        url = urlsplit(connection.request.path)
        if url.path == "/replay":
            await self._replay(connection)
        else:
            await self._subscribe(connection, parse_qs(url.query)["token"][0])

    def _process_request(self, connection: ServerConnection, request: Request) -> Response | None:
        url = urlsplit(request.path)
        query = parse_qs(url.query)
        if url.path == "/health":
            return _json({"connected": self.is_connected, "demo": self._market is not None})
        if url.path == "/api/v1/search":
            return _json(_search_result(query.get("q", [""])[0]))
        if url.path != "/replay" and not query.get("token"):
            return connection.respond(http.HTTPStatus.UNAUTHORIZED, "Invalid API key\n")
        return None

    # --- the collector ---

    async def _subscribe(self, connection: ServerConnection, token: str) -> None:
        other = self._by_token.pop(token, None)
        if other is not None:
            log.warning("a second connection came with the same token; both are dropped")
            await other.connection.close(1008, "one connection per token")
            await connection.close(1008, "one connection per token")
            return
        subscriber = Subscriber(connection, DEMO if self._market else None)
        self._by_token[token] = subscriber
        try:
            await subscriber.send([])
            async with self._connected:
                self._subscriber = subscriber
                self._connected.notify_all()
            async with asyncio.TaskGroup() as group:
                ping = group.create_task(self._ping(subscriber))
                trade = group.create_task(self._trade(subscriber))
                async for message in connection:
                    await self._handle_message(subscriber, message)
                ping.cancel()
                trade.cancel()
        except* ConnectionClosed:
            pass
        finally:
            if self._by_token.get(token) is subscriber:
                del self._by_token[token]
            if self._subscriber is subscriber:
                self._subscriber = None

    async def _handle_message(self, subscriber: Subscriber, message: str | bytes) -> None:
        """Do what a subscriber asks for."""
        try:
            request = orjson.loads(message)
            kind = request["type"]
            if kind in ("subscribe", "unsubscribe"):
                symbol = str(request["symbol"])
            elif kind in ("journal", "closed"):
                replay = self._replays.get(request["run"])
            else:
                raise ValueError
        except (ValueError, KeyError, TypeError):
            await subscriber.send([_error("Invalid message")])
            return
        if kind == "unsubscribe":
            subscriber.symbols.pop(symbol, None)
        elif kind == "subscribe":
            if len(subscriber.symbols) >= MAX_SYMBOLS and symbol not in subscriber.symbols:
                await subscriber.send([_error(TOO_MANY)])
            elif self._market is not None and symbol not in instruments():
                await subscriber.send([_error(f"Unknown symbol {symbol}")])
            else:
                subscriber.symbols[symbol] = None
        elif replay is not None and kind == "closed":
            replay.closed.set()
        elif replay is not None:
            with suppress(ConnectionClosed):
                await replay.connection.send(orjson.dumps(request).decode())

    async def _ping(self, subscriber: Subscriber) -> None:
        while True:
            await asyncio.sleep(self._ping_seconds)
            await subscriber.send([PING])

    async def _trade(self, subscriber: Subscriber) -> None:
        """Send the simulated market."""
        market = self._market
        if market is None:
            return
        market.skip_to(_now_ms())
        while True:
            if subscriber.symbols:
                await subscriber.send(market.frames(_now_ms(), list(subscriber.symbols)))
            await asyncio.sleep(TICK_MS / 1000 if market.is_live or not subscriber.symbols else 0)

    # --- recordings ---

    async def _replay(self, connection: ServerConnection) -> None:
        try:
            run = str(orjson.loads(await connection.recv())["run"])
            replay = self._replays[run] = Replay(connection)
            try:
                await connection.send(orjson.dumps(await self._relay(run, replay)).decode())
            finally:
                del self._replays[run]
        except ConnectionClosed:
            log.warning("a replay was given up by its client")
        except (ValueError, KeyError, TypeError):
            await connection.close(1008, "not the protocol of replays")

    async def _relay(self, run: str, replay: Replay) -> dict[str, Any]:
        """Pass frames on until the client says that it was all; return the last answer."""
        subscriber = self._subscriber or await self._collector()
        if subscriber is None:
            return _error_answer(
                f"No collector was connected to the feed for {self._collector_seconds:.0f} s; "
                "see ./market logs collector."
            )
        control = source_frame(run)
        frames = 0
        try:
            while isinstance(chunk := await _next_chunk(replay.connection), list):
                async with asyncio.timeout(STALLED_SECONDS):
                    await subscriber.send([_escape_control(text) for text in chunk], control)
                frames += len(chunk)
            await subscriber.end(run)
        except ConnectionClosed:
            return _error_answer(f"The collector was disconnected after {frames} frames of the replay.")
        except TimeoutError:
            return _error_answer(f"The collector took no frame for {STALLED_SECONDS:.0f} s.")
        if not await _first_of(replay.closed.wait(), subscriber.connection.wait_closed(), STALLED_SECONDS):
            return _error_answer(f"The collector did not take all of the {frames} frames of the replay.")
        return {"type": "done", "frames": frames}

    async def _collector(self) -> Subscriber | None:
        try:
            async with asyncio.timeout(self._collector_seconds), self._connected:
                await self._connected.wait_for(lambda: self._subscriber is not None)
        except TimeoutError:
            return None
        return self._subscriber


async def _next_chunk(connection: ServerConnection) -> object:
    """Return what a replay's client sends next; a client that has gone away has nothing more to send."""
    try:
        return orjson.loads(await connection.recv())
    except ConnectionClosed:
        return None


async def _first_of(
    wanted: Coroutine[Any, Any, Any], other: Coroutine[Any, Any, Any], seconds: float
) -> bool:
    """Wait for one of two things, or the time; return whether the wanted one happened."""
    tasks = asyncio.create_task(wanted), asyncio.create_task(other)
    await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    return tasks[0].done() and not tasks[0].cancelled()


def _escape_control(text: str) -> str:
    """Keep a recorded frame from being taken for a control frame; to JSON a space means nothing."""
    return " " + text if text.startswith(CONTROL_PREFIX.decode()) else text


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _error(message: str) -> str:
    return orjson.dumps({"msg": message, "type": "error"}).decode()


def _error_answer(message: str) -> dict[str, Any]:
    return {"type": "error", "msg": message}


def _search_result(words: str) -> dict[str, Any]:
    matches = [
        {
            "description": one.name.upper(),
            "displaySymbol": one.symbol.replace("BINANCE:", ""),
            "symbol": one.symbol,
            "type": "Common Stock" if one.asset_class == "stock" else "Crypto",
        }
        for one in search(words)
    ]
    return {"count": len(matches), "result": matches}


def _json(value: dict[str, Any]) -> Response:
    body = orjson.dumps(value)
    headers = Headers(
        {"Content-Type": "application/json", "Content-Length": str(len(body)), "Connection": "close"}
    )
    return Response(200, "OK", headers, body)
