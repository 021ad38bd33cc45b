"""What can go wrong, in the words of the domain. `http.problems` turns these into RFC 9457 documents."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Code(StrEnum):
    """The stable `code` of a problem. Clients decide by it; it is never renamed. docs/errors.md explains each."""

    MALFORMED_REQUEST = "malformed_request"
    BAD_CURSOR = "bad_cursor"
    BAD_PRECONDITION = "bad_precondition"
    IDEMPOTENCY_KEY_REQUIRED = "idempotency_key_required"
    IDEMPOTENCY_KEY_MALFORMED = "idempotency_key_malformed"
    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    NOT_ACCEPTABLE = "not_acceptable"
    DUPLICATE_SKU = "duplicate_sku"
    DUPLICATE_CODE = "duplicate_code"
    IN_USE = "in_use"
    ARCHIVED = "archived"
    INSUFFICIENT_STOCK = "insufficient_stock"
    QUANTITY_OUT_OF_RANGE = "quantity_out_of_range"
    COUNT_MISMATCH = "count_mismatch"
    LOT_MISMATCH = "lot_mismatch"
    RESERVATION_NOT_ACTIVE = "reservation_not_active"
    ALREADY_REVERSED = "already_reversed"
    TASK_ENDED = "task_ended"
    TASK_NOT_FAILED = "task_not_failed"
    IDEMPOTENCY_IN_PROGRESS = "idempotency_in_progress"
    STALE_VERSION = "stale_version"
    PAYLOAD_TOO_LARGE = "payload_too_large"
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type"
    INVALID = "invalid"
    IDEMPOTENCY_KEY_REUSED = "idempotency_key_reused"
    PRECONDITION_REQUIRED = "precondition_required"
    INTERNAL_ERROR = "internal_error"
    UNAVAILABLE = "unavailable"
    CONTENTION = "contention"
    OVERLOADED = "overloaded"
    RATE_LIMITED = "rate_limited"
    TIMEOUT = "timeout"


@dataclass(frozen=True, slots=True)
class FieldError:
    """One fault in the input. `pointer` is a JSON Pointer (RFC 6901) into the body, or `?name` / `Header-Name`."""

    pointer: str
    code: str
    detail: str


class WarehouseError(Exception):
    """`detail` is for people, `code` and `errors` for programs, `extra` holds further members of the problem."""

    code: Code

    def __init__(
        self,
        detail: str,
        *,
        code: Code | None = None,
        errors: Sequence[FieldError] = (),
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = code or type(self).code
        self.errors = tuple(errors)
        self.extra = dict(extra or {})


class MalformedRequest(WarehouseError):
    """It cannot be parsed, or a cursor or precondition is not one of ours."""

    code = Code.MALFORMED_REQUEST


class Unauthenticated(WarehouseError):
    code = Code.UNAUTHENTICATED


class Forbidden(WarehouseError):
    code = Code.FORBIDDEN


class NotFound(WarehouseError):
    code = Code.NOT_FOUND


class NotAcceptable(WarehouseError):
    code = Code.NOT_ACCEPTABLE


class Conflict(WarehouseError):
    """The request is valid, but the state of the records refuses it. Always raised with a code of its own."""

    code = Code.IN_USE


class StaleVersion(WarehouseError):
    """The record has moved on from the version the caller named."""

    code = Code.STALE_VERSION

    def __init__(self, detail: str, *, current_version: int) -> None:
        super().__init__(detail, extra={"current_version": current_version})
        self.current_version = current_version


class PreconditionRequired(WarehouseError):
    code = Code.PRECONDITION_REQUIRED


class TooLarge(WarehouseError):
    code = Code.PAYLOAD_TOO_LARGE


class UnsupportedMediaType(WarehouseError):
    code = Code.UNSUPPORTED_MEDIA_TYPE


class UnsupportedCoding(UnsupportedMediaType):
    """The media type is not what is wrong: the body is compressed in a way that is not read here."""


class Invalid(WarehouseError):
    """It parses, but a field's value is not acceptable; `errors` names every such field."""

    code = Code.INVALID


class Unavailable(WarehouseError):
    """What the service stands on does not answer; `retry_after` is in seconds."""

    code = Code.UNAVAILABLE

    def __init__(self, detail: str, *, code: Code | None = None, retry_after: int = 1) -> None:
        super().__init__(detail, code=code)
        self.retry_after = retry_after


class Overloaded(Unavailable):
    """More is asked than can be done at once; nothing of this request has been begun."""

    code = Code.OVERLOADED


class RateLimited(WarehouseError):
    """The caller's quota is used up; `retry_after` is in seconds."""

    code = Code.RATE_LIMITED

    def __init__(self, detail: str, *, retry_after: int) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class TransactionConflict(Unavailable):
    """The database gave this transaction up for another's sake (deadlock, lock time-out): run it again, whole."""

    code = Code.CONTENTION


class ConnectionLost(TransactionConflict):
    """The transaction ended with its connection, and has had no effect unless it was just being committed."""

    code = Code.UNAVAILABLE


class OutcomeUnknown(Unavailable):
    """The connection broke at the commit. The transaction may have had its effect, and may still have it."""


def field_error(pointer: str, code: str, detail: str) -> Invalid:
    """An `Invalid` about a single field."""
    return Invalid(detail, errors=(FieldError(pointer, code, detail),))
