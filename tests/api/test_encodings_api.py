"""Content codings and HEAD through the whole application."""

import gzip
import json
import tracemalloc
from collections.abc import Callable, Mapping

import httpx
import pytest
import zstandard
from httpx import AsyncClient, Response

from tests.api.answers import pointers, problem
from tests.api.calls import Json, made, new_call, new_code, new_key
from tests.api.conftest import Unchanged
from tests.api.document import OPERATIONS, Operation
from tests.process import TLS
from tests.serving import WarehouseServer
from warehouse.auth.model import Role
from warehouse.http.encodings import MIN_SIZE
from warehouse.settings import LimitSettings

MAX_BODY = LimitSettings().body_bytes
MIB = 1024 * 1024
CODECS: Mapping[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "zstd": zstandard.compress}
BOMBS = {"gzip": gzip.compress(bytes(MIB)) * 256, "zstd": zstandard.compress(bytes(256 * MIB))}
READS = [operation for operation in OPERATIONS.values() if operation.method == "GET"]
REPRESENTATION = ("content-type", "content-encoding", "content-length", "etag", "vary", "link", "x-request-id")


@pytest.fixture(scope="module")
async def page(client: AsyncClient) -> str:
    """The address of a list of 60 products."""
    category = new_code()
    products = [
        {"sku": new_code(), "name": f"Crushed ice {number}", "category": category, "attributes": {"brand": "National"}}
        for number in range(60)
    ]
    response = await client.post("/v1/products/batch", json={"products": products})
    assert response.json()["created"] == len(products)
    return f"/v1/products?category={category}&limit=1000"


@pytest.fixture(scope="module")
async def product(client: AsyncClient) -> Json:
    """One that is large enough to be compressed."""
    return await made(client, "/v1/products", {**draft(), "description": "Crushed ice. " * 50})


def draft() -> Json:
    return {"sku": new_code(), "name": "Crushed ice"}


async def get(client: AsyncClient, path: str, accept: str, **headers: str) -> Response:
    return await client.get(path, headers={"Accept-Encoding": accept, **headers})


async def post(client: AsyncClient, path: str, coding: str, body: bytes, **headers: str) -> Response:
    given = {"Content-Type": "application/json", "Content-Encoding": coding, **headers}
    return await client.post(path, content=body, headers=given)


def packed(coding: str, body: Json) -> bytes:
    return CODECS[coding](json.dumps(body).encode())


class TestAnswers:
    @pytest.mark.parametrize(
        ("accept", "encoding"),
        [("zstd", "zstd"), ("gzip", "gzip"), ("gzip, deflate, br, zstd", "zstd"), ("zstd;q=0.5, gzip", "gzip")],
    )
    async def test_a_list_is_compressed(self, client: AsyncClient, page: str, accept: str, encoding: str) -> None:
        plain, encoded = await get(client, page, "identity"), await get(client, page, accept)
        assert encoded.headers["content-encoding"] == encoding
        assert plain.headers["vary"] == encoded.headers["vary"] == "Accept-Encoding"
        assert encoded.num_bytes_downloaded == int(encoded.headers["content-length"]) < len(plain.content) / 4
        assert encoded.content == plain.content

    @pytest.mark.parametrize(
        "accept", ["", "identity", "gzip;q=0", "gzip;q=0, *;q=0", "br", "gzip," * 2000, "gzip;q=" + "0" * 10_000]
    )
    async def test_or_it_is_not(self, client: AsyncClient, page: str, accept: str) -> None:
        response = await get(client, page, accept)
        assert response.status_code == 200
        assert "content-encoding" not in response.headers
        assert response.num_bytes_downloaded == len(response.content)

    async def test_small_answers_are_not(self, client: AsyncClient) -> None:
        response = await get(client, f"/v1/products?category={new_code()}", "zstd")
        assert "content-encoding" not in response.headers
        assert len(response.content) < MIN_SIZE

    async def test_identity_refused_is_a_406_of_successes_alone(self, client: AsyncClient, page: str) -> None:
        problem(await get(client, page, "identity;q=0"), 406, "not_acceptable")
        problem(await get(client, "/v1/products/7", "identity;q=0"), 422, "invalid")
        problem(await get(client, "/v1/nothing", "identity;q=0"), 404, "not_found")

    async def test_a_command_whose_answer_nobody_would_read_is_not_run(
        self, client: AsyncClient, unchanged: Unchanged
    ) -> None:
        call = await new_call(client, "create_product")
        async with unchanged():
            refused = await call.send(client, headers={**call.headers, "Accept-Encoding": "identity;q=0"})
            problem(refused, 406, "not_acceptable")

    async def test_each_representation_has_its_tag_and_any_of_them_is_known(
        self, client: AsyncClient, product: Json
    ) -> None:
        path = f"/v1/products/{product['id']}"
        tags = {accept: (await get(client, path, accept)).headers["etag"] for accept in ("identity", *CODECS)}
        assert len(set(tags.values())) == 3
        for accept, tag in tags.items():
            again = await get(client, path, accept, **{"If-None-Match": tag})
            assert (again.status_code, again.headers["etag"], again.content) == (304, tag, b"")
            assert again.headers["vary"] == "Accept-Encoding"

    @pytest.mark.parametrize("accept", ["identity", *CODECS])
    async def test_the_tag_of_any_representation_permits_a_change(self, client: AsyncClient, accept: str) -> None:
        made_here = await made(client, "/v1/products", {**draft(), "description": "Crushed ice. " * 50})
        path = f"/v1/products/{made_here['id']}"
        tag = (await get(client, path, accept)).headers["etag"]
        assert (await client.patch(path, json={"name": "New"}, headers={"If-Match": tag})).status_code == 200
        problem(await client.patch(path, json={"name": "Old"}, headers={"If-Match": tag}), 412, "stale_version")

    async def test_a_range_of_a_list_is_the_list(self, client: AsyncClient, page: str) -> None:
        response = await get(client, page, "zstd", Range="bytes=0-9", **{"If-Range": '"x-zstd"'})
        assert (response.status_code, response.headers["content-encoding"]) == (200, "zstd")
        assert response.content == (await get(client, page, "identity")).content


class TestBodies:
    @pytest.mark.parametrize("coding", CODECS)
    async def test_a_product_is_made_of_a_compressed_body(self, client: AsyncClient, coding: str) -> None:
        body = draft()
        response = await post(client, "/v1/products", coding, packed(coding, body))
        assert response.status_code == 201, response.text
        assert (await client.get(response.headers["location"])).json()["sku"] == body["sku"]

    async def test_a_batch_of_thousands_fits_into_a_small_body(self, client: AsyncClient) -> None:
        body = packed("zstd", {"products": [draft() for _ in range(1000)]})
        response = await post(client, "/v1/products/batch", "zstd", body)
        assert response.json()["created"] == 1000

    async def test_a_command_is_the_same_in_whatever_coding_it_comes(self, client: AsyncClient) -> None:
        body, key = draft(), new_key()
        first = await client.post("/v1/products", json=body, headers=key)
        for coding in CODECS:
            again = await post(client, "/v1/products", coding, packed(coding, body), **key)
            assert again.headers["idempotent-replayed"] == "true"
            assert again.json() == first.json()

    async def test_faults_in_a_compressed_body_are_named_as_in_any(self, client: AsyncClient) -> None:
        response = await post(client, "/v1/products", "zstd", packed("zstd", {**draft(), "colour": "red"}))
        assert pointers(response) == {"/colour"}

    @pytest.mark.parametrize("coding", CODECS)
    @pytest.mark.parametrize("path", ["/v1/products", "/v1/stock/receipts"])
    async def test_a_bomb_is_a_413_and_takes_little_room(
        self, client: AsyncClient, unchanged: Unchanged, coding: str, path: str
    ) -> None:
        bomb = BOMBS[coding]
        assert len(bomb) < 256 * MIB / 900
        async with unchanged():
            tracemalloc.start()
            try:
                response = await post(client, path, coding, bomb, **new_key())
                _, peak = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
        problem(response, 413, "payload_too_large")
        assert peak < 3 * MAX_BODY

    async def test_a_body_of_just_the_limit_is_read_and_no_more(self, client: AsyncClient) -> None:
        valid = json.dumps(draft()).encode()
        just = zstandard.compress(valid + b" " * (MAX_BODY - len(valid)))
        assert (await post(client, "/v1/products", "zstd", just)).status_code == 201
        more = zstandard.compress(valid + b" " * (MAX_BODY - len(valid) + 1))
        problem(await post(client, "/v1/products", "zstd", more), 413, "payload_too_large")

    @pytest.mark.parametrize("coding", CODECS)
    async def test_damage_is_a_400_that_names_the_header(
        self, client: AsyncClient, unchanged: Unchanged, coding: str
    ) -> None:
        body = packed(coding, draft())
        async with unchanged():
            for damaged in (body[:-1], body + b"x", body[3:], b"{}", b"\0" * 100):
                response = await post(client, "/v1/products", coding, damaged)
                problem(response, 400, "malformed_request")
                assert pointers(response, 400) == {"Content-Encoding"}

    async def test_an_unknown_coding_is_a_415_that_names_the_known(self, client: AsyncClient) -> None:
        response = await post(client, "/v1/products", "br", b"{}")
        problem(response, 415, "unsupported_media_type")
        assert response.headers["accept-encoding"] == "gzip, zstd"


class TestHead:
    @pytest.mark.parametrize("operation", READS, ids=str)
    async def test_whatever_answers_get_answers_head(self, client: AsyncClient, operation: Operation) -> None:
        call = await new_call(client, operation.name)
        headers = {**call.headers, "X-Request-Id": "r1", "Accept-Encoding": "zstd"}
        got = await client.get(call.path, params=call.query, headers=headers)
        head = await client.head(call.path, params=call.query, headers=headers)
        assert (head.status_code, head.content) == (got.status_code, b"")
        for name in REPRESENTATION:
            assert head.headers.get(name) == got.headers.get(name), name

    async def test_its_length_is_that_of_the_encoded_body(self, client: AsyncClient, page: str) -> None:
        got = await get(client, page, "zstd")
        head = await client.head(page, headers={"Accept-Encoding": "zstd"})
        assert head.headers["content-encoding"] == "zstd"
        assert int(head.headers["content-length"]) == got.num_bytes_downloaded

    async def test_conditions_hold_for_it_as_well(self, client: AsyncClient, product: Json) -> None:
        path = f"/v1/products/{product['id']}"
        head = await client.head(path)
        again = await client.head(path, headers={"If-None-Match": head.headers["etag"]})
        assert (head.status_code, again.status_code) == (200, 304)

    async def test_the_pages_answer_it_too(self, anonymous: AsyncClient) -> None:
        for path in ("/docs", "/openapi.json", "/livez", "/static/redoc-2.5.4/redoc.standalone.js"):
            assert (await anonymous.head(path)).status_code == 200

    async def test_nobody_gets_past_the_key_with_it(self, anonymous: AsyncClient) -> None:
        assert (await anonymous.head("/v1/products")).status_code == 401

    async def test_there_is_none_where_there_is_no_get(self, client: AsyncClient) -> None:
        response = await client.head("/v1/stock/receipts")
        assert (response.status_code, response.headers["allow"], response.content) == (405, "POST", b"")


def test_the_server_as_it_runs_speaks_all_of_it(server: WarehouseServer) -> None:
    key = {"Authorization": f"Bearer {server.key(Role.ADMIN)}"}
    with httpx.Client(base_url=server.url, headers=key, trust_env=False, verify=TLS) as http:
        body = packed("zstd", {"products": [draft() for _ in range(200)]})
        headers = {"Content-Type": "application/json", "Content-Encoding": "zstd"}
        assert http.post("/v1/products/batch", content=body, headers=headers).json()["created"] == 200
        for encoding in CODECS:
            accept = {"Accept-Encoding": encoding}
            head, got = (http.request(method, "/v1/products?limit=200", headers=accept) for method in ("HEAD", "GET"))
            assert len(got.json()["data"]) == 200
            assert (head.content, head.headers["content-encoding"]) == (b"", encoding)
            assert int(head.headers["content-length"]) == got.num_bytes_downloaded
        snapshot = http.head("/v1/products/snapshot", headers={"Accept-Encoding": "gzip"})
        assert (snapshot.status_code, snapshot.content) == (200, b"")
        bomb = http.post("/v1/products", content=BOMBS["zstd"], headers=headers)
        assert bomb.status_code == 413
