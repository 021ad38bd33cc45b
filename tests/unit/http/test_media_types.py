import pytest
from hypothesis import given
from hypothesis import strategies as st

from warehouse.http.media_types import preferred

JSON, LINES = "application/json", "application/x-ndjson"


@pytest.mark.parametrize(
    ("accept", "answered"),
    [
        ("", JSON),
        ("*/*", JSON),
        ("application/*", JSON),
        (JSON, JSON),
        (LINES, LINES),
        ("Application/X-NDJSON", LINES),
        (f"{LINES}, {JSON}", JSON),
        (f"{LINES}, {JSON};q=0.9", LINES),
        (f"{LINES};q=0.9, {JSON}", JSON),
        (f"{LINES};q=0.5, */*;q=0.1", LINES),
        (f"{LINES};q=0.5, application/*;q=0.6", JSON),
        ("application/json;q=0, application/*;q=0.1", LINES),
        (f"{JSON};q=0, */*", LINES),
        (f"text/html,{LINES};charset=utf-8 ; Q=0.3,{JSON};q=0.25", LINES),
        ("text/html", JSON),
        (f"{JSON};q=0, {LINES};q=0.000", JSON),
        (f"{JSON};q=2, {LINES}", JSON),
        (f",,;;q=,{LINES}", LINES),
        (f"{LINES}," + "a/b," * 1000, JSON),
    ],
)
def test_the_client_gets_what_it_likes_best(accept: str, answered: str) -> None:
    assert preferred(accept, [JSON, LINES]) == answered


@given(st.text() | st.text(alphabet=f"*/,;=q01. {JSON}"))
def test_any_header_has_an_answer(accept: str) -> None:
    assert preferred(accept, [JSON, LINES]) in (JSON, LINES)
