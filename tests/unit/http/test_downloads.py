import asyncio
from collections.abc import AsyncIterator

import pytest
from fastapi import FastAPI
from httpx import Response

from tests.unit.http.asgi import application, client
from tests.unit.http.codings import decompressed
from tests.unit.http.lasting import FILE, Asked, File, Lastings
from tests.unit.http.wire import until
from warehouse.http.compression import CompressionMiddleware
from warehouse.http.downloads import disposition
from warehouse.http.encodings import Encoding
from warehouse.http.head import HeadMiddleware


class Desk:
    def __init__(self, file: File) -> None:
        self.file = file
        lastings = Lastings(file=file)
        self.app: FastAPI = application()
        self.app.include_router(lastings.router())
        self.app.add_middleware(CompressionMiddleware, min_size=1)
        self.app.add_middleware(HeadMiddleware)

    async def get(self, method: str = "GET", **headers: str) -> Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        async with client(self.app) as http:
            response = await http.request(method, FILE, headers={"Accept-Encoding": "identity", **named})
        assert self.file.open == 0
        return response

    @property
    def content(self) -> bytes:
        return self.file.piece * self.file.pieces


@pytest.fixture
def desk() -> Desk:
    return Desk(File(10))


async def test_a_file_is_sent_with_its_name_its_size_and_its_tag(desk: Desk) -> None:
    response = await desk.get()
    assert (response.status_code, response.content) == (200, desk.content)
    assert response.headers["content-length"] == str(desk.file.size)
    assert response.headers["content-type"] == "application/zip"
    assert response.headers["content-disposition"] == 'attachment; filename="result"'
    assert response.headers["etag"] == '"f1"'
    assert response.headers["accept-ranges"] == "bytes"
    assert response.headers["cache-control"] == "private, no-cache"


@pytest.mark.parametrize("tags", ['"f1"', '"x", W/"f1"', "*", '"f1-gzip"'])
async def test_who_has_it_is_told_so(desk: Desk, tags: str) -> None:
    response = await desk.get(if_none_match=tags)
    assert (response.status_code, response.content) == (304, b"")
    assert response.headers["etag"] == '"f1"'
    assert desk.file.read == 0


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [
        ("bytes=0-0", 0, 0),
        ("bytes=1000-2047", 1000, 2047),
        ("bytes=1024-", 1024, 10239),
        ("bytes=-1", 10239, 10239),
        ("bytes=5000-999999", 5000, 10239),
    ],
)
async def test_a_range_is_sent_alone(desk: Desk, asked: str, first: int, last: int) -> None:
    response = await desk.get(range=asked)
    assert (response.status_code, response.content) == (206, desk.content[first : last + 1])
    assert response.headers["content-range"] == f"bytes {first}-{last}/10240"
    assert response.headers["content-length"] == str(last + 1 - first)
    assert desk.file.read <= (last - first) // 1024 + 2


@pytest.mark.parametrize("asked", ["bytes=0-1,5-6", "bytes=99999-", "lines=1-2", "bytes=", "x"])
async def test_other_ranges_are_not_heard(desk: Desk, asked: str) -> None:
    assert (await desk.get(range=asked)).content == desk.content


@pytest.mark.parametrize(
    ("tag", "status"), [('"f1"', 206), ('"f0"', 200), ('W/"f1"', 200), ('"f1-gzip"', 200), ("x", 200)]
)
async def test_a_range_of_another_file_is_the_whole_of_this_one(desk: Desk, tag: str, status: int) -> None:
    assert (await desk.get(range="bytes=5-", if_range=tag)).status_code == status


async def test_head_tells_the_same_and_sends_nothing(desk: Desk) -> None:
    response = await desk.get("HEAD")
    assert (response.status_code, response.content) == (200, b"")
    assert response.headers["content-length"] == str(desk.file.size)
    assert response.headers["etag"] == '"f1"'


@pytest.mark.parametrize("encoding", [Encoding.GZIP, Encoding.ZSTD])
async def test_text_is_encoded_on_the_way(encoding: Encoding) -> None:
    desk = Desk(File(10, media_type="text/csv"))
    async with client(desk.app) as http, http.stream("GET", FILE, headers={"Accept-Encoding": encoding}) as response:
        body = b"".join([piece async for piece in response.aiter_raw()])
    assert response.headers["content-encoding"] == encoding
    assert response.headers["etag"] == f'"f1-{encoding}"'
    assert "content-length" not in response.headers
    assert decompressed(body, encoding) == desk.content


async def test_a_range_of_text_is_not_encoded() -> None:
    desk = Desk(File(10, media_type="text/csv"))
    response = await desk.get(range="bytes=10-", accept_encoding="gzip")
    assert (response.status_code, response.content) == (206, desk.content[10:])
    assert "content-encoding" not in response.headers


@pytest.mark.parametrize(
    "media_type",
    [
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        "application/vnd.apache.parquet",
        "application/zstd",
        "application/gzip",
        "application/zip",
    ],
)
async def test_what_is_compressed_is_not_encoded(media_type: str) -> None:
    desk = Desk(File(10, media_type=media_type))
    response = await desk.get(accept_encoding="gzip, zstd")
    assert response.headers["content-length"] == str(desk.file.size)
    assert "content-encoding" not in response.headers


async def test_an_empty_file_is_sent() -> None:
    response = await Desk(File(0)).get()
    assert (response.status_code, response.content, response.headers["content-length"]) == (200, b"", "0")


async def test_a_client_that_leaves_is_sent_no_more() -> None:
    desk = Desk(File(1_000_000))
    asked = Asked(desk.app, desk.app, FILE)
    await until(lambda: len(asked.sent) > 3)
    asked.leave()
    await asked.done()
    assert desk.file.open == 0
    assert desk.file.read < 1_000_000


async def test_a_download_that_is_cancelled_leaves_nothing_behind() -> None:
    before = asyncio.all_tasks()
    desk = Desk(File(1_000_000))
    asked = Asked(desk.app, desk.app, FILE)
    await until(lambda: len(asked.sent) > 3)
    asked.task.cancel()
    await asyncio.gather(asked.task, return_exceptions=True)
    assert desk.file.open == 0
    assert asyncio.all_tasks() == before


class Torn(File):
    async def source(self, start: int) -> AsyncIterator[bytes]:
        yield self.piece


async def test_a_file_that_is_too_short_is_not_taken_for_whole() -> None:
    desk = Desk(Torn(2))
    asked = Asked(desk.app, desk.app, FILE)
    with pytest.raises(RuntimeError, match="1024 bytes too soon"):
        await asked.done()
    assert asked.sent[-1]["more_body"]


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("stock.csv", 'attachment; filename="stock.csv"'),
        ("a b.csv", 'attachment; filename="a b.csv"'),
        ("Größe.csv", "attachment; filename=\"Groe.csv\"; filename*=UTF-8''Gr%C3%B6%C3%9Fe.csv"),
        ('a"b\\c%41.csv', "attachment; filename=\"a_b_c_41.csv\"; filename*=UTF-8''a%22b%5Cc%2541.csv"),
        ("在庫.csv", "attachment; filename=\".csv\"; filename*=UTF-8''%E5%9C%A8%E5%BA%AB.csv"),
        ("a\r\nb", "attachment; filename=\"a__b\"; filename*=UTF-8''a%0D%0Ab"),
    ],
)
def test_every_name_is_told_in_ascii_and_whole(name: str, header: str) -> None:
    assert disposition(name) == header
