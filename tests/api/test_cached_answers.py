"""Whatever is written, no answer from the cache is older."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import Any

import pytest
from httpx import ASGITransport, AsyncClient, Response

from tests.api.calls import made, new_call, new_code, new_key, new_product, new_records, new_reservation
from tests.api.document import OPERATIONS
from tests.conftest import FreshDatabase
from tests.servers import Backend, Valkey
from tests.serving import check
from warehouse.app import create_app
from warehouse.auth.model import Role
from warehouse.container import Container
from warehouse.exchange.importing import ImportKind, ImportReport
from warehouse.settings import DatabaseSettings, RedisSettings, Settings
from warehouse.storage.migrations import migrate

STATUS = "cache-status"
ANEW = {"Cache-Control": "no-cache"}
WRITES = [name for name, operation in OPERATIONS.items() if operation.method != "GET"]
WAITING_SECONDS = 30
MOVED, MOMENT = "sku,location,quantity,type,timestamp", "2026-01-01T00:00:00Z"


@pytest.fixture(scope="module")
async def container(backend: Backend, fresh_database: FreshDatabase, valkey: Valkey) -> AsyncIterator[Container]:
    """On a database of its own: others, who know nothing of its Valkey, would switch its cache off."""
    url = fresh_database(backend)
    await asyncio.to_thread(migrate, url)
    container = Container(Settings(database=DatabaseSettings(url=url), redis=RedisSettings(url=valkey.url())))
    yield container
    await container.close()
    await asyncio.to_thread(check, url)


@pytest.fixture(scope="module")
async def cached(container: Container) -> AsyncIterator[AsyncClient]:
    """A client of an application whose cache is in use."""
    assert container.store is not None
    key = (await container.api_keys.issue("test", Role.ADMIN)).secret.text
    watching = asyncio.create_task(container.fence.run(container.store))
    async with AsyncClient(
        transport=ASGITransport(create_app(container.settings, container)),
        base_url="http://warehouse.test",
        headers={"Authorization": f"Bearer {key}"},
    ) as client:
        async with asyncio.timeout(WAITING_SECONDS):
            while container.fence.usable is None:  # noqa: ASYNC110 (the fence waits out its time)
                await asyncio.sleep(0.05)
        yield client
    watching.cancel()
    with suppress(asyncio.CancelledError):
        await watching


def shown(response: Response) -> tuple[int, str | None, Any]:
    """What the answer says, without what is of the single request."""
    body = response.json()
    body.pop("request_id", None)
    return response.status_code, response.headers.get("etag"), body


async def watched(client: AsyncClient) -> Sequence[str]:
    """Every kind of read, of the latest records."""
    products = (await client.get("/v1/products?sort=-created_at&limit=2", headers=ANEW)).json()["data"]
    warehouse = (await client.get("/v1/warehouses?sort=-code&limit=1000", headers=ANEW)).json()["data"]
    latest = max(warehouse, key=lambda each: str(each["created_at"]))["id"] if warehouse else ""
    places = (await client.get(f"/v1/warehouses/{latest}/locations", headers=ANEW)).json().get("data", [])
    return [
        *(
            path
            for each in products
            for path in (
                f"/v1/products/{each['id']}",
                f"/v1/products/by-sku/{each['sku'].lower()}",
                f"/v1/products?q={each['sku']}",
                f"/v1/stock?product_id={each['id']}",
                f"/v1/stock?product_id={each['id']}&low=true",
                f"/v1/stock?sku={each['sku']}",
                f"/v1/stock/summary/{each['id']}",
            )
        ),
        "/v1/products?sort=-updated_at",
        "/v1/warehouses",
        f"/v1/warehouses/{latest}",
        f"/v1/warehouses/{latest}/locations",
        *(f"/v1/locations/{place['id']}" for place in places),
        *(f"/v1/stock?location_id={place['id']}" for place in places),
        f"/v1/stock?warehouse_id={latest}",
        "/v1/stock?low=true&limit=1000",
    ]


async def test_the_second_answer_is_a_hit_and_the_same(cached: AsyncClient) -> None:
    await new_reservation(cached, await new_records(cached))
    for path in await watched(cached):
        first, second = await cached.get(path), await cached.get(path)
        assert first.headers[STATUS] in ("Warehouse; fwd=uri-miss; stored", "Warehouse; hit"), path
        assert second.headers[STATUS] == "Warehouse; hit", path
        assert shown(first) == shown(second)


@pytest.mark.parametrize("name", WRITES)
async def test_no_write_leaves_an_older_answer(cached: AsyncClient, name: str) -> None:
    call = await new_call(cached, name)
    paths = await watched(cached)
    for path in paths:
        await cached.get(path)
    response = await call.send(cached)
    assert response.is_success, response.text
    for path in paths:
        assert shown(await cached.get(path)) == shown(await cached.get(path, headers=ANEW)), path


async def test_a_replay_releases_again_what_a_first_run_may_have_left(
    cached: AsyncClient, container: Container
) -> None:
    """As if the first run had died before its release: it then was never answered."""
    records = await new_records(cached)
    path = f"/v1/stock?product_id={records.product['id']}"
    key, body = new_key(), {"lines": [records.line]}
    kept, container.uow._release = container.uow._release, _forget
    try:
        await cached.get(path)
        await cached.post("/v1/stock/receipts", json=body, headers=key)
        assert (await cached.get(path)).json()["data"][0]["on_hand"] == 10
    finally:
        container.uow._release = kept
    replayed = await cached.post("/v1/stock/receipts", json=body, headers=key)
    assert replayed.headers["idempotent-replayed"] == "true"
    assert (await cached.get(path)).json()["data"][0]["on_hand"] == 12


async def _forget(_: object) -> None:
    """Releases nothing."""


async def test_what_was_not_found_is_found_as_soon_as_it_is_made(cached: AsyncClient) -> None:
    path = "/v1/products/by-sku/new-sku"
    for status in ("Warehouse; fwd=uri-miss; stored", "Warehouse; hit; detail=negative"):
        response = await cached.get(path)
        assert (response.status_code, response.headers[STATUS]) == (404, status)
        assert response.json()["request_id"] == response.headers["x-request-id"]
    await new_product(cached, sku="New-SKU")
    assert (await cached.get(path)).status_code == 200


async def when_freed(client: AsyncClient, path: str, expires_at: datetime) -> Response:
    """The first summary without the reservation of 2. Who asks after its end is never told of it: not who is answered
    then, for an answer may take its time."""
    while True:
        asked = datetime.now(UTC)
        answer = await client.get(path)
        if answer.json()["reserved"] != 2:
            return answer
        assert asked < expires_at + timedelta(seconds=0.5)


async def test_stock_is_not_kept_beyond_the_end_of_a_reservation(cached: AsyncClient) -> None:
    records = await new_records(cached)
    path = f"/v1/stock/summary/{records.product['id']}"
    expires_at = datetime.now(UTC) + timedelta(seconds=1)
    await made(cached, "/v1/reservations", {"lines": [records.line], "expires_at": expires_at.isoformat()})
    assert (await cached.get(path)).json()["reserved"] == 2
    answer = await when_freed(cached, path, expires_at)
    assert answer.json()["available"] == 10
    assert datetime.now(UTC) >= expires_at


@pytest.mark.parametrize("path", ["/v1/products?limit=2", "/v1/warehouses", "/v1/stock?limit=3"])
async def test_a_client_may_ask_anew_and_may_have_it_already(cached: AsyncClient, path: str) -> None:
    await new_records(cached)
    anew = await cached.get(path, headers=ANEW)
    assert anew.headers[STATUS] == "Warehouse; fwd=request"
    for encoding in ("identity", "gzip", "zstd"):
        await cached.get(path)
        hit = await cached.get(path, headers={"Accept-Encoding": encoding})
        assert hit.headers[STATUS] == "Warehouse; hit"
        assert hit.headers.get("content-encoding", "identity") == encoding
        assert hit.json() == anew.json()
        assert hit.headers["vary"] == "Accept-Encoding"
        again = await cached.get(path, headers={"If-None-Match": hit.headers["etag"], "Accept-Encoding": encoding})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", hit.headers["etag"])
    assert (
        len({(await cached.get(path, headers={"Accept-Encoding": each})).headers["etag"] for each in ("", "gzip")}) == 2
    )


async def test_neither_a_wrong_nor_a_forbidden_request_gets_a_cached_answer(cached: AsyncClient) -> None:
    assert (await cached.get("/v1/products")).status_code == 200
    assert (await cached.get("/v1/products")).headers[STATUS] == "Warehouse; hit"
    for query, status in (("colour=red", 422), ("limit=5&limit=5", 422), ("limit=x", 422), ("cursor=x", 400)):
        for _ in range(2):
            assert (await cached.get(f"/v1/products?{query}")).status_code == status
    assert (await cached.get("/v1/products", headers={"Authorization": "Bearer nobody"})).status_code == 401
    assert (await cached.get("/v1/products", headers={"Accept-Encoding": "identity;q=0"})).status_code == 406


async def test_whoever_refuses_the_plain_body_gets_even_a_small_one_encoded(cached: AsyncClient) -> None:
    for _ in range(2):
        response = await cached.get("/v1/stock?lot=none", headers={"Accept-Encoding": "identity;q=0, gzip"})
        assert (response.json()["data"], response.headers["content-encoding"]) == ([], "gzip")


async def test_the_order_of_parameters_makes_no_other_answer(cached: AsyncClient) -> None:
    await cached.get("/v1/products?limit=7&sort=-sku")
    assert (await cached.get("/v1/products?sort=-sku&limit=7")).headers[STATUS] == "Warehouse; hit"


async def test_every_answer_says_what_the_cache_did(cached: AsyncClient) -> None:
    assert (await cached.get("/v1/integrity")).headers[STATUS] == "Warehouse; fwd=bypass"
    assert (await cached.post("/v1/products", json={})).headers[STATUS] == "Warehouse; fwd=method"


async def imported(container: Container, kind: ImportKind, *lines: str) -> ImportReport:
    file = BytesIO("\n".join(lines).encode())
    return await container.importer.run(kind, file, name="rows.csv", atomic=False)


async def test_an_import_of_products_leaves_no_older_answer(cached: AsyncClient, container: Container) -> None:
    sku, new = (await new_product(cached))["sku"], new_code("SKU")
    paths = f"/v1/products/by-sku/{sku}", f"/v1/products/by-sku/{new}"
    for path in paths:
        await cached.get(path)
    await imported(container, ImportKind.PRODUCTS, "sku,name", f"{sku},Another name", f"{new},New")
    assert [(await cached.get(path)).json()["name"] for path in paths] == ["Another name", "New"]


async def test_an_import_of_movements_leaves_no_older_answer(cached: AsyncClient, container: Container) -> None:
    records = await new_records(cached)
    path = f"/v1/stock/summary/{records.product['id']}"
    await cached.get(path)
    row = f"{records.product['sku']},{records.location['code']},5,receipt,{MOMENT}"
    await imported(container, ImportKind.MOVEMENTS, MOVED, row)
    assert (await cached.get(path)).json()["on_hand"] == 15


async def test_a_lot_that_expires_does_so_in_every_cached_balance(cached: AsyncClient) -> None:
    records = await new_records(cached)
    line = records.lot_line
    await made(cached, "/v1/stock/receipts", {"lines": [line]})
    path = f"/v1/stock?location_id={records.location['id']}&product_id={records.tracked['id']}"
    assert (await cached.get(path)).json()["data"][0]["expires_on"] is None
    elsewhere = {**line, "location_id": records.other_location["id"], "expires_on": "2031-12-24"}
    await made(cached, "/v1/stock/receipts", {"lines": [elsewhere]})
    assert (await cached.get(path)).json()["data"][0]["expires_on"] == "2031-12-24"


async def test_a_reservation_may_be_cut_short(cached: AsyncClient) -> None:
    records = await new_records(cached)
    reservation = await new_reservation(cached, records)
    path = f"/v1/stock/summary/{records.product['id']}"
    assert (await cached.get(path)).json()["reserved"] == 2
    expires_at = datetime.now(UTC) + timedelta(seconds=1)
    extend = f"/v1/reservations/{reservation['id']}/extend"
    response = await cached.post(extend, json={"expires_at": expires_at.isoformat()}, headers=new_key())
    assert response.is_success, response.text
    await when_freed(cached, path, expires_at)


SNAPSHOT = "/v1/products/snapshot"


def ids(response: Response) -> list[str]:
    if response.headers["content-type"].startswith("application/x-ndjson"):
        products = [json.loads(line) for line in response.text.splitlines()]
    else:
        products = response.json()["data"]
    return [product["id"] for product in products]


@pytest.mark.parametrize("encoding", ["identity", "gzip", "zstd"])
@pytest.mark.parametrize("form", ["application/json", "application/x-ndjson"])
class TestSnapshot:
    @pytest.fixture
    def wanted(self, encoding: str, form: str) -> dict[str, str]:
        return {"Accept-Encoding": encoding, "Accept": form}

    async def test_it_is_kept_and_is_as_new_as_the_last_write(
        self, cached: AsyncClient, wanted: dict[str, str]
    ) -> None:
        product = await new_product(cached)
        first, second = [await cached.get(SNAPSHOT, headers=wanted) for _ in range(2)]
        assert second.headers[STATUS] == "Warehouse; hit"
        assert (second.headers["etag"], second.content) == (first.headers["etag"], first.content)
        assert product["id"] in ids(second)
        newer = await new_product(cached)
        third = await cached.get(SNAPSHOT, headers=wanted)
        assert sorted(ids(third)) == sorted([*ids(second), newer["id"]])
        assert third.headers["etag"] != second.headers["etag"]
        assert ids(await cached.get(SNAPSHOT, headers={**wanted, **ANEW})) == ids(third)

    async def test_whoever_has_it_gets_it_not_again(self, cached: AsyncClient, wanted: dict[str, str]) -> None:
        etag = (await cached.get(SNAPSHOT, headers=wanted)).headers["etag"]
        again = await cached.get(SNAPSHOT, headers={**wanted, "If-None-Match": etag})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)

    async def test_an_interrupted_download_goes_on(self, cached: AsyncClient, wanted: dict[str, str]) -> None:
        await new_product(cached)
        async with cached.stream("GET", SNAPSHOT, headers=wanted) as whole:
            body = b"".join([chunk async for chunk in whole.aiter_raw()])
            etag = whole.headers["etag"]
        resumed = {**wanted, "Range": "bytes=100-", "If-Range": etag}
        async with cached.stream("GET", SNAPSHOT, headers=resumed) as rest:
            assert rest.status_code == 206
            assert rest.headers["content-range"] == f"bytes 100-{len(body) - 1}/{len(body)}"
            assert b"".join([chunk async for chunk in rest.aiter_raw()]) == body[100:]
        await new_product(cached)
        async with cached.stream("GET", SNAPSHOT, headers=resumed) as changed:
            assert changed.status_code == 200
