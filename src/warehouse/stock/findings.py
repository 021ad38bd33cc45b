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
        return [*self.invalid, *(error for _, error in self.conflicts)]

    def raise_any(self) -> None:
        """Raises `Invalid` or else `Conflict` with all the errors; the conflict's code is that of the first."""
        if self.invalid:
            raise Invalid(_summary(self.errors), errors=self.errors)
        if self.conflicts:
            raise Conflict(_summary(self.errors), code=self.conflicts[0][0], errors=self.errors)


def _summary(errors: list[FieldError]) -> str:
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return f"{errors[0].detail}{more}"
