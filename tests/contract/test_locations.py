"""Warehouses and locations on every database."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar
from uuid import UUID

import pytest

from tests.contract.ledger import write
from tests.contract.rows import records
from warehouse.catalogue.model import ProductDraft
from warehouse.clock import utc_now
from warehouse.commands.model import Answer, Command
from warehouse.commands.service import CommandRunner
from warehouse.errors import Code, Conflict, FieldError, Invalid, NotFound, StaleVersion
from warehouse.ids import new_id
from warehouse.locations.model import (
    CodeSort,
    Location,
    LocationDraft,
    LocationKind,
    Warehouse,
    WarehouseDraft,
    WarehouseStatus,
)
from warehouse.locations.service import LocationService
from warehouse.stock.model import NO_LOT, BalanceChange, BalanceKey
from warehouse.text import compare_key
from warehouse.unit_of_work import UnitOfWorkFactory

T = TypeVar("T", Warehouse, Location)


@pytest.fixture
def service(uow_factory: UnitOfWorkFactory) -> LocationService:
    return LocationService(uow_factory, CommandRunner(uow_factory))


@pytest.fixture
async def warehouse(service: LocationService) -> Warehouse:
    return await made_warehouse(service)


def command(key: str | None = None) -> Command:
    return Command(
        caller_id=UUID(int=1),
        actor="tester",
        key=key,
        request_hash=bytes(32),
        success=lambda result: Answer(201, f"made {result.id}".encode()),
        refusal=lambda conflict: Answer(409, conflict.detail.encode()),
    )


def new_code(start: str = "W") -> str:
    return f"{start}-{new_id().hex[-12:]}"


async def made_warehouse(service: LocationService, **fields: Any) -> Warehouse:
    draft = WarehouseDraft(**{"code": new_code(), "name": "Harbour", **fields})
    warehouse = (await service.create_warehouse(command(), draft)).result
    assert warehouse is not None
    return warehouse


async def made_location(service: LocationService, warehouse: Warehouse, **fields: Any) -> Location:
    draft = LocationDraft(**{"code": new_code("L"), **fields})
    location = (await service.create_location(command(), warehouse.id, draft)).result
    assert location is not None
    return location


async def walked(kind: type[T], page: Callable[[Sequence[Any] | None], Awaitable[Sequence[str]]]) -> list[T]:
    """Every record of a list, page by page."""
    seen: list[T] = []
    while found := await page((compare_key(seen[-1].code),) if seen else None):
        seen += records(kind, found)
    return seen


class TestWarehouses:
    async def test_reads_back_as_it_was_made(self, service: LocationService) -> None:
        warehouse = await made_warehouse(service, name="Zürich Süd", address="Gleisweg 7\n8001 Zürich")
        assert warehouse.version == 1
        assert await service.get_warehouse(warehouse.id) == warehouse

    async def test_is_found_by_its_code_in_any_case(
        self, service: LocationService, uow_factory: UnitOfWorkFactory
    ) -> None:
        warehouse = await made_warehouse(service, code=new_code("Straße"))
        async with uow_factory(read_only=True) as uow:
            assert await uow.warehouses.by_code(warehouse.code.upper()) == warehouse
            assert await uow.warehouses.find([warehouse.id, warehouse.id, new_id()]) == [warehouse]

    async def test_codes_that_differ_in_case_alone_are_one_code(
        self, service: LocationService, warehouse: Warehouse
    ) -> None:
        with pytest.raises(Conflict) as refusal:
            await made_warehouse(service, code=warehouse.code.lower())
        assert_duplicate_code(refusal.value)

    async def test_many_creations_of_one_code_at_once_make_one_warehouse(self, service: LocationService) -> None:
        code = new_code()
        results = await asyncio.gather(*[made_warehouse(service, code=code) for _ in range(10)], return_exceptions=True)
        assert sum(isinstance(result, Warehouse) for result in results) == 1
        assert {result.code for result in results if isinstance(result, Conflict)} == {Code.DUPLICATE_CODE}

    async def test_a_repeated_creation_under_one_key_gets_the_first_answer(self, service: LocationService) -> None:
        draft, key = WarehouseDraft(new_code(), "Harbour"), str(new_id())
        first, second = [await service.create_warehouse(command(key), draft) for _ in range(2)]
        assert (second.replayed, second.answer) == (True, first.answer)

    async def test_a_change_takes_the_fields_given_and_raises_the_version(
        self, service: LocationService, warehouse: Warehouse
    ) -> None:
        changed = await service.update_warehouse(warehouse.id, {"address": "Quay 2"}, {warehouse.version})
        assert (changed.code, changed.address, changed.version) == (warehouse.code, "Quay 2", 2)
        assert await service.get_warehouse(warehouse.id) == changed

    async def test_a_change_that_changes_nothing_keeps_the_version(
        self, service: LocationService, warehouse: Warehouse
    ) -> None:
        assert await service.update_warehouse(warehouse.id, {"name": warehouse.name}, None) == warehouse
        assert await service.get_warehouse(warehouse.id) == warehouse

    async def test_may_change_the_case_of_its_code(self, service: LocationService, warehouse: Warehouse) -> None:
        changed = await service.update_warehouse(warehouse.id, {"code": warehouse.code.lower()}, None)
        assert changed.code == warehouse.code.lower()

    async def test_cannot_take_the_code_of_another(self, service: LocationService, warehouse: Warehouse) -> None:
        other = await made_warehouse(service)
        with pytest.raises(Conflict) as refusal:
            await service.update_warehouse(warehouse.id, {"code": other.code}, None)
        assert_duplicate_code(refusal.value)

    async def test_of_many_changes_to_one_version_one_wins(
        self, service: LocationService, warehouse: Warehouse
    ) -> None:
        results = await asyncio.gather(
            *[service.update_warehouse(warehouse.id, {"name": f"N{n}"}, {1}) for n in range(20)],
            return_exceptions=True,
        )
        assert sum(isinstance(result, Warehouse) for result in results) == 1
        stale = [result for result in results if isinstance(result, StaleVersion)]
        assert [error.current_version for error in stale] == [2] * 19

    async def test_changes_to_any_version_all_come_through(
        self, service: LocationService, warehouse: Warehouse
    ) -> None:
        await asyncio.gather(*[service.update_warehouse(warehouse.id, {"name": f"N{n}"}, None) for n in range(8)])
        assert (await service.get_warehouse(warehouse.id)).version == 9

    async def test_a_stale_version_deletes_nothing(self, service: LocationService, warehouse: Warehouse) -> None:
        with pytest.raises(StaleVersion):
            await service.delete_warehouse(warehouse.id, {7})
        assert await service.get_warehouse(warehouse.id) == warehouse

    async def test_is_gone_once_deleted(self, service: LocationService, warehouse: Warehouse) -> None:
        await service.delete_warehouse(warehouse.id, {warehouse.version})
        for gone in (
            service.get_warehouse(warehouse.id),
            service.update_warehouse(warehouse.id, {"name": "X"}, None),
            service.delete_warehouse(warehouse.id, None),
            service.create_location(command(), warehouse.id, LocationDraft("A")),
            service.page_locations(warehouse.id, None, None, CodeSort.CODE, None, 10),
        ):
            with pytest.raises(NotFound):
                await gone

    async def test_stays_while_it_has_locations(self, service: LocationService, warehouse: Warehouse) -> None:
        location = await made_location(service, warehouse)
        with pytest.raises(Conflict) as refusal:
            await service.delete_warehouse(warehouse.id, None)
        assert refusal.value.code is Code.IN_USE
        await service.delete_location(location.id, None)
        await service.delete_warehouse(warehouse.id, None)

    async def test_deleted_while_a_location_is_made_in_it_one_of_the_two_fails(self, service: LocationService) -> None:
        for _ in range(10):
            warehouse = await made_warehouse(service)
            deletion, creation = await asyncio.gather(
                service.delete_warehouse(warehouse.id, None),
                made_location(service, warehouse),
                return_exceptions=True,
            )
            if isinstance(creation, Location):
                assert isinstance(deletion, Conflict)
                assert deletion.code is Code.IN_USE
            else:
                assert (deletion, type(creation)) == (None, NotFound)

    @pytest.mark.parametrize("sort", CodeSort)
    async def test_pages_neither_drop_nor_repeat(self, service: LocationService, sort: CodeSort) -> None:
        codes = [new_code(start) for start in ("a", "B", "c", "É", "z")]
        for number, code in enumerate(codes):
            status = WarehouseStatus.ARCHIVED if number % 2 else WarehouseStatus.ACTIVE
            await made_warehouse(service, code=code, status=status)

        async def listed(status: WarehouseStatus | None) -> list[Warehouse]:
            return await walked(Warehouse, lambda after: service.page_warehouses(status, sort, after, 2))

        everything, archived = await listed(None), await listed(WarehouseStatus.ARCHIVED)

        keys = [compare_key(warehouse.code) for warehouse in everything]
        assert keys == sorted(set(keys), reverse=sort is CodeSort.CODE_DESCENDING)
        assert {warehouse.code for warehouse in everything} >= set(codes)
        assert archived == [each for each in everything if each.status is WarehouseStatus.ARCHIVED]

    async def test_nobody_can_hold_one_that_does_not_exist(self, uow_factory: UnitOfWorkFactory) -> None:
        async with uow_factory() as uow:
            assert not await uow.warehouses.lock(new_id())


class TestLocations:
    async def test_reads_back_as_it_was_made(self, service: LocationService, warehouse: Warehouse) -> None:
        zone = await made_location(service, warehouse, name="Kühlzone", kind=LocationKind.RECEIVING)
        bin_ = await made_location(service, warehouse, parent_id=zone.id)
        assert (bin_.parent_id, bin_.kind, bin_.name) == (zone.id, LocationKind.STORAGE, None)
        assert [await service.get_location(each.id) for each in (zone, bin_)] == [zone, bin_]

    async def test_codes_are_unique_in_their_warehouse_alone(
        self, service: LocationService, warehouse: Warehouse, uow_factory: UnitOfWorkFactory
    ) -> None:
        other = await made_warehouse(service)
        here = await made_location(service, warehouse)
        there = await made_location(service, other, code=here.code.lower())
        with pytest.raises(Conflict) as refusal:
            await made_location(service, warehouse, code=here.code.lower())
        assert_duplicate_code(refusal.value)
        async with uow_factory(read_only=True) as uow:
            assert await uow.locations.by_codes(other.id, [here.code, "unknown"]) == [there]
            anywhere = await uow.locations.anywhere([here.code, here.code.upper(), "unknown"])
            assert await uow.locations.anywhere([]) == []
        assert sorted(anywhere, key=lambda each: each[1].id) == [(warehouse, here), (other, there)]

    async def test_cannot_take_the_code_of_another(self, service: LocationService, warehouse: Warehouse) -> None:
        one, other = [await made_location(service, warehouse) for _ in range(2)]
        with pytest.raises(Conflict) as refusal:
            await service.update_location(one.id, {"code": other.code}, None)
        assert_duplicate_code(refusal.value)

    async def test_many_are_found_by_id(
        self, service: LocationService, warehouse: Warehouse, uow_factory: UnitOfWorkFactory
    ) -> None:
        location = await made_location(service, warehouse)
        async with uow_factory(read_only=True) as uow:
            assert await uow.locations.find([*[new_id() for _ in range(1500)], location.id]) == [location]
            assert await uow.locations.find([]) == []

    async def test_of_kinds_come_by_code(
        self, service: LocationService, warehouse: Warehouse, uow_factory: UnitOfWorkFactory
    ) -> None:
        kinds = {"b": LocationKind.TRANSIT, "A": LocationKind.STORAGE, "c": LocationKind.SHIPPING}
        for code, kind in kinds.items():
            await made_location(service, warehouse, code=code, kind=kind)
        async with uow_factory(read_only=True) as uow:
            found = await uow.locations.of_kinds(warehouse.id, [LocationKind.STORAGE, LocationKind.TRANSIT])
        assert [location.code for location in found] == ["A", "b"]

    async def test_an_archived_warehouse_takes_no_new_one(self, service: LocationService, warehouse: Warehouse) -> None:
        location = await made_location(service, warehouse)
        await service.update_warehouse(warehouse.id, {"status": WarehouseStatus.ARCHIVED}, None)
        with pytest.raises(Conflict) as refusal:
            await made_location(service, warehouse)
        assert refusal.value.code is Code.ARCHIVED
        assert (await service.update_location(location.id, {"name": "old"}, None)).name == "old"

    async def test_a_parent_must_be_in_the_same_warehouse(self, service: LocationService, warehouse: Warehouse) -> None:
        location = await made_location(service, warehouse)
        elsewhere = await made_location(service, await made_warehouse(service))
        for parent_id in (elsewhere.id, new_id()):
            with pytest.raises(Invalid) as creation:
                await made_location(service, warehouse, parent_id=parent_id)
            with pytest.raises(Invalid) as move:
                await service.update_location(location.id, {"parent_id": parent_id}, None)
            for refusal in (creation, move):
                assert [error.pointer for error in refusal.value.errors] == ["/parent_id"]
        assert await service.get_location(location.id) == location

    async def test_cannot_be_inside_itself(self, service: LocationService, warehouse: Warehouse) -> None:
        zone = await made_location(service, warehouse)
        aisle = await made_location(service, warehouse, parent_id=zone.id)
        bin_ = await made_location(service, warehouse, parent_id=aisle.id)
        for inner in (zone, aisle, bin_):
            with pytest.raises(Invalid) as refusal:
                await service.update_location(zone.id, {"parent_id": inner.id}, None)
            assert [error.code for error in refusal.value.errors] == ["cycle"]

    async def test_moves_within_its_tree_and_out_of_it(self, service: LocationService, warehouse: Warehouse) -> None:
        one, other = [await made_location(service, warehouse) for _ in range(2)]
        inner = await made_location(service, warehouse, parent_id=one.id)
        moved = await service.update_location(inner.id, {"parent_id": other.id}, {1})
        freed = await service.update_location(inner.id, {"parent_id": None}, {2})
        assert (moved.parent_id, freed.parent_id) == (other.id, None)

    async def test_moves_at_once_never_close_a_circle(self, service: LocationService, warehouse: Warehouse) -> None:
        chance = random.Random(7)  # noqa: S311 - the same moves in every run
        ids = [(await made_location(service, warehouse)).id for _ in range(5)]
        for _ in range(10):
            pairs = [chance.sample(ids, 2) for _ in range(6)]
            results = await asyncio.gather(
                *[service.update_location(inner, {"parent_id": outer}, None) for inner, outer in pairs],
                return_exceptions=True,
            )
            assert all(isinstance(result, Location | Invalid) for result in results)
            for location_id in ids:
                await assert_reaches_the_top(service, location_id)

    async def test_deleted_while_another_moves_into_it_one_of_the_two_fails(
        self, service: LocationService, warehouse: Warehouse
    ) -> None:
        inner = await made_location(service, warehouse)
        for _ in range(10):
            outer = await made_location(service, warehouse)
            deletion, creation, move = await asyncio.gather(
                service.delete_location(outer.id, None),
                made_location(service, warehouse, parent_id=outer.id),
                service.update_location(inner.id, {"parent_id": outer.id}, None),
                return_exceptions=True,
            )
            if deletion is None:
                assert (type(creation), type(move)) == (Invalid, Invalid)
            else:
                assert isinstance(deletion, Conflict)
                assert deletion.code is Code.IN_USE

    async def test_of_many_changes_to_one_version_one_wins(
        self, service: LocationService, warehouse: Warehouse
    ) -> None:
        location = await made_location(service, warehouse)
        results = await asyncio.gather(
            *[service.update_location(location.id, {"name": f"N{n}"}, {1}) for n in range(20)], return_exceptions=True
        )
        assert sum(isinstance(result, Location) for result in results) == 1
        assert sum(isinstance(result, StaleVersion) for result in results) == 19

    async def test_a_change_that_changes_nothing_keeps_the_version(
        self, service: LocationService, warehouse: Warehouse
    ) -> None:
        location = await made_location(service, warehouse)
        assert await service.update_location(location.id, {"code": location.code}, None) == location

    async def test_stays_while_it_has_locations_in_it(self, service: LocationService, warehouse: Warehouse) -> None:
        outer = await made_location(service, warehouse)
        inner = await made_location(service, warehouse, parent_id=outer.id)
        with pytest.raises(Conflict) as refusal:
            await service.delete_location(outer.id, None)
        assert refusal.value.code is Code.IN_USE
        await service.delete_location(inner.id, {inner.version})
        await service.delete_location(outer.id, {outer.version})
        with pytest.raises(NotFound):
            await service.get_location(outer.id)

    async def test_stays_once_it_has_had_stock(
        self, service: LocationService, warehouse: Warehouse, uow_factory: UnitOfWorkFactory
    ) -> None:
        location = await made_location(service, warehouse)
        async with uow_factory() as uow:
            product = await uow.products.add(new_id(), ProductDraft(new_code("S"), "Salt"), utc_now())
            key = BalanceKey(product.id, location.id, NO_LOT)
            assert await write(uow, BalanceChange(key, warehouse.id, on_hand=3, reserved=0, guarded=True))
            await uow.commit()
        with pytest.raises(Conflict) as refusal:
            await service.delete_location(location.id, None)
        assert refusal.value.code is Code.IN_USE
        assert await service.get_location(location.id) == location

    async def test_a_stale_version_deletes_nothing(self, service: LocationService, warehouse: Warehouse) -> None:
        location = await made_location(service, warehouse)
        with pytest.raises(StaleVersion):
            await service.delete_location(location.id, {2})
        assert await service.get_location(location.id) == location

    @pytest.mark.parametrize("sort", CodeSort)
    async def test_pages_neither_drop_nor_repeat(
        self, service: LocationService, warehouse: Warehouse, sort: CodeSort
    ) -> None:
        zone = await made_location(service, warehouse, code="m", kind=LocationKind.TRANSIT)
        for code in ("a", "B", "c", "É", "z"):
            await made_location(service, warehouse, code=code, parent_id=None if code == "c" else zone.id)
        await made_location(service, await made_warehouse(service), code="elsewhere")

        async def listed(kind: LocationKind | None = None, parent_id: UUID | None = None) -> list[str]:
            found = await walked(
                Location, lambda after: service.page_locations(warehouse.id, kind, parent_id, sort, after, 2)
            )
            return [location.code for location in found]

        def in_order(codes: str) -> list[str]:
            return list(codes)[:: -1 if sort is CodeSort.CODE_DESCENDING else 1]

        assert await listed() == in_order("aBcmzÉ")
        assert await listed(kind=LocationKind.STORAGE) == in_order("aBczÉ")
        assert await listed(parent_id=zone.id) == in_order("aBzÉ")
        assert await listed(kind=LocationKind.TRANSIT, parent_id=zone.id) == []


def assert_duplicate_code(refusal: Conflict) -> None:
    assert refusal.code is Code.DUPLICATE_CODE
    assert refusal.errors == (FieldError("/code", Code.DUPLICATE_CODE, refusal.detail),)


async def assert_reaches_the_top(service: LocationService, location_id: UUID) -> None:
    passed: set[UUID] = set()
    step: UUID | None = location_id
    while step is not None:
        assert step not in passed
        passed.add(step)
        step = (await service.get_location(step)).parent_id
