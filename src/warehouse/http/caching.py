"""Answers from the cache, on a path that passes FastAPI by; and the one place where such answers meet conditions."""

import asyncio
import hashlib
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from urllib.parse import parse_qsl

import orjson
from fastapi import FastAPI
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from warehouse.cache.decorator import Asked, Kind, Policy, policy_of
from warehouse.cache.entry import Entry
from warehouse.cache.reading import Cache, Loaded, Reading, Result, Wanted
from warehouse.errors import Code, NotAcceptable, NotFound
from warehouse.http.access import is_admitted, is_unconfirmed
from warehouse.http.conditional import matches
from warehouse.http.encodings import MIN_SIZE, Encoding, compress, encoded_etag, negotiate, refuses_identity
from warehouse.http.headers import fields_of
from warehouse.http.problems import problem_for
from warehouse.http.routes import operations, route_path
from warehouse.http.strictness import query_parameters

NEGATIVE_SECONDS = 5.0
WAYS = 8
"""In which one answer is kept ready to be sent."""
REMEMBERED = 4096
"""Addresses of which is remembered what they ask for."""
LONGEST = 256
"""Longer keys are hashed; longer addresses and Accept-Encodings are not remembered, lest a client fill the memory."""
IN_THREAD = 64 * 1024
"""Bytes from which on a body is compressed beside the event loop."""
NO_CACHE = re.compile(r"(?:^|[\s,])no-cache(?:$|[\s,])", re.IGNORECASE)
NO_STORE = re.compile(r"(?:^|[\s,])no-store(?:$|[\s,])", re.IGNORECASE)
STALE_IF_ERROR = re.compile(r"(?:^|[\s,])stale-if-error\s*=\s*\"?(\d{1,9})\"?(?:$|[\s,])", re.IGNORECASE)
NOT_ASKED = frozenset({b"if-none-match", b"if-range", b"range", b"accept-encoding"})
"""What a cached answer does not depend on; its endpoint does not see it."""
NOT_KEPT = frozenset({b"content-length", b"etag", b"vary"})

KEPT_UNTIL = "kept_until"
"""In the state of a request whose answer may be kept: the monotonic time up to which."""
ALWAYS = float("inf")
SHOWN = {
    Result.HIT: "hit",
    Result.NEGATIVE: "hit; detail=negative",
    Result.MISS: "fwd=uri-miss",
    Result.REFRESH: "fwd=stale; detail=refresh",
    Result.BYPASS: "fwd=bypass",
    Result.STALE: "hit; detail=stale-if-error",
    Result.REQUEST: "fwd=request",
}


@dataclass(frozen=True, slots=True)
class _Operation:
    name: str
    route: BaseRoute
    pattern: re.Pattern[str]
    parameters: frozenset[str]
    policy: Policy


@dataclass(frozen=True, slots=True)
class _Target:
    operation: _Operation
    wanted: Wanted


class CacheMiddleware:
    """Stands behind the authentication, checks the role itself, and answers what is `@cached`.

    `seconds` is how long each kind may be kept. While the database `is_down` what is cached is shown without asking it.
    Without a cache such answers still get their tag and their encoding here. `Cache-Status` (RFC 9211) says of every
    answer what was done for it.
    """

    def __init__(
        self,
        app: ASGIApp,
        cache: Cache | None,
        seconds: Mapping[Kind, float],
        is_down: Callable[[], bool] = lambda: False,
    ) -> None:
        self._app = app
        self._is_down = is_down
        self._cache = cache
        self._seconds = seconds
        self._operations: Sequence[_Operation] | None = None
        self._targets: dict[tuple[str, bytes], _Target | None] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        target = self._target(scope) if scope["method"] == "GET" else None
        if target is None or not is_admitted(scope, target.operation.name):
            return await self._app(scope, receive, _telling(scope, send))
        scope["route"] = target.operation.route
        reading = await self._reading(target, scope, receive)
        return await serve(reading, scope, receive, send)

    def _target(self, scope: Scope) -> _Target | None:
        """None where the endpoint has to answer, be it with an error. Remembered, for it follows from the address."""
        address = scope["path"], scope["query_string"]
        if address in self._targets:
            return self._targets[address]
        if self._operations is None:
            self._operations = _cached_operations(scope["app"])
        if len(self._targets) >= REMEMBERED:
            self._targets.clear()
        target = _target_at(route_path(scope), scope, self._operations)
        if len(address[0]) + len(address[1]) <= LONGEST:
            self._targets[address] = target
        return target

    async def _reading(self, target: _Target, scope: Scope, receive: Receive) -> Reading:
        """Stale where nothing else can be had, and the client takes it."""
        is_last_resort = is_unconfirmed(scope) or self._is_down()
        if is_last_resort and (last := await self._last(target, scope)) is not None:
            return last
        reading = await self._read(target, scope, receive)
        if reading.entry.status == 503 and (last := await self._last(target, scope)) is not None:
            return last
        return reading

    async def _last(self, target: _Target, scope: Scope) -> Reading | None:
        if self._cache is None or (seconds := stale_seconds(fields_of(scope))) <= 0:
            return None
        return await self._cache.last(target.wanted, seconds)

    async def _read(self, target: _Target, scope: Scope, receive: Receive) -> Reading:
        async def load() -> Loaded:
            return await self._load(target, scope, receive)

        asked_anew = asks_anew(fields_of(scope))
        if self._cache is not None and not asked_anew:
            scope.setdefault("state", {})[KEPT_UNTIL] = ALWAYS
            return await self._cache.read(target.wanted, load)
        return Reading((await load()).entry, Result.REQUEST if asked_anew else Result.BYPASS)

    async def _load(self, target: _Target, scope: Scope, receive: Receive) -> Loaded:
        begun = time.perf_counter()
        answer = _Answer()
        inner = {**scope, "headers": [each for each in scope["headers"] if each[0] not in NOT_ASKED]}
        await self._app(inner, receive, answer.take)
        seconds = self._seconds[target.operation.policy.kind] if is_kept(scope) else 0
        return await _loaded(answer, seconds, _kept_until(scope), begun)


def asks_anew(fields: Mapping[bytes, bytes]) -> bool:
    """Whether the client wants no answer from a cache."""
    control = fields.get(b"cache-control")
    return control is not None and NO_CACHE.search(control.decode("latin-1")) is not None


def stale_seconds(fields: Mapping[bytes, bytes]) -> float:
    """For how long nobody may have known if an answer is the newest, for the client to take it rather than none: 0 for
    never, infinite where it does not say (RFC 5861, 4)."""
    control = fields.get(b"cache-control")
    if control is None:
        return ALWAYS
    text = control.decode("latin-1")
    if NO_CACHE.search(text) or NO_STORE.search(text):
        return 0.0
    found = STALE_IF_ERROR.search(text)
    return float(found[1]) if found else ALWAYS


def is_kept(scope: Scope) -> bool:
    """Whether the answer to this request may go into the cache."""
    return KEPT_UNTIL in scope.get("state", {})


def keep_for(scope: Scope, seconds: float) -> None:
    """The answer holds no longer than so many seconds from now, even with nothing written meanwhile."""
    scope["state"][KEPT_UNTIL] = min(scope["state"][KEPT_UNTIL], time.monotonic() + seconds)


def _kept_until(scope: Scope) -> float:
    until: float = scope.get("state", {}).get(KEPT_UNTIL, ALWAYS)
    return until


@dataclass(slots=True)
class _Answer:
    """What the endpoint sends."""

    status: int = 0
    headers: Sequence[tuple[bytes, bytes]] = ()
    parts: list[bytes] = field(default_factory=list)

    async def take(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], message.get("headers", ())
        elif message["type"] == "http.response.body":
            self.parts.append(message.get("body", b""))

    @property
    def body(self) -> bytes:
        return b"".join(self.parts)


async def _loaded(answer: _Answer, seconds: float, until: float, begun: float) -> Loaded:
    headers = [(name.decode(), value.decode("latin-1")) for name, value in answer.headers if name not in NOT_KEPT]
    body = answer.body
    if answer.status == 200:
        given = dict(answer.headers)
        etag = given.get(b"etag", b"").decode() or _tag_of(body)
        if b"cache-control" not in given:
            headers.append(("cache-control", "private, no-cache"))
        entry = Entry(200, headers, etag, {Encoding.IDENTITY: body}, time.perf_counter() - begun, timed=until < ALWAYS)
        seconds = max(0.0, min(seconds, until - time.monotonic()))
        return Loaded(await _with_encodings(entry) if seconds else entry, seconds)
    if answer.status == 404 and (problem := orjson.loads(body))["code"] == Code.NOT_FOUND:
        # Of a problem only what is not the single request's.
        return Loaded(Entry(404, (), "", {Encoding.IDENTITY: problem["detail"].encode()}), NEGATIVE_SECONDS)
    return Loaded(Entry(answer.status, headers, "", {Encoding.IDENTITY: body}), 0)


def _tag_of(body: bytes) -> str:
    """The strong entity tag of a body that has no version."""
    return f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'


async def _with_encodings(entry: Entry) -> Entry:
    """The entry with every encoded form that is worth it."""
    body = entry.forms[Encoding.IDENTITY]
    forms = {Encoding.IDENTITY.value: body}
    for encoding in (Encoding.ZSTD, Encoding.GZIP) if len(body) >= MIN_SIZE else ():
        encoded = await _encoded_body(body, encoding)
        if len(encoded) < len(body):
            forms[encoding.value] = encoded
    return replace(entry, forms=forms)


async def _encoded_body(body: bytes, encoding: Encoding) -> bytes:
    if len(body) < IN_THREAD:
        return compress(body, encoding)
    return await asyncio.to_thread(compress, body, encoding)


async def serve(reading: Reading, scope: Scope, receive: Receive, send: Send) -> None:
    """Send what was read as the client wants it."""
    entry, fields = reading.entry, fields_of(scope)
    plain = entry.forms[Encoding.IDENTITY]
    if entry.status == 200:
        try:
            answer = await _found(reading, fields.get(b"accept-encoding", b"").decode("latin-1"))
        except NotAcceptable as refusal:
            return await problem_for(refusal, scope)(scope, receive, _adding(send, _told(reading)))
        known = fields.get(b"if-none-match")
        if known is not None and matches(known.decode("latin-1"), entry.etag):
            return await _send(304, answer.headers, b"", send)
        return await _send(200, answer.more_headers, answer.body, send)
    if entry.status == 404 and not entry.headers:
        return await problem_for(NotFound(plain.decode()), scope)(scope, receive, _adding(send, _told(reading)))
    return await _send(entry.status, [*_wire(entry), _told(reading), _length(plain)], plain, send)


@dataclass(frozen=True, slots=True)
class _Found:
    """`headers` are those that a 304 has too, `more_headers` all."""

    headers: Sequence[tuple[bytes, bytes]]
    more_headers: Sequence[tuple[bytes, bytes]]
    body: bytes


async def _found(reading: Reading, accepted: str) -> _Found:
    """Made once for each way of accepting and telling. Raises `NotAcceptable`."""
    entry = reading.entry
    asked = accepted, reading.result, reading.stored, reading.shared
    found: _Found | None = entry.answers.get(asked)
    if found is None:
        encoding, body = await _form(entry, accepted)
        etag = (b"etag", encoded_etag(entry.etag, encoding).encode())
        headers = [*_wire(entry), _told(reading), (b"vary", b"Accept-Encoding"), etag]
        more = [*headers, _length(body)]
        if encoding is not Encoding.IDENTITY:
            more.append((b"content-encoding", encoding.encode()))
        found = _Found(headers, more, body)
        if len(entry.answers) < WAYS and len(accepted) <= LONGEST:
            entry.answers[asked] = found
    return found


def _wire(entry: Entry) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), text.encode("latin-1")) for name, text in entry.headers]


def _length(body: bytes) -> tuple[bytes, bytes]:
    return b"content-length", b"%d" % len(body)


async def _send(status: int, headers: Sequence[tuple[bytes, bytes]], body: bytes, send: Send) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _form(entry: Entry, accepted: str) -> tuple[Encoding, bytes]:
    """The encoding that the client likes best, and the body in it. Raises `NotAcceptable`."""
    encoding, plain = negotiate(accepted), entry.forms[Encoding.IDENTITY]
    if encoding in entry.forms:
        return encoding, entry.forms[encoding]
    gains_nothing = len(entry.forms) > 1 or len(plain) < MIN_SIZE
    if gains_nothing and not refuses_identity(accepted):
        return Encoding.IDENTITY, plain
    return encoding, await _encoded_body(plain, encoding)


def shown(result: Result) -> str:
    """The value of Cache-Status."""
    return f"Warehouse; {SHOWN[result]}"


def _told(reading: Reading) -> tuple[bytes, bytes]:
    told = shown(reading.result)
    return b"cache-status", f"{told}{'; stored' * reading.stored}{'; collapsed' * reading.shared}".encode()


def _telling(scope: Scope, send: Send) -> Send:
    """For answers that no cache has to do with; one that has says so itself."""
    return _adding(send, (b"cache-status", b"Warehouse; fwd=" + (b"bypass" if scope["method"] == "GET" else b"method")))


def _adding(send: Send, header: tuple[bytes, bytes]) -> Send:
    async def adding(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = message.get("headers", ())
            if all(name != header[0] for name, _ in headers):
                message["headers"] = [*headers, header]
        await send(message)

    return adding


def _cached_operations(app: FastAPI) -> Sequence[_Operation]:
    return [
        _Operation(each.name, each.route, each.pattern, query_parameters(each.api), policy)
        for each in operations(app)
        if each.api is not None and (policy := policy_of(each.api.endpoint)) is not None
    ]


def _target_at(path: str, scope: Scope, operations: Sequence[_Operation]) -> _Target | None:
    for operation in operations:
        if found := operation.pattern.match(path):
            return _target_of(operation, found.groupdict(), scope)
    return None


def _target_of(operation: _Operation, path: Mapping[str, str], scope: Scope) -> _Target | None:
    query: bytes = scope["query_string"]
    given = parse_qsl(query.decode("latin-1"), keep_blank_values=True) if query else []
    names = [name for name, _ in given]
    if not operation.parameters.issuperset(names) or len(set(names)) < len(names):
        return None
    try:
        tags = operation.policy.tags(Asked(path, dict(given)))
    except ValueError:
        return None
    key = f"{scope['path']}?{b'&'.join(sorted(query.split(b'&'))).decode('latin-1')}" if query else scope["path"]
    return _Target(operation, Wanted(operation.policy.kind, _short(key), tags))


def _short(key: str) -> str:
    return key if len(key) <= LONGEST else hashlib.blake2b(key.encode(), digest_size=16).hexdigest()
