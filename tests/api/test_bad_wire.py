"""What no HTTP library would send, straight into the server's socket: nothing of it is an error of the server's, and
nothing of it is done."""

import http.client
import json
import socket
from collections.abc import Iterator
from typing import BinaryIO

import httpx
import pytest

from tests.api.calls import new_code
from tests.process import TLS
from tests.servers import HOST
from tests.serving import WarehouseServer
from warehouse.auth.model import Role

SECONDS = 30
LINE = "POST /v1/products HTTP/1.1"
JSON = "Content-Type: application/json"
H2C = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA"


@pytest.fixture(scope="module")
def authorization(server: WarehouseServer) -> str:
    return f"Host: warehouse.test\r\nAuthorization: Bearer {server.key(Role.ADMIN)}"


@pytest.fixture(autouse=True)
def alive(server: WarehouseServer) -> Iterator[None]:
    """Afterwards every process of the server must be there as before, and answer."""
    processes = len(server.connections())
    yield
    assert len(server.connections()) == processes == 2
    assert httpx.get(f"{server.url}/livez", trust_env=False, verify=TLS).status_code == 200


def head(*lines: str) -> bytes:
    return "\r\n".join((*lines, "", "")).encode("latin-1")


def body(sku: str) -> bytes:
    return b'{"sku": "%s", "name": "N"}' % sku.encode()


def length(content: bytes) -> str:
    return f"Content-Length: {len(content)}"


def answer(server: WarehouseServer, *pieces: bytes) -> tuple[int, str, bytes]:
    """Status, media type and body of what comes back; the pieces are sent one by one."""
    with socket.create_connection((HOST, server.port), timeout=SECONDS) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in pieces:
            connection.sendall(piece)
        response = http.client.HTTPResponse(connection)
        response.begin()
        return response.status, response.headers.get_content_type(), response.read()


def exists(server: WarehouseServer, authorization: str, sku: str) -> bool:
    status, _, _ = answer(server, head(f"GET /v1/products/by-sku/{sku} HTTP/1.1", authorization))
    assert status in (200, 404)
    return status == 200


@pytest.mark.parametrize(
    "request_line",
    [
        "GET /v1/products?q=\xff HTTP/1.1",
        "GET /v1/products ?q HTTP/1.1",
        "GET /v1/pro\0ducts HTTP/1.1",
        "GET v1/products HTTP/1.1",
        "GET /v1/products HTTP/9.9",
        "get /v1/products HTTP/1.1",
        "FROBNICATE /v1/products HTTP/1.1",
        "PRI * HTTP/2.0",
        "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
)
def test_what_is_no_request_is_a_400(server: WarehouseServer, authorization: str, request_line: str) -> None:
    status, _, content = answer(server, head(request_line, authorization))
    assert status == 400
    assert b"Traceback" not in content


def test_a_request_line_without_measure_is_a_431(server: WarehouseServer, authorization: str) -> None:
    status, _, _ = answer(server, head(f"GET /v1/products?q={'a' * 1_000_000} HTTP/1.1", authorization))
    assert status == 431


@pytest.mark.parametrize(
    "lines",
    [
        ("Content-Length: {length}", "Content-Length: 5"),
        ("Content-Length: {length}", "Transfer-Encoding: chunked"),
        ("Transfer-Encoding: gzip",),
        ("Content-Length: -1",),
        ("Content-Length: +{length}",),
        ("Content-Length: 0x10",),
        ("Content-Length: 99999999999999999999999",),
        ("Content-Length: {length}", "X-A: a\0b"),
        ("Content-Length: {length}", "X A: a"),
        ("Content-Length: {length}", "X-A: a", " b"),
    ],
)
def test_a_request_that_two_servers_would_read_differently_is_a_400(
    server: WarehouseServer, authorization: str, lines: tuple[str, ...]
) -> None:
    sku = new_code()
    headers = [line.format(length=len(body(sku))) for line in lines]
    status, _, _ = answer(server, head(LINE, authorization, JSON, *headers), body(sku))
    assert status == 400
    assert not exists(server, authorization, sku)


def test_a_body_that_breaks_off_does_nothing(server: WarehouseServer, authorization: str) -> None:
    sku = new_code()
    for start in (
        head(LINE, authorization, JSON, length(body(sku))) + body(sku)[:-1],
        head(LINE, authorization, JSON, "Transfer-Encoding: chunked") + b"%x\r\n" % len(body(sku)) + body(sku)[:-1],
        head(LINE, authorization, JSON, "Transfer-Encoding: chunked") + b"%x\r\n%s\r\n" % (len(body(sku)), body(sku)),
    ):
        with socket.create_connection((HOST, server.port), timeout=SECONDS) as connection:
            connection.sendall(start)
            connection.shutdown(socket.SHUT_WR)
            assert connection.recv(1000) == b""
    assert not exists(server, authorization, sku)


def test_a_chunk_without_a_size_does_nothing(server: WarehouseServer, authorization: str) -> None:
    sku = new_code()
    start = head(LINE, authorization, JSON, "Transfer-Encoding: chunked")
    status, _, _ = answer(server, start + b"zz\r\n" + body(sku) + b"\r\n0\r\n\r\n")
    assert status == 400
    assert not exists(server, authorization, sku)


def test_a_body_that_is_announced_as_too_large_is_refused_before_it_is_sent(
    server: WarehouseServer, authorization: str
) -> None:
    status, media_type, _ = answer(server, head(LINE, authorization, JSON, "Content-Length: 10000000"))
    assert (status, media_type) == (413, "application/problem+json")


def test_a_chunked_body_that_grows_too_large_is_refused(server: WarehouseServer, authorization: str) -> None:
    chunks = (b"10000\r\n" + b" " * 0x10000 + b"\r\n") * 160
    start = head(LINE, authorization, JSON, "Transfer-Encoding: chunked")
    status, media_type, _ = answer(server, start, chunks, b"0\r\n\r\n")
    assert (status, media_type) == (413, "application/problem+json")


@pytest.mark.parametrize("escape", ["%", "%zz", "%0", "%u0041", "%25", "%2f..%2f"])
def test_a_bad_escape_is_taken_for_what_it_is_or_refused(
    server: WarehouseServer, authorization: str, escape: str
) -> None:
    status, _, _ = answer(server, head(f"GET /v1/products/by-sku/{escape} HTTP/1.1", authorization))
    assert status == 404
    status, _, _ = answer(server, head(f"GET /v1/products?q={escape} HTTP/1.1", authorization))
    assert status in (200, 422)
    status, _, _ = answer(server, head(f"GET /v1/products?{escape}=1 HTTP/1.1", authorization))
    assert status == 422


@pytest.mark.parametrize("offer", [H2C, "Connection: Upgrade\r\nUpgrade: websocket", "Expect: 100-continue"])
def test_a_body_arrives_whatever_else_the_client_offers(
    server: WarehouseServer, authorization: str, offer: str
) -> None:
    """Java's HttpClient offers h2c, and sends its body after the head."""
    for at_once in (True, False):
        sku = new_code()
        start = head(LINE, authorization, JSON, offer, length(body(sku)))
        pieces = (start + body(sku),) if at_once else (start, body(sku))
        status, _, content = answer(server, *pieces)
        assert status == 201, content


def test_requests_sent_in_one_go_are_answered_in_their_order(server: WarehouseServer, authorization: str) -> None:
    skus = [new_code() for _ in range(20)]
    requests = [head(LINE, authorization, JSON, length(body(sku))) + body(sku) for sku in skus]
    with socket.create_connection((HOST, server.port), timeout=SECONDS) as connection:
        connection.sendall(b"".join(requests))
        with connection.makefile("rb") as stream:
            assert [_next_product(stream) for _ in skus] == skus


def _next_product(stream: BinaryIO) -> str:
    """The SKU of what the next answer says was made."""
    assert b" 201 " in stream.readline()
    headers = http.client.parse_headers(stream)
    sku: str = json.loads(stream.read(int(headers["content-length"])))["sku"]
    return sku
