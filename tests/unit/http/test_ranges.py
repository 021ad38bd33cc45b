import pytest

from warehouse.http.ranges import byte_range


@pytest.mark.parametrize(
    ("field", "wanted"),
    [
        ("bytes=0-", range(10)),
        ("bytes=4-", range(4, 10)),
        ("bytes=4-6", range(4, 7)),
        ("Bytes=4-4", range(4, 5)),
        ("bytes = 8-99999999999", range(8, 10)),
        ("bytes=-3", range(7, 10)),
        ("bytes=-30", range(10)),
    ],
)
def test_a_range_is_of_the_bytes_that_there_are(field: str, wanted: range) -> None:
    assert byte_range(field, 10) == wanted


@pytest.mark.parametrize(
    "field",
    [
        *(
            "",
            "bytes=-",
            "bytes=",
            "bytes=10-",
            "bytes=6-4",
            "bytes=-0",
            "bytes=1-2,4-5",
            "lines=1-2",
            "bytes=x-",
            "4-6",
        ),
        f"bytes={'9' * 10_000}-",
        "bytes=\u0661-",
    ],
)
def test_what_is_no_range_or_asks_for_nothing_that_there_is_does_not_count(field: str) -> None:
    assert byte_range(field, 10) is None
