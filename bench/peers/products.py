"""What the FastAPI peers share: the model, the schema, and the read from the database."""

import os
import uuid
from datetime import datetime
from typing import Any

from fastapi import HTTPException
from pydantic import BaseModel, ConfigDict
from sqlalchemy import JSON, String, Text
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

engine = create_async_engine(os.environ["BENCH_DATABASE_URL"], pool_size=10)
Session = async_sessionmaker(engine, expire_on_commit=False)


class Base(DeclarativeBase):
    pass


class Product(Base):
    __tablename__ = "products"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    sku: Mapped[str] = mapped_column(String(64), unique=True)
    name: Mapped[str] = mapped_column(String(255))
    description: Mapped[str | None] = mapped_column(Text)
    category: Mapped[str | None] = mapped_column(String(128))
    unit: Mapped[str] = mapped_column(String(16))
    barcodes: Mapped[list[str]] = mapped_column(JSON)
    reorder_point: Mapped[int | None]
    tracking: Mapped[str] = mapped_column(String(16))
    negative_stock: Mapped[str] = mapped_column(String(16))
    attributes: Mapped[dict[str, Any]] = mapped_column(JSON)
    status: Mapped[str] = mapped_column(String(16))
    version: Mapped[int]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class ProductRead(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: uuid.UUID
    sku: str
    name: str
    description: str | None
    category: str | None
    unit: str
    barcodes: list[str]
    reorder_point: int | None
    tracking: str
    negative_stock: str
    attributes: dict[str, Any]
    status: str
    version: int
    created_at: datetime
    updated_at: datetime


async def read_product(product_id: uuid.UUID) -> ProductRead:
    async with Session() as session:
        product = await session.get(Product, product_id)
    if product is None:
        raise HTTPException(404)
    return ProductRead.model_validate(product)
