"""The use cases of API keys: making and ending them, and telling by one who is asking."""

import asyncio
import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

from warehouse.auth.key_cache import KeyCache, KnownKey
from warehouse.auth.model import ApiKey, Caller, Role, Secret
from warehouse.clock import utc_now
from warehouse.commands.model import Command, Outcome
from warehouse.commands.service import CommandRunner
from warehouse.errors import Code, Conflict, NotFound, field_error
from warehouse.ids import new_id
from warehouse.resilience import detached
from warehouse.unit_of_work import UnitOfWork, UnitOfWorkFactory, replayed_on_conflict

USE_NOTED_EVERY = timedelta(minutes=1)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class IssuedKey:
    """A key with its secret, which is nowhere else and cannot be had again."""

    key: ApiKey
    secret: Secret


class ApiKeyService:
    """`close()` it at the end. `now` is the wall clock, by which keys expire; `monotonic` times the cache."""

    def __init__(
        self,
        uow: UnitOfWorkFactory,
        commands: CommandRunner,
        *,
        now: Callable[[], datetime] = utc_now,
        monotonic: Callable[[], float] = time.monotonic,
        remembered_seconds: float = 0.0,
    ) -> None:
        self._uow = uow
        self._commands = commands
        self._now = now
        self._remembered_seconds = remembered_seconds
        self._cache = KeyCache(self._load, monotonic)
        self._notes: dict[UUID, asyncio.Task[None]] = {}

    async def close(self) -> None:
        """Wait until every use seen so far is noted, or has failed to be."""
        await asyncio.gather(*self._notes.values(), return_exceptions=True)

    async def verify(self, secret_text: str) -> Caller | None:
        """Whose key this is; None where it is nobody's, expired or revoked.

        A revoked or rotated-away key is refused at the latest `LIFE` seconds after, in every process. Raises
        `Unavailable` where the database does not answer.
        """
        return self.recent(secret_text) or self._caller(await self._known(secret_text))

    def recent(self, secret_text: str) -> Caller | None:
        """As `verify`, from what was found out within the last `LIFE` seconds; None where that does not tell."""
        return self._caller(self._cache.recent(secret_text))

    def remembered(self, secret_text: str) -> Caller | None:
        """As it was when the database last told, for a bounded time after that: it may have been revoked since."""
        known = self._cache.remembered(secret_text, self._remembered_seconds)
        return None if known is None or not known.key.usable(self._now()) else known.caller

    def known(self, secret_text: str) -> UUID | None:
        """The id of a key that was found to match once, though it may have ended since."""
        known = self._cache.remembered(secret_text, math.inf)
        return None if known is None else known.key.id

    def _caller(self, known: KnownKey | None) -> Caller | None:
        now = self._now()
        if known is None or not known.key.usable(now):
            return None
        self._note_use(known, now)
        return known.caller

    async def _known(self, secret_text: str) -> KnownKey | None:
        secret = Secret.parse(secret_text)
        known = await self._cache.get(secret.prefix) if secret else None
        return known if known is not None and secret is not None and known.matches(secret) else None

    async def page(self, after: Sequence[Any] | None, limit: int) -> list[ApiKey]:
        """`after` holds the id of the last key seen."""
        async with self._uow(read_only=True) as uow:
            return await uow.api_keys.page(after, limit)

    @replayed_on_conflict
    async def issue(self, name: str, role: Role, expires_at: datetime | None = None) -> IssuedKey:
        """Make a key for somebody who has none yet. Raises `Invalid` unless `expires_at` is in the future."""
        async with self._uow() as uow:
            issued = await self._issue(uow, name, role, expires_at)
            await uow.commit()
            return issued

    async def create(self, command: Command, name: str, role: Role, expires_at: datetime | None) -> Outcome[IssuedKey]:
        """Raises `Invalid` unless `expires_at` is in the future. The command's answer is recorded: it has to hide
        the secret."""

        async def create(uow: UnitOfWork) -> IssuedKey:
            return await self._issue(uow, name, role, expires_at)

        return await self._commands.run(command, create)

    async def rotate(self, command: Command, key_id: UUID) -> Outcome[IssuedKey]:
        """Give the key a new prefix and secret; id, name, role and expiry stay. The command's answer is recorded: it
        has to hide the secret.

        Raises `NotFound`, and `Conflict(ARCHIVED)` for a key that is revoked or expired: rotation brings none back.
        """

        async def rotate(uow: UnitOfWork) -> IssuedKey:
            key = _known(await uow.api_keys.get(key_id))
            secret = Secret.generate()
            renewed = await uow.api_keys.renew(key_id, secret) if key.usable(self._now()) else None
            if renewed is None:
                raise Conflict("The key is revoked or expired; create another.", code=Code.ARCHIVED)
            return IssuedKey(renewed, secret)

        outcome = await self._commands.run(command, rotate)
        self._cache.forget(key_id)
        return outcome

    @replayed_on_conflict
    async def revoke(self, key_id: UUID) -> None:
        """End the key for ever; ending it again changes nothing. Raises `NotFound`.

        Any key may be revoked, the last admin's and the caller's own too: a key that leaked must go at once, and the
        command line makes another.
        """
        async with self._uow() as uow:
            if not await uow.api_keys.revoke(key_id, self._now()):
                raise _unknown()
            await uow.commit()
        self._cache.forget(key_id)

    async def _issue(self, uow: UnitOfWork, name: str, role: Role, expires_at: datetime | None) -> IssuedKey:
        now, secret = self._now(), Secret.generate()
        if expires_at is not None and expires_at <= now:
            raise field_error("/expires_at", "not_in_future", "A new key must expire in the future, or never.")
        return IssuedKey(await uow.api_keys.add(new_id(), name, role, secret, now, expires_at), secret)

    async def _load(self, prefix: str) -> KnownKey | None:
        async with self._uow(read_only=True) as uow:
            found = await uow.api_keys.by_prefix(prefix)
        if found is None:
            return None
        key, digest = found
        return KnownKey(key, digest, key.last_used_at)

    def _note_use(self, known: KnownKey, now: datetime) -> None:
        noted_lately = known.used_at is not None and now - known.used_at < USE_NOTED_EVERY
        if noted_lately or known.key.id in self._notes:
            return
        known.used_at = now
        note = self._notes[known.key.id] = detached(self._touch(known.key.id, now))
        note.add_done_callback(partial(self._noted, known.key.id))

    async def _touch(self, key_id: UUID, at: datetime) -> None:
        async with self._uow() as uow:
            await uow.api_keys.touch(key_id, at)
            await uow.commit()

    def _noted(self, key_id: UUID, note: asyncio.Task[None]) -> None:
        del self._notes[key_id]
        if not note.cancelled() and (error := note.exception()):
            log.warning("auth.use_not_noted key=%s error=%s", key_id, error)


def _known(key: ApiKey | None) -> ApiKey:
    if key is None:
        raise _unknown()
    return key


def _unknown() -> NotFound:
    return NotFound("There is no such API key.")
