"""The parts of the OpenAPI document that operations share, and the clean-up of its schemas."""

from collections.abc import Collection, Mapping
from typing import Any

from warehouse.http.problems import MEDIA_TYPE, Problem

Json = dict[str, Any]

SECURITY_SCHEME = "apiKey"

_HEADERS: Mapping[str, str] = {
    "X-Request-Id": "The client's own, or a new one; the log knows the request by it.",
    "ETag": "The version of the record, for If-Match and If-None-Match.",
    "Location": "Where the new record is.",
    "Link": 'The next page, as `<…>; rel="next"` (RFC 8288); absent on the last one.',
    "Idempotent-Replayed": "`true` where this is the recorded answer to an earlier request with the same key.",
    "WWW-Authenticate": "How to authenticate: `Bearer`.",
    "RateLimit": 'What is left of the quota, and in how many seconds it is whole again: `"default";r=50;t=30`.',
    "RateLimit-Policy": 'The quota, and for how many seconds: `"default";q=100;w=60`.',
    "Retry-After": "Seconds after which to try again.",
}

_PROBLEM_HEADERS: Mapping[int, str] = {401: "WWW-Authenticate", 429: "Retry-After", 503: "Retry-After"}

PROBLEM_RESPONSES: Mapping[int, tuple[str, str]] = {
    400: ("MalformedRequest", "The request, a cursor, a key or a precondition cannot be parsed."),
    401: ("Unauthenticated", "There is no valid API key in the request."),
    403: ("Forbidden", "The role of the API key does not allow it."),
    404: ("NotFound", "There is no such thing."),
    406: ("NotAcceptable", "`Accept-Encoding` refuses `identity`, and accepts neither `zstd` nor `gzip`."),
    409: ("Conflict", "The state of the records refuses it; the code says how."),
    412: ("StaleVersion", "The record has changed; `current_version` has its version now."),
    413: ("TooLarge", "The body is too large."),
    415: ("UnsupportedMediaType", "The body is of a media type that is not read here."),
    422: ("Invalid", "It parses, but is not valid; `errors` names every fault."),
    428: ("PreconditionRequired", "If-Match is required."),
    429: ("RateLimited", "The quota of the API key, or of the address without one, is used up."),
    500: ("InternalError", "The server failed."),
    503: ("Unavailable", "The service is not available at the moment."),
}

_PARTIAL = ("Update", "Upsert")
"""How models end whose absent fields stay as they are: a client that sent their defaults would overwrite them."""


def complete_components(components: Json) -> None:
    problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas = components.setdefault("schemas", {})
    for replaced in ("HTTPValidationError", "ValidationError"):
        schemas.pop(replaced, None)
    schemas.update(problem.pop("$defs"), Problem=problem)
    for name, schema in schemas.items():
        if name.endswith(_PARTIAL):
            _drop_defaults(schema)
    components["schemas"] = {
        name: {key: _referring(value, schemas.keys()) for key, value in schemas[name].items()}
        for name in sorted(schemas)
    }
    components["headers"] = {name: _header(text) for name, text in _HEADERS.items()}
    components["responses"] = {name: _response(status) for status, (name, _) in PROBLEM_RESPONSES.items()}
    components["securitySchemes"] = {
        SECURITY_SCHEME: {"type": "http", "scheme": "bearer", "description": "An API key; it begins with `wh_`."}
    }


def _drop_defaults(schema: Json) -> None:
    for member in schema["properties"].values():
        member.pop("default", None)


def _referring(node: Any, names: Collection[str]) -> Any:
    """Where pydantic is told to skip the validation of a model, it writes its whole schema out instead of naming it."""
    if isinstance(node, list):
        return [_referring(each, names) for each in node]
    if not isinstance(node, dict):
        return node
    if "properties" in node and str(node.get("title")) in names:
        return {"$ref": f"#/components/schemas/{node['title']}"}
    return {key: _referring(value, names) for key, value in node.items()}


def _header(text: str) -> Json:
    return {"description": text, "schema": {"type": "string"}}


def header_references(names: list[str]) -> Json:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _response(status: int) -> Json:
    _, text = PROBLEM_RESPONSES[status]
    own = _PROBLEM_HEADERS.get(status)
    return {
        "description": text,
        "headers": header_references(["X-Request-Id", *([own] if own else [])]),
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }


def without_null(schema: Json) -> Json:
    """A parameter that may be left out is not one that may be null."""
    choices = [each for each in schema.get("anyOf", ()) if each != {"type": "null"}]
    if len(choices) != 1:
        return schema
    return {**choices[0], **{key: value for key, value in schema.items() if key != "anyOf"}}


_NAMED = frozenset({"properties", "schemas", "responses", "parameters", "headers", "links"})
_OPAQUE = frozenset({"example", "examples", "default", "const", "enum"})


def without_titles(node: Any, named: bool = False) -> Any:
    """`title` as pydantic makes it of every name; in a map of `named` things it is a name itself."""
    if isinstance(node, list):
        return [without_titles(each) for each in node]
    if not isinstance(node, dict):
        return node
    return {
        key: value if key in _OPAQUE and not named else without_titles(value, key in _NAMED and not named)
        for key, value in node.items()
        if named or key != "title"
    }
