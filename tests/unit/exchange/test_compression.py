import gzip
import io
import os
import tracemalloc

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.exchange.files import COMPRESSIONS
from warehouse.errors import Invalid, TooLarge
from warehouse.exchange.compression import CHUNK, decompressed

UNLIMITED = 1 << 40
SKIPPABLE = (0x184D2A53).to_bytes(4, "little") + (5).to_bytes(4, "little") + b"about"


def content_of(data: bytes, largest: int = UNLIMITED) -> bytes:
    return b"".join(decompressed(io.BytesIO(data), largest))


@pytest.mark.parametrize("suffix", COMPRESSIONS)
@given(content=st.binary(max_size=2000))
def test_content_comes_out_as_it_went_in(suffix: str, content: bytes) -> None:
    compressed = COMPRESSIONS[suffix](b"x" + content)
    assert content_of(compressed) == b"x" + content


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_files_put_together_are_read_to_the_end(suffix: str) -> None:
    parts = [os.urandom(70_000), b"", b"the last part"]
    assert content_of(b"".join(map(COMPRESSIONS[suffix], parts))) == b"".join(parts)


def test_a_zstd_frame_to_be_skipped_is_skipped() -> None:
    frame = zstandard.compress(b"content")
    assert content_of(SKIPPABLE + frame + SKIPPABLE) == b"content"


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_a_file_that_was_cut_off_is_refused(suffix: str) -> None:
    compressed = COMPRESSIONS[suffix](os.urandom(100_000))
    with pytest.raises(Invalid) as refusal:
        content_of(compressed[:-5])
    assert refusal.value.errors[0].code == "damaged"


@pytest.mark.parametrize(
    "data", [b"\x1f\x8b" + bytes(50), zstandard.FRAME_HEADER + b"\xff" * 50, gzip.compress(b"a", mtime=0) + b"b"]
)
def test_damaged_data_is_refused(data: bytes) -> None:
    with pytest.raises(Invalid):
        content_of(data)


def test_a_window_of_128_mib_is_refused() -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=27)
    compressor = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    with pytest.raises(Invalid):
        content_of(compressor.compress(b"content") + compressor.flush())


@pytest.mark.parametrize("suffix", COMPRESSIONS)
def test_more_than_is_allowed_is_refused(suffix: str) -> None:
    compressed = COMPRESSIONS[suffix](b"0" * 5000)
    assert len(content_of(compressed, largest=5000)) == 5000
    with pytest.raises(TooLarge):
        content_of(compressed, largest=4999)


def test_a_gigabyte_of_zeros_goes_by_in_small_pieces() -> None:
    bomb = io.BytesIO(gigabyte_of_zeros())
    tracemalloc.start()
    try:
        sizes = {len(chunk) for chunk in decompressed(bomb, UNLIMITED)}
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert sizes == {CHUNK}
    assert peak < 64 * 1024 * 1024


def gigabyte_of_zeros() -> bytes:
    compressor = zstandard.ZstdCompressor(level=1).compressobj()
    zeros = bytes(1024 * 1024)
    return b"".join(compressor.compress(zeros) for _ in range(1024)) + compressor.flush()
