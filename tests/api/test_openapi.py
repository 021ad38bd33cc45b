"""The OpenAPI document of the whole application: it is the one that was agreed on, and generators make something of it.

How the document comes about is tested in tests/unit/http/test_openapi.py.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import orjson
from fastapi import FastAPI
from httpx import AsyncClient
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # has no annotations

from tests.api.contract import FORMATS
from tests.api.document import DOCUMENT, OPERATIONS, SNAPSHOT, Json, resolved

ALL = list(OPERATIONS.values())
SCHEMAS: Json = DOCUMENT["components"]["schemas"]
ENUMS = {name for name, schema in SCHEMAS.items() if "enum" in schema}
INPUTS = {name for name in SCHEMAS if name.endswith(("Input", "Create", "Update", "Upsert", "Batch"))}
OUTPUTS = SCHEMAS.keys() - ENUMS - INPUTS
PROBLEM = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
FILES = {
    "follow_task": ["text/event-stream"],
    "get_task_errors": ["text/csv"],
    "get_task_result": [
        "application/octet-stream",
        "application/json",
        "application/x-ndjson",
        "application/vnd.apache.parquet",
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        "text/csv",
    ],
}
"""Operations that answer with no record, and their media types; generated clients go by the first."""
JSON_TYPES = {"application/json", "application/merge-patch+json"}


def nodes(node: Any = DOCUMENT, path: str = "#") -> Iterator[tuple[str, Json]]:
    """Every object in the document, and where it is."""
    if isinstance(node, dict):
        yield path, node
        for name, member in node.items():
            yield from nodes(member, f"{path}/{name}")
    elif isinstance(node, list):
        for index, member in enumerate(node):
            yield from nodes(member, f"{path}/{index}")


def schemas() -> Iterator[tuple[str, Json]]:
    """Every JSON schema in the document, and where it is."""
    place = re.compile(r"/(schema|items|additionalProperties|schemas/\w+|properties/\w+|anyOf/\d+)$")
    return ((path, node) for path, node in nodes() if place.search(path))


class TestSnapshot:
    async def test_the_document_is_the_one_that_was_agreed_on(self, app: FastAPI, anonymous: AsyncClient) -> None:
        """Byte for byte: a change of the API is seen, and read, in this file."""
        written = orjson.dumps(app.openapi(), option=orjson.OPT_INDENT_2) + b"\n"
        how_to_renew = f"The document has changed. If that was meant: warehouse openapi > tests/api/{SNAPSHOT.name}"
        assert written == SNAPSHOT.read_bytes(), how_to_renew
        served = await anonymous.get("/openapi.json")
        assert (served.status_code, served.json()) == (200, DOCUMENT)


class TestDocument:
    def test_it_is_openapi_3_1_and_tells_whose_it_is(self) -> None:
        assert DOCUMENT["openapi"].startswith("3.1.")
        assert {"title", "version", "description", "contact", "license"} <= DOCUMENT["info"].keys()
        assert DOCUMENT["info"]["license"].keys() == {"name", "identifier"}
        assert DOCUMENT["servers"]

    def test_every_reference_leads_somewhere(self) -> None:
        for _, node in nodes():
            if isinstance(node.get("$ref"), str):
                assert resolved(node)

    def test_everything_in_the_components_is_used(self) -> None:
        used = Counter(node["$ref"] for _, node in nodes() if isinstance(node.get("$ref"), str))
        for kind in ("schemas", "responses", "headers"):
            for name in DOCUMENT["components"][kind]:
                assert used[f"#/components/{kind}/{name}"], f"nothing refers to {kind}/{name}"

    def test_every_schema_is_one(self) -> None:
        for path, schema in schemas():
            try:
                Draft202012Validator.check_schema(schema)
            except Exception as error:
                raise AssertionError(path) from error

    def test_every_example_and_default_fits_its_schema(self) -> None:
        found = 0
        for path, schema in schemas():
            values = [*schema.get("examples", ()), *([schema["default"]] if "default" in schema else ())]
            complete = {**schema, "components": DOCUMENT["components"]}
            for value in values:
                errors = list(Draft202012Validator(complete, format_checker=FORMATS).iter_errors(value))
                assert not errors, path
                found += 1
        assert found > 20

    def test_no_text_is_cut_off_or_empty(self) -> None:
        for path, node in nodes():
            if "description" in node and not path.endswith("/properties"):
                assert node["description"].strip()

    def test_keys_are_bearer_tokens_without_scopes(self) -> None:
        (name,), (scheme,) = zip(*DOCUMENT["components"]["securitySchemes"].items(), strict=True)
        assert (scheme["type"], scheme["scheme"]) == ("http", "bearer")
        assert all(operation.content["security"] in ([], [{name: []}]) for operation in ALL)

    def test_what_generators_stumble_over_is_not_in_it(self) -> None:
        text = json.dumps(DOCUMENT)
        for stumbling_block in ("itemSchema", "contentMediaType", "HTTPValidationError", '"const"', "prefixItems"):
            assert stumbling_block not in text


class TestOperations:
    def test_names_are_unique_and_fit_every_language(self) -> None:
        names = [operation.content["operationId"] for operation in ALL]
        assert len(set(names)) == len(names)
        assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", name) for name in names)

    def test_an_operation_has_one_explained_tag_and_a_text(self) -> None:
        for operation in ALL:
            (tag,) = operation.content["tags"]
            (text,) = [each["description"] for each in DOCUMENT["tags"] if each["name"] == tag]
            assert text, operation
            assert operation.content["summary"], operation

    def test_every_error_is_a_problem(self) -> None:
        for operation in ALL:
            for status, response in operation.responses.items():
                if status >= 400 and (operation.name, status) != ("readyz", 503):
                    assert response["content"] == PROBLEM, operation
                    assert "X-Request-Id" in response["headers"], operation

    def test_the_statuses_follow_from_the_shape(self) -> None:
        for operation in ALL:
            documented = set(operation.responses)
            expected = {500}
            if not operation.is_public:
                expected |= {401, 403, 422, 503}
            if operation.body is not None:
                expected |= {400, 413, 415}
            if operation.path_parameters:
                expected |= {404}
            if "cursor" in operation.parameters("query"):
                expected |= {400}
            if "Idempotency-Key" in operation.parameters("header"):
                expected |= {400, 409}
            if "If-Match" in operation.parameters("header"):
                expected |= {400, 409, 412, 428}
            assert expected <= documented, operation
            assert any(status < 300 for status in documented), operation

    def test_a_body_is_one_named_schema_of_one_media_type(self) -> None:
        for operation in ALL:
            if operation.body is None:
                continue
            content = operation.content["requestBody"]["content"]
            ((media_type, media),) = content.items()
            assert media_type in JSON_TYPES, operation
            assert (media_type == "application/merge-patch+json") == (operation.method == "PATCH"), operation
            assert media["schema"].keys() == {"$ref"}, operation
            assert operation.content["requestBody"]["required"] is True, operation

    def test_an_answer_is_one_named_schema(self) -> None:
        for operation in ALL:
            for status, response in operation.responses.items():
                if status in (204, 304):
                    assert "content" not in response, operation
                elif operation.name not in FILES or status >= 400:
                    content = dict(response["content"])
                    lines = content.pop("application/x-ndjson", None)
                    assert lines is None or lines["schema"]["type"] == "string", operation
                    ((_, media),) = content.items()
                    assert media["schema"].keys() == {"$ref"}, operation

    def test_what_is_sent_as_a_file_is_bytes_or_text(self) -> None:
        for name, media_types in FILES.items():
            for status in {200, 206} & OPERATIONS[name].responses.keys():
                content = OPERATIONS[name].responses[status]["content"]
                assert list(content) == media_types, name
                kinds = {each: media["schema"].get("type") for each, media in content.items()}
                assert all(kind == (None if each == "application/json" else "string") for each, kind in kinds.items())

    def test_what_may_be_left_out_is_not_null(self) -> None:
        for operation in ALL:
            for parameter in operation.content.get("parameters", ()):
                assert not {"anyOf", "title"} & parameter["schema"].keys(), operation
                assert parameter["required"] is True or parameter["in"] != "path", operation

    def test_every_post_with_an_effect_takes_a_key_unless_it_may_be_repeated_anyway(self) -> None:
        for operation in ALL:
            takes = "Idempotency-Key" in operation.parameters("header")
            assert takes == (operation.method == "POST" and operation.name != "order_breaker"), operation

    def test_a_change_names_the_version_that_it_is_for(self) -> None:
        for operation in ALL:
            is_change = operation.method in ("PATCH", "DELETE") and operation.name != "revoke_api_key"
            assert ("If-Match" in operation.parameters("header")) == is_change, operation

    def test_what_is_made_is_linked_to_its_reading(self) -> None:
        makers = [operation for operation in ALL if operation.name.startswith("create_")]
        for operation in makers:
            success = 201 if 201 in operation.responses else 202
            links = operation.responses[success]["links"]
            for name, link in links.items():
                target = OPERATIONS[link["operationId"]]
                assert name == target.name, operation
                assert link["parameters"].keys() == set(target.path_parameters), operation
            readers = {name for name in links if OPERATIONS[name].method == "GET"}
            # No single API key can be read.
            assert readers or operation.name == "create_api_key", operation
        assert len(makers) == 7


class TestSchemas:
    def test_an_answer_has_all_its_members_always(self) -> None:
        for name in sorted(OUTPUTS):
            schema = SCHEMAS[name]
            assert set(schema["required"]) == schema["properties"].keys(), name

    def test_an_input_has_no_other_members(self) -> None:
        for name in sorted(INPUTS):
            assert SCHEMAS[name]["additionalProperties"] is False, name

    def test_creating_changing_and_reading_have_schemas_of_their_own(self) -> None:
        for record in ("Product", "Warehouse", "Location"):
            assert {f"{record}Create", f"{record}Update", f"{record}Read", f"{record}Page"} <= SCHEMAS.keys()
            changed = SCHEMAS[f"{record}Update"]
            assert "required" not in changed
            assert not any("default" in each for each in changed["properties"].values())

    def test_enums_have_names(self) -> None:
        for path, schema in schemas():
            assert "enum" not in schema or path.removeprefix("#/components/schemas/") in ENUMS, path

    def test_titles_are_left_to_the_generators(self) -> None:
        assert [path for path, schema in schemas() if isinstance(schema.get("title"), str)] == []

    def test_the_only_choices_are_null_and_the_kinds_of_an_attribute(self) -> None:
        for path, schema in schemas():
            if "anyOf" in schema and "attributes" not in path:
                others = [choice for choice in schema["anyOf"] if choice != {"type": "null"}]
                assert len(others) == 1, path

    def test_the_code_of_a_problem_stays_open(self) -> None:
        """More codes may come, and a generated client must not refuse them."""
        assert SCHEMAS["Problem"]["properties"]["code"]["type"] == "string"
        assert SCHEMAS["Problem"]["additionalProperties"] is True
