"""Keys as they were read a moment ago, so that not every request has to ask the database who is asking."""

import asyncio
import hmac
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from warehouse.auth.model import ApiKey, Caller, Secret
from warehouse.resilience import detached

LIFE = 1.0
"""Seconds after the sending of its query for which an answer counts: so long a revoked key may still be taken."""
CAPACITY = 10_000


@dataclass(slots=True)
class KnownKey:
    """`used_at` is the last use that is noted in the database, or is about to be; `text` is the secret once it has been
    found to match."""

    key: ApiKey
    digest: bytes
    used_at: datetime | None
    text: str = ""
    caller: Caller = field(init=False)

    def __post_init__(self) -> None:
        self.caller = self.key.caller()

    def matches(self, secret: Secret) -> bool:
        """Compares in constant time."""
        if not secret.matches(self.digest):
            return False
        self.text = secret.text
        return True


@dataclass(frozen=True, slots=True)
class _Flight:
    """A query on its way or answered. Whoever comes within `LIFE` of its sending shares it."""

    sent: float
    answer: asyncio.Task[KnownKey | None]

    def may_be(self, key_id: UUID) -> bool:
        if not self.answer.done() or _has_failed(self.answer):
            return True
        known = self.answer.result()
        return known is None or known.key.id == key_id


class KeyCache:
    """Loads keys by prefix. Only answers that are keys are kept: made-up prefixes take no room."""

    def __init__(
        self, load: Callable[[str], Coroutine[Any, Any, KnownKey | None]], monotonic: Callable[[], float]
    ) -> None:
        self._load = load
        self._monotonic = monotonic
        self._flights: dict[str, _Flight] = {}
        self._confirmed: dict[str, tuple[float, KnownKey]] = {}
        self._failures: dict[str, BaseException] = {}
        """What came of the last look for a key that was confirmed before."""

    def __len__(self) -> int:
        return len(self._flights)

    def recent(self, text: str) -> KnownKey | None:
        """The key of a secret that was found to match within the last `LIFE` seconds."""
        flight = self._flights.get(Secret(text).prefix)
        if flight is None or not flight.answer.done() or self._monotonic() - flight.sent >= LIFE:
            return None
        # A failure is there for a moment before it is forgotten; `get` is who tells it.
        known = None if _has_failed(flight.answer) else flight.answer.result()
        if known is None or not known.text:
            return None
        return known if hmac.compare_digest(known.text.encode(), text.encode()) else None

    def remembered(self, text: str, seconds: float) -> KnownKey | None:
        """The key of a secret that was found to match, for so long after it could last be confirmed."""
        sent, known = self._confirmed.get(Secret(text).prefix, (0.0, None))
        if known is None or not known.text or self._monotonic() - sent >= LIFE + seconds:
            return None
        return known if hmac.compare_digest(known.text.encode(), text.encode()) else None

    async def get(self, prefix: str) -> KnownKey | None:
        """Raises what the load raises; for all others at once while one looks whether that is over."""
        flight = self._flights.get(prefix)
        if flight is None or self._monotonic() - flight.sent >= LIFE:
            flight = self._send(prefix)
        elif not flight.answer.done() and (failure := self._failures.get(prefix)):
            raise failure.with_traceback(None)
        if flight.answer.done():
            return flight.answer.result()
        # One caller that gives up must not take the answer from the others.
        return await asyncio.shield(flight.answer)

    def forget(self, key_id: UUID) -> None:
        """Of this key, and of what is being loaded, nothing found so far counts any more."""
        self._flights = {prefix: flight for prefix, flight in self._flights.items() if not flight.may_be(key_id)}
        self._confirmed = {
            prefix: (sent, known) for prefix, (sent, known) in self._confirmed.items() if known.key.id != key_id
        }

    def _send(self, prefix: str) -> _Flight:
        flight = _Flight(self._monotonic(), detached(self._load(prefix)))
        self._flights.pop(prefix, None)
        if len(self._flights) >= CAPACITY:
            # The first is the one that was sent the longest ago.
            del self._flights[next(iter(self._flights))]
        self._flights[prefix] = flight
        flight.answer.add_done_callback(partial(self._ended, prefix))
        return flight

    def _ended(self, prefix: str, answer: asyncio.Task[KnownKey | None]) -> None:
        flight = self._flights.get(prefix)
        failed = _has_failed(answer)
        # A look that began later may have told better things meanwhile.
        if failed and (flight is None or flight.answer is answer or not flight.answer.done()):
            self._note_failure(prefix, answer)
        if flight is None or flight.answer is not answer:
            return
        known = None if failed else answer.result()
        if known is None:
            del self._flights[prefix]
        if not failed:
            self._confirm(prefix, flight.sent, known)

    def _note_failure(self, prefix: str, answer: "asyncio.Task[KnownKey | None]") -> None:
        """Of a key that was there before: made-up prefixes take no room."""
        if prefix in self._confirmed and not answer.cancelled() and (failure := answer.exception()):
            self._failures[prefix] = failure

    def _confirm(self, prefix: str, sent: float, known: KnownKey | None) -> None:
        self._failures.pop(prefix, None)
        before = self._confirmed.pop(prefix, None)
        if known is None:
            return
        if before is not None and not known.text and before[1].digest == known.digest:
            known.text = before[1].text
        if len(self._confirmed) >= CAPACITY:
            oldest = next(iter(self._confirmed))
            del self._confirmed[oldest]
            self._failures.pop(oldest, None)
        self._confirmed[prefix] = sent, known


def _has_failed(answer: "asyncio.Task[KnownKey | None]") -> bool:
    return answer.cancelled() or answer.exception() is not None
