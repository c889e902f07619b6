"""HTTP for the stand-in master, and the ways in which HTTP can fail on the way to a master."""

import contextlib
import dataclasses
import http.server
import json
import re
import socket
import socketserver
import sys
import threading
import time
import urllib.parse
from collections.abc import Callable
from typing import Any, Literal

HOST = "127.0.0.1"
FOREVER = float("inf")


@dataclasses.dataclass(frozen=True)
class Request:
    """One request; `path` without the query, `body` read as JSON, None if there was none."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any


@dataclasses.dataclass(frozen=True)
class Answer:
    """An HTTP status and what is sent as JSON with it."""

    body: Any = dataclasses.field(default_factory=dict)
    status: int = 200


@dataclasses.dataclass
class Fault:
    """Something that goes wrong for requests whose path matches, so many times or for so long.

    `hits` counts the requests that it hit, for a test to be sure that there were any.

    - "status": the request is answered with `status` and is not acted on.
    - "lose request": the connection breaks before the request is acted on.
    - "lose answer": the connection breaks after it.
    - "delay": the request waits `delay` seconds, then all is as usual.
    """

    kind: Literal["status", "lose request", "lose answer", "delay"]
    path: str = ""
    times: float = FOREVER
    seconds: float = FOREVER
    status: int = 500
    delay: float = 0.0
    hits: int = 0
    _end: float | None = None

    def strikes(self, path: str) -> bool:
        """Whether this request is to fail; counts it then. The time runs from the first one on."""
        now = time.monotonic()
        if self.hits >= self.times or not re.search(self.path, path):
            return False
        if self._end is None:
            self._end = now + self.seconds
        if now > self._end:
            return False
        self.hits += 1
        return True


class Server:
    """Serves `answer` on a free port of the loopback interface until `close`."""

    def __init__(self, answer: Callable[[Request], Answer]):
        self._answer = answer
        self._lock = threading.Lock()
        self._faults: list[Fault] = []
        self._closed = threading.Event()
        # Counts up when the connections are cut, so that those who wait in a request can give up.
        self.generation = 0
        self._listener = _Listener((HOST, 0), self)
        self.port: int = self._listener.server_address[1]
        self._listener.start()

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    def close(self) -> None:
        """Stop listening and cut all connections. For good, also during an absence."""
        self._closed.set()
        with self._lock:
            self._stop()

    def add_fault(self, fault: Fault) -> Fault:
        """Let something go wrong from now on."""
        with self._lock:
            self._faults.append(fault)
        return fault

    def vanish(self, seconds: float) -> None:
        """Cut all connections and refuse new ones; be back on the same port after `seconds`.

        Returns at once. A second call during an absence changes nothing.
        """
        with self._lock:
            if self._closed.is_set() or not self._listener.listening:
                return
            # Bound but not listening: connections are refused, and nobody else gets the port.
            successor = _Listener((HOST, self.port), self)
            self._stop()
            self._listener = successor
        threading.Thread(target=self._come_back, args=(successor, seconds), daemon=True).start()

    def _come_back(self, successor: "_Listener", seconds: float) -> None:
        self._closed.wait(seconds)
        with self._lock:
            if not self._closed.is_set():
                successor.start()

    def _stop(self) -> None:
        self.generation += 1
        self._listener.stop()

    def handle(self, request: Request) -> Answer | None:
        """The answer to a request, None where the connection is to break instead."""
        with self._lock:
            struck = [fault for fault in self._faults if fault.strikes(request.path)]
        # The time that all delays took comes first, then at most one failure.
        for fault in struck:
            if fault.kind == "delay":
                self._closed.wait(fault.delay)
        kinds = {fault.kind for fault in struck}
        if "lose request" in kinds:
            return None
        for fault in struck:
            if fault.kind == "status":
                return Answer({"message": "the stand-in was told to fail"}, fault.status)
        answer = self._answer(request)
        return None if "lose answer" in kinds else answer


class _Listener(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """The listening socket and the connections that came in through it."""

    daemon_threads = True
    # Waiting for the threads would wait for long polls.
    block_on_close = False
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], owner: Server):
        super().__init__(address, _Handler, bind_and_activate=False)
        self.owner = owner
        self.listening = False
        self._connections: set[socket.socket] = set()
        self._lock = threading.Lock()
        # Lets the successor bind while we still listen.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self.server_bind()

    def start(self) -> None:
        self.server_activate()
        self.listening = True
        threading.Thread(
            target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        ).start()

    def stop(self) -> None:
        if self.listening:
            self.shutdown()
        self.listening = False
        self.server_close()
        with self._lock:
            connections = list(self._connections)
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print as usual, but not what a broken connection raises: trials get killed here."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Else head and body of each answer wait 40 ms for each other.
    disable_nagle_algorithm = True
    wbufsize = -1
    server: _Listener

    def _serve(self) -> None:
        url = urllib.parse.urlsplit(self.path)
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        request = Request(
            method=self.command,
            path=urllib.parse.unquote(url.path),
            query=dict(urllib.parse.parse_qsl(url.query)),
            headers={name.lower(): value for name, value in self.headers.items()},
            body=json.loads(content) if content else None,
        )
        answer = self.server.owner.handle(request)
        if answer is None:
            self.close_connection = True
            # No goodbye: what the client sees is a broken connection.
            with contextlib.suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)
            return
        body = json.dumps(answer.body).encode()
        self.send_response(answer.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve

    def log_message(self, format: str, *args: Any) -> None:
        """Keep quiet: the records tell what was asked."""
