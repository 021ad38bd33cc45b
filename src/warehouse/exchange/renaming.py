"""A file's columns under the names that are ours."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from warehouse.errors import FieldError, Invalid

LONGEST_NAME = 255


class Renaming:
    """From the file's names to ours, `""` standing for a column to be left out. What it does not name stays as it is.

    Raises `Invalid` for names that are too long or too many, and for two columns that would become one.
    """

    def __init__(self, columns: Mapping[str, str], most: int) -> None:
        self._ours = {source.strip(): target.strip() for source, target in columns.items()}
        _refuse(_faults(columns, self._ours, most))
        self._theirs = {target: source for source, target in self._ours.items() if target}

    def __bool__(self) -> bool:
        return bool(self._ours)

    def header(self, names: Sequence[str]) -> tuple[str, ...]:
        """Our names of these columns, `""` where one is left out. Raises `Invalid` where a column is not there, or
        would take a name that another one has."""
        absent = (_fault(name, "unknown_column", "The header has no such column.") for name in self._ours)
        clashes = (_fault(name, "duplicate", f"The file has a column {self._ours[name]!r} too.") for name in self._ours)
        _refuse(
            [fault for name, fault in zip(self._ours, absent, strict=True) if name not in names]
            + [fault for name, fault in zip(self._ours, clashes, strict=True) if self._clashes(name, names)]
        )
        return tuple(self._ours.get(name, name) for name in names)

    def clash(self, values: Mapping[str, Any]) -> str | None:
        """The column of a row whose new name another one of the row has."""
        return next((name for name in self._ours if name in values and self._clashes(name, values)), None)

    def row(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The values under our names. Not every row of a file without a header has every column."""
        ours = self._ours
        return {new: value for name, value in values.items() if (new := ours.get(name, name)) or not name}

    def theirs(self, column: str) -> str:
        """The file's own name of a column, for its author to find it."""
        return self._theirs.get(column, column)

    def _clashes(self, name: str, names: Iterable[str]) -> bool:
        target = self._ours[name]
        return target != "" and target not in self._ours and target in names


def _faults(given: Mapping[str, str], ours: Mapping[str, str], most: int) -> list[FieldError]:
    if len(ours) > most:
        return [FieldError("/columns", "too_many", f"There are {len(ours)} of them; at most {most} are read.")]
    faults = [
        _fault(name, "too_long", f"Names of columns have at most {LONGEST_NAME} characters.")
        for name, target in ours.items()
        if len(name) > LONGEST_NAME or len(target) > LONGEST_NAME
    ]
    if "" in ours:
        faults.append(_fault("", "missing", "A column needs a name."))
    if len(ours) < len(given):
        faults.append(FieldError("/columns", "duplicate", "One column is named twice."))
    often = Counter(target for target in ours.values() if target)
    return faults + [
        _fault(name, "duplicate", f"Another column becomes {target!r} too.")
        for name, target in ours.items()
        if often[target] > 1 and len(target) <= LONGEST_NAME
    ]


def _fault(name: str, code: str, detail: str) -> FieldError:
    return FieldError("/columns/" + name[:LONGEST_NAME].replace("~", "~0").replace("/", "~1"), code, detail)


def _refuse(faults: list[FieldError]) -> None:
    if faults:
        first = faults[0]
        name = first.pointer.removeprefix("/columns/").replace("~1", "/").replace("~0", "~")
        raise Invalid(f"The mapping of column {name[:64]!r}: {first.detail}", errors=faults)
