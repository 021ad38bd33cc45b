"""What is kept is got back, and nothing else is taken for it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warehouse.cache.entry import GENERATION_BYTES, Entry, Garbage, decode, encode

ENTRY = Entry(200, [("content-type", "application/json")], '"a-1"', {"identity": b"{}" * 300, "zstd": b"z"}, 0.25)
GENERATIONS = [b"a" * GENERATION_BYTES, b"b" * GENERATION_BYTES]

generations = st.lists(st.binary(min_size=GENERATION_BYTES, max_size=GENERATION_BYTES), max_size=4)
entries = st.builds(
    Entry,
    st.sampled_from([200, 404]),
    st.lists(st.tuples(st.text(), st.text()), max_size=3),
    st.text(),
    st.dictionaries(st.sampled_from(["identity", "gzip", "zstd"]), st.binary(max_size=300)),
    st.floats(0, 100),
)


@given(entries, generations)
def test_an_entry_comes_back_under_its_own_generations(entry: Entry, own: list[bytes]) -> None:
    assert decode(encode(entry, own), own) == entry


@pytest.mark.parametrize(
    "others",
    [[], GENERATIONS[:1], GENERATIONS[::-1], [*GENERATIONS, b"c" * GENERATION_BYTES], [GENERATIONS[0]] * 2],
)
def test_under_other_generations_it_counts_no_more(others: list[bytes]) -> None:
    assert decode(encode(ENTRY, GENERATIONS), others) is None


@given(st.binary(max_size=200))
def test_bytes_of_another_origin_are_garbage(value: bytes) -> None:
    with pytest.raises(Garbage):
        decode(value, GENERATIONS)


@given(st.integers(0, len(encode(ENTRY, GENERATIONS)) - 1))
def test_a_truncated_value_is_garbage(length: int) -> None:
    with pytest.raises(Garbage):
        decode(encode(ENTRY, GENERATIONS)[:length], GENERATIONS)


@given(st.integers(0, len(encode(ENTRY, GENERATIONS)) - 1), st.integers(1, 255))
def test_a_value_with_a_changed_byte_is_garbage(position: int, change: int) -> None:
    value = bytearray(encode(ENTRY, GENERATIONS))
    value[position] ^= change
    with pytest.raises(Garbage):
        decode(bytes(value), GENERATIONS)
