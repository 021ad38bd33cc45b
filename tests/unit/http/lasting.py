"""An application with an operation of each kind that lasts, and what they work with."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from fastapi import APIRouter, FastAPI, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Scope

from tests.unit.http.asgi import http_scope
from warehouse.http.downloads import download
from warehouse.http.events import Event, event_stream
from warehouse.http.json import JsonResponse
from warehouse.http.lasting import sends_events, sends_file, takes_upload
from warehouse.http.uploads import received_upload
from warehouse.resilience import remaining

UPLOAD, EVENTS, FILE = "/v1/files", "/v1/channels/1/events", "/v1/files/1"


@dataclass
class Shelf:
    """Keeps of each file its name, size and digest, once it is whole; counts those that were given up."""

    kept: list[tuple[str | None, int, str]] = field(default_factory=list)
    begun: int = 0
    discarded: int = 0
    received: int = 0
    """Bytes, of all files."""
    taking: asyncio.Event = field(default_factory=asyncio.Event)
    """Must be set for anything to be taken."""

    def __post_init__(self) -> None:
        self.taking.set()

    async def put(self, name: str | None, chunks: AsyncIterator[bytes]) -> None:
        self.begun += 1
        size, digest = 0, hashlib.sha256()
        try:
            async for chunk in chunks:
                await self.taking.wait()
                size += len(chunk)
                self.received += len(chunk)
                digest.update(chunk)
        except BaseException:
            self.discarded += 1
            raise
        self.kept.append((name, size, digest.hexdigest()))


@dataclass
class News:
    """Events for whoever listens; counts the listeners."""

    to_come: "asyncio.Queue[Event | None]" = field(default_factory=asyncio.Queue)
    """None ends a stream."""
    listening: int = 0

    async def listen(self) -> AsyncIterator[Event]:
        self.listening += 1
        try:
            while (event := await self.to_come.get()) is not None:
                yield event
        finally:
            self.listening -= 1


@dataclass
class File:
    """Its pieces, and how many there are whose sending has not ended."""

    pieces: int
    piece: bytes = b"0123456789abcdef" * 64
    media_type: str = "application/zip"
    open: int = 0
    read: int = 0

    @property
    def size(self) -> int:
        return self.pieces * len(self.piece)

    async def source(self, start: int) -> AsyncIterator[bytes]:
        self.open += 1
        try:
            first, rest = divmod(start, len(self.piece))
            for number in range(first, self.pieces):
                self.read += 1
                yield self.piece[rest:] if number == first else self.piece
        finally:
            self.open -= 1


@dataclass
class Lastings:
    """What the operations work with, and what they found."""

    shelf: Shelf = field(default_factory=Shelf)
    news: News = field(default_factory=News)
    file: File = field(default_factory=lambda: File(10))
    thinking: asyncio.Event = field(default_factory=asyncio.Event)
    """Must be set for any of them to answer."""
    left: list[float | None] = field(default_factory=list)
    """How much time there was for the work."""

    def __post_init__(self) -> None:
        self.thinking.set()

    def router(self) -> APIRouter:
        router = APIRouter()

        # By the names of operations that there are, for these have roles.
        @router.post("/v1/files")
        @takes_upload
        async def upsert_products(request: Request) -> Response:
            upload = await received_upload(request)
            await self.shelf.put(upload.file_name, upload.chunks)
            await self._think()
            return JsonResponse({"name": upload.file_name, "media_type": upload.media_type})

        @router.get("/v1/channels/{task_id}/events")
        @sends_events
        async def list_movements(task_id: str) -> Response:
            await self._think()
            return event_stream(self.news.listen())

        @router.get("/v1/files/{task_id}")
        @sends_file
        async def get_product_snapshot(request: Request, task_id: str) -> Response:
            await self._think()
            file = self.file
            return download(
                request,
                file.source,
                media_type=file.media_type,
                file_name="result",
                size=file.size,
                etag='"f1"',
            )

        return router

    async def _think(self) -> None:
        self.left.append(remaining())
        await self.thinking.wait()


class Asked:
    """A request to an application under which others may stand; the test decides when its body comes."""

    def __init__(self, stack: ASGIApp, app: FastAPI, path: str, method: str = "GET", **headers: str) -> None:
        self.sent: list[Message] = []
        self._incoming: asyncio.Queue[Message] = asyncio.Queue()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.scope: Scope = {**http_scope(path, method, named), "app": app}
        self.task = asyncio.create_task(self._ask(stack))

    async def _ask(self, stack: ASGIApp) -> None:
        async def send(message: Message) -> None:
            self.sent.append(message)

        await stack(self.scope, self._incoming.get, send)

    def send(self, body: bytes, more: bool = True) -> None:
        self._incoming.put_nowait({"type": "http.request", "body": body, "more_body": more})

    def leave(self) -> None:
        self._incoming.put_nowait({"type": "http.disconnect"})

    async def done(self) -> int:
        """The status, after the end."""
        await self.task
        return self.status

    @property
    def status(self) -> int:
        status: int = self.sent[0]["status"]
        return status

    @property
    def headers(self) -> dict[str, str]:
        return {name.decode(): value.decode("latin-1") for name, value in self.sent[0]["headers"]}

    @property
    def body(self) -> bytes:
        return b"".join(message["body"] for message in self.sent[1:])
