"""Bad paths, queries and headers: each is answered with a 4xx problem document that names the parameter, and changes
nothing."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator, Mapping
from typing import Any
from uuid import uuid4

import pytest
from httpx import AsyncClient
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.api.answers import pointers, problem
from tests.api.calls import Call, new_call, new_list, new_records
from tests.api.conftest import Unchanged
from tests.api.document import OPERATIONS, Json, Operation, resolved

ALL = list(OPERATIONS.values())
GUARDED = [operation for operation in ALL if not operation.is_public]
WITH_QUERY = [operation for operation in ALL if operation.parameters("query")]
WITH_ID = [operation for operation in ALL if any(name.endswith("_id") for name in operation.path_parameters)]
CHANGING = [operation for operation in ALL if "If-Match" in operation.parameters("header")]
COMMANDS = [operation for operation in ALL if "Idempotency-Key" in operation.parameters("header")]
LISTS = [operation for operation in ALL if "cursor" in operation.parameters("query")]


class TestPaths:
    @pytest.mark.parametrize("operation", WITH_ID, ids=str)
    async def test_what_is_no_id_is_named(
        self, client: AsyncClient, unchanged: Unchanged, operation: Operation
    ) -> None:
        call = await new_call(client, operation.name)
        (name,) = call.ids
        async with unchanged():
            for bad in (
                "7",
                "-",
                "nonsense",
                str(uuid4())[:-1],
                f"{uuid4()}0",
                "g" * 36,
                "%00",
                "a%00b",
                "%ff",
                "x" * 3000,
            ):
                assert pointers(await call.but(ids={name: bad}).send(client)) == {f"{{{name}}}"}

    @pytest.mark.parametrize("operation", WITH_ID, ids=str)
    async def test_the_id_of_something_else_is_not_found(
        self, client: AsyncClient, unchanged: Unchanged, operation: Operation
    ) -> None:
        call, records = await new_call(client, operation.name), await new_records(client)
        (name,) = call.ids
        kinds = {"product_id": records.product, "warehouse_id": records.warehouse, "location_id": records.location}
        others = [record["id"] for kind, record in kinds.items() if kind != name]
        async with unchanged():
            for other in (*others, records.receipt["command_id"], str(uuid4()), "0" * 32, "f" * 32):
                problem(await call.but(ids={name: other}).with_new_key().send(client), 404, "not_found")

    @pytest.mark.parametrize(
        "sku", [" ", "%20", "nothing", "%ff", "%f0%9f%8d%9e", "..%2f..%2fetc", "a%252Fb", "%2e%2e"]
    )
    async def test_an_unknown_sku_is_not_found(self, client: AsyncClient, sku: str) -> None:
        problem(await client.get(f"/v1/products/by-sku/{sku}"), 404, "not_found")

    async def test_a_sku_of_too_many_characters_is_named(self, client: AsyncClient) -> None:
        assert pointers(await client.get(f"/v1/products/by-sku/{'x' * 65}")) == {"{sku}"}

    @pytest.mark.parametrize(
        "path",
        ["/v1/products/", "/v1//products", "/V1/products", "/v1/Products", "/v1/products/%2e%2e/api-keys"],
    )
    async def test_another_spelling_of_a_path_is_another_path(self, client: AsyncClient, path: str) -> None:
        assert (await client.get(path)).status_code in (404, 422)


class TestQueries:
    @pytest.mark.parametrize("operation", GUARDED, ids=str)
    async def test_an_unknown_parameter_is_named(
        self, client: AsyncClient, unchanged: Unchanged, operation: Operation
    ) -> None:
        call = await new_call(client, operation.name)
        async with unchanged():
            for query, names in (
                ("colour=red", {"?colour"}),
                ("colour", {"?colour"}),
                ("=", {"?"}),
                ("LIMIT=1", {"?LIMIT"}),
                ("limit[]=1&_=2", {"?limit[]", "?_"}),
                ("%00=1", {"?\0"}),
            ):
                assert pointers(await call.with_new_key().send(client, params=query)) == names

    @pytest.mark.parametrize("operation", WITH_QUERY, ids=str)
    async def test_a_parameter_that_is_given_twice_is_named(self, client: AsyncClient, operation: Operation) -> None:
        call = await new_call(client, operation.name)
        for name, parameter in operation.parameters("query").items():
            if parameter["schema"].get("type") == "array":
                continue
            for twice in (f"{name}=1&{name}=1", f"{name}&{name}", f"{name}=&{name}=2"):
                assert pointers(await call.send(client, params=twice)) == {f"?{name}"}

    @pytest.mark.parametrize("operation", WITH_QUERY, ids=str)
    async def test_a_bad_value_is_named(self, client: AsyncClient, operation: Operation) -> None:
        call = await new_call(client, operation.name)
        required = [name for name, each in operation.parameters("query").items() if each["required"]]
        for name, parameter in operation.parameters("query").items():
            if name == "cursor":
                continue
            others = [f"{each}={call.query[each]}" for each in required if each != name]
            for value in _bad_values(resolved(parameter["schema"])):
                response = await call.send(client, params="&".join([*others, f"{name}={value}"]))
                assert pointers(response) == {f"?{name}"}, f"{name}={value}"


def _bad_values(schema: Json) -> Iterator[str]:
    """Percent-encoded."""
    yield from ("%00", "a%00b", "%ff%fe", "%ed%a0%80", "%c0%af")
    match schema:
        case {"type": "integer"}:
            yield from ("", "0", "-1", "1001", "1e2", "0x10", "1.5", "ten", "null", "%d9%a1", "9" * 30, "9" * 5000)
        case {"type": "boolean"}:
            yield from ("", "2", "maybe", "null", "[]")
        case {"format": _} | {"enum": _}:
            yield from ("", "nonsense", "null", "1;2", "' or 1=1--", "9" * 40)
        case {"maxLength": most}:
            yield "x" * (most + 1)


class TestIfMatch:
    @pytest.mark.parametrize("operation", CHANGING, ids=str)
    async def test_a_change_needs_a_precondition(
        self, client: AsyncClient, unchanged: Unchanged, operation: Operation
    ) -> None:
        call = await new_call(client, operation.name)
        async with unchanged():
            problem(await call.send(client, headers={}), 428, "precondition_required")

    @pytest.mark.parametrize("operation", CHANGING, ids=str)
    async def test_what_is_no_list_of_tags_is_named(
        self, client: AsyncClient, unchanged: Unchanged, operation: Operation
    ) -> None:
        call = await new_call(client, operation.name)
        tag = (await client.get(call.path)).headers["etag"]
        async with unchanged():
            for bad in (
                "",
                " ",
                ",",
                "garbage",
                "1",
                '"',
                '"a',
                'a"',
                "W/",
                'w/"a"',
                tag.strip('"'),
                f"{tag} {tag}",
                "**",
                f"*, {tag}",
            ):
                response = await call.send(client, headers={"If-Match": bad})
                assert problem(response, 400, "bad_precondition")["errors"][0]["pointer"] == "If-Match"

    @pytest.mark.parametrize("operation", CHANGING, ids=str)
    async def test_a_tag_of_another_version_or_record_is_stale(
        self, client: AsyncClient, unchanged: Unchanged, operation: Operation
    ) -> None:
        call, other = await new_call(client, operation.name), await new_call(client, operation.name)
        tag, others = [(await client.get(each.path)).headers["etag"] for each in (call, other)]
        async with unchanged():
            for stale in (
                others,
                f"W/{tag}",
                '"1"',
                '""',
                f'{tag[:-1]}1"',
                f'{tag[:-2]}0"',
                f'{tag[:-1]}{"9" * 40}"',
                f'{tag[:-1]}-br"',
            ):
                response = await call.send(client, headers={"If-Match": stale})
                assert problem(response, 412, "stale_version")["current_version"] == 1
        assert (await call.send(client, headers={"If-Match": f'"x", {tag[:-1]}-zstd", {others}'})).is_success


class TestIdempotencyKeys:
    @pytest.mark.parametrize("operation", COMMANDS, ids=str)
    async def test_what_is_no_key_is_named(
        self, client: AsyncClient, unchanged: Unchanged, operation: Operation
    ) -> None:
        call = await new_call(client, operation.name)
        async with unchanged():
            for bad in (
                b"",
                b" ",
                b'""',
                b'"',
                b'"a',
                b"a\x01b",
                b"a\tb",
                b"\xff",
                b"\xc3\xa4",
                b"x" * 256,
                b'"' + b"x" * 256 + b'"',
            ):
                response = await call.send(client, headers=[(b"Idempotency-Key", bad)])
                refused = problem(response, 400, "idempotency_key_malformed")
                assert refused["errors"][0]["pointer"] == "Idempotency-Key"
            two = await call.send(client, headers=[("Idempotency-Key", "a"), ("Idempotency-Key", "b")])
            problem(two, 400, "idempotency_key_malformed")

    @pytest.mark.parametrize("operation", COMMANDS, ids=str)
    async def test_where_the_document_requires_a_key_there_is_no_command_without(
        self, client: AsyncClient, unchanged: Unchanged, operation: Operation
    ) -> None:
        call = await new_call(client, operation.name)
        if operation.parameters("header")["Idempotency-Key"]["required"]:
            async with unchanged():
                problem(await call.send(client, headers={}), 400, "idempotency_key_required")
        else:
            assert (await call.send(client, headers={})).is_success

    async def test_quoted_and_bare_are_one_key(self, client: AsyncClient) -> None:
        call, key = await new_call(client, "receive_stock"), f'a "{uuid4()}" \\ b'
        escaped = key.replace("\\", "\\\\").replace('"', '\\"')
        bare = await call.send(client, headers={"Idempotency-Key": key})
        quoted = await call.send(client, headers={"Idempotency-Key": f'"{escaped}"'})
        assert (bare.status_code, quoted.content) == (201, bare.content)
        assert quoted.headers["idempotent-replayed"] == "true"


@pytest.fixture(scope="module")
async def cursors(client: AsyncClient) -> Mapping[str, tuple[Call, str]]:
    """A list of each kind, without filters, and the cursor of its second page."""
    found = {}
    for operation in LISTS:
        call = (await new_list(client, operation.name)).but(query={})
        page = await call.send(client, params={"limit": "1"})
        found[operation.name] = (call, page.json()["next_cursor"])
    return found


STATUSES = {"list_reservations": "expired", "list_tasks": "failed"}


class TestCursors:
    @pytest.mark.parametrize("operation", LISTS, ids=str)
    async def test_a_cursor_of_another_list_order_or_filter_is_refused(
        self, client: AsyncClient, cursors: Mapping[str, tuple[Call, str]], operation: Operation
    ) -> None:
        call, own = cursors[operation.name]
        assert (await call.send(client, params={"cursor": own})).is_success
        for name, (_, other) in cursors.items():
            if name != operation.name:
                problem(await call.send(client, params={"cursor": other}), 400, "bad_cursor")
        others = {"q": "bread", "status": "archived", "sort": "-code", "kind": "transit", "low": "true", "sku": "x"}
        for name in others.keys() & operation.parameters("query").keys():
            if name != "sort" or operation.name in ("list_warehouses", "list_locations"):
                value = STATUSES.get(operation.name, others[name]) if name == "status" else others[name]
                changed = {"cursor": own, name: value}
                problem(await call.send(client, params=changed), 400, "bad_cursor")

    @pytest.mark.parametrize("operation", LISTS, ids=str)
    @settings(deadline=None, max_examples=100)
    @given(data=st.data())
    async def test_a_cursor_that_was_tampered_with_is_refused_or_leads_somewhere(
        self,
        client: AsyncClient,
        cursors: Mapping[str, tuple[Call, str]],
        operation: Operation,
        data: st.DataObject,
    ) -> None:
        call, own = cursors[operation.name]
        tampered = data.draw(st.one_of(st.text(), _mangled(own), _with_other_values(own)))
        response = await call.send(client, params={"cursor": tampered})
        if response.status_code == 422:  # a NUL, or a lone surrogate
            assert pointers(response) == {"?cursor"}
        elif response.status_code != 200:
            problem(response, 400, "bad_cursor")


def _mangled(cursor: str) -> st.SearchStrategy[str]:
    """With a piece of it left out, doubled or replaced."""
    place = st.integers(0, len(cursor))
    return st.builds(lambda start, end, text: cursor[:start] + text + cursor[end:], place, place, st.text(max_size=5))


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.uuids().map(str),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(), values, max_size=3),
    max_leaves=5,
)
EXTREMES = st.sampled_from(
    [
        -(2**63),
        2**63 - 1,
        2**63,
        -62135596800000000,
        253402300799999999,
        253402300800000000,
        0,
        "0" * 32,
        "f" * 32,
        "\ud800",
        "\0",
    ]
)


def _with_other_values(cursor: str) -> st.SearchStrategy[str]:
    """Another position in the same list, in which nothing need make sense."""
    digest, *values = json.loads(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    positions = st.tuples(*(st.just(value) | EXTREMES | JSON_VALUES for value in values)).map(list)
    return (positions | st.lists(JSON_VALUES, max_size=4)).map(lambda position: _encoded([digest, *position]))


def _encoded(position: Any) -> str:
    return urlsafe_b64encode(json.dumps(position).encode()).rstrip(b"=").decode()
