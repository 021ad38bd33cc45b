import os
import uuid

from cashews import cache
from fastapi import FastAPI

from bench.peers.products import ProductRead, read_product

cache.setup(os.environ["BENCH_REDIS_URL"])
app = FastAPI()


@app.get("/livez")
async def live() -> dict[str, str]:
    return {"status": "ok"}


@app.get("/products/{product_id}")
@cache(ttl="1h", key="product:{product_id}")
async def product(product_id: uuid.UUID) -> ProductRead:
    return await read_product(product_id)
