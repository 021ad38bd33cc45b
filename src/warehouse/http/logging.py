"""Log lines: time, level, event and `key=value` pairs, with the request that they belong to."""

import logging
import time
from contextvars import ContextVar

REQUEST: ContextVar[str] = ContextVar("request", default="")
"""What every line written for a request ends with: ` request_id=… trace_id=…`."""


class LineFormatter(logging.Formatter):
    """One line an event; only a traceback, which is wanted as it is, takes more."""

    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s")
        self.converter = time.gmtime

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 (the name is the base class's)
        return _one_line(super().formatMessage(record)) + REQUEST.get()


def _one_line(text: str) -> str:
    """What a client sends must not be able to write log lines of its own."""
    return text if text.isprintable() else text.encode("unicode_escape").decode()


def configure_logging(level: str) -> None:
    """Everything goes to standard error; uvicorn's access lines are left to ours."""
    handler = logging.StreamHandler()
    handler.setFormatter(LineFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.getLogger("uvicorn.access").disabled = True
    # It tells, with a traceback, of each connection that was broken already when it was thrown away. Whoever used it
    # has been told, and answers for it.
    logging.getLogger("sqlalchemy.pool").setLevel(logging.CRITICAL)
    # It warns of each form that is broken. Whoever sent that is told.
    logging.getLogger("python_multipart").setLevel(logging.ERROR)
