"""One text has one form for comparing, and the same words for searching, on every database."""

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from warehouse.text import LONGEST_WORD, compare_key, words

texts = st.text(st.characters(exclude_categories=["Cs"]))
DOTLESS, FULL_WIDTH = "\N{LATIN SMALL LETTER DOTLESS I}", "\N{FULLWIDTH DIGIT ONE}"


@given(texts)
@example("\u0345\u0301")
@example("Σ\u0345\u0301")
@example("ﬃ\u0308")
def test_the_key_of_a_key_is_itself(text: str) -> None:
    assert compare_key(compare_key(text)) == compare_key(text)


@given(texts)
def test_case_and_composition_make_no_difference(text: str) -> None:
    key = compare_key(text)
    assert unicodedata.is_normalized("NFC", key)
    assert compare_key(unicodedata.normalize("NFC", text)) == key
    assert compare_key(unicodedata.normalize("NFD", text)) == key
    assert compare_key(text.casefold()) == key


@pytest.mark.parametrize(
    ("one", "other"),
    [("A-1", "a-1"), ("Straße", "STRASSE"), ("É", "e\u0301"), ("ΟΔΟΣ", "οδος"), ("K", "k"), ("ﬁn", "FIN")],
)
def test_spellings_of_one_code_have_one_key(one: str, other: str) -> None:
    assert compare_key(one) == compare_key(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [("A-1", "A1"), ("a", "á"), ("A 1", "A1"), ("0", "O"), (DOTLESS, "i"), ("1", FULL_WIDTH), ("a", "a ")],
)
def test_different_codes_have_different_keys(one: str, other: str) -> None:
    assert compare_key(one) != compare_key(other)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" - _ . ", []),
        ("Bread, BREAD and bread", ["bread", "and"]),
        ("CJ-00026093", ["cj", "00026093"]),
        ("snake_case", ["snake", "case"]),
        ("Käse 3.5%", ["käse", "3", "5"]),
        ("Ka\u0308se", ["käse"]),
        ("Straße", ["strasse"]),
        ("日本酒 500ml", ["日本酒", "500ml"]),
        ("🧀 cheese🧀board", ["cheese", "board"]),
        ("b a b", ["b", "a"]),
    ],
)
def test_words_are_runs_of_letters_and_digits_in_their_order(text: str, expected: list[str]) -> None:
    assert words(text) == expected


def test_long_words_are_cut_and_then_told_apart_no_more() -> None:
    longest = "x" * LONGEST_WORD
    assert words(f"{longest} {longest}yz {longest[1:]}") == [longest, longest[1:]]


@given(texts)
def test_words_are_found_again_in_their_own_text(text: str) -> None:
    found = words(text)
    assert len(set(found)) == len(found)
    assert all(0 < len(word) <= LONGEST_WORD and word.replace("_", "-").isalnum() for word in found)
    assert words(compare_key(text)) == found
    assert words(" ".join(found)) == found
