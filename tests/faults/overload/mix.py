"""What is asked: products that lie in the cache, lists that the client wants made anew, and receipts."""

import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import httpx
import orjson

from tests.faults.cache.wire import Caller
from tests.faults.overload.client import Request

PRODUCTS = 200
CATEGORIES = 10
LISTED = 50
CACHED, ANEW, WRITTEN = "cached", "anew", "written"
READING = {CACHED: 70, ANEW: 20, WRITTEN: 10}
WORKING = {CACHED: 20, ANEW: 50, WRITTEN: 30}
"""Percents. With the first, what is answered from the cache and never refused takes up most of the time."""
KEY = b"0" * 32
"""Stands for the idempotency key in what is prepared."""


class Goods:
    """Products of some categories, and a place for them in a warehouse."""

    def __init__(self, caller: Caller, ids: Sequence[str], location: str) -> None:
        self.products = [caller.request(f"/v1/products/{each}") for each in ids]
        paths = [f"/v1/products?category=overload-{each}&limit={LISTED}" for each in range(CATEGORIES)]
        self.lists = [caller.request(path, cache_control="no-cache") for path in paths]
        bodies = [{"lines": [{"product_id": each, "location_id": location, "quantity": 1}]} for each in ids]
        self.receipts = [
            caller.request("/v1/stock/receipts", "POST", orjson.dumps(body), idempotency_key=KEY.decode()).split(KEY)
            for body in bodies
        ]


def made(url: str, key: str) -> Goods:
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=30) as client:

        def make(path: str, body: Any) -> Any:
            answer = client.post(path, json=body)
            answer.raise_for_status()
            return answer.json()

        rows = [
            {"sku": f"OVER-{number}", "name": "Rye bread", "category": f"overload-{number % CATEGORIES}"}
            | {"description": "Dark. Sliced. " * 8}
            for number in range(PRODUCTS)
        ]
        products = make("/v1/products/batch", {"products": rows})["results"]
        warehouse = make("/v1/warehouses", {"code": "OVER", "name": "Harbour"})
        location = make(f"/v1/warehouses/{warehouse['id']}/locations", {"code": "A"})
    return Goods(Caller(key), [each["id"] for each in products], location["id"])


def mixed(goods: Goods, weights: Mapping[str, float], chance: random.Random) -> Iterator[Request]:
    """Each receipt under a key of its own."""
    for kind in _kinds(weights, chance):
        if kind == CACHED:
            yield Request(kind, chance.choice(goods.products))
        elif kind == ANEW:
            yield Request(kind, chance.choice(goods.lists))
        else:
            head, rest = chance.choice(goods.receipts)
            yield Request(kind, b"%b%032x%b" % (head, chance.getrandbits(128), rest))


def _kinds(weights: Mapping[str, float], chance: random.Random) -> Iterator[str]:
    while True:
        yield from chance.choices(list(weights), list(weights.values()), k=1000)
