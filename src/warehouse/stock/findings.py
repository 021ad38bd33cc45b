"""Everything that is wrong with a command, gathered so that its author hears of it at once."""

from dataclasses import dataclass, field

from warehouse.errors import Code, Conflict, FieldError, Invalid


@dataclass(slots=True)
class Findings:
    """`invalid` is wrong whatever the state of the records (422); `conflicts` come of it (409)."""

    invalid: list[FieldError] = field(default_factory=list)
    conflicts: list[tuple[Code, FieldError]] = field(default_factory=list)

    def refuse(self, pointer: str, code: str, detail: str) -> None:
        self.invalid.append(FieldError(pointer, code, detail))

    def conflict(self, pointer: str, code: Code, detail: str) -> None:
        self.conflicts.append((code, FieldError(pointer, code, detail)))

    @property
    def errors(self) -> list[FieldError]:
        """By line, which is not the order in which lines are served."""
        conflicts = (error for _, error in self.conflicts)
        return [*sorted(self.invalid, key=_line), *sorted(conflicts, key=_line)]

    def raise_any(self) -> None:
        """Raises `Invalid` or else `Conflict` with all the errors; the conflict's code is that of the first."""
        if self.invalid:
            raise Invalid(_summary(self.errors), errors=self.errors)
        if self.conflicts:
            first, _ = min(self.conflicts, key=lambda conflict: _line(conflict[1]))
            raise Conflict(_summary(self.errors), code=first, errors=self.errors)


def _line(error: FieldError) -> int:
    head, _, rest = error.pointer.removeprefix("/").partition("/")
    number = rest.partition("/")[0]
    return int(number) if head == "lines" and number.isdigit() else -1


def _summary(errors: list[FieldError]) -> str:
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return f"{errors[0].detail}{more}"
