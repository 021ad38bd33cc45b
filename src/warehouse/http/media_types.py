"""In which form a client wants an answer that has several (RFC 9110, 12.5.1)."""

import re
from collections.abc import Mapping, Sequence

_LONGEST = 1000
_WEIGHT = re.compile(r";[ \t]*q=([01](?:\.[0-9]{0,3})?)", re.IGNORECASE)


def preferred(accept: str, offered: Sequence[str]) -> str:
    """The media type that the client likes best, of equals the first; the first where it accepts none of them."""
    weights = _weights(accept) if len(accept) <= _LONGEST else {}
    return max(offered, key=lambda media_type: _weight_of(media_type, weights))


def _weight_of(media_type: str, weights: Mapping[str, float]) -> float:
    ranges = (media_type, f"{media_type.partition('/')[0]}/*", "*/*")
    return next((weights[each] for each in ranges if each in weights), 0)


def _weights(accept: str) -> Mapping[str, float]:
    """By media range; parameters other than the weight do not count."""
    weights = {}
    for element in accept.lower().split(","):
        weight = _WEIGHT.search(element)
        weights[element.partition(";")[0].strip(" \t")] = float(weight[1]) if weight else 1
    return weights
