"""The network that the experiments go through keeps what a network keeps."""

import asyncio
import random

from tests.faults.proxy import CHUNK, Network, Proxy
from tests.servers import HOST


async def test_no_byte_is_lost_or_repeated_where_slices_change_on_the_way() -> None:
    sent = random.Random(1).randbytes(1 << 22)  # noqa: S311 (nothing here is secret)

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(sent)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, HOST, 0) as server, Proxy(server.sockets[0].getsockname()[1]) as way:
        await way.become(Network.PASS, slice_=1024)
        reader, writer = await asyncio.open_connection(HOST, way.port)
        received = b""
        async with asyncio.timeout(60):
            while piece := await reader.read(5000):
                received += piece
                await way.become(Network.PASS, slice_=CHUNK if len(received) // 50_000 % 2 else 1024)
        writer.close()
        await writer.wait_closed()
    assert received == sent
