"""What the document says of tasks, files and events, by an application of the test's own."""

from typing import Any
from uuid import UUID

import pytest
from fastapi import APIRouter, FastAPI, Request
from pydantic import BaseModel
from starlette.responses import Response

from tests.unit.http.asgi import application
from warehouse.http.events import LastEventId
from warehouse.http.lasting import sends_events, sends_file, takes_upload
from warehouse.http.openapi import customise, document
from warehouse.http.prefer import RespondAsync
from warehouse.http.route_classes import heavy
from warehouse.http.uploads import RAW

Json = dict[str, Any]
BYTES = {"type": "string", "format": "binary"}
CSV: dict[int | str, Json] = {200: {"content": {"text/csv": {}}}}


class TaskRead(BaseModel):
    id: UUID
    kind: str


class Progress(BaseModel):
    done: int


class Summary(BaseModel):
    total: int


def tasks() -> FastAPI:
    app = application()
    router = APIRouter(prefix="/v1", tags=["operations"])

    @router.post("/imports", response_model=TaskRead, status_code=202)
    @takes_upload
    async def start_import(request: Request, kind: str) -> None:
        """Import a file."""

    @router.post("/reports", response_model=Summary, responses={202: {"model": TaskRead}})
    async def create_report(respond_async: RespondAsync) -> None: ...

    @router.get("/tasks/{task_id}", response_model=TaskRead)
    async def get_task(task_id: UUID) -> None: ...

    @router.get("/tasks/{task_id}/events", response_model=Progress)
    @sends_events
    async def watch_task(task_id: UUID, last: LastEventId) -> None: ...

    @router.get("/news")
    @sends_events
    async def watch_news() -> Response:
        return Response()

    @router.get("/tasks/{task_id}/result", responses=CSV)
    @heavy
    @sends_file
    async def get_task_result(request: Request, task_id: UUID) -> Response:
        return Response()

    @router.get("/backup")
    @sends_file
    async def get_backup() -> Response:
        return Response()

    app.include_router(router)
    customise(app)
    return app


@pytest.fixture(scope="module")
def written() -> Json:
    return document(tasks())


@pytest.fixture(scope="module")
def by_name(written: Json) -> dict[str, Json]:
    return {operation["operationId"]: operation for path in written["paths"].values() for operation in path.values()}


def test_a_file_is_sent_as_a_form_with_a_model_of_its_name_or_as_it_is(written: Json, by_name: dict[str, Json]) -> None:
    body = by_name["start_import"]["requestBody"]
    assert body["required"]
    assert body["content"] == {
        "multipart/form-data": {"schema": {"$ref": "#/components/schemas/FileUpload"}},
        **{media_type: {"schema": BYTES} for media_type in RAW},
    }
    model = written["components"]["schemas"]["FileUpload"]
    assert model["required"] == ["file"]
    assert model["properties"]["file"].items() >= BYTES.items()
    [named] = [each for each in by_name["start_import"]["parameters"] if each["name"] == "Content-Disposition"]
    assert not named["required"]
    assert by_name["start_import"]["responses"].keys() >= {"400", "413", "415", "422", "429", "503"}


@pytest.mark.parametrize("name", ["start_import", "create_report"])
def test_a_task_is_told_with_its_address_and_when_to_look(by_name: dict[str, Json], name: str) -> None:
    accepted = by_name[name]["responses"]["202"]
    assert accepted["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/TaskRead"}
    assert accepted["headers"].keys() >= {"Location", "Retry-After", "X-Request-Id"}
    assert accepted["links"]["get_task"] == {
        "operationId": "get_task",
        "parameters": {"task_id": "$response.body#/id"},
    }


def test_a_task_that_was_preferred_is_told_to_be_that(by_name: dict[str, Json]) -> None:
    report = by_name["create_report"]
    assert "Preference-Applied" in report["responses"]["202"]["headers"]
    assert "Preference-Applied" not in report["responses"]["200"]["headers"]
    assert "Preference-Applied" not in by_name["start_import"]["responses"]["202"]["headers"]
    [prefer] = [each for each in report["parameters"] if each["name"] == "Prefer"]
    assert not prefer["required"]


@pytest.mark.parametrize("name", ["watch_task", "watch_news"])
def test_a_stream_of_events_is_a_text_to_every_generator(by_name: dict[str, Json], name: str) -> None:
    responses = by_name[name]["responses"]
    assert responses["200"]["content"] == {"text/event-stream": {"schema": {"type": "string"}}}
    assert "itemSchema" not in str(responses)
    assert responses["503"] == {"$ref": "#/components/responses/Unavailable"}


def test_what_the_data_of_events_is_has_a_model_of_that_name(written: Json, by_name: dict[str, Json]) -> None:
    assert "`Progress`" in by_name["watch_task"]["responses"]["200"]["description"]
    assert "Progress" in written["components"]["schemas"]


def test_events_can_be_gone_on_with(by_name: dict[str, Json]) -> None:
    [last] = [each for each in by_name["watch_task"]["parameters"] if each["name"] == "Last-Event-ID"]
    assert last["schema"] == {"type": "string"}
    assert not last["required"]


@pytest.mark.parametrize(
    ("name", "media_type", "schema"),
    [("get_task_result", "text/csv", {"type": "string"}), ("get_backup", "application/octet-stream", BYTES)],
)
def test_a_file_comes_whole_or_in_part_or_is_known(
    by_name: dict[str, Json], name: str, media_type: str, schema: Json
) -> None:
    operation = by_name[name]
    whole, part, known = (operation["responses"][status] for status in ("200", "206", "304"))
    assert whole["content"] == part["content"] == {media_type: {"schema": schema}}
    assert whole["headers"].keys() >= {"ETag", "Content-Disposition", "Accept-Ranges", "X-Request-Id"}
    assert "Content-Range" in part["headers"]
    assert "content" not in known
    assert {each["name"] for each in operation["parameters"]} >= {"If-None-Match", "Range", "If-Range"}


def test_other_documents_are_as_they_were(written: Json) -> None:
    assert "FileUpload" not in document(application())["components"]["schemas"]
    assert document(tasks()) == written
