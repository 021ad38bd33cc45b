"""Text for the cells of files that spreadsheet programs open."""

_FORMULA_SIGNS = ("=", "+", "-", "@", "\t", "\r")


def neutralised(text: str) -> str:
    """The text so that no spreadsheet program takes it for a formula (CWE-1236): such text gets an apostrophe."""
    return f"'{text}" if text.startswith(_FORMULA_SIGNS) else text
