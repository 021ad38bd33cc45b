"""How text is compared and split for search; the same on every backend, so it is done here and not by a collation."""

import re
import unicodedata

LONGEST_WORD = 64
_WORD = re.compile(r"[^\W_]+")


def compare_key(text: str) -> str:
    """The form in which two codes are the same code: NFC, case folded."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())


def words(text: str) -> list[str]:
    """Letters-and-digits runs, case folded, in order of appearance, without repetition; long ones are cut."""
    return list(dict.fromkeys(word[:LONGEST_WORD] for word in _WORD.findall(compare_key(text))))
