from collections.abc import Mapping

import pytest

from tests.unit.http.asgi import application, client
from warehouse.http.prefer import APPLIED, RespondAsync, preferences


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("respond-async", {"respond-async": ""}),
        ("Respond-Async", {"respond-async": ""}),
        ("respond-async, wait=10", {"respond-async": "", "wait": "10"}),
        ("wait=10 , respond-async", {"respond-async": "", "wait": "10"}),
        ('respond-async; a; b=c; d="e;," , x', {"respond-async": "", "x": ""}),
        ("respond-async;", {"respond-async": ""}),
        (",, respond-async ,", {"respond-async": ""}),
        ('foo="bar, respond-async"', {"foo": "bar, respond-async"}),
        (r'foo="a\"b\\c"', {"foo": 'a"b\\c'}),
        ("foo=1, foo=2", {"foo": "1"}),
        ('foo = ""', {"foo": ""}),
        ("", {}),
        (" ", {}),
        ("respond async", {}),
        ("respond-async, (", {}),
        ('respond-async, foo="', {}),
        ("respond-async;=", {}),
        ("x" * 1001, {}),
    ],
)
def test_preferences_are_read_as_rfc_7240_has_them(header: str, found: Mapping[str, str]) -> None:
    assert preferences(header) == found


def test_nothing_takes_long_to_be_read() -> None:
    assert preferences(";" * 999) == preferences("a" + "; a" * 300 + "\0") == {}


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ([], False),
        ([b"respond-async"], True),
        ([b"wait=5", b"RESPOND-ASYNC"], True),
        ([b"return=minimal"], False),
        ([b"respond-async=no"], False),
        ([b'note="respond-async"'], False),
        ([b"\xff"], False),
    ],
)
async def test_an_endpoint_learns_whether_a_task_is_preferred(fields: list[bytes], wanted: bool) -> None:
    app = application()

    @app.get("/v1/products")
    async def list_products(respond_async: RespondAsync) -> bool:
        return respond_async

    async with client(app) as http:
        response = await http.get("/v1/products", headers=[(b"Prefer", each) for each in fields])
    assert response.json() is wanted


def test_what_was_applied_is_told() -> None:
    assert APPLIED == {"Preference-Applied": "respond-async"}
