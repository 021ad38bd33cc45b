"""JSON as it goes out: made straight from the frozen dataclasses of the model, whose field names are the wire's."""

from collections.abc import Mapping
from typing import Any

import orjson
from starlette.responses import Response

_OPTIONS = orjson.OPT_UTC_Z | orjson.OPT_NAIVE_UTC


def encode(value: Any) -> bytes:
    """Times become RFC 3339 with `Z`, ids and enums text, what is not a finite number null."""
    return orjson.dumps(value, _plain, _OPTIONS)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


class JsonResponse(Response):
    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return encode(content)
