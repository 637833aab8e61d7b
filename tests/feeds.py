"""Websocket servers for tests: the project's own feed, and servers that misbehave as told."""

import asyncio
import socketserver
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from http import HTTPStatus
from typing import NamedTuple

from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection, serve

from feed.market import Market
from feed.server import Feed
from server_thread import running

LIMIT_SECONDS = 60  # for what takes milliseconds on a free host: a passing test never waits this long


@contextmanager
def running_feed(market: Market | None = None, **options: float) -> Iterator[int]:
    """Run the feed's server in a thread; give its port."""
    ready: asyncio.Queue[int] = asyncio.Queue()
    loop = asyncio.new_event_loop()
    stopping = asyncio.Event()

    async def run() -> None:
        server = await Feed(market, **options).serve("127.0.0.1", 0)
        await ready.put(next(iter(server.sockets)).getsockname()[1])
        await stopping.wait()
        server.close()
        await server.wait_closed()

    thread = threading.Thread(target=loop.run_until_complete, args=(run(),))
    thread.start()
    try:
        yield asyncio.run_coroutine_threadsafe(ready.get(), loop).result(LIMIT_SECONDS)
    finally:
        loop.call_soon_threadsafe(stopping.set)
        thread.join()
        loop.close()


class Refusal(NamedTuple):
    """An HTTP answer in the place of a handshake."""

    status: HTTPStatus
    headers: Mapping[str, str] = {}


Script = Callable[[ServerConnection], None] | Refusal


@contextmanager
def scripted_server(*scripts: Script) -> Iterator[int]:
    """Run a server whose first connection follows the first script, and so on; the last one is repeated."""
    remaining = iter(scripts[:-1])
    chosen: dict[ServerConnection, Callable[[ServerConnection], None]] = {}

    def answer(connection: ServerConnection, request: Request) -> Response | None:
        script = next(remaining, scripts[-1])
        if not isinstance(script, Refusal):
            chosen[connection] = script
            return None
        response = connection.respond(script.status, f"{request.path} was refused\n")
        response.headers.update(script.headers)
        return response

    def handle(connection: ServerConnection) -> None:
        with suppress(ConnectionClosed):
            chosen.pop(connection)(connection)

    with serve(handle, "127.0.0.1", 0, process_request=answer, compression=None) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.socket.getsockname()[1]
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def answering(answer: bytes) -> Iterator[int]:
    """Run a server that answers every connection with the same bytes and closes it."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(4096)
            self.request.sendall(answer)

    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
    with running(server):
        yield server.server_address[1]
