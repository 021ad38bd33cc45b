"""A key's secret has one format, is never shown by accident, and is compared in constant time."""

import hashlib
import hmac
import re
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from warehouse.auth.model import KEY_START, PREFIX_LENGTH, ApiKey, Role, Secret
from warehouse.auth.service import IssuedKey
from warehouse.clock import utc_now
from warehouse.ids import new_id

MANY = 1000
FORMAT = re.compile(r"wh_([a-z2-7]{12})_([A-Za-z0-9_-]{43})")


def test_a_secret_is_a_prefix_and_256_random_bits() -> None:
    matches = [FORMAT.fullmatch(Secret.generate().text) for _ in range(MANY)]
    found = [match for match in matches if match]
    assert len(found) == MANY
    assert len({match[1] for match in found}) == len({match[2] for match in found}) == MANY


def test_a_secret_parses_to_itself() -> None:
    for _ in range(MANY):
        secret = Secret.generate()
        assert Secret.parse(secret.text) == secret
        assert f"{KEY_START}{secret.prefix}_" == secret.text[: len(KEY_START) + PREFIX_LENGTH + 1]


@given(
    st.text()
    | st.from_regex(r"wh_.{0,14}_.{0,70}")
    | st.builds(lambda cut, tail: Secret.generate().text[:cut] + tail, st.integers(0, 60), st.text(max_size=3))
)
@example("wh_" + "\ud800" * 12 + "_x")
@example("wh_" + "²" * 12 + "_x")
@example("wh_abcdefghijkl_\x00")
def test_parsing_never_raises_and_gives_what_can_be_looked_up(text: str) -> None:
    secret = Secret.parse(text)
    if secret is not None:
        assert secret.text == text
        assert re.fullmatch(r"[A-Za-z0-9]{12}", secret.prefix)
        assert len(secret.digest) == 32


@pytest.mark.parametrize(
    "text",
    [
        "",
        "wh_",
        "wh__",
        "wh_abcdefghijkl",
        "wh_abcdefghijkl_",
        "wh_abcdefghijk_secret",
        "wh_abcdefghijklm_secret",
        "abcdefghijkl_secret",
        "WH_abcdefghijkl_secret",
        "Bearer wh_abcdefghijkl_secret",
        " wh_abcdefghijkl_secret",
        "wh_abcdefghijkl_" + "x" * 65,
        "wh_abcdefghijké_secret",
    ],
)
def test_what_is_no_key_of_ours_does_not_parse(text: str) -> None:
    assert Secret.parse(text) is None


def test_only_the_whole_secret_matches() -> None:
    secret = Secret.generate()
    assert secret.digest == hashlib.sha256(secret.text.encode()).digest()
    assert secret.matches(secret.digest)
    other = Secret(secret.text[:-1] + ("A" if secret.text[-1] != "A" else "B"))
    assert not other.matches(secret.digest)
    assert not secret.matches(b"")


def test_digests_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[Any, Any]] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return True

    monkeypatch.setattr(hmac, "compare_digest", compare)
    secret = Secret.generate()
    assert secret.matches(b"another")
    assert compared == [(secret.digest, b"another")]


def test_a_secret_is_not_shown_where_it_is_printed() -> None:
    secret = Secret.generate()
    key = ApiKey(new_id(), "till", Role.VIEWER, secret.prefix, utc_now(), None, None, None)
    tail = secret.text.removeprefix(f"{KEY_START}{secret.prefix}_")
    for shown in (
        repr(secret),
        str(secret),
        f"{secret}",
        f"{secret!r:>80}",
        repr([secret]),
        repr(IssuedKey(key, secret)),
    ):
        assert secret.prefix in shown
        assert tail not in shown


def test_a_key_is_usable_until_it_expires_or_is_revoked() -> None:
    now, second = utc_now(), timedelta(seconds=1)

    def key(expires_at: Any = None, revoked_at: Any = None) -> ApiKey:
        return ApiKey(new_id(), "till", Role.VIEWER, "a" * 12, now, expires_at, None, revoked_at)

    assert key().usable(now)
    assert key(expires_at=now + second).usable(now)
    assert not key(expires_at=now).usable(now)
    assert not key(revoked_at=now - second).usable(now)
    assert not key(expires_at=now + second, revoked_at=now).usable(now)


def test_each_role_may_do_all_that_the_ones_before_it_may() -> None:
    order = [Role.VIEWER, Role.OPERATOR, Role.MANAGER, Role.ADMIN]
    assert order == list(Role)
    for place, role in enumerate(order):
        assert [role.covers(needed) for needed in order] == [True] * (place + 1) + [False] * (3 - place)
