"""The OpenAPI document. FastAPI writes what it knows; the rest follows from the shape of each operation."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from warehouse.http.access import PUBLIC, REQUIRED_ROLE
from warehouse.http.lasting import Lasting, mark_of
from warehouse.http.openapi_components import (
    PROBLEM_RESPONSES,
    SECURITY_SCHEME,
    Json,
    complete_components,
    header_references,
    without_null,
    without_titles,
)
from warehouse.http.openapi_lasting import complete_accepted, complete_lasting
from warehouse.http.routes import operations

DESCRIPTION = """\
Stock that cannot be oversold. Send your API key as `Authorization: Bearer wh_…`.

* **Errors** are problem documents (RFC 9457); decide by their `code`.
* **Commands** (every POST with an effect) take an `Idempotency-Key`: sent again they answer the same again.
* **Changes** name the version that they are meant for in `If-Match`; a newer one is answered with 412.
* **Time**: `Request-Timeout: 2.5` gives a request less time than the service would take.
* **Lists** come in pages: send `next_cursor` as `cursor`, until it is null.
"""

TAGS = (
    {"name": "products", "description": "What is kept: the catalogue."},
    {"name": "warehouses", "description": "Where it is kept: warehouses and the locations in them."},
    {"name": "stock", "description": "How much of it is where, and how that came to be."},
    {"name": "commands", "description": "What changes stock: all lines of a command take effect, or none."},
    {"name": "reservations", "description": "Stock that is promised until a time."},
    {"name": "tasks", "description": "Work that takes longer than a request: handed in, followed, fetched."},
    {"name": "api-keys", "description": "Who may ask."},
    {"name": "operations", "description": "How the service is doing."},
)

CONTACT = {"name": "The Warehouse authors"}
LICENCE = {"name": "MIT", "identifier": "MIT"}
SERVERS = ({"url": "/", "description": "This server"},)

_IF_NONE_MATCH: Json = {
    "name": "If-None-Match",
    "in": "header",
    "required": False,
    "schema": {"type": "string"},
    "description": "ETags that the client has: answered with 304 where one of them is current.",
}

_MERGE_PATCH = "application/merge-patch+json"


def customise(app: FastAPI) -> None:
    """Has `app.openapi()` answer our document, made once."""
    app.openapi = partial(_remembered, app)  # type: ignore[method-assign]


def _remembered(app: FastAPI) -> Json:
    app.openapi_schema = app.openapi_schema or document(app)
    return app.openapi_schema


def document(app: FastAPI) -> Json:
    """Raises `RuntimeError` where two operations have one name, or one has not exactly one known tag."""
    written = get_openapi(
        title=app.title,
        version=app.version,
        description=DESCRIPTION,
        routes=app.routes,
        tags=[dict(tag) for tag in TAGS],
        servers=[dict(server) for server in SERVERS],
        contact=dict(CONTACT),
        license_info=dict(LICENCE),
    )
    complete_components(written.setdefault("components", {}))
    found = list(_operations(app, written))
    _check_names(found)
    for operation in found:
        _complete(operation)
    for operation in found:
        _link(operation, found)
    for part in ("paths", "components"):
        written[part] = without_titles(written[part])
    return written


@dataclass(frozen=True, slots=True)
class _Operation:
    """An operation in the document, and what of its shape decides what is said of it."""

    name: str
    path: str
    method: str
    content: Json
    schemas: Json
    lasting: Lasting | None

    @property
    def is_public(self) -> bool:
        return PUBLIC.covers(self.path)

    @property
    def has_body(self) -> bool:
        return "requestBody" in self.content

    def takes(self, place: str, name: str | None = None) -> bool:
        return any(each["in"] == place and name in (None, each["name"]) for each in self.parameters())

    def parameters(self) -> list[Json]:
        found: list[Json] = self.content.setdefault("parameters", [])
        return found

    def path_parameters(self) -> list[str]:
        return [each["name"] for each in self.parameters() if each["in"] == "path"]

    def successes(self) -> Iterator[tuple[str, Json]]:
        return ((status, each) for status, each in self.content["responses"].items() if status.startswith("2"))

    def record(self, status: str) -> Json | None:
        """The answer of that status, if there is one and it is a record: 201 for what was made, 202 for a task."""
        response: Json = self.content["responses"].get(status, {})
        return response if "id" in self.members(response) else None

    def answers(self, member: str) -> bool:
        """Whether the successful answer is an object with this member."""
        return any(member in self.members(response) for _, response in self.successes())

    def members(self, response: Json) -> Json:
        schema = response.get("content", {}).get("application/json", {}).get("schema", {})
        members: Json = self.schemas.get(schema.get("$ref", "").rpartition("/")[2], {}).get("properties", {})
        return members


_Rule = tuple[Callable[[_Operation], bool], tuple[int, ...]]

_PROBLEMS: tuple[_Rule, ...] = (
    (lambda operation: True, (406, 500)),
    (lambda operation: not operation.is_public, (401, 403, 422, 429, 503)),
    (lambda operation: operation.has_body, (400, 413, 415)),
    (lambda operation: operation.takes("query", "cursor"), (400,)),
    (lambda operation: operation.takes("path"), (404,)),
    (lambda operation: operation.takes("header", "Idempotency-Key"), (400, 409)),
    (lambda operation: operation.takes("header", "If-Match"), (400, 409, 412, 428)),
)
"""Which operations answer which problems."""

_SUCCESS_HEADERS: tuple[tuple[Callable[[_Operation, Json], bool], str], ...] = (
    (lambda operation, members: True, "X-Request-Id"),
    (lambda operation, members: not operation.is_public, "RateLimit"),
    (lambda operation, members: not operation.is_public, "RateLimit-Policy"),
    (lambda operation, members: "version" in members, "ETag"),
    (lambda operation, members: "next_cursor" in members, "Link"),
    (lambda operation, members: operation.takes("header", "Idempotency-Key"), "Idempotent-Replayed"),
)
"""Which headers a successful answer has, by its operation and its own members."""


def _operations(app: FastAPI, written: Json) -> Iterator[_Operation]:
    schemas = written["components"]["schemas"]
    for operation in operations(app):
        if operation.api is None or not operation.api.include_in_schema:
            continue
        for method in operation.methods:
            content = written["paths"][operation.path][method.lower()]
            yield _Operation(operation.name, operation.path, method, content, schemas, mark_of(operation.api.endpoint))


def _check_names(found: list[_Operation]) -> None:
    names = [operation.name for operation in found]
    if repeated := {name for name in names if names.count(name) > 1}:
        raise RuntimeError(f"Several operations have the names {sorted(repeated)}.")
    known = {tag["name"] for tag in TAGS}
    for operation in found:
        if len(operation.content.get("tags", ())) != 1 or not known.issuperset(operation.content["tags"]):
            raise RuntimeError(f"{operation.name} needs exactly one tag, of {sorted(known)}.")


def _complete(operation: _Operation) -> None:
    operation.content["operationId"] = operation.name
    operation.content["security"] = [] if operation.is_public else [{SECURITY_SCHEME: []}]
    complete_accepted(operation.content)
    if operation.lasting is not None:
        complete_lasting(operation.lasting, operation.content, operation.schemas)
    _complete_input(operation)
    _complete_successes(operation)
    _complete_problems(operation)


def _complete_input(operation: _Operation) -> None:
    if operation.method == "GET" and (operation.answers("version") or operation.lasting is Lasting.DOWNLOAD):
        operation.parameters().append(dict(_IF_NONE_MATCH))
    for parameter in operation.parameters():
        parameter["schema"] = without_null(parameter["schema"])
        parameter["schema"].pop("description", None)
    if operation.method == "PATCH" and operation.has_body:
        body = operation.content["requestBody"]
        # That alone: of two media types openapi-python-client makes a module that cannot be imported.
        body["content"] = {_MERGE_PATCH: body["content"]["application/json"]}
        body["description"] = "Plain `application/json` is taken as well."
    if role := REQUIRED_ROLE.get(operation.name):
        text = f"Needs the role `{role}` or above."
        operation.content["description"] = "\n\n".join(filter(None, (operation.content.get("description"), text)))


def _complete_successes(operation: _Operation) -> None:
    for _, response in operation.successes():
        members = operation.members(response)
        names = [name for applies, name in _SUCCESS_HEADERS if applies(operation, members)]
        response.setdefault("headers", {}).update(header_references(names))
    if (created := operation.record("201")) is not None:
        created["headers"].update(header_references(["Location"]))
    if operation.takes("header", "If-None-Match"):
        operation.content["responses"]["304"] = {
            "description": "The client has the current version.",
            "headers": header_references(["X-Request-Id", "ETag"]),
        }


def _complete_problems(operation: _Operation) -> None:
    responses = operation.content["responses"]
    statuses = {status for applies, some in _PROBLEMS if applies(operation) for status in some}
    statuses |= {
        status for status in PROBLEM_RESPONSES if "content" not in responses.get(str(status), {"content": ...})
    }
    for status in statuses:
        name, _ = PROBLEM_RESPONSES[status]
        responses[str(status)] = {"$ref": f"#/components/responses/{name}"}
    operation.content["responses"] = dict(sorted(responses.items()))


def _link(operation: _Operation, others: list[_Operation]) -> None:
    """From the answer that makes a record, or a task, to every operation on that record."""
    for status, record in (("201", operation.name.removeprefix("create")), ("202", "_task")):
        made = operation.record(status)
        if made is not None:
            made["links"] = {
                other.name: {"operationId": other.name, "parameters": {parameter: "$response.body#/id"}}
                for other in others
                for parameter in other.path_parameters()[-1:]
                if f"{record}_id".endswith(f"_{parameter}")
            }
