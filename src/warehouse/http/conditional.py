"""Entity tags and preconditions (RFC 9110, 8.8.3 and 13.1)."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Protocol
from uuid import UUID

from fastapi import Depends, Header, Request
from starlette.responses import Response

from warehouse.errors import Code, FieldError, MalformedRequest
from warehouse.http.json import JsonResponse

_ELEMENT = re.compile(r'[ \t]*(?:(?P<weak>W/)?"(?P<tag>[\x21\x23-\x7e\x80-\xff]*)")?[ \t]*(?:,|\Z)')
_ENCODING = re.compile(r"-(?:gzip|zstd)$")
_VERSION = re.compile(r"[1-9][0-9]{0,17}")
_RANDOM_BITS = (1 << 48) - 1


class Versioned(Protocol):
    @property
    def id(self) -> UUID: ...
    @property
    def version(self) -> int: ...


def etag(record_id: UUID, version: int) -> str:
    """A strong tag. It holds random bits of the id, so a record made anew never has the tag of its forerunner."""
    return f'"{_stem(record_id)}{version}"'


def _stem(record_id: UUID) -> str:
    return f"{record_id.int & _RANDOM_BITS:012x}-"


@dataclass(frozen=True, slots=True)
class Precondition:
    """A parsed If-Match: the opaque texts of its strong tags, or None for `*`."""

    tags: frozenset[str] | None

    def versions(self, record_id: UUID) -> frozenset[int] | None:
        """The versions of this record that the client knows; None stands for any.

        Weak tags, and those of other records, match nothing. The tag of an encoded representation counts.
        """
        if self.tags is None:
            return None
        stem = _stem(record_id)
        endings = (_ENCODING.sub("", tag).removeprefix(stem) for tag in self.tags if tag.startswith(stem))
        return frozenset(int(ending) for ending in endings if _VERSION.fullmatch(ending))


def parse_if_match(header: str) -> Precondition:
    """Raises `MalformedRequest(BAD_PRECONDITION)`."""
    if header.strip() == "*":
        return Precondition(None)
    try:
        tags = list(_tags(header))
    except ValueError:
        tags = []
    if not tags:
        fault = FieldError("If-Match", "entity_tags", 'Write entity tags, as in If-Match: "1a2b3c-4", or *.')
        raise MalformedRequest(fault.detail, code=Code.BAD_PRECONDITION, errors=(fault,))
    return Precondition(frozenset(tag for weak, tag in tags if not weak))


async def _if_match(
    request: Request,
    if_match: Annotated[str, Header(alias="If-Match", description="The ETag of the version to change; `*` for any.")],
) -> Precondition:
    return parse_if_match(", ".join(request.headers.getlist("if-match")))


IfMatch = Annotated[Precondition, Depends(_if_match)]
"""Parameter of an endpoint that changes a record: an absent header is answered with 428."""


def not_modified(request: Request, tag: str) -> bool:
    """Whether If-None-Match says that the client has this representation; garbage in it counts as absent."""
    return matches(", ".join(request.headers.getlist("if-none-match")), tag)


def matches(header: str, tag: str) -> bool:
    """As `not_modified`, of the header's text."""
    if header.strip() == "*":
        return True
    try:
        known = {_ENCODING.sub("", known) for _, known in _tags(header)}
    except ValueError:
        return False
    return tag.strip('"') in known


def read_response(request: Request, record: Versioned) -> Response:
    """The record, or 304 where the client has it already."""
    headers = {"ETag": etag(record.id, record.version), "Cache-Control": "private, no-cache"}
    if not_modified(request, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    return JsonResponse(record, headers=headers)


def changed_response(record: Versioned) -> Response:
    """The record after a change, with its new tag."""
    return JsonResponse(record, headers=record_headers(record))


def record_headers(record: Versioned) -> dict[str, str]:
    return {"ETag": etag(record.id, record.version)}


def created_headers(request: Request, collection: str) -> Callable[[Versioned], dict[str, str]]:
    """Makes the headers of a new record that stands under the path `collection`."""
    root = request.scope.get("root_path", "")
    return lambda record: {"Location": f"{root}{collection}/{record.id}", **record_headers(record)}


def _tags(header: str) -> Iterator[tuple[bool, str]]:
    """(weak, opaque text) of each tag. Raises `ValueError` where the header is no list of tags."""
    position = 0
    while position < len(header):
        element = _ELEMENT.match(header, position)
        if element is None:
            raise ValueError
        if element["tag"] is not None:
            yield element["weak"] is not None, element["tag"]
        position = element.end()
