"""API keys on every database, and what of them is remembered between two looks at it."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from warehouse.auth.key_cache import CAPACITY, LIFE, KeyCache, KnownKey
from warehouse.auth.model import ApiKey, Caller, Role, Secret
from warehouse.auth.service import USE_NOTED_EVERY, ApiKeyService, IssuedKey
from warehouse.commands.model import Answer, Command
from warehouse.commands.service import CommandRunner
from warehouse.errors import Code, Conflict, Invalid, NotFound, Unavailable
from warehouse.ids import new_id
from warehouse.unit_of_work import UnitOfWork, UnitOfWorkFactory

START = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class Clock:
    """Stands still until told to go on."""

    at: datetime = START

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return (self.at - START).total_seconds()

    def advance(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


@dataclass
class WatchedUnitsOfWork:
    """Counts what is opened, and refuses to open where there is a failure."""

    open: UnitOfWorkFactory
    reads: int = 0
    writes: int = 0
    failure: Exception | None = None

    def __call__(self, *, read_only: bool = False) -> UnitOfWork:
        if read_only:
            self.reads += 1
        else:
            self.writes += 1
        if self.failure:
            raise self.failure
        return self.open(read_only=read_only)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def service(uow_factory: UnitOfWorkFactory, clock: Clock) -> AsyncIterator[ApiKeyService]:
    async with running(uow_factory, clock) as service:
        yield service


@contextlib.asynccontextmanager
async def running(uow: UnitOfWorkFactory, clock: Clock) -> AsyncIterator[ApiKeyService]:
    service = ApiKeyService(uow, CommandRunner(uow), now=clock.now, monotonic=clock.monotonic)
    try:
        yield service
    finally:
        await service.close()


def command(key: str | None = None, caller_id: UUID | None = None) -> Command:
    return Command(
        caller_id=caller_id or new_id(),
        actor="tester",
        key=key,
        request_hash=bytes(32),
        success=lambda issued: Answer(201, b"made"),
        refusal=lambda conflict: Answer(409, conflict.detail.encode()),
    )


async def rotated(service: ApiKeyService, key_id: UUID) -> IssuedKey:
    issued = (await service.rotate(command(), key_id)).result
    assert issued is not None
    return issued


async def stored(uow: UnitOfWorkFactory, key_id: UUID) -> ApiKey:
    async with uow(read_only=True) as unit:
        key = await unit.api_keys.get(key_id)
    assert key is not None
    return key


class TestKeys:
    async def test_names_its_caller(self, service: ApiKeyService) -> None:
        issued = await service.issue("Scanner 3", Role.OPERATOR)
        caller = await service.verify(issued.secret.text)
        assert caller == Caller(issued.key.id, "Scanner 3", Role.OPERATOR)

    async def test_reads_back_as_it_was_made(self, service: ApiKeyService, uow_factory: UnitOfWorkFactory) -> None:
        expires_at = START + timedelta(days=1, microseconds=7)
        outcome = await service.create(command(), "Büro", Role.VIEWER, expires_at)
        assert outcome.result is not None
        key, secret = outcome.result.key, outcome.result.secret
        assert key == ApiKey(key.id, "Büro", Role.VIEWER, secret.prefix, START, expires_at, None, None)
        assert await stored(uow_factory, key.id) == key

    async def test_is_nobodys_with_another_secret(self, service: ApiKeyService) -> None:
        issued = await service.issue("A", Role.ADMIN)
        text = issued.secret.text
        assert await service.verify(text[:-1] + ("B" if text[-1] == "A" else "A")) is None
        assert await service.verify(text + "A") is None
        assert await service.verify(text.upper()) is None

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "wh_",
            "wh__x",
            "wh_abcdefghijkl_",
            "sk_abcdefghijkl_x",
            "wh_abcdefghijk\0_x",
            "wh_abcdefghijk _x",
            "wh_äbcdefghijkl_x",
            "wh_abcdefghijk%_x",
            "wh_abcdefghijkl_" + "x" * 65,
            "wh_abcdefghijkl_unknown",
        ],
    )
    async def test_what_is_no_key_is_nobodys(self, service: ApiKeyService, text: str) -> None:
        assert await service.verify(text) is None

    async def test_expires_to_the_moment(self, service: ApiKeyService, clock: Clock) -> None:
        issued = await service.issue("A", Role.VIEWER, START + timedelta(seconds=0.5))
        clock.advance(0.499999)
        assert await service.verify(issued.secret.text) is not None
        clock.advance(0.000001)
        assert await service.verify(issued.secret.text) is None

    @pytest.mark.parametrize("moment", [START, START - timedelta(days=1)])
    async def test_cannot_be_made_expired(self, service: ApiKeyService, moment: datetime) -> None:
        with pytest.raises(Invalid) as refusal:
            await service.create(command(), "A", Role.VIEWER, moment)
        assert [error.pointer for error in refusal.value.errors] == ["/expires_at"]

    async def test_a_repeated_creation_under_one_key_makes_one(self, service: ApiKeyService) -> None:
        once = command(str(new_id()))
        first, second = [await service.create(once, "A", Role.VIEWER, None) for _ in range(2)]
        assert (first.replayed, second.replayed) == (False, True)
        assert second.answer == first.answer

    async def test_pages_neither_drop_nor_repeat(self, service: ApiKeyService) -> None:
        made = [(await service.issue(f"K{number}", Role.VIEWER)).key for number in range(5)]
        seen: list[ApiKey] = []
        while found := await service.page([seen[-1].id] if seen else None, 2):
            seen += found
        assert [key for key in seen if key in made] == made
        assert [key.id for key in seen] == sorted({key.id for key in seen})


class TestRevocation:
    async def test_holds_at_once_here_and_within_a_life_elsewhere(
        self, service: ApiKeyService, uow_factory: UnitOfWorkFactory, clock: Clock
    ) -> None:
        issued = await service.issue("A", Role.VIEWER)
        async with running(uow_factory, clock) as elsewhere:
            assert await service.verify(issued.secret.text) is not None
            assert await elsewhere.verify(issued.secret.text) is not None
            await service.revoke(issued.key.id)
            assert await service.verify(issued.secret.text) is None
            clock.advance(LIFE)
            assert await elsewhere.verify(issued.secret.text) is None
        assert LIFE <= 1

    async def test_twice_keeps_the_first_time(
        self, service: ApiKeyService, uow_factory: UnitOfWorkFactory, clock: Clock
    ) -> None:
        issued = await service.issue("A", Role.ADMIN)
        for _ in range(2):
            await service.revoke(issued.key.id)
            clock.advance(5)
        assert (await stored(uow_factory, issued.key.id)).revoked_at == START

    async def test_of_an_unknown_key_says_so(self, service: ApiKeyService) -> None:
        with pytest.raises(NotFound):
            await service.revoke(new_id())


class TestRotation:
    async def test_puts_another_secret_in_the_place_of_the_old(
        self, service: ApiKeyService, uow_factory: UnitOfWorkFactory, clock: Clock
    ) -> None:
        old = await service.issue("A", Role.MANAGER, START + timedelta(days=1))
        async with running(uow_factory, clock) as elsewhere:
            assert await elsewhere.verify(old.secret.text) is not None
            new = await rotated(service, old.key.id)
            assert await elsewhere.verify(new.secret.text) == old.key.caller()
            clock.advance(LIFE)
            for each in (service, elsewhere):
                assert await each.verify(old.secret.text) is None
                assert await each.verify(new.secret.text) == old.key.caller()
        assert new.secret.prefix == new.key.prefix != old.key.prefix
        assert replace(new.key, prefix=old.key.prefix, last_used_at=None) == old.key

    async def test_brings_back_no_revoked_key(self, service: ApiKeyService) -> None:
        issued = await service.issue("A", Role.VIEWER)
        await service.revoke(issued.key.id)
        with pytest.raises(Conflict) as refusal:
            await service.rotate(command(), issued.key.id)
        assert refusal.value.code is Code.ARCHIVED

    async def test_has_no_effect_on_what_was_revoked_meanwhile(
        self, service: ApiKeyService, uow_factory: UnitOfWorkFactory
    ) -> None:
        issued = await service.issue("A", Role.VIEWER)
        await service.revoke(issued.key.id)
        async with uow_factory() as uow:
            assert await uow.api_keys.renew(issued.key.id, Secret.generate()) is None
            await uow.commit()
        assert (await stored(uow_factory, issued.key.id)).prefix == issued.key.prefix

    async def test_brings_back_no_expired_key(self, service: ApiKeyService, clock: Clock) -> None:
        issued = await service.issue("A", Role.VIEWER, START + timedelta(seconds=1))
        clock.advance(1)
        with pytest.raises(Conflict) as refusal:
            await service.rotate(command(), issued.key.id)
        assert refusal.value.code is Code.ARCHIVED

    async def test_of_an_unknown_key_says_so(self, service: ApiKeyService) -> None:
        with pytest.raises(NotFound):
            await service.rotate(command(str(new_id())), new_id())

    async def test_at_once_with_revocation_leaves_the_key_revoked(self, service: ApiKeyService) -> None:
        for _ in range(10):
            issued = await service.issue("A", Role.VIEWER)
            rotation, _ = await asyncio.gather(
                service.rotate(command(), issued.key.id), service.revoke(issued.key.id), return_exceptions=True
            )
            secrets = [issued.secret.text]
            if not isinstance(rotation, BaseException):
                assert rotation.result is not None
                secrets.append(rotation.result.secret.text)
            assert [await service.verify(text) for text in secrets] == [None] * len(secrets)


class TestLastUse:
    async def test_is_noted_once_a_minute(
        self, service: ApiKeyService, uow_factory: UnitOfWorkFactory, clock: Clock
    ) -> None:
        watched = WatchedUnitsOfWork(uow_factory)
        issued = await service.issue("A", Role.VIEWER)
        async with running(watched, clock) as using:
            for _ in range(int(USE_NOTED_EVERY.total_seconds()) * 2):
                await asyncio.gather(*[using.verify(issued.secret.text) for _ in range(5)])
                await using.close()
                clock.advance(1)
        assert watched.writes == 2
        assert (await stored(uow_factory, issued.key.id)).last_used_at == START + USE_NOTED_EVERY

    async def test_is_not_noted_for_a_wrong_secret(
        self, service: ApiKeyService, uow_factory: UnitOfWorkFactory
    ) -> None:
        issued = await service.issue("A", Role.VIEWER)
        await service.verify(issued.secret.text[:-1])
        await service.close()
        assert (await stored(uow_factory, issued.key.id)).last_used_at is None

    async def test_never_goes_back(self, service: ApiKeyService, uow_factory: UnitOfWorkFactory) -> None:
        issued = await service.issue("A", Role.VIEWER)
        later = START + timedelta(hours=1)
        for moment in (later, START):
            async with uow_factory() as uow:
                await uow.api_keys.touch(issued.key.id, moment)
                await uow.commit()
        assert (await stored(uow_factory, issued.key.id)).last_used_at == later

    async def test_that_cannot_be_noted_fails_no_request(
        self,
        service: ApiKeyService,
        uow_factory: UnitOfWorkFactory,
        clock: Clock,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        issued = await service.issue("A", Role.VIEWER)
        watched = WatchedUnitsOfWork(uow_factory)
        async with running(watched, clock) as using:
            assert await using.verify(issued.secret.text) is not None
            watched.failure = Unavailable("The disk is full.")
            assert await using.verify(issued.secret.text) is not None
        assert [record.levelno for record in caplog.records] == [logging.WARNING]
        assert "The disk is full." in caplog.text
        assert issued.secret.text not in caplog.text

    async def test_delays_no_request(
        self, service: ApiKeyService, uow_factory: UnitOfWorkFactory, clock: Clock
    ) -> None:
        issued = await service.issue("A", Role.VIEWER)
        # The rival is rolled back first, and only then the note is waited for.
        async with running(uow_factory, clock) as using, uow_factory() as rival:
            await rival.api_keys.touch(issued.key.id, START - timedelta(days=1))
            assert await using.verify(issued.secret.text) is not None
            assert await using.verify(issued.secret.text) is not None
        assert (await stored(uow_factory, issued.key.id)).last_used_at == START


class TestUnavailability:
    async def test_is_told_and_not_remembered(
        self, service: ApiKeyService, uow_factory: UnitOfWorkFactory, clock: Clock
    ) -> None:
        issued = await service.issue("A", Role.VIEWER)
        watched = WatchedUnitsOfWork(uow_factory, failure=Unavailable("The database does not answer."))
        async with running(watched, clock) as using:
            for _ in range(2):
                with pytest.raises(Unavailable):
                    await using.verify(issued.secret.text)
            watched.failure = None
            assert await using.verify(issued.secret.text) is not None
        assert watched.reads == 3


class TestSharing:
    async def test_callers_at_once_share_one_look(
        self, service: ApiKeyService, uow_factory: UnitOfWorkFactory, clock: Clock
    ) -> None:
        issued = await service.issue("A", Role.VIEWER)
        watched = WatchedUnitsOfWork(uow_factory)
        async with running(watched, clock) as using:
            callers = await asyncio.gather(*[using.verify(issued.secret.text) for _ in range(50)])
            assert callers == [issued.key.caller()] * 50
            assert watched.reads == 1
            clock.advance(LIFE)
            await using.verify(issued.secret.text)
            assert watched.reads == 2


SECRET = Secret.generate()
KNOWN = KnownKey(
    ApiKey(UUID(int=1), "A", Role.VIEWER, SECRET.prefix, START, None, None, None), SECRET.digest, used_at=None
)


class SlowLoad:
    """Answers what it is told to, when it is told to."""

    def __init__(self) -> None:
        self.answers: list[asyncio.Future[KnownKey | None]] = []

    async def __call__(self, prefix: str) -> KnownKey | None:
        answer: asyncio.Future[KnownKey | None] = asyncio.get_running_loop().create_future()
        self.answers.append(answer)
        return await answer


async def settle() -> None:
    """Let every task go as far as it can without news from outside."""
    for _ in range(10):
        await asyncio.sleep(0)


class TestKeyCache:
    async def test_keeps_no_room_for_made_up_prefixes(self, clock: Clock) -> None:
        async def load(prefix: str) -> KnownKey | None:
            return None

        cache = KeyCache(load, clock.monotonic)
        assert await asyncio.gather(*[cache.get(f"p{number}") for number in range(100)]) == [None] * 100
        assert len(cache) == 0

    async def test_keeps_no_room_for_failures(self, clock: Clock) -> None:
        async def load(prefix: str) -> KnownKey | None:
            raise Unavailable("The database does not answer.")

        cache = KeyCache(load, clock.monotonic)
        results = await asyncio.gather(*[cache.get("p") for _ in range(3)], return_exceptions=True)
        assert [type(result) for result in results] == [Unavailable] * 3
        assert len(cache) == 0

    async def test_who_looks_between_a_failure_and_its_end_is_not_told_of_it(self, clock: Clock) -> None:
        seen, secret = [], Secret.generate()

        async def load(prefix: str) -> KnownKey | None:
            asyncio.get_running_loop().call_soon(lambda: seen.append(cache.recent(secret.text)))
            raise Unavailable("The database does not answer.")

        cache = KeyCache(load, clock.monotonic)
        with pytest.raises(Unavailable):
            await cache.get(secret.prefix)
        assert seen == [None]

    async def test_forgets_the_oldest_where_there_is_no_room(self, clock: Clock) -> None:
        loaded = []

        async def load(prefix: str) -> KnownKey | None:
            loaded.append(prefix)
            return KNOWN

        cache = KeyCache(load, clock.monotonic)
        for number in range(CAPACITY + 1):
            await cache.get(f"p{number}")
        assert len(cache) == CAPACITY
        loaded.clear()
        for prefix in ("p1", f"p{CAPACITY}", "p0"):
            await cache.get(prefix)
        assert loaded == ["p0"]

    async def test_one_caller_that_gives_up_leaves_the_answer_to_the_others(self, clock: Clock) -> None:
        load = SlowLoad()
        cache = KeyCache(load, clock.monotonic)
        first, second = [asyncio.create_task(cache.get("p")) for _ in range(2)]
        await settle()
        first.cancel()
        await settle()
        load.answers[0].set_result(KNOWN)
        assert await second is KNOWN
        assert first.cancelled()
        assert len(load.answers) == 1

    async def test_one_alone_waits_to_see_whether_a_failure_is_over(self, clock: Clock) -> None:
        load = SlowLoad()
        cache = KeyCache(load, clock.monotonic)
        first = asyncio.create_task(cache.get("p"))
        await settle()
        load.answers[0].set_result(KNOWN)
        assert await first is KNOWN
        clock.advance(LIFE)
        second = asyncio.create_task(cache.get("p"))
        await settle()
        load.answers[1].set_exception(Unavailable("The database does not answer."))
        with pytest.raises(Unavailable):
            await second
        third = asyncio.create_task(cache.get("p"))
        await settle()
        with pytest.raises(Unavailable):
            await cache.get("p")
        load.answers[2].set_result(KNOWN)
        assert await third is KNOWN
        assert await cache.get("p") is KNOWN

    async def test_nobody_joins_a_look_that_began_a_life_ago(self, clock: Clock) -> None:
        load = SlowLoad()
        cache = KeyCache(load, clock.monotonic)
        early = asyncio.create_task(cache.get("p"))
        await settle()
        clock.advance(LIFE)
        late = asyncio.create_task(cache.get("p"))
        await settle()
        load.answers[1].set_result(KNOWN)
        load.answers[0].set_result(None)
        assert (await early, await late) == (None, KNOWN)
        assert await cache.get("p") is KNOWN
        assert len(load.answers) == 2
