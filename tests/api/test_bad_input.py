"""Bad input of every kind: each is answered with a 4xx problem document that names the fault, and changes nothing.

That the problem documents are as the OpenAPI document says is checked by the client's hook (contract.py).
"""

import gzip
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any
from uuid import uuid4

import pytest
from httpx import AsyncClient, Response
from sqlalchemy import func, select

from tests.api.calls import (
    Call,
    Json,
    Records,
    made,
    new_call,
    new_key,
    new_location,
    new_product,
    new_records,
    new_reservation,
    new_warehouse,
)
from tests.api.document import OPERATIONS, Operation
from tests.api.mutations import mutations
from warehouse.storage.database import SqlDatabase
from warehouse.storage.tables import metadata

JSON = {"Content-Type": "application/json"}
WITH_BODY = [operation for operation in OPERATIONS.values() if operation.body is not None]
WITH_QUERY = [operation for operation in OPERATIONS.values() if operation.parameters("query")]
WITH_PATH = [operation for operation in OPERATIONS.values() if operation.path_parameters and operation.role]
VERSIONED = [operation for operation in OPERATIONS.values() if "If-Match" in operation.parameters("header")]
KEYED = [operation for operation in OPERATIONS.values() if "Idempotency-Key" in operation.parameters("header")]
MAX_BODY = 8 * 1024 * 1024

Unchanged = Callable[[], AbstractAsyncContextManager[None]]


@pytest.fixture
def unchanged(database: SqlDatabase) -> Unchanged:
    """`async with unchanged():` what is done there must leave every record as it is."""

    @asynccontextmanager
    async def unchanged() -> AsyncIterator[None]:
        before = await _state(database)
        yield
        assert await _state(database) == before

    return unchanged


async def _state(database: SqlDatabase) -> Mapping[str, Sequence[Any]]:
    """For each table how many rows it has, the sum of its numbers, and its latest time."""
    state: dict[str, Sequence[Any]] = {}
    async with database.connect(read_only=True) as connection:
        for table in metadata.sorted_tables:
            if table.name == "commands":  # refusals by the state of the records are kept as answers
                continue
            sums = [
                func.sum(table.c[name])
                for name in ("version", "on_hand", "reserved", "delta", "quantity")
                if name in table.c
            ]
            latest = [func.max(table.c[name]) for name in ("updated_at", "revoked_at") if name in table.c]
            row = (await connection.execute(select(func.count(), *sums, *latest).select_from(table))).one()
            state[table.name] = tuple(row)
    return state


@pytest.fixture(scope="module")
async def records(client: AsyncClient) -> Records:
    return await new_records(client)


def problem(response: Response, status: int, code: str) -> Json:
    assert response.status_code == status, response.text
    document: Json = response.json()
    assert document["code"] == code, response.text
    return document


def pointers(response: Response) -> set[str]:
    """Where a 422 says that the faults are."""
    assert response.status_code == 422, response.text
    return {error["pointer"] for error in response.json()["errors"]}


async def send_raw(call: Call, client: AsyncClient, body: bytes, **headers: str) -> Response:
    return await call.with_new_key().send(client, content=body, headers={**call.with_new_key().headers, **JSON, **headers})


class TestBodies:
    @pytest.mark.parametrize("operation", WITH_BODY, ids=str)
    async def test_every_field_of_a_wrong_type_or_beyond_its_bounds_is_named(
        self, client: AsyncClient, unchanged: Unchanged, operation: Operation
    ) -> None:
        call = await new_call(client, operation.name)
        assert operation.body is not None
        async with unchanged():
            for mutation in mutations(call.json, operation.body):
                response = await send_raw(call, client, json.dumps(mutation.body).encode())
                assert response.status_code == 422, f"{mutation}: {response.text}"
                assert pointers(response) == {mutation.pointer}, mutation
        assert (await call.send(client)).is_success

    async def test_every_bad_field_of_a_row_in_a_batch_is_named_in_its_result(
        self, client: AsyncClient, unchanged: Unchanged
    ) -> None:
        call = await new_call(client, "upsert_products")
        row, schema = call.json["products"][0], OPERATIONS["upsert_products"].body["properties"]["products"]["items"]
        async with unchanged():
            for mutation in mutations(row, schema):
                response = await send_raw(call, client, json.dumps({"products": [mutation.body]}).encode())
                print(mutation, response.text)
