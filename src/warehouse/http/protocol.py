"""The server's HTTP/1.1 protocol: uvicorn's, but for requests that offer to go on in another protocol, and for answers
that leave in one piece."""

import asyncio

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

OFFER_HEADERS = {b"connection", b"upgrade", b"http2-settings"}
"""`Connection` names the other two; of its own words only `close` matters, and no client offers an upgrade with it."""
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
LARGE = 64 * 1024
"""Bytes of a body that are better not copied."""


class _OnePiece(asyncio.Transport):
    """A connection as one answer sees it: the head waits for the first piece of the body, as ASGI has it, and leaves
    together with it. To write twice costs a small answer of a bare application a quarter of its time."""

    __slots__ = ("_begun", "_head", "_transport")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._begun = False
        self._head = b""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._head:
            head, self._head = self._head, b""
            if len(data) > LARGE:
                self._transport.writelines((head, data))
            else:
                self._transport.write(head + data)
        elif self._begun or data == CONTINUE:
            self._transport.write(data)
        else:
            self._begun, self._head = True, bytes(data)

    def close(self) -> None:
        self._transport.close()

    def is_closing(self) -> bool:
        return self._transport.is_closing()


class SteadyHttpProtocol(HttpToolsProtocol):
    """Takes `Upgrade` for what it is, an offer that a server is free to ignore (RFC 9110, 7.8).

    Java's HttpClient offers h2c with every first request. The parser stops at such an offer, and uvicorn then serves
    the request without its body (uvicorn#2722). Here the request is parsed once more, without the offer.
    """

    def on_headers_complete(self) -> None:
        if not self.parser.should_upgrade():
            super().on_headers_complete()
            if self.scope["method"] != "HEAD":  # which has no body to wait for
                self.cycle.transport = _OnePiece(self.transport)

    def on_message_complete(self) -> None:
        if not self.parser.should_upgrade():
            super().on_message_complete()

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as offer:
            (rest,) = offer.args
            head = self._head()
            self.parser = httptools.HttpRequestParser(self)
            self.data_received(head + data[rest:])
        except httptools.HttpParserError:
            self.send_400_response("Invalid HTTP request received.")

    def _head(self) -> bytes:
        """The request line and the headers as they came, without the offer."""
        lines = [name + b": " + value for name, value in self.headers if name not in OFFER_HEADERS]
        return b"\r\n".join([self.parser.get_method() + b" " + self.url + b" HTTP/1.1", *lines, b"", b""])
