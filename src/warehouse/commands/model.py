"""A command is a request with an effect; its idempotency key makes sure that it has that effect at most once."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, TypeVar
from uuid import UUID

from warehouse.errors import Conflict
from warehouse.ids import new_id

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes out over the wire, byte for byte the same in every replay."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Command:
    """One request with an effect.

    `key` is the caller's idempotency key, None where the caller gave none; `request_hash` the SHA-256 of what is
    asked, so that another request under the same key is noticed; `success` and `refusal` make the answer.
    """

    caller_id: UUID
    actor: str
    key: str | None
    request_hash: bytes
    success: Callable[[Any], Answer]
    refusal: Callable[[Conflict], Answer]
    id: UUID = field(default_factory=new_id)


@dataclass(frozen=True, slots=True)
class CommandRecord:
    """A command that was carried out or refused before, with the answer that it got. `tags` are what its effect
    releases in the cache."""

    id: UUID
    request_hash: bytes
    answer: Answer
    recorded_at: datetime
    tags: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Outcome(Generic[T]):
    """`result` is None in a replay: then only the recorded answer is left."""

    answer: Answer
    replayed: bool
    result: T | None
