"""Values that a field of a request must not have, made from the schema of the field."""

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from tests.api.document import Json, resolved

Steps = tuple[str | int, ...]

OPAQUE = frozenset({("products",)})
"""Lists whose items are answered for one by one."""


@dataclass(frozen=True)
class Mutation:
    """A body that is valid but for one fault, at `pointer`."""

    body: Any
    pointer: str
    value: Any

    def __str__(self) -> str:
        return f"{self.pointer or 'the body'} = {str(self.value)[:60]!r}"


def mutations(body: Any, schema: Json) -> Iterator[Mutation]:
    """Every value and every member of the body in turn made wrong, as the schema has it."""
    for steps, value in _faults(body, schema, ()):
        yield Mutation(_replaced(body, steps, value), _pointer(steps), value)
    for steps in _required(body, schema, ()):
        yield Mutation(_without(body, steps), _pointer(steps), "missing")


def _faults(value: Any, schema: Json, steps: Steps) -> Iterator[tuple[Steps, Any]]:
    schema = resolved(schema)
    yield from ((steps, wrong) for wrong in wrong_values(schema))
    for choice in choices(schema):
        if isinstance(value, dict) and "properties" in choice:
            yield (*steps, "colour"), "red"
            for name, each in choice["properties"].items():
                if name in value:
                    yield from _faults(value[name], each, (*steps, name))
        if isinstance(value, list) and "items" in choice and steps not in OPAQUE:
            yield from _faults(value[0], choice["items"], (*steps, 0))


def _required(value: Any, schema: Json, steps: Steps) -> Iterator[Steps]:
    for choice in choices(schema):
        if isinstance(value, dict) and "properties" in choice:
            for name in value:
                if name in choice.get("required", ()):
                    yield (*steps, name)
                yield from _required(value[name], choice["properties"][name], (*steps, name))
        if isinstance(value, list) and "items" in choice and steps not in OPAQUE:
            yield from _required(value[0], choice["items"], (*steps, 0))


def choices(schema: Json) -> Sequence[Json]:
    schema = resolved(schema)
    return [resolved(choice) for choice in schema.get("anyOf", [schema])]


def wrong_values(schema: Json) -> Iterator[Any]:
    """Values that fit none of the schema's choices."""
    some = choices(schema)
    types = {choice["type"] for choice in some}
    yield from (value for kind, values in SAMPLES.items() if kind not in types for value in values)
    if len(some) == 1 or types == {some[0]["type"], "null"}:
        yield from _beyond(some[0])


SAMPLES: Mapping[str, Sequence[Any]] = {
    "string": ["seven"],
    "integer": [7],
    "number": [1.5, float("nan"), float("inf"), -float("inf")],
    "boolean": [True],
    "object": [{}, {"a": 1}],
    "array": [[], [None]],
    "null": [None],
}


def _beyond(schema: Json) -> Iterator[Any]:
    match schema["type"]:
        case "integer":
            yield from (5.0, 1e3, 10**30, -(10**30), 2**63, "5")
            yield from (
                int(schema[bound]) + step for bound, step in (("minimum", -1), ("maximum", 1)) if bound in schema
            )
        case "boolean":
            yield from (0, 1, "true", "")
        case "string":
            yield from _bad_texts(schema)
        case "array":
            if "minItems" in schema:
                yield []
            if "maxItems" in schema:
                yield [None] * (schema["maxItems"] + 1)


def _bad_texts(schema: Json) -> Iterator[str]:
    yield from ("a\0b", "a\ud800b", "\udfff")
    if "maxLength" in schema:
        yield "x" * (schema["maxLength"] + 1)
    if schema.get("minLength"):
        yield from ("", "   ", "\u2003\n\t")
    if schema.get("format") or "enum" in schema:
        yield from ("", "nonsense", "0" * 40, "2026-13-45T99:99:99Z", "' or 1=1--", "\u0661")


def _pointer(steps: Steps) -> str:
    return "".join(f"/{step}" for step in steps)


def _replaced(body: Any, steps: Steps, value: Any) -> Any:
    if not steps:
        return value
    copy = deepcopy(body)
    _parent(copy, steps)[steps[-1]] = value
    return copy


def _without(body: Any, steps: Steps) -> Any:
    copy = deepcopy(body)
    del _parent(copy, steps)[steps[-1]]
    return copy


def _parent(body: Any, steps: Steps) -> Any:
    for step in steps[:-1]:
        body = body[step]
    return body
