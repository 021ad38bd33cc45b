"""Holds every answer that a test meets against the OpenAPI document and against the read models."""

import json
from collections.abc import Mapping
from datetime import date, datetime
from functools import cache
from typing import Any

from fastapi import FastAPI
from httpx import Response
from jsonschema import Draft202012Validator, FormatChecker  # type: ignore[import-untyped]  # has no annotations
from pydantic import TypeAdapter

from tests.api.document import DOCUMENT, OPERATIONS, Json, Operation, operation_at
from warehouse.http.problems import MEDIA_TYPE as PROBLEM_TYPE
from warehouse.http.routes import operations

ALWAYS = {"X-Request-Id", "ETag", "Location", "WWW-Authenticate", "Retry-After"}
"""Headers that an answer has wherever the document gives them to it; the others come and go."""


def _is_time(text: object) -> bool:
    """RFC 3339 in UTC, as all times go out."""
    return not isinstance(text, str) or (text.endswith("Z") and datetime.fromisoformat(text).tzinfo is not None)


def _is_day(text: object) -> bool:
    return not isinstance(text, str) or bool(date.fromisoformat(text))


FORMATS = FormatChecker()
FORMATS.checks("date-time", ValueError)(_is_time)
FORMATS.checks("date", ValueError)(_is_day)


class Contract:
    """`check` is a hook for httpx: it raises `AssertionError` where an answer is not as the document says.

    `met` has every (operation, status) that it saw.
    """

    def __init__(self, app: FastAPI) -> None:
        self._models = _read_models(app)
        self.met: set[tuple[str, int]] = set()

    async def check(self, response: Response) -> None:
        await response.aread()
        request = response.request
        operation = operation_at(request.method, request.url.path)
        assert response.headers["x-request-id"]
        if request.method == "HEAD":
            assert response.content == b""
            return
        if operation is None:
            if response.status_code >= 400:
                _check_schema(response, _schema("Problem"))
            return
        self.met.add((operation.name, response.status_code))
        self._check(response, operation)

    def _check(self, response: Response, operation: Operation) -> None:
        status = response.status_code
        assert status in operation.responses, f"{operation} does not document {status}: {response.text}"
        documented = operation.responses[status]
        for name in documented.get("headers", {}).keys() & ALWAYS:
            assert name in response.headers, f"{operation} {status} lacks {name}"
        if "content" not in documented:
            assert response.content == b""
            return
        media_type = response.headers["content-type"].partition(";")[0]
        assert media_type in documented["content"], f"{operation} {status} is {media_type}"
        schema = documented["content"][media_type]["schema"]
        if schema.get("type") == "string" or status == 206:
            return  # a text, bytes, or a part of something
        _check_schema(response, schema)
        if model := self._models.get((operation.name, status)):
            _check_model(response, model)


def _schema(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def _check_schema(response: Response, schema: Json) -> None:
    if schema == _schema("Problem"):
        assert response.headers["content-type"] == PROBLEM_TYPE
        assert response.json()["status"] == response.status_code
        assert response.json()["request_id"] or "Idempotent-Replayed" in response.headers
    _validator(json.dumps(schema)).validate(response.json())


@cache
def _validator(schema: str) -> Draft202012Validator:
    return Draft202012Validator({**json.loads(schema), "components": _closed()}, format_checker=FORMATS)


@cache
def _closed() -> Json:
    """The components, where an object may have no member that the document does not name."""
    schemas = {
        name: {"additionalProperties": False, **schema} if "properties" in schema else schema
        for name, schema in DOCUMENT["components"]["schemas"].items()
    }
    return {"schemas": schemas}


def _read_models(app: FastAPI) -> Mapping[tuple[str, int], TypeAdapter[Any]]:
    """What the routes say that they answer, by operation and status."""
    models: dict[tuple[str, int], TypeAdapter[Any]] = {}
    for each in operations(app):
        if each.api is None or each.name not in OPERATIONS:
            continue
        given = {each.api.status_code or 200: each.api.response_model}
        given |= {int(status): more["model"] for status, more in each.api.responses.items() if "model" in more}
        models |= {(each.name, status): TypeAdapter(model) for status, model in given.items() if model is not None}
    return models


def _check_model(response: Response, model: TypeAdapter[Any]) -> None:
    """The model, which is written for the document alone, and what is encoded in its stead agree: field by field, in
    their order."""
    read = model.dump_python(model.validate_json(response.content), mode="json")
    assert json.dumps(read) == json.dumps(response.json())
