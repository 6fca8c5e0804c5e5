"""A proxy before an object storage server: it numbers requests, keeps a record of them and lets chosen ones go wrong.

    with FaultProxy(server, {7: Reset(after=0.5), 9: Refused(Kind.SLOW_DOWN, times=2)}) as proxy:
        ...  # a client in the environment proxy.environment
    proxy.requests

Requests go on as the client sent them, with their Host and signature. The client has signed the proxy's address, and
that is what servers check: the Host they are told, not the address they listen on. Addresses that a server names in its
answers, as of a resumable upload, lead through the proxy too.
"""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import sys
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from cloud_processes import HOST
from cloud_servers import Server
from fault_answers import Answer
from fault_kinds import Fault, Request

__all__ = ["FaultProxy", "Request", "Where"]

# These concern one connection, not the request; the proxy has two, and sends what it has read as one piece.
HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "expect", "content-length"}
WITHOUT_BODY = {204, 304}
RESET_ON_CLOSE = struct.pack("ii", 1, 0)
UPSTREAM_PATIENCE = 120


Where = int | Callable[[Request], bool]


class FaultProxy:
    """A proxy before a server, for as long as the block.

    Parameters
    ----------
    server
        What is asked in the end.
    faults
        What goes wrong, by the number of the request or by a function that says whether it is one of them. With `times`
        a fault befalls the request of that number and then its repetitions (same method, path and query), or that many
        of those that the function chooses; with none, one.
    """

    def __init__(self, server: Server, faults: Mapping[Where, Fault] | None = None) -> None:
        self.server = server
        self.faults = dict(faults or {})
        self.defects: list[BaseException] = []
        self._requests: list[Request] = []
        self._lock = threading.Lock()
        self._struck: dict[Where, tuple[str, str]] = {}
        self._hits: Counter[Where] = Counter()

    def __enter__(self) -> Self:
        """Listen."""
        self._listener = Listener(self)
        self._thread = threading.Thread(target=self._listener.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End all connections and stop listening."""
        self._listener.shutdown()
        self._thread.join()
        self._listener.end_connections()
        self._listener.server_close()
        if self.defects:
            raise self.defects[0]

    @property
    def url(self) -> str:
        """Where the proxy listens: `http://127.0.0.1:PORT`."""
        return f"http://{HOST}:{self._listener.server_address[1]}"

    @property
    def through(self) -> Server:
        """The server as reached through this proxy."""
        return self.server.at(self.url)

    @property
    def environment(self) -> dict[str, str]:
        """The variables that point a client, with its credentials, at this proxy."""
        return self.through.environment

    @property
    def requests(self) -> list[Request]:
        """All requests so far, by number."""
        with self._lock:
            return list(self._requests)

    def admit(self, method: str, target: str, headers: Mapping[str, str]) -> tuple[Request, Fault | None]:
        """Give a request its number, and say what is to go wrong with it."""
        with self._lock:
            lowered = {name.lower(): text for name, text in headers.items()}
            request = Request(len(self._requests) + 1, method, target, lowered)
            self._requests.append(request)
            for where, fault in self.faults.items():
                if self._befalls(where, request) and self._hits[where] < fault.times:
                    self._hits[where] += 1
                    request.fault = type(fault).__name__
                    return request, fault
        return request, None

    def _befalls(self, where: Where, request: Request) -> bool:
        if callable(where):
            return where(request)
        asked = (request.method, request.target)
        if request.number == where:
            self._struck[where] = asked
        return self._struck.get(where) == asked


class Listener(ThreadingHTTPServer):
    """Accepts the clients' connections, each in a thread of its own."""

    daemon_threads = False
    request_queue_size = 128

    def __init__(self, proxy: FaultProxy) -> None:
        self.proxy = proxy
        self._open: set[socket.socket] = set()
        super().__init__((HOST, 0), Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """End a connection without the good order in which a connection that breaks must not end."""
        self._open.discard(request)
        request.close()

    def end_connections(self) -> None:
        """End the connections that clients keep for later."""
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that have gone away; whatever else goes wrong here must fail the test."""
        error = sys.exception()
        if not isinstance(error, OSError):
            self.proxy.defects.append(error or RuntimeError("no exception"))


class Handler(BaseHTTPRequestHandler):
    """Serves one connection; an Exchange to the faults."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Listener

    def serve(self) -> None:
        # As sent: `path` has lost slashes at its beginning.
        target = self.requestline.split(" ")[1]
        self.seen, fault = self.server.proxy.admit(self.command, target, dict(self.headers.items()))
        self.body: bytes | None = None
        if fault:
            fault.serve(self)
        else:
            self.send(self.forward())

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = do_PATCH = do_OPTIONS = serve  # noqa: N815

    @property
    def scheme(self) -> str:
        return self.server.proxy.server.scheme

    def forward(self) -> Answer:
        self.read()
        kept = [(name, text) for name, text in self.headers.items() if name.lower() not in HOP_BY_HOP]
        if self.body or "content-length" in self.headers:
            kept.append(("Content-Length", str(len(self.body or b""))))
        return self._answer(self.command, self.seen.target, kept, self.body or None)

    def ask(self, target: str) -> Answer:
        return self._answer("GET", target, [("Host", self.headers["Host"])], None)

    def _answer(self, method: str, target: str, headers: list[tuple[str, str]], body: bytes | None) -> Answer:
        upstream = self.server.proxy.server.origin
        connection = HTTPConnection(upstream.removeprefix("http://"), timeout=UPSTREAM_PATIENCE)
        try:
            connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
            for name, text in headers:
                connection.putheader(name, text)
            connection.endheaders(body)
            response = connection.getresponse()
            answer = Answer(response.status, response.read(), response.getheaders())
        except (OSError, HTTPException) as error:
            return Answer(502, f"{upstream}: {error!r}".encode())
        finally:
            connection.close()
        if self.scheme == "gs" and "json" in response.headers.get("Content-Type", ""):
            # Where to download the object from; Google's client goes there.
            answer.body = answer.body.replace(upstream.encode(), self.server.proxy.url.encode())
        return answer

    def send(self, answer: Answer, share: float = 1) -> None:
        lines = [f"HTTP/1.1 {answer.status} {self.responses.get(answer.status, ('-',))[0]}"]
        bodiless = self.command == "HEAD" or answer.status in WITHOUT_BODY
        for name, text in answer.headers:
            if name.lower() not in HOP_BY_HOP or (bodiless and name.lower() == "content-length"):
                lines.append(f"{name}: {text}")
        if not bodiless:
            lines.append(f"Content-Length: {len(answer.body)}")
        body = b"" if bodiless else answer.body[: int(len(answer.body) * share)]
        if share == 1 or body:
            self.seen.status = answer.status
            self.wfile.write("\r\n".join([*lines, "", ""]).encode("latin-1") + body)

    def read(self) -> None:
        if self.body is not None:
            return
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            self.body = b"".join(iter(self._chunk, b""))
        else:
            self.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _chunk(self) -> bytes:
        size = int(self.rfile.readline().split(b";")[0], 16)
        content = self.rfile.read(size)
        self.rfile.readline()
        return content

    def reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        self.close()

    def close(self) -> None:
        self.close_connection = True

    def hang(self) -> None:
        # Readable only when the client has gone or the proxy ends: nobody sends a second request before the answer.
        select.select([self.connection], [], [])
        self.close()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing; requests are kept in the proxy's record."""
