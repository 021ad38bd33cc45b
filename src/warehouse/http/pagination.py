"""Lists in pages. A cursor is the position of the last row shown, in a total order: pages neither drop nor repeat."""

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Generic, TypeVar
from urllib.parse import quote, urlencode
from uuid import UUID

import orjson
from fastapi import Query, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from warehouse.errors import Code, MalformedRequest
from warehouse.http.json import encode

T = TypeVar("T")

DEFAULT_LIMIT = 50
MAX_LIMIT = 1000
MAX_CURSOR_LENGTH = 8192

Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="How many to answer at most.")]
Cursor = Annotated[
    str | None,
    Query(description="`next_cursor` of the page before. It holds for the same list, `sort` and filters alone."),
]


class Page(BaseModel, Generic[T]):
    """One page of a list. Subclass it under a name of its own: `class ProductPage(Page[ProductRead])`."""

    data: list[T]
    next_cursor: str | None = Field(description="Send it as `cursor` to get the next page; null on the last one.")
    has_more: bool


@dataclass(frozen=True, slots=True)
class PageScope:
    """What a cursor belongs to: a list, its order and its filters (None, a dataclass or a mapping).

    `kinds` are the types of the position's values: `str`, `int`, `UUID` or `datetime`.
    """

    name: str
    kinds: tuple[type, ...]
    sort: str = ""
    filters: Any = None

    def digest(self) -> str:
        return hashlib.sha256(encode((self.name, self.sort, self.filters))).hexdigest()[:16]


def encode_cursor(position: Sequence[Any], scope: PageScope) -> str:
    values = [_CODECS[kind].dump(value) for kind, value in zip(scope.kinds, position, strict=True)]
    return base64.urlsafe_b64encode(encode([scope.digest(), *values])).rstrip(b"=").decode()


def decode_cursor(text: str | None, scope: PageScope) -> list[Any] | None:
    """The position behind which the page begins; None stands for the start.

    Raises `MalformedRequest(BAD_CURSOR)` for whatever is not a cursor of this list in this order with these filters.
    """
    if text is None:
        return None
    try:
        return _position(_parse(text), scope)
    except (ValueError, OverflowError):
        raise MalformedRequest(
            "Take the cursor from next_cursor, and keep the list, sort and filters.", code=Code.BAD_CURSOR
        ) from None


def page_response(
    request: Request,
    items: Sequence[T],
    limit: int,
    position_of: Callable[[T], Sequence[Any]],
    scope: PageScope,
) -> Response:
    """`items` holds one more than `limit` where there are more."""
    shown = items[:limit]
    cursor = encode_cursor(position_of(shown[-1]), scope) if len(items) > limit else None
    return _response(request, encode(shown), cursor)


def json_page_response(
    request: Request,
    rows: Sequence[str],
    limit: int,
    position_of: Callable[[Any], Sequence[Any]],
    scope: PageScope,
) -> Response:
    """As `page_response`, of items that are JSON already. `position_of` gets the document of the last one shown."""
    shown = rows[:limit]
    cursor = encode_cursor(position_of(orjson.loads(shown[-1])), scope) if len(rows) > limit else None
    return _response(request, f"[{','.join(shown)}]".encode(), cursor)


def _response(request: Request, data: bytes, cursor: str | None) -> Response:
    headers = {"Link": _next_link(request, cursor)} if cursor else None
    more = encode({"next_cursor": cursor, "has_more": cursor is not None})
    return Response(b'{"data":' + data + b"," + more[1:], headers=headers, media_type="application/json")


def _next_link(request: Request, cursor: str) -> str:
    kept = [(name, value) for name, value in request.query_params.multi_items() if name != "cursor"]
    return f'<{quote(request.scope["path"])}?{urlencode([*kept, ("cursor", cursor)])}>; rel="next"'


def _parse(text: str) -> Any:
    if len(text) > MAX_CURSOR_LENGTH:
        raise ValueError
    padded = text.encode("ascii") + b"=" * (-len(text) % 4)
    return orjson.loads(base64.b64decode(padded, b"-_", validate=True))


def _position(document: Any, scope: PageScope) -> list[Any]:
    match document:
        case [digest, *values] if digest == scope.digest():
            return [_CODECS[kind].load(value) for kind, value in zip(scope.kinds, values, strict=True)]
        case _:
            raise ValueError


@dataclass(frozen=True, slots=True)
class _Codec:
    """How a value stands in a cursor. `load` raises `ValueError` or `OverflowError` for anything else."""

    dump: Callable[[Any], str | int]
    load: Callable[[Any], Any]


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def _load_text(value: Any) -> str:
    # PostgreSQL has no NUL in text.
    if not isinstance(value, str) or "\0" in value:
        raise ValueError
    return value


def _load_integer(value: Any) -> int:
    if type(value) is not int or not -(2**63) <= value < 2**63:
        raise ValueError
    return value


def _dump_time(value: datetime) -> int:
    return (value - _EPOCH) // _MICROSECOND


def _load_time(value: Any) -> datetime:
    return _EPOCH + timedelta(microseconds=_load_integer(value))


_CODECS: Mapping[type, _Codec] = {
    str: _Codec(str, _load_text),
    int: _Codec(int, _load_integer),
    UUID: _Codec(lambda value: value.hex, lambda value: UUID(hex=_load_text(value))),
    datetime: _Codec(_dump_time, _load_time),
}
