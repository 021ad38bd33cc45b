"""The OpenAPI document as the tests read it: the file beside this one, which test_openapi.py holds against the
application's."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from warehouse.auth.model import Role

Json = dict[str, Any]

SNAPSHOT = Path(__file__).with_name("openapi.json")
DOCUMENT: Json = json.loads(SNAPSHOT.read_text())

_NEEDS = re.compile(r"Needs the role `(\w+)` or above\.")
_PARAMETER = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class Operation:
    """`path` has its `{parameters}`; `content` is the Operation Object."""

    name: str
    method: str
    path: str
    content: Json

    def __str__(self) -> str:
        return self.name

    @property
    def is_public(self) -> bool:
        return not self.content["security"]

    @property
    def role(self) -> Role | None:
        """The least role that may do it, as the description says; None where no key is needed."""
        needs = _NEEDS.search(self.content.get("description", ""))
        return Role(needs[1]) if needs else None

    @property
    def responses(self) -> Mapping[int, Json]:
        return {int(status): resolved(response) for status, response in self.content["responses"].items()}

    @property
    def body(self) -> Json | None:
        """The schema of the JSON that it takes."""
        content = self.content.get("requestBody", {}).get("content", {})
        json_types = [each for each in content if each.endswith(("/json", "+json"))]
        return resolved(content[json_types[0]]["schema"]) if json_types else None

    @property
    def takes_upload(self) -> bool:
        return "multipart/form-data" in self.content.get("requestBody", {}).get("content", {})

    @property
    def path_parameters(self) -> list[str]:
        return _PARAMETER.findall(self.path)

    def parameters(self, place: str) -> Mapping[str, Json]:
        """By name: those of `query`, `path` or `header`."""
        return {each["name"]: each for each in self.content.get("parameters", ()) if each["in"] == place}

    def stands_at(self, path: str) -> bool:
        return re.fullmatch(_PARAMETER.sub("[^/]+", self.path), path) is not None


def resolved(node: Json) -> Json:
    """The node, or what it refers to."""
    while "$ref" in node:
        name = node["$ref"]
        node = DOCUMENT
        for step in name.removeprefix("#/").split("/"):
            node = node[step]
    return node


def _operations() -> Iterator[Operation]:
    for path, methods in DOCUMENT["paths"].items():
        for method, content in methods.items():
            yield Operation(content["operationId"], method.upper(), path, content)


OPERATIONS: Mapping[str, Operation] = {operation.name: operation for operation in _operations()}


def operation_at(method: str, path: str) -> Operation | None:
    """What answers there: of several the one with the fewest parameters."""
    found = [each for each in OPERATIONS.values() if each.method == method and each.stands_at(path)]
    return min(found, key=lambda each: len(each.path_parameters), default=None)
