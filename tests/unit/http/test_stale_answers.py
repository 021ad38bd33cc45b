"""The way of a request while the database is away: who may be asking, what is cached, and what the client takes."""

from math import inf

import pytest
from fastapi import APIRouter, Depends, FastAPI, Request
from httpx import Response

from tests.unit.cache.world import World
from tests.unit.http.asgi import CALLER_ID, client, http_scope
from warehouse.auth.model import Caller, Role
from warehouse.cache import tags
from warehouse.cache.decorator import Kind, cached
from warehouse.cache.fence import LEASE_SECONDS
from warehouse.cache.reading import Cache
from warehouse.cache.values import tag_key
from warehouse.errors import Unavailable
from warehouse.http.access import admit
from warehouse.http.authentication import AuthenticationMiddleware
from warehouse.http.caching import CacheMiddleware, stale_seconds
from warehouse.http.headers import fields_of
from warehouse.http.problems import InternalErrorMiddleware, install_problem_handlers

STALE_SECONDS = 10.0
STALE = "Warehouse; hit; detail=stale-if-error"
PRODUCT = "/v1/products/019f0000-0000-7000-8000-0000000000a1"
OTHER = "/v1/products/019f0000-0000-7000-8000-0000000000a2"


class Shop:
    """`key_down` and `reads_down` say which reads of the database fail, `known_down` whether that has been noticed."""

    def __init__(self) -> None:
        self.world = World()
        self.key_down = self.reads_down = self.known_down = False
        self.remembers = True
        self.role = Role.VIEWER
        self.loads = 0
        self.app = self._application()

    def recent(self, secret_text: str) -> Caller | None:
        return None

    def remembered(self, secret_text: str) -> Caller | None:
        return Caller(CALLER_ID, "tester", self.role) if self.remembers else None

    async def verify(self, secret_text: str) -> Caller | None:
        if self.key_down:
            raise Unavailable("The database does not answer.")
        return Caller(CALLER_ID, "tester", self.role)

    def _application(self) -> FastAPI:
        app = FastAPI(docs_url=None, redoc_url=None, dependencies=[Depends(admit)])
        router = APIRouter(prefix="/v1")
        install_problem_handlers(app)

        @router.get("/products/{product_id}")
        @cached(Kind.PRODUCT, tags=lambda asked: (tags.product(asked.id("product_id")),))
        async def get_product(request: Request, product_id: str) -> str:
            self.loads += 1
            if self.reads_down:
                raise Unavailable("The database does not answer.")
            return f"product {product_id}"

        @router.get("/movements")
        async def list_movements() -> str:
            return "movements"

        @router.post("/products")
        async def create_product() -> str:
            return "made"

        @router.get("/ops/breakers")
        async def list_breakers() -> str:
            return "breakers"

        app.include_router(router)
        app.add_middleware(InternalErrorMiddleware)
        cache = Cache(self.world.shelf, self.world.fence, lambda: 0.999, self.world.clock, STALE_SECONDS)
        seconds = dict.fromkeys(Kind, 60.0)
        app.add_middleware(CacheMiddleware, cache=cache, seconds=seconds, is_down=lambda: self.known_down)
        app.add_middleware(AuthenticationMiddleware, verifier=self)
        return app

    async def ask(self, path: str, method: str = "GET", **headers: str) -> Response:
        fields = {"Authorization": "Bearer wh_good", **{name.replace("_", "-"): text for name, text in headers.items()}}
        async with client(self.app) as http:
            return await http.request(method, path, headers=fields)

    def lose_the_database(self) -> None:
        self.key_down = self.reads_down = True
        self.world.row.answers = False
        self.world.clock.advance(LEASE_SECONDS)


@pytest.fixture
async def shop() -> Shop:
    """With a product in the cache."""
    shop = Shop()
    await shop.world.fence.look()
    assert (await shop.ask(PRODUCT)).status_code == 200
    return shop


def is_refused(answer: Response) -> bool:
    return (answer.status_code, answer.json()["code"]) == (503, "unavailable") and "retry-after" in answer.headers


async def test_what_is_cached_is_shown_to_a_caller_who_is_remembered(shop: Shop) -> None:
    shop.lose_the_database()
    answer = await shop.ask(PRODUCT)
    assert (answer.status_code, answer.headers["cache-status"]) == (200, STALE)
    assert answer.text.endswith('a1"')
    assert shop.loads == 1


async def test_a_caller_who_is_not_remembered_gets_nothing(shop: Shop) -> None:
    shop.lose_the_database()
    shop.remembers = False
    assert is_refused(await shop.ask(PRODUCT))


async def test_a_remembered_callers_role_still_counts(shop: Shop) -> None:
    shop.key_down = True
    answer = await shop.ask("/v1/ops/breakers")
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    shop.role = Role.ADMIN
    assert (await shop.ask("/v1/ops/breakers")).status_code == 200


@pytest.mark.parametrize(("path", "method"), [("/v1/movements", "GET"), (OTHER, "GET"), ("/v1/products", "POST")])
async def test_a_remembered_caller_gets_nothing_but_what_is_cached(shop: Shop, path: str, method: str) -> None:
    shop.role = Role.ADMIN
    shop.key_down = True  # and nothing else is: the caller alone is the reason
    loads = shop.loads
    assert is_refused(await shop.ask(path, method))
    assert shop.loads == loads


async def test_a_known_caller_is_shown_it_where_the_read_alone_fails(shop: Shop) -> None:
    shop.lose_the_database()
    shop.key_down = False
    answer = await shop.ask(PRODUCT)
    assert (answer.status_code, answer.headers["cache-status"]) == (200, STALE)
    assert is_refused(await shop.ask(OTHER))


async def test_a_database_that_is_known_to_be_away_is_not_asked_first(shop: Shop) -> None:
    shop.lose_the_database()
    shop.key_down, shop.known_down = False, True
    assert (await shop.ask(PRODUCT)).headers["cache-status"] == STALE
    assert shop.loads == 1


@pytest.mark.parametrize("known_down", [True, False])
@pytest.mark.parametrize("control", ["no-cache", "No-Cache", "stale-if-error=0", "no-store", "max-age=9, no-cache"])
async def test_who_takes_nothing_stale_gets_none(shop: Shop, control: str, known_down: bool) -> None:
    shop.lose_the_database()
    shop.known_down = known_down
    assert is_refused(await shop.ask(PRODUCT, Cache_Control=control))


async def test_after_its_time_nothing_stale_is_shown(shop: Shop) -> None:
    shop.lose_the_database()
    shop.world.clock.advance(STALE_SECONDS)
    assert is_refused(await shop.ask(PRODUCT))


async def test_what_was_released_is_not_shown_in_its_old_form(shop: Shop) -> None:
    prefix = shop.world.row.view.prefix
    await shop.world.shelf.drop([key for key in shop.world.shelf.values if key.startswith(tag_key(prefix, ""))])
    shop.lose_the_database()
    assert is_refused(await shop.ask(PRODUCT))


async def test_who_has_it_already_is_told_so(shop: Shop) -> None:
    tag = (await shop.ask(PRODUCT)).headers["etag"]
    shop.lose_the_database()
    assert (await shop.ask(PRODUCT, If_None_Match=tag)).status_code == 304


async def test_when_the_database_is_back_answers_are_as_before(shop: Shop) -> None:
    shop.lose_the_database()
    await shop.ask(PRODUCT)
    shop.key_down = shop.reads_down = False
    shop.world.row.answers = True
    await shop.world.fence.look()
    assert (await shop.ask(PRODUCT)).headers["cache-status"] == "Warehouse; hit"
    assert (await shop.ask(OTHER)).headers["cache-status"] == "Warehouse; fwd=uri-miss; stored"


@pytest.mark.parametrize(
    ("control", "seconds"),
    [
        (None, inf),
        ("", inf),
        ("max-age=0", inf),
        ("stale-if-error=60", 60),
        ("stale-if-error=01", 1),
        ("x-no-cache", inf),
        ("no-caches", inf),
        ("no-cache", 0),
        ("max-age=0,no-cache", 0),
        ("NO-STORE", 0),
        ("stale-if-error=0", 0),
        ('stale-if-error="0"', 0),
        ("stale-if-error = 00, max-age=1", 0),
    ],
)
def test_a_client_says_in_cache_control_what_stale_answers_it_takes(control: str | None, seconds: float) -> None:
    headers = {} if control is None else {"Cache-Control": control}
    assert stale_seconds(fields_of(http_scope(headers=headers))) == seconds
