"""The whole catalogue in one answer, made of the segments into which it is divided. Each is encoded by itself, so that
it can be kept, and compressed, by itself."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class SnapshotForm:
    """How the catalogue is written: `head`, the segments with `separator` between them, `tail`."""

    media_type: str
    head: bytes
    separator: bytes
    tail: bytes
    segment: Callable[[Sequence[str]], bytes]
    """Encodes the products of one segment, given as texts of JSON."""

    def pieces(self, segments: Iterable[T], encoded: Callable[[bytes], T]) -> Iterator[T]:
        """What the answer is made of, from encoded segments that are not empty; `encoded` makes the rest alike."""
        yield encoded(self.head)
        for number, segment in enumerate(segments):
            if number:
                yield encoded(self.separator)
            yield segment
        yield encoded(self.tail)


def json_segment(rows: Sequence[str]) -> bytes:
    """The elements of a JSON array, without its brackets."""
    return ",".join(rows).encode()


def ndjson_segment(rows: Sequence[str]) -> bytes:
    """A product a line."""
    return "".join([f"{row}\n" for row in rows]).encode()


JSON = SnapshotForm("application/json", b'{"data":[', b",", b"]}", json_segment)
NDJSON = SnapshotForm("application/x-ndjson", b"", b"", b"", ndjson_segment)
FORMS = {form.media_type: form for form in (JSON, NDJSON)}
