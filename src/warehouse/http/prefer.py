"""How a client would like to be answered (RFC 7240)."""

import re
from collections.abc import Mapping
from typing import Annotated

from fastapi import Depends, Header, Request

from warehouse.http.headers import fields_of

HEADER = "Prefer"
RESPOND_ASYNC = "respond-async"
APPLIED: Mapping[str, str] = {"Preference-Applied": RESPOND_ASYNC}
"""Headers of an answer that is given at once, with the work still to be done, because the client asked for that."""

_LONGEST = 1000
_TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"  # noqa: S105 (RFC 9110's word for what a name is made of)
_WORD = rf'(?:{_TOKEN}|"(?:[^"\\]|\\.)*")'
_PAIR = rf"{_TOKEN}(?:[ \t]*=[ \t]*{_WORD})?"
_PREFERENCE = re.compile(
    rf"[ \t]*(?P<name>{_TOKEN})(?:[ \t]*=[ \t]*(?P<value>{_WORD}))?(?:[ \t]*;(?:[ \t]*{_PAIR})?)*[ \t]*(?:,|\Z)"
)
_EMPTY = re.compile(r"[ \t]*(?:,|\Z)")
_ESCAPE = re.compile(r"\\(.)")


def preferences(header: str) -> Mapping[str, str]:
    """Values by names in lower case, empty for those that have none; of several of one name the first counts. All that
    a client can do is to ask: a header that cannot be parsed is one that asks nothing."""
    found: dict[str, str] = {}
    position = 0
    while position < len(header) <= _LONGEST:
        element = _PREFERENCE.match(header, position)
        if element is not None:
            found.setdefault(element["name"].lower(), _unquoted(element["value"] or ""))
        else:
            element = _EMPTY.match(header, position)
            if element is None:
                return {}
        position = element.end()
    return found


def _unquoted(word: str) -> str:
    return _ESCAPE.sub(r"\1", word[1:-1]) if word.startswith('"') else word


async def _respond_async(
    request: Request,
    given: Annotated[
        str | None,
        Header(alias=HEADER, description="`respond-async`: rather a task at once than the answer later (RFC 7240)."),
    ] = None,
) -> bool:
    return preferences(fields_of(request.scope).get(b"prefer", b"").decode("latin-1")).get(RESPOND_ASYNC) == ""


RespondAsync = Annotated[bool, Depends(_respond_async)]
"""Parameter of an endpoint: whether the client rather has a task at once. Answer it with the headers `APPLIED`."""
