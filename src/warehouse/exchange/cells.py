"""Texts as they may stand in the cells of a spreadsheet."""

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def neutralised(text: str) -> str:
    """With an apostrophe before it where a spreadsheet would take the text for a formula."""
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text
