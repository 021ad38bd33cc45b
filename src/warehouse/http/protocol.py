"""The server's HTTP/1.1 protocol: uvicorn's, but for requests that offer to go on in another protocol."""

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

OFFER_HEADERS = {b"connection", b"upgrade", b"http2-settings"}
"""`Connection` names the other two; of its own words only `close` matters, and no client offers an upgrade with it."""


class SteadyHttpProtocol(HttpToolsProtocol):
    """Takes `Upgrade` for what it is, an offer that a server is free to ignore (RFC 9110, 7.8).

    Java's HttpClient offers h2c with every first request. The parser stops at such an offer, and uvicorn then serves
    the request without its body (uvicorn#2722). Here the request is parsed once more, without the offer.
    """

    def on_headers_complete(self) -> None:
        if not self.parser.should_upgrade():
            super().on_headers_complete()

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
