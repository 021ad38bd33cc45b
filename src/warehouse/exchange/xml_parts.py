"""XML as workbooks hold it: no document type, no entities, and never more in memory than one element of a row."""

from collections.abc import Callable, Mapping
from typing import TypeVar
from xml.parsers import expat

from warehouse.exchange.tables import invalid, too_large

MOST_NAMES = 1000
DEEPEST = 64

T = TypeVar("T")

Attributes = Mapping[str, str]
Start = Callable[[Attributes], None]
End = Callable[[], None]

_NAMESPACES = (
    "http://schemas.openxmlformats.org/spreadsheetml/2006/main",
    "http://purl.oclc.org/ooxml/spreadsheetml/main",
    "http://schemas.openxmlformats.org/package/2006/relationships",
)


class XmlPart:
    """Calls `starts` and `ends` for the elements of these local names, in the namespaces of workbooks.

    Raises `Invalid` for what is not well-formed, and for what only an attack has: a document type, a thousand
    different names, elements within elements without end; `TooLarge` for a token or an item beyond `longest` bytes.
    """

    def __init__(self, longest: int, starts: Mapping[str, Start], ends: Mapping[str, End]) -> None:
        self._longest = longest
        self._starts = _qualified({"t": self._listen, "v": self._listen, "rPh": self._enter_aid, **starts})
        self._ends = _qualified({"t": self._stop_listening, "v": self._stop_listening, "rPh": self._leave_aid, **ends})
        self._texts: list[str] | None = None
        self._is_aid = False
        self._fed = 0
        self._depth = 0
        self._item: int | None = None
        self._parser = expat.ParserCreate(namespace_separator=" ")
        self._parser.buffer_text = True
        self._parser.StartDoctypeDeclHandler = _refuse_document_type
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end

    def feed(self, piece: bytes) -> None:
        """The next bytes; none at the end."""
        self._fed += len(piece)
        try:
            self._parser.Parse(piece, not piece)
        except expat.ExpatError as error:
            raise invalid("malformed_xml", f"The workbook's XML is damaged: {error}.") from error
        # expat keeps every name that it has met, and all of a token until it is complete.
        if len(self._parser.intern) > MOST_NAMES:
            raise invalid("malformed_xml", f"The workbook's XML has more than {MOST_NAMES} different names.")
        begun = self._parser.CurrentByteIndex if self._item is None else self._item
        if self._fed - begun > self._longest:
            raise too_large(f"A row or a text of the workbook is longer than {self._longest} bytes.")

    def begin_item(self) -> None:
        """The element that starts here is bounded with all that is in it."""
        self._item = self._parser.CurrentByteIndex

    def end_item(self) -> None:
        self._item = None

    def take_text(self) -> str | None:
        """The text met since it was last taken, in elements `t` and `v` and outside of reading aids (`rPh`); None where
        there was no such element."""
        texts, self._texts = self._texts, None
        return None if texts is None else "".join(texts)

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > DEEPEST:
            raise invalid("malformed_xml", f"The workbook's XML is more than {DEEPEST} elements deep.")
        if (handle := self._starts.get(name)) is not None:
            handle(attributes)

    def _end(self, name: str) -> None:
        self._depth -= 1
        if (handle := self._ends.get(name)) is not None:
            handle()

    def _listen(self, _: Attributes) -> None:
        if not self._is_aid:
            if self._texts is None:
                self._texts = []
            self._parser.CharacterDataHandler = self._texts.append

    def _stop_listening(self) -> None:
        self._parser.CharacterDataHandler = None

    def _enter_aid(self, _: Attributes) -> None:
        self._is_aid = True

    def _leave_aid(self) -> None:
        self._is_aid = False


def _qualified(handlers: Mapping[str, T]) -> dict[str, T]:
    return {f"{space} {name}": handle for space in _NAMESPACES for name, handle in handlers.items()}


def _refuse_document_type(*_: object) -> None:
    raise invalid("malformed_xml", "The workbook's XML has a document type declaration, which no workbook has.")
