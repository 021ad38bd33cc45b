"""What is remembered of keys for the time when the database cannot be asked; the rest is in tests/contract."""

import asyncio
from dataclasses import replace
from uuid import UUID

import pytest

from tests.resilience.world import Clock
from warehouse.auth.key_cache import CAPACITY, LIFE, KeyCache, KnownKey
from warehouse.auth.model import ApiKey, Role, Secret
from warehouse.clock import utc_now
from warehouse.errors import Unavailable

SECONDS = 60.0


class Keys:
    """The database's: by their prefixes, as long as it `answers`."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.cache = KeyCache(self._load, self.clock)
        self.secrets: dict[str, Secret] = {}
        self.answers = True

    def add(self) -> Secret:
        secret = Secret.generate()
        self.secrets[secret.prefix] = secret
        return secret

    async def check(self, text: str) -> bool:
        """Ask for the key anew, and compare the whole."""
        self.clock.advance(LIFE)
        known = await self.cache.get(Secret(text).prefix)
        await asyncio.sleep(0)  # what has been loaded is noted after that
        return known is not None and known.matches(Secret(text))

    async def _load(self, prefix: str) -> KnownKey | None:
        if not self.answers:
            raise Unavailable("The database does not answer.")
        secret = self.secrets.get(prefix)
        if secret is None:
            return None
        key = ApiKey(
            UUID(int=int.from_bytes(prefix.encode())), "tester", Role.VIEWER, prefix, utc_now(), None, None, None
        )
        return KnownKey(key, secret.digest, None)


@pytest.fixture
def keys() -> Keys:
    return Keys()


async def test_a_key_that_was_good_is_remembered_for_so_long_after_it_could_be_confirmed(keys: Keys) -> None:
    secret = keys.add()
    assert await keys.check(secret.text)
    keys.clock.advance(LIFE + SECONDS - 0.01)
    found = keys.cache.remembered(secret.text, SECONDS)
    assert found is not None
    assert found.key.prefix == secret.prefix
    keys.clock.advance(0.01)
    assert keys.cache.remembered(secret.text, SECONDS) is None


async def test_an_outage_adds_no_time_and_takes_none(keys: Keys) -> None:
    secret = keys.add()
    await keys.check(secret.text)
    keys.answers = False
    for _ in range(int(SECONDS / LIFE) - 1):
        with pytest.raises(Unavailable):
            await keys.check(secret.text)
        assert keys.cache.remembered(secret.text, SECONDS)
    keys.clock.advance(2 * LIFE)
    assert keys.cache.remembered(secret.text, SECONDS) is None


async def test_a_key_that_is_confirmed_again_is_remembered_without_being_compared_again(keys: Keys) -> None:
    secret = keys.add()
    await keys.check(secret.text)
    keys.clock.advance(SECONDS)
    await keys.cache.get(secret.prefix)
    await asyncio.sleep(0)
    keys.clock.advance(SECONDS)
    assert keys.cache.remembered(secret.text, SECONDS)


async def test_a_guess_is_never_taken_for_a_key(keys: Keys) -> None:
    secret = keys.add()
    guess = f"{secret.text[:-1]}{'a' if secret.text[-1] != 'a' else 'b'}"
    assert not await keys.check(guess)
    assert keys.cache.remembered(guess, SECONDS) is None
    assert keys.cache.remembered(secret.text, SECONDS) is None
    await keys.check(secret.text)
    for each in (guess, secret.text[:-1], f"{secret.text}x", "", "é", secret.prefix):
        assert keys.cache.remembered(each, SECONDS) is None


async def test_a_key_that_is_gone_is_forgotten(keys: Keys) -> None:
    secret = keys.add()
    await keys.check(secret.text)
    del keys.secrets[secret.prefix]
    assert not await keys.check(secret.text)
    assert keys.cache.remembered(secret.text, SECONDS) is None


async def test_a_secret_that_was_replaced_is_forgotten(keys: Keys) -> None:
    secret = keys.add()
    await keys.check(secret.text)
    keys.secrets[secret.prefix] = replace(secret, text=f"{secret.text}x")
    assert not await keys.check(secret.text)
    assert keys.cache.remembered(secret.text, SECONDS) is None


async def test_of_a_key_that_has_ended_here_nothing_is_remembered(keys: Keys) -> None:
    ended, other = keys.add(), keys.add()
    for each in (ended, other):
        await keys.check(each.text)
    found = keys.cache.remembered(ended.text, SECONDS)
    assert found is not None
    keys.cache.forget(found.key.id)
    assert keys.cache.remembered(ended.text, SECONDS) is None
    assert keys.cache.remembered(other.text, SECONDS)


async def test_the_ones_that_were_confirmed_last_are_remembered_and_no_more_than_so_many(keys: Keys) -> None:
    first, second = keys.add(), keys.add()
    await keys.check(first.text)
    await keys.check(second.text)
    await keys.check(first.text)
    for _ in range(CAPACITY - 1):
        await keys.check(keys.add().text)
    assert keys.cache.remembered(first.text, float("inf"))
    assert keys.cache.remembered(second.text, float("inf")) is None
