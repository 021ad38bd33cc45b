"""What happened in a schedule, to be compared and to be read by people."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from tests.cache_model.composition import Numbers
from warehouse.cache.entry import GENERATION_BYTES, HEAD, Garbage, decode
from warehouse.cache.fence import View


class Trace:
    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._happened: list[tuple[float, str, object, object]] = []

    def note(self, who: str, what: object, result: object = None) -> None:
        self._happened.append((self._now(), who, what, result))

    def lines(self) -> list[str]:
        tokens = Numbers[bytes]()
        return [
            f"{when:9.4f}  {who:12} {_told(what, tokens)}{'' if result is None else f' -> {_told(result, tokens)}'}"
            for when, who, what, result in self._happened
        ]


def _told(thing: object, tokens: Numbers[bytes]) -> str:
    """Random tokens go by the order in which they appear."""
    match thing:
        case bytes():
            return _value(thing, tokens)
        case partial():
            return f"{thing.func.__name__}({', '.join(_told(each, tokens) for each in thing.args)})"
        case View():
            return f"{'on' if thing.usable else 'off'} in epoch {thing.epoch}"
        case str():
            return thing.removeprefix("w1:00000000000000000000000000000000:")
        case Mapping() | Sequence():
            return f"[{', '.join(_told(each, tokens) for each in thing)}]"
        case _:
            return getattr(thing, "__name__", repr(thing))


def _value(value: bytes, tokens: Numbers[bytes]) -> str:
    if len(value) == GENERATION_BYTES:
        return f"g{tokens.of(value)}"
    if len(value) < HEAD.size:
        return "nothing" if not value else "garbage"
    _, count, length = HEAD.unpack_from(value)
    start = HEAD.size + count * GENERATION_BYTES
    generations = [value[place : place + GENERATION_BYTES] for place in range(HEAD.size, start, GENERATION_BYTES)]
    try:
        decode(value, generations)
    except Garbage:
        return "garbage"
    return f"{value[start + length :].decode()} under {_told(generations, tokens)}"
