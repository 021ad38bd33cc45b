"""What is written and read: products with a version among their attributes, and with as many pieces in stock as have
been received one by one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self
from uuid import uuid4

import orjson

from tests.faults.cache.history import Things
from tests.faults.cache.stage import Stage

PRODUCTS = 200
PAGE = 50
SEARCHED = 10
"""So many have SKUs that begin alike."""


@dataclass(frozen=True)
class Endpoint:
    """Answers the versions of `count` things from a multiple of it on. `weight` is how often it is asked."""

    name: str
    weight: int
    things: Things
    count: int
    requests: Sequence[bytes]
    versions: Callable[[bytes, int], Sequence[int | None]]
    """From the body and the first thing's number."""

    def first(self, which: int) -> int:
        return which - which % self.count


class Goods:
    def __init__(self, stage: Stage, run: str, ids: Sequence[str], location: str) -> None:
        self.ids = ids
        self.skus = [_sku(run, number) for number in range(len(ids))]
        self.products = Things(self.skus)
        self.stock = Things([f"stock of {sku}" for sku in self.skus])
        self._request = stage.caller.request
        self._location = location
        places = range(len(ids))
        pages = [f"/v1/products?category={_category(run, each)}&limit={PAGE}" for each in places]
        searches = [f"/v1/products?q={_sku(run, each)[:-1]}" for each in places]
        self.endpoints = [
            self._of_products("by id", 50, 1, [f"/v1/products/{each}" for each in ids], _version),
            self._of_products("by SKU", 30, 1, [f"/v1/products/by-sku/{sku}" for sku in self.skus], _version),
            self._of_products("page", 5, PAGE, pages, self._on_page(PAGE)),
            self._of_products("search", 5, SEARCHED, searches, self._on_page(SEARCHED)),
            self._of_stock("summary", 6, [f"/v1/stock/summary/{each}" for each in ids], _on_hand),
            self._of_stock("balances", 4, [f"/v1/stock?product_id={each}" for each in ids], _balances),
        ]
        paths = [f"/v1/products/{each}" for each in ids]
        self.anew = Endpoint(
            "no-cache",
            0,
            self.products,
            1,
            [self._request(path, cache_control="no-cache") for path in paths],
            _version,
        )

    @classmethod
    async def made(cls, stage: Stage, count: int = PRODUCTS) -> Self:
        run = f"r{uuid4().hex[:8]}"  # no word of a SKU may begin as the number of another does
        rows = [
            {"sku": _sku(run, number), "name": "Rye bread", "category": _category(run, number)}
            | {"description": "Dark. Sliced. " * 8, "attributes": {"version": 0}}
            for number in range(count)
        ]
        products = await stage.make("/v1/products/batch", {"products": rows})
        warehouse = await stage.make("/v1/warehouses", {"code": run, "name": "Harbour"})
        location = await stage.make(f"/v1/warehouses/{warehouse['id']}/locations", {"code": "A"})
        return cls(stage, run, [each["id"] for each in products["results"]], location["id"])

    def change(self, which: int, version: int) -> bytes:
        body = orjson.dumps({"attributes": {"version": version}})
        return self._request(f"/v1/products/{self.ids[which]}", "PATCH", body, if_match="*")

    def receipt(self, which: int) -> bytes:
        """Of one piece; sent again it is the same one."""
        line = {"product_id": self.ids[which], "location_id": self._location, "quantity": 1}
        body = orjson.dumps({"lines": [line]})
        return self._request("/v1/stock/receipts", "POST", body, idempotency_key=uuid4().hex)

    def _of_products(
        self, name: str, weight: int, count: int, paths: Sequence[str], versions: Callable[..., Any]
    ) -> Endpoint:
        return Endpoint(name, weight, self.products, count, [self._request(path) for path in paths], versions)

    def _of_stock(self, name: str, weight: int, paths: Sequence[str], versions: Callable[..., Any]) -> Endpoint:
        return Endpoint(name, weight, self.stock, 1, [self._request(path) for path in paths], versions)

    def _on_page(self, count: int) -> Callable[[bytes, int], Sequence[int | None]]:
        def versions(body: bytes, first: int) -> Sequence[int | None]:
            found = {each["sku"]: each["attributes"]["version"] for each in orjson.loads(body)["data"]}
            return [found.get(sku) for sku in self.skus[first : first + count]]

        return versions


def _sku(run: str, number: int) -> str:
    return f"{run}-{number:03}"


def _category(run: str, number: int) -> str:
    return f"{run}-{number // PAGE}"


def _version(body: bytes, _: int) -> Sequence[int | None]:
    return [orjson.loads(body)["attributes"]["version"]]


def _on_hand(body: bytes, _: int) -> Sequence[int | None]:
    return [orjson.loads(body)["on_hand"]]


def _balances(body: bytes, _: int) -> Sequence[int | None]:
    return [sum(each["on_hand"] for each in orjson.loads(body)["data"])]
