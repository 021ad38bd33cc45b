"""Texts in the cells of a CSV file, which spreadsheets take for more than text."""

import re

_FORMULA = re.compile(r"'*[=+\-@\t\r]")


def neutralised(text: str) -> str:
    """With an apostrophe before it where it looks like a formula, or like one that has been neutralised."""
    return f"'{text}" if _FORMULA.match(text) else text


def restored(text: str) -> str:
    """What was `neutralised`."""
    return text[1:] if text.startswith("'") and _FORMULA.match(text, 1) else text


def all_restored(texts: list[str]) -> list[str]:
    return list(map(restored, texts)) if "'" in "".join(texts) else texts
