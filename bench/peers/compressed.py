"""An application that sends bytes recorded before, behind the compression middleware that BENCH_MIDDLEWARE names."""

import os

from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bench.peers import bare


async def fresh(scope: Scope, receive: Receive, send: Send) -> None:
    """Middleware changes messages in place."""

    async def send_copy(message: Message) -> None:
        copied = dict(message)
        if "headers" in copied:
            copied["headers"] = list(copied["headers"])
        await send(copied)

    await bare.app(scope, receive, send_copy)


def _wrapped(app: ASGIApp, middleware: str) -> ASGIApp:
    if middleware == "starlette":
        return GZipMiddleware(app)
    from starlette_compress import CompressMiddleware

    compressing: ASGIApp = CompressMiddleware(app)
    return compressing


app = _wrapped(fresh, os.environ["BENCH_MIDDLEWARE"])
