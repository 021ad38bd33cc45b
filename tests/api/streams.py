"""Server-sent events as a client reads them."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from tests.api.calls import Json


@dataclass
class Seen:
    """An event. A heartbeat is none."""

    id: int = 0
    name: str = "message"
    data: Json = field(default_factory=dict)


def events(lines: Iterable[str]) -> Iterator[Seen]:
    seen = Seen()
    for line in lines:
        name, _, value = line.partition(": ")
        match name:
            case "id":
                seen.id = int(value)
            case "event":
                seen.name = value
            case "data":
                seen.data = json.loads(value)
            case "" if seen.data:
                yield seen
                seen = Seen()
