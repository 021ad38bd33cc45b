import asyncio
import gzip
import os
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tests.unit.http.asgi import application, client, http_scope
from tests.unit.http.codings import Sent, body, call, reader, sending, start
from warehouse.http import compression
from warehouse.http.compression import LARGE, CompressionMiddleware
from warehouse.http.encodings import MIN_SIZE, Encoding

CONTENT = b'{"sku":"CJ-00025671","name":"Crushed ice"},' * 50
JSON = {"Content-Type": "application/json", "Content-Length": str(len(CONTENT))}
EVENTS = {"Content-Type": "text/event-stream"}


async def answer(
    *messages: Message, accept: str | None = "zstd", method: str = "GET", request: dict[str, str] | None = None
) -> Sent:
    headers = {**({} if accept is None else {"Accept-Encoding": accept}), **(request or {})}
    app = CompressionMiddleware(sending(*messages), MIN_SIZE)
    return await call(app, {**http_scope("/v1/products", method, headers)})


def plain(headers: dict[str, str] | None = None, status: int = 200) -> tuple[Message, Message]:
    return start(status, headers or JSON), body(CONTENT)


def assert_untouched(sent: Sent, *messages: Message) -> None:
    assert sent.messages == list(messages)


class TestWhole:
    @pytest.mark.parametrize(
        ("accept", "encoding"),
        [("zstd", "zstd"), ("gzip", "gzip"), ("gzip, deflate, br, zstd", "zstd"), ("zstd;q=0.1, x-gzip", "gzip")],
    )
    async def test_an_answer_is_compressed_as_the_client_likes_best(self, accept: str, encoding: str) -> None:
        sent = await answer(*plain(), accept=accept)
        assert sent.headers["content-encoding"] == encoding
        assert sent.headers["content-length"] == str(len(sent.body))
        assert sent.headers["vary"] == "Accept-Encoding"
        assert sent.headers["content-type"] == "application/json"
        assert len(sent.body) < len(CONTENT) / 5
        assert sent.content == CONTENT

    @pytest.mark.parametrize("accept", [None, "", "identity", "gzip;q=0", "gzip;q=0, *;q=0", "br", "gzip," * 2000])
    async def test_a_client_that_does_not_ask_for_it_gets_the_plain_answer(self, accept: str | None) -> None:
        sent = await answer(*plain(), accept=accept)
        assert "content-encoding" not in sent.headers
        assert sent.headers["vary"] == "Accept-Encoding"
        assert sent.headers["content-length"] == str(len(CONTENT))
        assert sent.body == CONTENT

    async def test_several_headers_are_one_list(self) -> None:
        scope = http_scope(headers={"Accept-Encoding": "gzip;q=0.5"})
        scope["headers"].append((b"accept-encoding", b"zstd;q=0.4"))
        sent = await call(CompressionMiddleware(sending(*plain()), MIN_SIZE), scope)
        assert sent.headers["content-encoding"] == "gzip"

    @pytest.mark.parametrize(("size", "encoded"), [(0, False), (MIN_SIZE - 1, False), (MIN_SIZE, True)])
    async def test_a_small_body_goes_out_as_it_is(self, size: int, encoded: bool) -> None:
        sent = await answer(start(headers={"Content-Type": "text/plain"}), body(b"x" * size))
        assert ("content-encoding" in sent.headers) is encoded
        assert sent.headers["vary"] == "Accept-Encoding"
        assert sent.content == b"x" * size

    async def test_an_error_is_compressed_as_well(self) -> None:
        sent = await answer(*plain(status=422))
        assert (sent.status, sent.headers["content-encoding"]) == (422, "zstd")
        assert sent.content == CONTENT

    async def test_the_lists_of_the_application_are_left_as_they_are(self) -> None:
        messages = plain({**JSON, "ETag": '"a"'})
        before = list(messages[0]["headers"])
        for _ in range(2):
            assert (await answer(*messages)).content == CONTENT
        assert (messages[0]["headers"], messages[1]["body"]) == (before, CONTENT)

    async def test_a_message_may_leave_out_what_has_a_default(self) -> None:
        sent = await answer({"type": "http.response.start", "status": 200}, {"type": "http.response.body"})
        assert sent.status == 200
        assert "content-encoding" not in sent.headers

    async def test_a_large_body_does_not_hold_up_the_loop(self, monkeypatch: pytest.MonkeyPatch) -> None:
        threads = []

        def noting(content: bytes, encoding: Encoding) -> bytes:
            threads.append(threading.current_thread())
            return content

        monkeypatch.setattr(compression, "compress", noting)
        for size in (LARGE, LARGE + 1):
            await answer(start(headers={"Content-Type": "text/plain"}), body(bytes(size)))
        assert threads[0] is threading.current_thread() is not threads[1]


class TestHeaders:
    @pytest.mark.parametrize(
        ("given", "named"),
        [
            ("Origin", "Origin, Accept-Encoding"),
            ("Accept-Encoding", "Accept-Encoding"),
            ("Origin, accept-encoding", "Origin, accept-encoding"),
            ("*", "*"),
        ],
    )
    @pytest.mark.parametrize("accept", ["zstd", "identity"])
    async def test_what_the_answer_depends_on_already_stays_named(self, given: str, named: str, accept: str) -> None:
        sent = await answer(*plain({**JSON, "Vary": given}), accept=accept)
        assert sent.headers.getlist("vary") == [named]

    async def test_several_headers_of_what_it_depends_on_become_one(self) -> None:
        first, second = plain()
        first["headers"] += [(b"vary", b"Origin"), (b"vary", b"Accept")]
        assert (await answer(first, second)).headers.getlist("vary") == ["Origin, Accept, Accept-Encoding"]

    @pytest.mark.parametrize(
        ("accept", "etag", "sent"),
        [
            ("zstd", '"a-1"', '"a-1-zstd"'),
            ("gzip", '"a-1"', '"a-1-gzip"'),
            ("gzip", 'W/"a"', 'W/"a-gzip"'),
            ("identity", '"a-1"', '"a-1"'),
        ],
    )
    async def test_the_tag_is_that_of_the_representation(self, accept: str, etag: str, sent: str) -> None:
        assert (await answer(*plain({**JSON, "ETag": etag}), accept=accept)).headers["etag"] == sent

    async def test_a_small_body_keeps_its_tag(self) -> None:
        sent = await answer(start(headers={"ETag": '"a"'}), body(b"small"))
        assert sent.headers["etag"] == '"a"'

    async def test_ranges_are_not_offered_of_what_is_compressed(self) -> None:
        assert "accept-ranges" not in (await answer(*plain({**JSON, "Accept-Ranges": "bytes"}))).headers
        plainly = await answer(*plain({**JSON, "Accept-Ranges": "bytes"}), accept=None)
        assert plainly.headers["accept-ranges"] == "bytes"


class TestLeftAlone:
    @pytest.mark.parametrize(
        "media_type",
        [
            "image/png",
            "IMAGE/JPEG; x=y",
            "audio/mpeg",
            "video/mp4",
            "font/woff",
            "font/woff2",
            "application/zip",
            "application/gzip",
            "application/x-gzip",
            "application/zstd",
            "application/epub+zip",
            "application/vnd.apache.parquet",
            "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
            "application/vnd.oasis.opendocument.spreadsheet",
        ],
    )
    async def test_a_media_type_that_is_compressed_already(self, media_type: str) -> None:
        messages = plain({**JSON, "Content-Type": media_type, "ETag": '"a"'})
        assert_untouched(await answer(*messages), *messages)

    @pytest.mark.parametrize("media_type", ["image/svg+xml", "application/problem+json", "text/csv; charset=utf-8", ""])
    async def test_but_not_one_that_only_looks_like_it(self, media_type: str) -> None:
        sent = await answer(*plain({**JSON, "Content-Type": media_type}))
        assert sent.headers["content-encoding"] == "zstd"

    @pytest.mark.parametrize("control", ["no-transform", "public, No-Transform", "max-age=1,no-transform"])
    async def test_what_must_not_be_changed(self, control: str) -> None:
        messages = plain({**JSON, "Cache-Control": control})
        assert_untouched(await answer(*messages), *messages)

    async def test_what_has_an_encoding(self) -> None:
        messages = start(headers={**JSON, "Content-Encoding": "br"}), body(CONTENT)
        assert_untouched(await answer(*messages), *messages)

    async def test_identity_is_no_encoding(self) -> None:
        sent = await answer(*plain({**JSON, "Content-Encoding": "identity"}))
        assert sent.headers.getlist("content-encoding") == ["zstd"]
        assert sent.content == CONTENT

    async def test_no_content(self) -> None:
        messages = start(204), body()
        assert_untouched(await answer(*messages), *messages)

    @pytest.mark.parametrize("status", [206, 416])
    async def test_a_range(self, status: int) -> None:
        sent = await answer(*plain({**JSON, "Content-Range": "bytes 0-2149/9000", "ETag": '"a"'}, status))
        assert (sent.status, sent.body) == (status, CONTENT)
        assert "content-encoding" not in sent.headers
        assert (sent.headers["etag"], sent.headers["vary"]) == ('"a"', "Accept-Encoding")

    async def test_events_which_go_out_as_they_come(self) -> None:
        messages = start(headers=EVENTS), body(b"data: 1\n\n", more=True), body(b"data: 2\n\n" * 1000)
        assert_untouched(await answer(*messages), *messages)

    async def test_the_start_of_events_waits_for_none(self) -> None:
        assert_untouched(await answer(start(headers=EVENTS)), start(headers=EVENTS))

    async def test_a_file_that_the_server_sends_by_itself(self) -> None:
        messages = start(headers=JSON), {"type": "http.response.pathsend", "path": "/tmp/x"}  # noqa: S108 (no file)
        sent = await answer(*messages)
        assert "content-encoding" not in sent.headers
        assert sent.headers["content-length"] == JSON["Content-Length"]
        assert sent.messages[1] == messages[1]

    async def test_a_message_before_the_start(self) -> None:
        early = {"type": "http.response.debug", "info": {}}
        sent = await answer(early, *plain())
        assert sent.messages[0] == early
        assert sent.messages[1]["type"] == "http.response.start"

    @pytest.mark.parametrize("kind", ["lifespan", "websocket"])
    async def test_what_is_not_http(self, kind: str) -> None:
        messages = {"type": f"{kind}.accept"}, {"type": f"{kind}.close"}
        app = CompressionMiddleware(sending(*messages), MIN_SIZE)
        assert_untouched(await call(app, {"type": kind}), *messages)


class TestStreams:
    @pytest.mark.parametrize("encoding", ["gzip", "zstd"])
    async def test_each_piece_can_be_read_when_it_comes(self, encoding: str) -> None:
        pieces = [b"first " * 100, b"second", b"", b"third"]
        app = [start(headers={"Content-Type": "text/csv"}), *(body(piece, more=True) for piece in pieces), body()]
        sent = await answer(*app, accept=encoding)
        assert sent.headers["content-encoding"] == encoding
        assert "content-length" not in sent.headers
        stream = reader(encoding)
        assert [stream.decompress(piece) for piece in sent.pieces] == [*pieces, b""]
        assert stream.eof

    async def test_the_start_goes_out_with_the_first_piece_and_the_rest_is_not_waited_for(self) -> None:
        come = asyncio.Event()
        sent: list[Message] = []

        async def dripping(scope: Scope, receive: Receive, send: Send) -> None:
            await send(start())
            assert sent == []
            await send(body(b"first", more=True))
            come.set()
            await asyncio.Event().wait()

        async def send(message: Message) -> None:
            sent.append(message)

        app = CompressionMiddleware(dripping, MIN_SIZE)
        task = asyncio.create_task(app(http_scope(headers={"Accept-Encoding": "zstd"}), _gone, send))
        await come.wait()
        task.cancel()
        assert reader("zstd").decompress(Sent(sent).body) == b"first"

    async def test_an_empty_first_piece_brings_the_start(self) -> None:
        sent = await answer(start(), body(more=True))
        assert [message["type"] for message in sent.messages] == ["http.response.start", "http.response.body"]
        assert sent.body == b""

    async def test_a_stream_that_says_how_large_it_is(self) -> None:
        for size, encoded in ((MIN_SIZE - 1, False), (MIN_SIZE, True)):
            content = b"x" * size
            headers = {"Content-Type": "text/plain", "Content-Length": str(size)}
            sent = await answer(start(headers=headers), body(content[:10], more=True), body(content[10:]))
            assert ("content-encoding" in sent.headers) is encoded
            assert ("content-length" in sent.headers) is not encoded
            assert sent.content == content

    async def test_large_pieces_are_compressed_in_their_order(self) -> None:
        pieces = [os.urandom(1000) * 400 for _ in range(5)]
        sent = await answer(start(), *(body(piece, more=True) for piece in pieces), body(pieces[0]))
        assert sent.content == b"".join([*pieces, pieces[0]])

    @given(
        pieces=st.lists(st.binary(max_size=1000).map(lambda piece: piece * 3), min_size=1, max_size=8),
        accept=st.sampled_from(["zstd", "gzip", "*", "identity", "gzip;q=0.5, zstd;q=0.2", "identity;q=0, gzip", ""]),
    )
    def test_what_the_client_decodes_is_what_the_application_sent(self, pieces: list[bytes], accept: str) -> None:
        messages = [start(), *(body(piece, more=True) for piece in pieces[:-1]), body(pieces[-1])]
        sent = asyncio.run(answer(*messages, accept=accept))
        assert sent.content == b"".join(pieces)
        assert int(sent.headers.get("content-length", len(sent.body))) == len(sent.body)
        assert [message.get("more_body") for message in sent.messages[1:]] == [*[True] * (len(pieces) - 1), False]


class TestConditions:
    @pytest.mark.parametrize(
        ("known", "accept", "told"),
        [
            ('"a-1-zstd"', "zstd", '"a-1-zstd"'),
            ('"a-1-zstd", "a-1"', "zstd", '"a-1-zstd"'),
            ('"a-1", "a-1-zstd"', "gzip", '"a-1"'),
            ('"a-1-gzip"', "zstd", '"a-1"'),
            ('"a-1-gzip"', "gzip", '"a-1-gzip"'),
            ('W/"a-1-zstd"', "zstd", '"a-1-zstd"'),
            ('"a-1"', "zstd", '"a-1"'),
            ("*", "zstd", '"a-1"'),
        ],
    )
    async def test_304_names_the_representation_that_the_client_has(self, known: str, accept: str, told: str) -> None:
        messages = start(304, {"ETag": '"a-1"'}), body()
        sent = await answer(*messages, accept=accept, request={"If-None-Match": known})
        assert (sent.headers["etag"], sent.headers["vary"]) == (told, "Accept-Encoding")
        assert "content-encoding" not in sent.headers

    async def test_304_of_a_weak_tag_stays_weak(self) -> None:
        sent = await answer(start(304, {"ETag": 'W/"a"'}), body(), request={"If-None-Match": 'W/"a-zstd"'})
        assert sent.headers["etag"] == 'W/"a-zstd"'

    async def test_304_without_a_tag_gets_none(self) -> None:
        assert "etag" not in (await answer(start(304), body(), request={"If-None-Match": "*"})).headers

    @pytest.mark.parametrize(
        ("asked", "status"),
        [
            ({"Range": "bytes=0-99"}, 206),
            ({"Range": "bytes=0-99", "If-Range": '"a"'}, 206),
            ({"Range": "bytes=0-99", "If-Range": '"a-zstd"'}, 200),
            ({"Range": "bytes=0-99", "If-None-Match": '"a-zstd"'}, 304),
        ],
    )
    async def test_conditions_and_ranges_together_never_mix_representations(
        self, asked: dict[str, str], status: int
    ) -> None:
        """The application knows the plain representation alone: the tag of another makes a range of the whole."""

        async def download(scope: Scope, receive: Receive, send: Send) -> None:
            headers = {"Content-Type": "text/csv", "ETag": '"a"'}
            if "If-None-Match" in asked:
                return await sending(start(304, {"ETag": '"a"'}), body())(scope, receive, send)
            if asked.get("If-Range", '"a"') != '"a"':
                return await sending(start(200, headers), body(CONTENT))(scope, receive, send)
            part = {**headers, "Content-Range": f"bytes 0-99/{len(CONTENT)}"}
            return await sending(start(206, part), body(CONTENT[:100]))(scope, receive, send)

        scope = http_scope(headers={"Accept-Encoding": "zstd", **asked})
        sent = await call(CompressionMiddleware(download, MIN_SIZE), scope)
        assert sent.status == status
        assert sent.headers["vary"] == "Accept-Encoding"
        if status == 206:
            assert (sent.headers["etag"], sent.body) == ('"a"', CONTENT[:100])
        else:
            assert sent.headers["etag"] == '"a-zstd"'
        if status == 200:
            assert sent.content == CONTENT


class TestRefusals:
    async def test_a_read_that_can_be_answered_in_no_accepted_way_is_a_406(self) -> None:
        for method in ("GET", "HEAD"):
            sent = await answer(*plain(), accept="identity;q=0", method=method)
            assert sent.status == 406
            assert sent.headers["content-type"] == "application/problem+json"
            assert sent.headers["vary"] == "Accept-Encoding"
            assert b"not_acceptable" in sent.body

    async def test_a_stream_of_it_is_swallowed(self) -> None:
        sent = await answer(start(), body(CONTENT, more=True), body(CONTENT), accept="identity;q=0")
        assert (sent.status, len(sent.messages)) == (406, 2)

    @pytest.mark.parametrize("status", [204, 304, 404, 500])
    async def test_errors_and_answers_without_content_are_told_all_the_same(self, status: int) -> None:
        messages = start(status), body(b"" if status < 400 else CONTENT)
        assert_untouched(await answer(*messages, accept="identity;q=0"), *messages)

    @pytest.mark.parametrize("method", ["POST", "PATCH", "DELETE", "PUT"])
    async def test_an_effect_is_refused_before_it_takes_place(self, method: str) -> None:
        async def never(scope: Scope, receive: Receive, send: Send) -> None:
            pytest.fail("called")

        scope = http_scope("/v1/products", method, {"Accept-Encoding": "identity;q=0"})
        assert (await call(CompressionMiddleware(never, MIN_SIZE), scope)).status == 406

    async def test_a_client_that_refuses_identity_gets_small_bodies_compressed(self) -> None:
        sent = await answer(start(), body(b"small"), accept="gzip, identity;q=0")
        assert (sent.headers["content-encoding"], sent.content) == ("gzip", b"small")

    async def test_no_body_has_no_encoding(self) -> None:
        sent = await answer(start(), body(), accept="gzip, identity;q=0")
        assert "content-encoding" not in sent.headers
        assert sent.body == b""


async def test_a_failure_before_the_body_has_sent_nothing_yet() -> None:
    """So that it can still be answered with 500."""

    async def failing(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        raise ZeroDivisionError

    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    app = CompressionMiddleware(failing, MIN_SIZE)
    with pytest.raises(ZeroDivisionError):
        await app(http_scope(headers={"Accept-Encoding": "zstd"}), _gone, send)
    assert sent == []


async def test_a_failure_in_the_midst_of_a_stream_is_handed_on_and_the_stream_not_ended() -> None:
    async def failing(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        await send(body(CONTENT, more=True))
        raise ZeroDivisionError

    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    with pytest.raises(ZeroDivisionError):
        await CompressionMiddleware(failing, MIN_SIZE)(http_scope(headers={"Accept-Encoding": "gzip"}), _gone, send)
    stream = reader("gzip")
    assert stream.decompress(Sent(sent).body) == CONTENT
    assert not stream.eof


async def test_a_client_that_goes_is_told_to_the_application() -> None:
    seen = []

    async def listening(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append((await receive())["type"])

    await call(CompressionMiddleware(listening, MIN_SIZE), http_scope(headers={"Accept-Encoding": "zstd"}))
    assert seen == ["http.disconnect"]


def compressing() -> ASGIApp:
    app = application()

    @app.get("/products")
    async def list_products() -> list[str]:
        return ["Crushed ice"] * 1000

    app.add_middleware(CompressionMiddleware, min_size=MIN_SIZE)
    return app


@pytest.mark.parametrize("accept", ["gzip", "zstd", "gzip, deflate, br, zstd", "identity"])
async def test_a_client_reads_what_the_endpoint_gave(accept: str) -> None:
    async with client(compressing()) as http:
        response = await http.get("/products", headers={"Accept-Encoding": accept})
    assert response.json() == ["Crushed ice"] * 1000


async def test_the_gzip_of_an_answer_is_plain_gzip() -> None:
    sent = await call(compressing(), http_scope("/products", headers={"Accept-Encoding": "gzip"}))
    assert gzip.decompress(sent.body).startswith(b'["Crushed ice"')


async def _gone() -> Message:
    return {"type": "http.disconnect"}
