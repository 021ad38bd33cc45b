"""What the OpenAPI document says of work that is done later, and of files and events."""

import copy
from collections.abc import Callable, Mapping

from warehouse.http.events import MEDIA_TYPE as EVENTS
from warehouse.http.forms import FORM, PART
from warehouse.http.lasting import Lasting
from warehouse.http.openapi_components import Json
from warehouse.http.uploads import RAW

FORM_MODEL = "FileUpload"
_REFERENCE = f"#/components/schemas/{FORM_MODEL}"

# OpenAPI 3.1 has other words for it; but these are the ones that make generated clients send bytes.
_BYTES: Json = {"type": "string", "format": "binary"}

_ACCEPTED: Mapping[str, str] = {
    "Location": "Where the task is.",
    "Retry-After": "Seconds after which to look at it.",
}
_FILE: Mapping[str, str] = {
    "Accept-Ranges": "`bytes`, where the file is not encoded.",
    "Content-Disposition": "The name to keep the file under (RFC 6266).",
    "ETag": "The version of the file, for If-None-Match and If-Range.",
}
_PART: Mapping[str, str] = {**_FILE, "Content-Range": "Which part of the file it is (RFC 9110, 14.4)."}
_NAMED: Mapping[str, str] = {
    "Content-Disposition": 'Names a file that comes without a form: `attachment; filename="a.csv"`.'
}
_ASKED: Mapping[str, str] = {
    "Range": "The part of the file that is wanted, as in `bytes=1000-`.",
    "If-Range": "The ETag that the part is to be of; of any other file the whole is sent.",
}


def complete_accepted(content: Json) -> None:
    """Of every operation that answers 202."""
    response = content["responses"].get("202")
    if response is None:
        return
    headers = response.setdefault("headers", {})
    headers.update(_headers(_ACCEPTED))
    if any(each["in"] == "header" and each["name"] == "Prefer" for each in content.get("parameters", ())):
        headers.update(_headers({"Preference-Applied": "`respond-async` where the client asked for it."}))


def complete_lasting(lasting: Lasting, content: Json, schemas: Json) -> None:
    """`schemas` gets the model that an upload refers to."""
    _COMPLETE[lasting](content, schemas)


def _complete_upload(content: Json, schemas: Json) -> None:
    schemas[FORM_MODEL] = {
        "type": "object",
        "description": "A form with one file.",
        "properties": {PART: {**_BYTES, "description": "The file, with its name."}},
        "required": [PART],
    }
    media_types = {FORM: {"schema": {"$ref": _REFERENCE}}, **{each: {"schema": dict(_BYTES)} for each in RAW}}
    content["requestBody"] = {"required": True, "content": media_types}
    # With several bodies openapi-python-client forgets an import, unless something else is optional too.
    _add_parameters(content, _NAMED)


def _complete_events(content: Json, _: Json) -> None:
    """A stream is a text, and what generated clients take it for; the model of the events' data is named beside it."""
    response = content["responses"]["200"]
    schema = response.pop("content", {}).get("application/json", {}).get("schema", {})
    response["content"] = {EVENTS: {"schema": {"type": "string"}}}
    if "$ref" in schema:
        response["description"] = f"Events, the data of each a `{schema['$ref'].rpartition('/')[2]}` as JSON."


def _complete_download(content: Json, _: Json) -> None:
    responses = content["responses"]
    whole = responses["200"]
    written = whole.pop("content", {})
    # An empty schema is what FastAPI writes for lack of anything else.
    told = [each for each, content in written.items() if each != "application/json" or content.get("schema")]
    bodies = {each: {"schema": _schema(each, written)} for each in told or ["application/octet-stream"]}
    whole["content"] = bodies
    whole.setdefault("headers", {}).update(_headers(_FILE))
    responses["206"] = {
        "description": "The part that was asked for.",
        "headers": _headers(_PART),
        "content": copy.deepcopy(bodies),
    }
    _add_parameters(content, _ASKED)


def _schema(media_type: str, written: Json) -> Json:
    if media_type == "application/json":
        return dict(written[media_type]["schema"])
    # Generated clients decode what is a text, and would fail to make bytes of it.
    return {"type": "string"} if media_type.startswith("text/") else dict(_BYTES)


def _add_parameters(content: Json, texts: Mapping[str, str]) -> None:
    content.setdefault("parameters", []).extend(
        {"name": name, "in": "header", "required": False, "schema": {"type": "string"}, "description": text}
        for name, text in texts.items()
    )


_COMPLETE: Mapping[Lasting, Callable[[Json, Json], None]] = {
    Lasting.UPLOAD: _complete_upload,
    Lasting.EVENTS: _complete_events,
    Lasting.DOWNLOAD: _complete_download,
}


def _headers(texts: Mapping[str, str]) -> Json:
    return {name: {"description": text, "schema": {"type": "string"}} for name, text in texts.items()}
