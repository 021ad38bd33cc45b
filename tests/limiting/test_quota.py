import pytest

from warehouse.limiting import Quota, parse_quota


@pytest.mark.parametrize(
    ("text", "quota"),
    [
        ("600/minute", Quota(600, 60)),
        ("100 per 60 seconds", Quota(100, 60)),
        ("5 per 2 hours", Quota(5, 7200)),
        (" 1 / day ", Quota(1, 86_400)),
    ],
)
def test_the_notation_is_that_of_limits(text: str, quota: Quota) -> None:
    assert parse_quota(text) == quota


@pytest.mark.parametrize("text", ["", "600", "a lot", "-1/minute", "5/fortnight", "5/minute!", "1/second; 5/minute"])
def test_what_is_no_single_limit_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match='is no rate limit: write one such as "600/minute"'):
        parse_quota(text)


@pytest.mark.parametrize("text", ["0/minute", "999999999999/year"])
def test_a_limit_that_cannot_be_counted_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="a rate limit"):
        parse_quota(text)
