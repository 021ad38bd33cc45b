"""Warehouses and locations over HTTP."""

from typing import Any
from uuid import uuid4

import pytest
from httpx import AsyncClient, Response

from tests.conftest import ClientAs
from warehouse.auth.model import Role


def new_code() -> str:
    return f"C-{uuid4().hex[:12]}"


async def made_warehouse(client: AsyncClient, **fields: Any) -> Response:
    response = await client.post("/v1/warehouses", json={"code": new_code(), "name": "Harbour", **fields})
    assert response.status_code == 201, response.text
    return response


async def made_location(client: AsyncClient, warehouse: Response, **fields: Any) -> Response:
    path = f"/v1/warehouses/{warehouse.json()['id']}/locations"
    response = await client.post(path, json={"code": new_code(), **fields})
    assert response.status_code == 201, response.text
    return response


@pytest.fixture
async def warehouse(client: AsyncClient) -> Response:
    return await made_warehouse(client)


@pytest.fixture
async def location(client: AsyncClient, warehouse: Response) -> Response:
    return await made_location(client, warehouse)


@pytest.fixture(params=["warehouse", "location"])
def place(request: pytest.FixtureRequest, warehouse: Response, location: Response) -> Response:
    """The answer that made a warehouse (without locations), then the one that made a location."""
    return location if request.param == "location" else warehouse


def problem(response: Response, status: int, code: str) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = response.json()
    assert document["code"] == code
    return document


def pointers(response: Response) -> list[str]:
    return [error["pointer"] for error in problem(response, 422, "invalid")["errors"]]


class TestReading:
    async def test_a_warehouse_is_answered_with_the_documented_fields(self, client: AsyncClient) -> None:
        made = await made_warehouse(client, code="  Straße-1" + uuid4().hex, address="Quay 2\n20457 Hamburg")
        assert list(made.json()) == ["id", "code", "name", "address", "status", "version", "created_at", "updated_at"]
        assert made.json()["code"].startswith("Straße-1")
        assert (made.json()["status"], made.json()["version"]) == ("active", 1)
        assert made.json()["created_at"].endswith("Z")

    async def test_a_location_is_answered_with_the_documented_fields(
        self, client: AsyncClient, warehouse: Response, location: Response
    ) -> None:
        inner = (await made_location(client, warehouse, parent_id=location.json()["id"], kind="transit")).json()
        fields = ["id", "warehouse_id", "parent_id", "code", "name", "kind", "version", "created_at", "updated_at"]
        assert list(inner) == fields
        assert (inner["warehouse_id"], inner["parent_id"]) == (warehouse.json()["id"], location.json()["id"])
        assert (inner["kind"], location.json()["kind"], inner["name"]) == ("transit", "storage", None)

    async def test_what_was_made_stands_where_the_answer_says(self, client: AsyncClient, place: Response) -> None:
        read = await client.get(place.headers["location"])
        assert (read.status_code, read.content) == (200, place.content)
        assert read.headers["etag"] == place.headers["etag"]

    async def test_what_the_client_has_is_not_sent_again(self, client: AsyncClient, place: Response) -> None:
        path, tag = place.headers["location"], place.headers["etag"]
        again = await client.get(path, headers={"If-None-Match": tag})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)

    @pytest.mark.parametrize("path", ["/v1/warehouses", "/v1/locations"])
    async def test_what_there_is_not_is_not_found(self, client: AsyncClient, path: str) -> None:
        for response in (
            await client.get(f"{path}/{uuid4()}"),
            await client.patch(f"{path}/{uuid4()}", json={"code": "X"}, headers={"If-Match": "*"}),
            await client.delete(f"{path}/{uuid4()}", headers={"If-Match": "*"}),
        ):
            problem(response, 404, "not_found")

    async def test_an_unknown_warehouse_has_no_locations(self, client: AsyncClient) -> None:
        path = f"/v1/warehouses/{uuid4()}/locations"
        problem(await client.get(path), 404, "not_found")
        problem(await client.post(path, json={"code": "A"}), 404, "not_found")

    @pytest.mark.parametrize("path", ["/v1/warehouses/7", "/v1/warehouses/7/locations", "/v1/locations/7"])
    async def test_what_is_no_id_is_named(self, client: AsyncClient, path: str) -> None:
        name = "location_id" if path.startswith("/v1/locations") else "warehouse_id"
        assert pointers(await client.get(path)) == [f"{{{name}}}"]


class TestMaking:
    async def test_the_same_request_under_one_key_makes_one_warehouse(self, client: AsyncClient) -> None:
        body, headers = {"code": new_code(), "name": "Harbour"}, {"Idempotency-Key": str(uuid4())}
        first, second = [await client.post("/v1/warehouses", json=body, headers=headers) for _ in range(2)]
        assert (first.status_code, second.status_code) == (201, 201)
        assert second.content == first.content
        assert second.headers["etag"] == first.headers["etag"]
        assert second.headers["idempotent-replayed"] == "true"

    async def test_a_code_that_is_taken_is_named(self, client: AsyncClient, warehouse: Response) -> None:
        body = {"code": warehouse.json()["code"].lower(), "name": "Other"}
        taken = problem(await client.post("/v1/warehouses", json=body), 409, "duplicate_code")
        assert [error["pointer"] for error in taken["errors"]] == ["/code"]

    async def test_an_archived_warehouse_takes_no_location(self, client: AsyncClient) -> None:
        archived = await made_warehouse(client, status="archived")
        response = await client.post(f"/v1/warehouses/{archived.json()['id']}/locations", json={"code": "A"})
        problem(response, 409, "archived")

    @pytest.mark.parametrize(
        ("body", "pointer"),
        [
            ({"name": "N"}, "/code"),
            ({"code": "C"}, "/name"),
            ({"code": "", "name": "N"}, "/code"),
            ({"code": "   ", "name": "N"}, "/code"),
            ({"code": "x" * 65, "name": "N"}, "/code"),
            ({"code": "a\0b", "name": "N"}, "/code"),
            ({"code": "a\nb", "name": "N"}, "/code"),
            ({"code": 7, "name": "N"}, "/code"),
            ({"code": "C", "name": None}, "/name"),
            ({"code": "C", "name": "x" * 256}, "/name"),
            ({"code": "C", "name": "N", "address": "x" * 513}, "/address"),
            ({"code": "C", "name": "N", "status": "closed"}, "/status"),
            ({"code": "C", "name": "N", "colour": "red"}, "/colour"),
        ],
    )
    async def test_a_bad_field_of_a_warehouse_is_named(
        self, client: AsyncClient, body: dict[str, Any], pointer: str
    ) -> None:
        assert pointers(await client.post("/v1/warehouses", json=body)) == [pointer]

    @pytest.mark.parametrize(
        ("body", "pointer"),
        [
            ({}, "/code"),
            ({"code": "C", "kind": "attic"}, "/kind"),
            ({"code": "C", "kind": None}, "/kind"),
            ({"code": "C", "name": ""}, "/name"),
            ({"code": "C", "parent_id": "up"}, "/parent_id"),
            ({"code": "C", "parent_id": str(uuid4())}, "/parent_id"),
            ({"code": "C", "warehouse_id": str(uuid4())}, "/warehouse_id"),
        ],
    )
    async def test_a_bad_field_of_a_location_is_named(
        self, client: AsyncClient, warehouse: Response, body: dict[str, Any], pointer: str
    ) -> None:
        path = f"/v1/warehouses/{warehouse.json()['id']}/locations"
        assert pointers(await client.post(path, json=body)) == [pointer]

    async def test_a_lone_surrogate_is_named(self, client: AsyncClient) -> None:
        body, headers = rb'{"code": "a\ud800", "name": "N"}', {"Content-Type": "application/json"}
        response = await client.post("/v1/warehouses", content=body, headers=headers)
        assert response.status_code in (400, 422)

    async def test_a_parent_in_another_warehouse_is_named(self, client: AsyncClient, location: Response) -> None:
        other = await made_warehouse(client)
        body = {"code": "A", "parent_id": location.json()["id"]}
        response = await client.post(f"/v1/warehouses/{other.json()['id']}/locations", json=body)
        assert pointers(response) == ["/parent_id"]


class TestChanging:
    async def test_a_change_takes_the_fields_given_and_has_a_new_tag(
        self, client: AsyncClient, place: Response
    ) -> None:
        path, tag = place.headers["location"], place.headers["etag"]
        changed = await client.patch(
            path,
            content=b'{"name": "Quay"}',
            headers={"If-Match": tag, "Content-Type": "application/merge-patch+json"},
        )
        assert changed.status_code == 200, changed.text
        expected = {**place.json(), "name": "Quay", "version": 2, "updated_at": changed.json()["updated_at"]}
        assert changed.json() == expected
        assert changed.headers["etag"] != tag
        read = await client.get(path)
        assert (read.content, read.headers["etag"]) == (changed.content, changed.headers["etag"])

    async def test_null_clears_what_may_be_empty(
        self, client: AsyncClient, warehouse: Response, location: Response
    ) -> None:
        inner = await made_location(client, warehouse, name="Bin", parent_id=location.json()["id"])
        freed = await client.patch(
            inner.headers["location"], json={"name": None, "parent_id": None}, headers={"If-Match": "*"}
        )
        assert (freed.json()["name"], freed.json()["parent_id"]) == (None, None)
        addressed = await made_warehouse(client, address="Quay 2")
        cleared = await client.patch(addressed.headers["location"], json={"address": None}, headers={"If-Match": "*"})
        assert cleared.json()["address"] is None

    @pytest.mark.parametrize("name", ["code", "name", "status"])
    async def test_null_for_what_a_warehouse_must_have_is_refused(
        self, client: AsyncClient, warehouse: Response, name: str
    ) -> None:
        path = warehouse.headers["location"]
        assert pointers(await client.patch(path, json={name: None}, headers={"If-Match": "*"})) == [f"/{name}"]

    @pytest.mark.parametrize("name", ["code", "kind"])
    async def test_null_for_what_a_location_must_have_is_refused(
        self, client: AsyncClient, location: Response, name: str
    ) -> None:
        path = location.headers["location"]
        assert pointers(await client.patch(path, json={name: None}, headers={"If-Match": "*"})) == [f"/{name}"]

    async def test_a_location_cannot_change_its_warehouse(self, client: AsyncClient, location: Response) -> None:
        body = {"warehouse_id": str(uuid4())}
        response = await client.patch(location.headers["location"], json=body, headers={"If-Match": "*"})
        assert pointers(response) == ["/warehouse_id"]

    async def test_a_location_cannot_move_into_itself(
        self, client: AsyncClient, warehouse: Response, location: Response
    ) -> None:
        inner = await made_location(client, warehouse, parent_id=location.json()["id"])
        body = {"parent_id": inner.json()["id"]}
        response = await client.patch(location.headers["location"], json=body, headers={"If-Match": "*"})
        assert pointers(response) == ["/parent_id"]

    async def test_changes_and_deletions_need_a_precondition(self, client: AsyncClient, place: Response) -> None:
        path = place.headers["location"]
        problem(await client.patch(path, json={"code": "X"}), 428, "precondition_required")
        problem(await client.delete(path), 428, "precondition_required")
        problem(await client.delete(path, headers={"If-Match": "garbage"}), 400, "bad_precondition")

    async def test_a_stale_change_is_told_the_current_version(self, client: AsyncClient, place: Response) -> None:
        path, old = place.headers["location"], {"If-Match": place.headers["etag"]}
        assert (await client.patch(path, json={"code": new_code()}, headers=old)).status_code == 200
        for response in (
            await client.patch(path, json={"code": new_code()}, headers=old),
            await client.delete(path, headers=old),
        ):
            assert problem(response, 412, "stale_version")["current_version"] == 2

    async def test_what_is_deleted_is_gone(self, client: AsyncClient, location: Response) -> None:
        for made in (location, await made_warehouse(client)):
            path = made.headers["location"]
            deleted = await client.delete(path, headers={"If-Match": made.headers["etag"]})
            assert (deleted.status_code, deleted.content) == (204, b"")
            problem(await client.get(path), 404, "not_found")

    async def test_what_has_locations_in_it_stays(
        self, client: AsyncClient, warehouse: Response, location: Response
    ) -> None:
        await made_location(client, warehouse, parent_id=location.json()["id"])
        for made in (location, warehouse):
            problem(await client.delete(made.headers["location"], headers={"If-Match": "*"}), 409, "in_use")


class TestLists:
    @pytest.mark.parametrize("sort", ["code", "-code"])
    async def test_pages_lead_through_all_locations_in_order(
        self, client: AsyncClient, warehouse: Response, sort: str
    ) -> None:
        for code in ("a", "B", "c", "D", "e"):
            await made_location(client, warehouse, code=code)
        path = f"/v1/warehouses/{warehouse.json()['id']}/locations?sort={sort}&limit=2"
        codes, pages = [], 0
        while path:
            page = await client.get(path)
            codes += [location["code"] for location in page.json()["data"]]
            pages += 1
            assert page.json()["has_more"] == (page.json()["next_cursor"] is not None)
            path = page.links["next"]["url"] if "next" in page.links else ""
        assert codes == sorted("aBcDe", key=str.casefold, reverse=sort == "-code")
        assert pages == 3

    async def test_filters_choose(self, client: AsyncClient, warehouse: Response, location: Response) -> None:
        inner = await made_location(client, warehouse, kind="shipping", parent_id=location.json()["id"])
        path = f"/v1/warehouses/{warehouse.json()['id']}/locations"
        for query in ("kind=shipping", f"parent_id={location.json()['id']}"):
            assert (await client.get(f"{path}?{query}")).json()["data"] == [inner.json()]
        assert (await client.get(f"{path}?kind=transit")).json()["data"] == []

    async def test_warehouses_are_chosen_by_status(self, client: AsyncClient, warehouse: Response) -> None:
        archived = await made_warehouse(client, status="archived")
        found = (await client.get("/v1/warehouses?status=archived&limit=1000")).json()["data"]
        assert archived.json() in found
        assert {each["status"] for each in found} == {"archived"}
        assert warehouse.json() not in found

    async def test_a_cursor_holds_for_its_own_list_alone(self, client: AsyncClient) -> None:
        lists = []
        for _ in range(2):
            warehouse = await made_warehouse(client)
            for _ in range(2):
                await made_location(client, warehouse)
            lists.append(f"/v1/warehouses/{warehouse.json()['id']}/locations")
        cursor = (await client.get(f"{lists[0]}?limit=1")).json()["next_cursor"]
        for path in (
            f"{lists[1]}?cursor={cursor}",
            f"{lists[0]}?sort=-code&cursor={cursor}",
            f"{lists[0]}?kind=storage&cursor={cursor}",
            f"/v1/warehouses?cursor={cursor}",
            "/v1/warehouses?cursor=garbage",
        ):
            problem(await client.get(path), 400, "bad_cursor")

    @pytest.mark.parametrize("query", ["colour=red", "sort=name", "limit=0", "limit=1001", "status=closed"])
    async def test_a_bad_parameter_is_named(self, client: AsyncClient, query: str) -> None:
        name = query.partition("=")[0]
        assert pointers(await client.get(f"/v1/warehouses?{query}")) == [f"?{name}"]


class TestRoles:
    async def test_operators_read_and_managers_change(self, client_as: ClientAs, location: Response) -> None:
        path = location.headers["location"]
        operator, manager = [await client_as(role) for role in (Role.OPERATOR, Role.MANAGER)]
        assert (await operator.get(path)).status_code == 200
        problem(await operator.patch(path, json={"name": "X"}, headers={"If-Match": "*"}), 403, "forbidden")
        problem(await operator.post("/v1/warehouses", json={"code": "C", "name": "N"}), 403, "forbidden")
        assert (await manager.patch(path, json={"name": "X"}, headers={"If-Match": "*"})).status_code == 200
