import os
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi_cache import FastAPICache
from fastapi_cache.backends.redis import RedisBackend
from fastapi_cache.decorator import cache
from redis.asyncio import Redis

from bench.peers.products import ProductRead, read_product


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    FastAPICache.init(RedisBackend(Redis.from_url(os.environ["BENCH_REDIS_URL"])), prefix="fastapi-cache")
    yield


app = FastAPI(lifespan=lifespan)


@app.get("/livez")
async def live() -> dict[str, str]:
    return {"status": "ok"}


@app.get("/products/{product_id}")
@cache(expire=3600)
async def product(product_id: uuid.UUID) -> ProductRead:
    return await read_product(product_id)
