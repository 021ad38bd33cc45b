"""From the codes that a file uses to the locations they mean."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from warehouse.errors import FieldError
from warehouse.locations.model import Location, Warehouse
from warehouse.text import compare_key
from warehouse.unit_of_work import UnitOfWork

Codes = tuple[str | None, str]
"""Of a warehouse and a location in it; without the first, any warehouse may be meant."""

_NO_LOCATION = FieldError("/location", "unknown_location", "There is no such location.")


@dataclass(frozen=True, slots=True)
class Place:
    warehouse: Warehouse
    location: Location


class Places:
    """The locations that have one of the codes, in whatever warehouse; `others` are warehouses that have none."""

    def __init__(self, places: Iterable[Place], others: Iterable[Warehouse]) -> None:
        self._by_location: dict[str, dict[str, Place]] = {}
        self._warehouses = {compare_key(warehouse.code) for warehouse in others}
        for place in places:
            warehouse = compare_key(place.warehouse.code)
            self._warehouses.add(warehouse)
            self._by_location.setdefault(compare_key(place.location.code), {})[warehouse] = place

    def find(self, warehouse: str | None, location: str) -> Place | FieldError:
        """The one place that is meant, or what is wrong with the codes."""
        candidates = self._by_location.get(compare_key(location), {})
        if warehouse is not None:
            return self._find_in(compare_key(warehouse), candidates)
        if len(candidates) > 1:
            detail = f"{len(candidates)} warehouses have a location of this code; name the warehouse."
            return FieldError("/location", "ambiguous", detail)
        return next(iter(candidates.values()), _NO_LOCATION)

    def _find_in(self, warehouse: str, candidates: Mapping[str, Place]) -> Place | FieldError:
        if warehouse not in self._warehouses:
            return FieldError("/warehouse", "unknown_warehouse", "There is no such warehouse.")
        return candidates.get(warehouse, _NO_LOCATION)


async def find_places(uow: UnitOfWork, codes: Collection[Codes]) -> Places:
    places = [Place(*each) for each in await uow.locations.anywhere({location for _, location in codes})]
    named = {compare_key(warehouse): warehouse for warehouse, _ in codes if warehouse is not None}
    missing = named.keys() - {compare_key(each.warehouse.code) for each in places}
    # Looked up only to tell an unknown warehouse from one that lacks the location.
    others = [await uow.warehouses.by_code(named[key]) for key in sorted(missing)]
    return Places(places, filter(None, others))
