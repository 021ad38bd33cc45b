import os
import uuid
from typing import Any
from urllib.parse import urlsplit

from aiocache import Cache, cached
from aiocache.serializers import PickleSerializer
from fastapi import FastAPI

from bench.peers.products import ProductRead, read_product

redis = urlsplit(os.environ["BENCH_REDIS_URL"])
app = FastAPI()


def key(_: Any, product_id: uuid.UUID) -> str:
    return f"product:{product_id}"


@app.get("/livez")
async def live() -> dict[str, str]:
    return {"status": "ok"}


@app.get("/products/{product_id}")
@cached(
    ttl=3600,
    cache=Cache.REDIS,
    key_builder=key,
    serializer=PickleSerializer(),
    namespace="aiocache",
    endpoint=redis.hostname,
    port=redis.port,
)
async def product(product_id: uuid.UUID) -> ProductRead:
    return await read_product(product_id)
