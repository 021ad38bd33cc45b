"""One HTTP connection with as little between the clock and the socket as Python allows."""

import re
import socket
import time
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import zstandard

HOST = "127.0.0.1"
ANSWER_SECONDS = 60
FIRST_BUFFER = 1 << 20
HIT = re.compile(r";\s*hit\b")
HEAD_END = b"\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Request:
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    method: str = "GET"
    body: bytes = b""

    def encoded(self) -> bytes:
        headers = {"Host": HOST, **self.headers}
        if self.body:
            headers |= {"Content-Type": "application/json", "Content-Length": str(len(self.body))}
        lines = [f"{self.method} {self.path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
        return "\r\n".join(lines).encode() + HEAD_END + self.body


@dataclass(frozen=True, slots=True)
class Answer:
    """`body` is as it was sent, `size` the bytes of the whole answer; the names of the headers are in lower case.
    `seconds` go from the sending of the request to the last byte."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    size: int
    seconds: float

    def decoded(self) -> bytes:
        encoding = self.headers.get("content-encoding", "identity")
        match encoding:
            case "identity":
                return self.body
            case "gzip":
                return b"".join(_gunzipped(self.body))
            case "zstd":
                reader = zstandard.ZstdDecompressor().stream_reader(self.body, read_across_frames=True)
                return reader.read()
        raise ValueError(f"Content-Encoding: {encoding}")


class Connection:
    """Kept open for as long as the server keeps it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._socket: socket.socket | None = None
        self._buffer = bytearray(FIRST_BUFFER)
        self._filled = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def open(self) -> None:
        """Connect now, and not at the first request."""
        self._connected()

    def send(self, request: Request) -> None:
        self._connected().sendall(request.encoded())

    def receive(self, begun: float) -> Answer:
        """The answer to what was sent at the time `begun` of `time.perf_counter()`."""
        self._filled = 0
        while (head_end := self._buffer.find(HEAD_END, 0, self._filled)) < 0:
            self._more()
        status, headers = _head(bytes(self._buffer[:head_end]))
        start = head_end + len(HEAD_END)
        if headers.get("transfer-encoding") == "chunked":
            chunks = list(self._chunks(start))
        else:
            chunks = [(start, start + int(headers["content-length"]))]
            self._until(chunks[0][1])
        seconds = time.perf_counter() - begun
        body = b"".join(bytes(self._buffer[first:last]) for first, last in chunks)
        answer = Answer(status, headers, body, self._filled, seconds)
        if headers.get("connection", "").lower() == "close":
            self.close()
        return answer

    def ask(self, request: Request) -> Answer:
        message, connection = request.encoded(), self._connected()
        begun = time.perf_counter()
        connection.sendall(message)
        return self.receive(begun)

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _connected(self) -> socket.socket:
        if self._socket is None:
            self._socket = socket.create_connection((HOST, self._port), timeout=ANSWER_SECONDS)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self._socket

    def _chunks(self, position: int) -> Iterator[tuple[int, int]]:
        """Where in the buffer the body's chunks are."""
        while True:
            while (line_end := self._buffer.find(b"\r\n", position, self._filled)) < 0:
                self._more()
            size = int(self._buffer[position:line_end].partition(b";")[0], 16)
            start = line_end + 2
            position = start + size + 2
            self._until(position)
            if size == 0:
                return
            yield start, start + size

    def _until(self, position: int) -> None:
        while self._filled < position:
            self._more()

    def _more(self) -> None:
        if self._filled == len(self._buffer):
            self._buffer.extend(bytes(len(self._buffer)))
        with memoryview(self._buffer) as view:
            received = self._connected().recv_into(view[self._filled :])
        if received == 0:
            self.close()
            raise ConnectionError("the server closed the connection in the middle of an answer")
        self._filled += received


def asked(port: int, request: Request) -> Answer:
    """On a connection of its own."""
    with Connection(port) as connection:
        return connection.ask(request)


def is_from_cache(answer: Answer) -> bool:
    """By RFC 9211."""
    return HIT.search(answer.headers.get("cache-status", "")) is not None


def _head(head: bytes) -> tuple[int, dict[str, str]]:
    status_line, *lines = head.decode("latin-1").split("\r\n")
    pairs = (line.partition(":") for line in lines)
    return int(status_line.split()[1]), {name.lower(): value.strip() for name, _, value in pairs}


def _gunzipped(members: bytes) -> Iterator[bytes]:
    while members:
        decoder = zlib.decompressobj(wbits=31)
        yield decoder.decompress(members)
        members = decoder.unused_data
