import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import zstandard
from hypothesis import example, given
from hypothesis import strategies as st

from tests.unit.http.codings import WINDOW, decompressed, reader
from warehouse.errors import NotAcceptable
from warehouse.http.encodings import (
    Encoding,
    StreamCompressor,
    compress,
    encoded_etag,
    negotiate,
    refuses_identity,
)

IDENTITY, GZIP, ZSTD = Encoding.IDENTITY, Encoding.GZIP, Encoding.ZSTD
PAGE = b'{"data":[%s]}' % b",".join(b'{"sku":"CJ-%08d","name":"Crushed ice","unit":"C62"}' % n for n in range(1000))


@pytest.mark.parametrize(
    ("header", "encoding"),
    [
        (None, IDENTITY),
        ("", IDENTITY),
        (" ", IDENTITY),
        ("gzip", GZIP),
        ("x-gzip", GZIP),
        ("GZip", GZIP),
        ("zstd", ZSTD),
        ("identity", IDENTITY),
        ("br", IDENTITY),
        ("gzip, deflate, br, zstd", ZSTD),
        ("gzip, deflate, br", GZIP),
        ("*", ZSTD),
        ("gzip;q=1.0, zstd;q=0.5", GZIP),
        ("gzip;q=0.5, zstd;q=0.5", ZSTD),
        ("zstd;q=0.001", ZSTD),
        ("gzip;q=0.5", GZIP),
        ("identity, gzip;q=0.5", IDENTITY),
        ("identity, gzip", GZIP),
        ("identity;q=0.5, gzip;q=0.4", IDENTITY),
        ("*;q=0.1, gzip;q=0.5", GZIP),
        ("*, zstd;q=0", GZIP),
        ("*, x-gzip;q=0, zstd;q=0", IDENTITY),
        ("gzip ; Q=0.5 , zstd\t;\tq=0.8", ZSTD),
        ("gzip;", GZIP),
        (",,gzip,,", GZIP),
    ],
)
def test_the_coding_is_the_one_that_the_client_likes_best(header: str | None, encoding: Encoding) -> None:
    assert negotiate(header) is encoding


@pytest.mark.parametrize(
    "header",
    [
        "gzip;q=0",
        "gzip;q=0, *;q=0",
        "*;q=0",
        "zstd;q=0.0, gzip;q=0.000",
        "gzip, gzip;q=0",
        "x-gzip, gzip;q=0",
        "br;q=0",
    ],
)
def test_what_is_refused_is_not_chosen(header: str) -> None:
    assert negotiate(header) is IDENTITY
    assert not refuses_identity(header)


@pytest.mark.parametrize(
    "header", ["identity;q=0", "identity;q=0.0, br", "*;q=0, identity;q=0", "identity;q=0, gzip;q=0, zstd;q=0"]
)
def test_a_client_that_refuses_identity_and_names_nothing_that_there_is_cannot_be_served(header: str) -> None:
    for _ in range(2):
        with pytest.raises(NotAcceptable):
            negotiate(header)


@pytest.mark.parametrize(
    ("header", "encoding"),
    [("identity;q=0, gzip", GZIP), ("identity;q=0, *", ZSTD), ("identity;q=0, *;q=0.1, zstd;q=0", GZIP)],
)
def test_a_client_that_refuses_identity_gets_what_it_takes(header: str, encoding: Encoding) -> None:
    assert negotiate(header) is encoding
    assert refuses_identity(header)


@pytest.mark.parametrize(
    "parameter", ["q=1.1", "q=-1", "q=nan", "q=inf", "q=1e0", "q=0.5555", "q", "q=", "q==1", "q=x", "level=9"]
)
def test_a_weight_that_is_none_counts_as_zero_and_refuses_nothing(parameter: str) -> None:
    assert negotiate(f"gzip;{parameter}") is IDENTITY
    assert negotiate(f"gzip;{parameter}, zstd;q=0.1") is ZSTD
    assert negotiate(f"identity;{parameter}") is IDENTITY


@pytest.mark.parametrize(
    "header",
    [
        "gzip," * 2000,
        "," * 10_000,
        "q" * 10_000,
        " " * 10_000,
        "gzip;q=" + "0" * 10_000,
        "gzip" + "\t" * 10_000 + ";q=1",
        ";q=0." * 2000,
        "identity;q=0, " * 1000,
    ],
    ids=lambda header: header[:10],
)
def test_a_header_of_ten_kilobytes_costs_next_to_nothing_and_gets_the_plain_answer(header: str) -> None:
    begun = time.perf_counter()
    for _ in range(100):
        assert negotiate(header) is IDENTITY
        assert not refuses_identity(header)
    assert time.perf_counter() - begun < 0.1


@given(st.text(st.characters(max_codepoint=255), max_size=1500) | st.text("gzipstdxq=;,*01. ", max_size=1500))
@example("gzip;q=0\x00")
@example("ﬁ")
def test_any_header_gets_an_answer(header: str) -> None:
    try:
        assert negotiate(header) in Encoding
    except NotAcceptable:
        assert "identity" in header.lower()


@given(st.dictionaries(st.sampled_from(["gzip", "zstd", "identity", "br"]), st.integers(0, 1000)))
def test_nothing_that_is_accepted_is_liked_better_than_the_choice(weights: dict[str, int]) -> None:
    header = ",".join(f"{name};q={weight / 1000:.3f}" for name, weight in weights.items())
    liked = {encoding: weights.get(encoding, 0) for encoding in Encoding}
    try:
        assert liked[negotiate(header)] == max(liked.values())
    except NotAcceptable:
        assert not any(liked.values())
        assert "identity" in weights


@pytest.mark.parametrize(
    ("etag", "encoding", "encoded"),
    [
        ('"abc-1"', ZSTD, '"abc-1-zstd"'),
        ('"abc-1"', GZIP, '"abc-1-gzip"'),
        ('"abc-1"', IDENTITY, '"abc-1"'),
        ('W/"abc"', ZSTD, 'W/"abc-zstd"'),
        ('""', GZIP, '"-gzip"'),
        ("abc", GZIP, "abc"),
        ("", GZIP, ""),
    ],
)
def test_an_encoded_representation_has_a_tag_of_its_own(etag: str, encoding: Encoding, encoded: str) -> None:
    assert encoded_etag(etag, encoding) == encoded


@pytest.mark.parametrize("encoding", Encoding)
@given(body=st.binary(max_size=3000))
def test_a_body_comes_out_as_it_went_in(encoding: Encoding, body: bytes) -> None:
    assert decompressed(compress(body, encoding), encoding) == body


@pytest.mark.parametrize("encoding", [GZIP, ZSTD])
def test_the_same_body_is_always_compressed_to_the_same_bytes(encoding: Encoding) -> None:
    assert compress(PAGE, encoding) == compress(PAGE, encoding)
    assert len(compress(PAGE, encoding)) < len(PAGE) / 8


def test_gzip_tells_no_time() -> None:
    assert compress(PAGE, GZIP)[4:8] == bytes(4)


def test_zstd_tells_the_size_and_keeps_to_a_window_of_eight_mebibytes() -> None:
    for body in (PAGE, PAGE * 400):
        parameters = zstandard.get_frame_parameters(compress(body, ZSTD))
        assert parameters.content_size == len(body)
        assert parameters.window_size <= WINDOW
    streamed = zstandard.get_frame_parameters(StreamCompressor(ZSTD).piece(PAGE))
    assert streamed.window_size <= WINDOW


def test_many_threads_compress_at_once() -> None:
    start = threading.Barrier(8)

    def work(_: int) -> bool:
        start.wait()
        return all(decompressed(compress(PAGE, ZSTD), ZSTD) == PAGE for _ in range(50))

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(work, range(8)))


@pytest.mark.parametrize("encoding", [GZIP, ZSTD])
@given(pieces=st.lists(st.binary(max_size=300), min_size=1, max_size=10))
def test_each_piece_of_a_stream_can_be_read_as_soon_as_it_is_there(encoding: Encoding, pieces: list[bytes]) -> None:
    stream = StreamCompressor(encoding)
    client = reader(encoding)
    for piece in pieces[:-1]:
        assert client.decompress(stream.piece(piece)) == piece
    assert client.decompress(stream.last(pieces[-1])) == pieces[-1]
    assert client.eof
