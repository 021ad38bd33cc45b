from collections.abc import Mapping
from uuid import UUID

import pytest
from fastapi import FastAPI, Request
from httpx import ASGITransport, AsyncClient, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tests.limiting.world import alone
from tests.resilience.world import Clock
from tests.unit.http.asgi import CALLER_ID, http_scope
from warehouse.auth.model import Caller, Role
from warehouse.http.authentication import AuthenticationMiddleware
from warehouse.http.client_address import ClientAddresses, parse_networks
from warehouse.http.head import HeadMiddleware
from warehouse.http.problems import install_problem_handlers
from warehouse.http.rate_limits import EXEMPT, RateLimitMiddleware
from warehouse.http.request_id import RequestIdMiddleware
from warehouse.http.route_classes import RouteClass, heavy
from warehouse.limiting import Quota
from warehouse.limiting.window import MOST_WINDOWS

GOOD, OTHER, REVOKED = "wh_good", "wh_other", "wh_revoked"
KEYS = {GOOD: CALLER_ID, OTHER: UUID(int=2), REVOKED: UUID(int=3)}
QUOTAS = {RouteClass.DEFAULT: Quota(4, 60), RouteClass.WRITES: Quota(3, 60), RouteClass.HEAVY: Quota(2, 60)}
STRANGERS = Quota(2, 60)
PROXY = "10.0.0.1"


class Keys:
    """`REVOKED` was good once, and is no longer."""

    def known(self, secret_text: str) -> UUID | None:
        return KEYS.get(secret_text)

    def recent(self, secret_text: str) -> Caller | None:
        return None

    def remembered(self, secret_text: str) -> Caller | None:
        return None

    async def verify(self, secret_text: str) -> Caller | None:
        known = KEYS.get(secret_text)
        return None if known is None or secret_text == REVOKED else Caller(known, secret_text, Role.VIEWER)


class Shop:
    """As the service has it: the limits stand before the authentication, and what they tell is put on by the one that
    names requests."""

    def __init__(self) -> None:
        # The middle of a bucket, of which 30 s are left.
        self.clock = Clock()
        self.clock.now = 600_030.0
        self.served = 0
        app = FastAPI(docs_url=None, redoc_url=None)
        install_problem_handlers(app)

        @app.get("/livez")
        @app.get("/metrics")
        @app.get("/readyz")
        @app.get("/things")
        @app.post("/things")
        async def thing() -> None:
            self.served += 1

        @app.get("/snapshot")
        @heavy
        async def snapshot(request: Request) -> None: ...

        self.limiter = alone(self.clock)
        app.add_middleware(AuthenticationMiddleware, verifier=Keys())
        app.add_middleware(self.limited)
        app.add_middleware(HeadMiddleware)
        app.add_middleware(RequestIdMiddleware)
        self.app = app
        self.limits = self.limited(no_answer)

    def limited(self, app: ASGIApp) -> RateLimitMiddleware:
        addresses = ClientAddresses(parse_networks(f"{PROXY}/32"))
        return RateLimitMiddleware(app, self.limiter, Keys(), addresses, QUOTAS, STRANGERS)

    async def ask(
        self, key: str | None = None, path: str = "/things", method: str = "GET", peer: str = "192.0.2.7", via: str = ""
    ) -> Response:
        headers = [] if key is None else [(b"Authorization", f"Bearer {key}".encode("latin-1"))]
        headers += [(b"X-Forwarded-For", via.encode())] if via else []
        async with AsyncClient(
            transport=ASGITransport(self.app, client=(peer, 50_000)), base_url="http://test"
        ) as http:
            return await http.request(method, path, headers=headers)

    async def statuses(self, count: int, key: str | None = None, **how: str) -> list[int]:
        return [(await self.ask(key, **how)).status_code for _ in range(count)]


@pytest.fixture
def shop() -> Shop:
    return Shop()


def told(response: Response) -> Mapping[str, str]:
    return {name: response.headers[name] for name in ("ratelimit-policy", "ratelimit")}


async def test_a_key_is_answered_as_often_as_its_quota_says(shop: Shop) -> None:
    assert await shop.statuses(6, GOOD) == [200] * 4 + [429] * 2
    assert shop.served == 4


async def test_a_key_has_one_quota_from_wherever_it_is_used(shop: Shop) -> None:
    assert [(await shop.ask(GOOD, peer=f"192.0.2.{number}")).status_code for number in range(5)] == [200] * 4 + [429]


async def test_one_keys_quota_is_not_anothers(shop: Shop) -> None:
    await shop.statuses(5, GOOD)
    assert await shop.statuses(5, OTHER) == [200] * 4 + [429]


async def test_reads_writes_and_what_is_heavy_have_quotas_of_their_own(shop: Shop) -> None:
    assert await shop.statuses(5, GOOD) == [200] * 4 + [429]
    assert await shop.statuses(4, GOOD, method="POST") == [200] * 3 + [429]
    assert await shop.statuses(3, GOOD, path="/snapshot") == [200] * 2 + [429]


async def test_head_counts_as_what_it_asks_for(shop: Shop) -> None:
    assert await shop.statuses(2, GOOD, path="/snapshot", method="HEAD") == [200] * 2
    assert await shop.statuses(1, GOOD, path="/snapshot") == [429]


async def test_a_quota_comes_back_with_time(shop: Shop) -> None:
    await shop.statuses(4, GOOD)
    refusal = await shop.ask(GOOD)
    shop.clock.advance(int(refusal.headers["retry-after"]) - 1)
    assert await shop.statuses(1, GOOD) == [429]
    shop.clock.advance(1)
    assert await shop.statuses(1, GOOD) == [200]


async def test_a_refusal_is_a_problem_that_tells_when_to_come_again(shop: Shop) -> None:
    await shop.statuses(4, GOOD)
    refusal = await shop.ask(GOOD)

    assert refusal.headers["content-type"] == "application/problem+json"
    assert refusal.json()["code"] == "rate_limited"
    assert refusal.json()["request_id"] == refusal.headers["x-request-id"]
    assert int(refusal.headers["retry-after"]) >= 1
    assert told(refusal) == {"ratelimit-policy": '"default";q=4;w=60', "ratelimit": '"default";r=0;t=30'}


async def test_every_answer_tells_once_what_is_left(shop: Shop) -> None:
    found, missing = await shop.ask(GOOD), await shop.ask(GOOD, path="/nowhere")

    assert (found.status_code, missing.status_code) == (200, 404)
    assert told(found) == {"ratelimit-policy": '"default";q=4;w=60', "ratelimit": '"default";r=3;t=30'}
    assert told(missing)["ratelimit"] == '"default";r=2;t=30'
    assert "retry-after" not in found.headers


@pytest.mark.parametrize("key", [None, "", "wh_guess", "é"])
async def test_who_has_no_key_that_is_known_is_counted_by_address(shop: Shop, key: str | None) -> None:
    refusal = await shop.ask(key)
    assert refusal.status_code == 401
    assert told(refusal) == {"ratelimit-policy": '"strangers";q=2;w=60', "ratelimit": '"strangers";r=1;t=30'}


async def test_guesses_of_keys_count_together(shop: Shop) -> None:
    guesses = [(await shop.ask(f"wh_guess{number}")).status_code for number in range(4)]
    assert guesses == [401, 401, 429, 429]


async def test_who_has_a_key_does_not_suffer_from_others_at_his_address(shop: Shop) -> None:
    await shop.statuses(3)
    assert await shop.statuses(1, GOOD) == [200]


async def test_whether_a_guess_is_right_is_not_told_beyond_the_quota(shop: Shop) -> None:
    await shop.statuses(2)
    first, second = await shop.ask("wh_guess"), await shop.ask("wh_guess2")
    assert first.status_code == second.status_code == 429


async def test_a_revoked_key_still_has_its_own_quota_and_uses_up_nobody_elses(shop: Shop) -> None:
    assert await shop.statuses(5, REVOKED) == [401] * 4 + [429]
    assert await shop.statuses(1) == [401]


async def test_clients_behind_a_proxy_are_told_apart_and_those_who_only_say_so_are_not(shop: Shop) -> None:
    assert await shop.statuses(3, peer=PROXY, via="198.51.100.1") == [401, 401, 429]
    assert await shop.statuses(1, peer=PROXY, via="198.51.100.2") == [401]
    liar = [(await shop.ask(peer="192.0.2.9", via=f"198.51.100.{number}")).status_code for number in range(3)]
    assert liar == [401, 401, 429]


@pytest.mark.parametrize("path", sorted(EXEMPT))
async def test_who_watches_the_service_is_always_answered(shop: Shop, path: str) -> None:
    answers = [await shop.ask(path=path) for _ in range(10)]
    assert {each.status_code for each in answers} == {200}
    assert not any("ratelimit" in each.headers for each in answers)


async def test_very_many_addresses_fill_no_memory(shop: Shop) -> None:
    for number in range(MOST_WINDOWS + 5_000):
        await shop.limits({**http_scope(), "client": (f"10.1.{number >> 8}.{number & 255}", 1)}, never, nothing)
    assert len(shop.limiter._local) == MOST_WINDOWS
    assert await shop.statuses(3) == [401, 401, 429]


async def never() -> Message:
    raise AssertionError("read")


async def nothing(message: Message) -> None: ...


async def no_answer(scope: Scope, receive: Receive, send: Send) -> None: ...
