"""Headers as ASGI has them: names in lower case. Starlette's class for them costs several times as much a look."""

from collections.abc import Iterable, Mapping

from starlette.types import Scope

Fields = Iterable[tuple[bytes, bytes]]

_KEPT = "warehouse.fields"


def all_of(name: bytes, fields: Fields) -> str:
    """The value of every field of that name, as one list (RFC 9110, 5.3); empty where there is none."""
    return b", ".join([value for each, value in fields if each == name]).decode("latin-1")


def fields_of(scope: Scope) -> Mapping[bytes, bytes]:
    """The request's fields by name, those of one name as one list; read once for all who ask."""
    headers = scope["headers"]
    kept = scope.get(_KEPT)
    if kept is None or kept[0] is not headers:
        kept = scope[_KEPT] = headers, _by_name(headers)
    fields: Mapping[bytes, bytes] = kept[1]
    return fields


def _by_name(headers: Fields) -> dict[bytes, bytes]:
    fields: dict[bytes, bytes] = {}
    for name, value in headers:
        fields[name] = value if name not in fields else b", ".join((fields[name], value))
    return fields
