"""What is encoded in pieces is one body to every client, also to those that stop after the first member or frame."""

import gzip
import io
import zlib

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from warehouse.http.encodings import Encoding
from warehouse.http.frames import combined, frame, joined

pieces = st.lists(st.one_of(st.binary(max_size=300), st.integers(0, 90_000).map(lambda size: b"ab" * size)), max_size=8)


def decoded(body: bytes, encoding: Encoding) -> bytes:
    match encoding:
        case Encoding.ZSTD:
            return zstandard.ZstdDecompressor().stream_reader(io.BytesIO(body), read_across_frames=True).read()
        case Encoding.GZIP:
            member = zlib.decompressobj(31)
            plain = member.decompress(body)
            assert (member.eof, member.unused_data) == (True, b"")
            assert gzip.decompress(body) == plain
            return plain
        case Encoding.IDENTITY:
            return body


@pytest.mark.parametrize("encoding", Encoding)
@given(pieces)
def test_the_pieces_come_out_one_behind_the_other(encoding: Encoding, given_pieces: list[bytes]) -> None:
    body = joined([frame(piece, encoding) for piece in given_pieces], encoding)
    assert decoded(body, encoding) == b"".join(given_pieces)


@given(st.binary(), st.binary())
def test_the_checksum_of_two_pieces_follows_from_those_of_each(one: bytes, other: bytes) -> None:
    assert combined(zlib.crc32(one), zlib.crc32(other), len(other)) == zlib.crc32(one + other)


@pytest.mark.parametrize("size", [1, 2**16, 2**31, 2**40])
def test_a_piece_may_be_of_any_size(size: int) -> None:
    """Moved up by so many bytes in one step and in two."""
    half = size // 2
    assert combined(combined(0xDEADBEEF, 0, half), 0, size - half) == combined(0xDEADBEEF, 0, size)


@pytest.mark.parametrize("encoding", Encoding)
def test_the_same_piece_is_encoded_in_the_same_way(encoding: Encoding) -> None:
    assert frame(b"bread" * 1000, encoding) == frame(b"bread" * 1000, encoding)
