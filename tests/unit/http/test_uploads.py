import hashlib
import zlib
from collections.abc import AsyncIterator

import pytest
import zstandard
from fastapi import FastAPI
from httpx import Response
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.http.asgi import application, client
from tests.unit.http.lasting import UPLOAD, Asked, Lastings, Shelf
from warehouse.http.deadline import BodyLimitMiddleware
from warehouse.http.decoding import RequestDecodingMiddleware
from warehouse.http.uploads import RAW

BOUNDARY = "x-1"
FORM = f"multipart/form-data; boundary={BOUNDARY}"
CONTENT = b"sku,name\r\nA-1,Bread\r\n\r\n--x-\r\n--x-2\r\n"
SMALL, LARGE = 1000, 100_000
"""The largest body, and the largest upload."""


def part(
    content: bytes = CONTENT, disposition: str = 'form-data; name="file"; filename="a.csv"', more: str = ""
) -> bytes:
    head = f"--{BOUNDARY}\r\nContent-Disposition: {disposition}\r\n{more}\r\n".encode()
    return head + content + b"\r\n"


END = f"--{BOUNDARY}--\r\n".encode()


def in_pieces(body: bytes, size: int) -> AsyncIterator[bytes]:
    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(body), size):
            yield body[start : start + size]

    return pieces()


class Desk:
    """Takes uploads, as they are limited and decoded in the whole stack."""

    def __init__(self) -> None:
        lastings = Lastings()
        self.shelf: Shelf = lastings.shelf
        self.app: FastAPI = application()
        self.app.include_router(lastings.router())
        self.app.add_middleware(RequestDecodingMiddleware, max_bytes=SMALL, upload_bytes=LARGE)
        self.app.add_middleware(BodyLimitMiddleware, max_bytes=SMALL, upload_bytes=LARGE)

    async def post(self, body: bytes, size: int = 1 << 20, /, **headers: str) -> Response:
        named = {name.replace("_", "-"): value for name, value in {"content_type": FORM, **headers}.items()}
        async with client(self.app) as http:
            return await http.post(UPLOAD, content=in_pieces(body, size), headers=named)


@pytest.fixture
def desk() -> Desk:
    return Desk()


def kept(name: str | None, content: bytes) -> list[tuple[str | None, int, str]]:
    return [(name, len(content), hashlib.sha256(content).hexdigest())]


def fault(response: Response) -> tuple[int, str, str]:
    problem = response.json()
    assert response.headers["content-type"] == "application/problem+json"
    return response.status_code, problem["errors"][0]["pointer"], problem["errors"][0]["code"]


@pytest.mark.parametrize("size", [1, 2, 7, 10_000])
async def test_a_form_is_read_however_it_is_cut(desk: Desk, size: int) -> None:
    response = await desk.post(part(more="Content-Type: Text/CSV; charset=utf-8\r\n") + END, size)
    assert response.json() == {"name": "a.csv", "media_type": "text/csv"}
    assert desk.shelf.kept == kept("a.csv", CONTENT)


@given(
    content=st.binary(min_size=1, max_size=300),
    near=st.sampled_from([b"", b"\r\n--x-1", b"\r\n--x-", b"\r"]),
    size=st.integers(1, 40),
)
async def test_no_content_is_changed(content: bytes, near: bytes, size: int) -> None:
    # A line that begins with the boundary is none that a client may send.
    sent = (near[:-1] + content).replace(b"\r\n--x-1", b"")
    if not sent:
        return
    desk = Desk()
    assert (await desk.post(part(sent) + END, size)).status_code == 200
    assert desk.shelf.kept == kept("a.csv", sent)


@pytest.mark.parametrize("media_type", [*RAW, "TEXT/CSV; charset=utf-8; header=present"])
async def test_a_body_can_be_the_file(desk: Desk, media_type: str) -> None:
    response = await desk.post(CONTENT, 5, content_type=media_type)
    assert response.json() == {"name": None, "media_type": media_type.partition(";")[0].lower()}
    assert desk.shelf.kept == kept(None, CONTENT)


async def test_a_body_may_have_a_name(desk: Desk) -> None:
    compressed = zstandard.compress(CONTENT)
    disposition = 'attachment; filename="products.csv.zst"'
    await desk.post(compressed, content_type="application/octet-stream", content_disposition=disposition)
    assert desk.shelf.kept == kept("products.csv.zst", compressed)


@pytest.mark.parametrize("as_form", [True, False])
@pytest.mark.parametrize("coding", ["gzip", "zstd"])
async def test_it_may_be_sent_in_a_coding(desk: Desk, coding: str, as_form: bool) -> None:
    content = CONTENT * 1000
    body = part(content) + END if as_form else content
    encoded = zstandard.compress(body) if coding == "zstd" else zlib.compress(body, wbits=31)
    media_type = FORM if as_form else "text/csv"
    response = await desk.post(encoded, 100, content_encoding=coding, content_type=media_type)
    assert response.status_code == 200
    assert desk.shelf.kept == kept("a.csv" if as_form else None, content)


NAMES = [
    ("a.csv", "a.csv"),
    ("Größe 1.csv", "Größe 1.csv"),
    ("Gro\u0308ße.csv", "Größe.csv"),
    ("../../etc/passwd", "passwd"),
    ("a/", None),
    ("C:\\\\Users\\\\me\\\\stock.xlsx", "stock.xlsx"),
    ("..", None),
    (".", None),
    ("", None),
    ("   ", None),
    ("a\tb\x7f.csv", "ab.csv"),
    ("evil\u202evsc.exe", "evilvsc.exe"),
    ("\ufffe\ue000", None),
    ("x" * 300 + ".csv", "x" * 251 + ".csv"),
    ('a\\"b.csv', 'a"b.csv'),
]


@pytest.mark.parametrize(("given_name", "name"), NAMES)
async def test_of_a_name_only_what_is_harmless_is_kept(desk: Desk, given_name: str, name: str | None) -> None:
    response = await desk.post(part(disposition=f'form-data; name="file"; filename="{given_name}"') + END)
    if name is None:
        assert fault(response) == (422, "/file", "file_name")
        assert desk.shelf.begun == 0
    else:
        assert desk.shelf.kept == kept(name, CONTENT)


async def test_a_name_that_is_no_utf_8_is_no_failure(desk: Desk) -> None:
    body = (part() + END).replace(b"a.csv", b"\xe4.csv")
    assert (await desk.post(body)).json()["name"] == "\ufffd.csv"


OTHER = part(b"products", 'form-data; name="kind"')

FORMS = [
    (END, 422, "/file", "missing"),
    (OTHER + END, 422, "/kind", "unknown_part"),
    (part() + OTHER + END, 422, "/kind", "unknown_part"),
    (part() + part() + END, 422, "/file", "repeated_part"),
    (part(disposition='form-data; name="file"') + END, 422, "/file", "file_name"),
    (part(disposition='form-data; name="a/b~c"') + END, 422, "/a~1b~0c", "unknown_part"),
    (part(disposition="form-data") + END, 400, "", "part"),
    (part(b"") + END, 422, "/file", "empty"),
    (part(), 400, "", "multipart"),
    (part()[:-4], 400, "", "multipart"),
    (part()[:20], 400, "", "multipart"),
    (b"", 400, "", "multipart"),
    (b"sku,name\r\n", 400, "", "multipart"),
    (part(more="X: " + "x" * 5000 + "\r\n") + END, 400, "", "multipart"),
    (part(more="X: x\r\n" * 9) + END, 400, "", "multipart"),
    (part(more="X" * 5000 + "\r\n") + END, 400, "", "multipart"),
    (part(more="no colon\r\n") + END, 400, "", "multipart"),
]


@pytest.mark.parametrize("size", [3, 10_000])
@pytest.mark.parametrize(("body", "status", "pointer", "code"), FORMS)
async def test_a_form_with_a_fault_is_refused_by_name_and_nothing_kept(
    desk: Desk, body: bytes, status: int, pointer: str, code: str, size: int
) -> None:
    assert fault(await desk.post(body, size)) == (status, pointer, code)
    assert desk.shelf.kept == []
    assert desk.shelf.discarded == desk.shelf.begun


@pytest.mark.parametrize(
    "boundary", ["", "; boundary=", f"; boundary={'x' * 71}", f"{';' * 1000}; boundary={BOUNDARY}"]
)
async def test_a_form_needs_a_boundary_of_a_sensible_length(desk: Desk, boundary: str) -> None:
    response = await desk.post(part() + END, content_type=f"multipart/form-data{boundary}")
    assert fault(response) == (400, "Content-Type", "boundary")


async def test_an_empty_body_is_no_file(desk: Desk) -> None:
    assert fault(await desk.post(b"", content_type="text/csv")) == (422, "", "empty")


@pytest.mark.parametrize("media_type", ["application/json", "multipart/mixed; boundary=x", "text/plain", "", "x"])
async def test_other_media_types_are_refused_unread(desk: Desk, media_type: str) -> None:
    response = await desk.post(CONTENT, content_type=media_type)
    assert (response.status_code, response.json()["code"]) == (415, "unsupported_media_type")


async def test_an_epilogue_is_passed_over(desk: Desk) -> None:
    assert (await desk.post(part() + END + b"bye")).status_code == 200
    assert desk.shelf.kept == kept("a.csv", CONTENT)


async def test_an_upload_may_be_larger_than_other_bodies(desk: Desk) -> None:
    content = b"x" * (LARGE // 2)
    assert (await desk.post(part(content) + END, 10_000)).status_code == 200
    assert desk.shelf.kept == kept("a.csv", content)


@pytest.mark.parametrize("coding", ["", "gzip", "zstd"])
async def test_one_that_is_too_large_is_refused_while_it_comes(desk: Desk, coding: str) -> None:
    content = b"x" * (LARGE * 2)
    encoded = {"": content, "gzip": zlib.compress(content, wbits=31), "zstd": zstandard.compress(content)}[coding]
    response = await desk.post(encoded, 10_000, content_type="text/csv", content_encoding=coding or "identity")
    assert (response.status_code, response.json()["code"]) == (413, "payload_too_large")
    assert (desk.shelf.kept, desk.shelf.discarded) == ([], 1)
    assert desk.shelf.received <= LARGE


async def test_one_that_announces_that_it_is_too_large_is_not_begun(desk: Desk) -> None:
    response = await desk.post(CONTENT, content_type="text/csv", content_length=str(LARGE + 1))
    assert response.status_code == 413
    assert desk.shelf.begun == 0


async def test_one_in_a_coding_that_is_damaged_is_refused(desk: Desk) -> None:
    damaged = zlib.compress(CONTENT * 100, wbits=31)[:-20]
    response = await desk.post(damaged, 50, content_type="text/csv", content_encoding="gzip")
    assert fault(response) == (400, "Content-Encoding", "damaged")
    assert desk.shelf.discarded == 1


@pytest.mark.parametrize("media_type", ["text/csv", FORM])
async def test_a_client_that_leaves_has_sent_nothing_and_nothing_has_failed(
    desk: Desk, media_type: str, caplog: pytest.LogCaptureFixture
) -> None:
    asked = Asked(desk.app, desk.app, UPLOAD, "POST", content_type=media_type)
    asked.send(part())
    asked.leave()
    assert await asked.done() == 400
    assert (desk.shelf.kept, desk.shelf.discarded) == ([], 1)
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def test_nothing_is_read_of_a_request_that_is_refused(desk: Desk) -> None:
    async def never() -> AsyncIterator[bytes]:
        pytest.fail("read")
        yield b""

    async with client(desk.app) as http:
        response = await http.post(f"{UPLOAD}?unknown=1", content=never(), headers={"Content-Type": FORM})
    assert fault(response) == (422, "?unknown", "unknown_parameter")
