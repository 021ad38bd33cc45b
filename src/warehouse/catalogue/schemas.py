"""Products on the wire."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import BeforeValidator, Field, RootModel, SkipValidation, StringConstraints

from warehouse import lengths
from warehouse.catalogue.model import Attribute, NegativeStock, ProductStatus, Tracking
from warehouse.http.fields import Barcode, Category, Description, Input, Output, ProductName, Sku, Unit
from warehouse.http.pagination import Page
from warehouse.http.problems import FieldProblem
from warehouse.upserts import UpsertStatus

MAX_BATCH = 5000


def _no_integer(value: object) -> object:
    # As a fraction a large one would lose digits.
    if isinstance(value, int):
        raise ValueError("An integer must lie between -2^53 and 2^53.")
    return value


AttributeName = Annotated[str, StringConstraints(min_length=1, max_length=lengths.ATTRIBUTE_KEY)]
AttributeText = Annotated[str, StringConstraints(max_length=lengths.ATTRIBUTE_VALUE)]
AttributeNumber = Annotated[int, Field(ge=-(2**53), le=2**53)]
AttributeFraction = Annotated[float, BeforeValidator(_no_integer), Field(allow_inf_nan=False)]
AttributeValue = AttributeText | bool | AttributeNumber | AttributeFraction
Attributes = Annotated[dict[AttributeName, AttributeValue], Field(max_length=lengths.ATTRIBUTES)]
AttributesPatch = Annotated[dict[AttributeName, AttributeValue | None], Field(max_length=lengths.ATTRIBUTES)]
Barcodes = Annotated[list[Barcode], Field(max_length=lengths.BARCODES)]
ReorderPoint = Annotated[int, Field(ge=0, le=lengths.REORDER_POINT)]


class ProductCreate(Input):
    sku: Sku
    name: ProductName
    description: Description | None = None
    category: Category | None = None
    unit: Unit = "each"
    barcodes: Barcodes = Field(default_factory=list)
    reorder_point: ReorderPoint | None = None
    tracking: Annotated[Tracking, Field(strict=False)] = Tracking.NONE
    negative_stock: Annotated[NegativeStock, Field(strict=False)] = NegativeStock.FORBID
    attributes: Attributes = Field(default_factory=dict)
    status: Annotated[ProductStatus, Field(strict=False)] = ProductStatus.ACTIVE


class ProductUpdate(Input):
    """A merge patch (RFC 7396): a field that is absent stays as it is, null clears one that may be empty. In
    `attributes` null removes an entry. `tracking` is settled when a product is made."""

    sku: Sku = ""
    name: ProductName = ""
    description: Description | None = None
    category: Category | None = None
    unit: Unit = ""
    barcodes: Barcodes = Field(default_factory=list)
    reorder_point: ReorderPoint | None = None
    negative_stock: Annotated[NegativeStock, Field(strict=False)] = NegativeStock.FORBID
    attributes: AttributesPatch = Field(default_factory=dict)
    status: Annotated[ProductStatus, Field(strict=False)] = ProductStatus.ACTIVE


class ProductUpsert(ProductUpdate):
    """A product by its SKU. A new one needs a name; of one that is there, only the fields given change."""

    sku: Sku
    tracking: Annotated[Tracking, Field(strict=False)] = Tracking.NONE


class ProductBatch(Input):
    products: Annotated[list[SkipValidation[ProductUpsert]], Field(min_length=1, max_length=MAX_BATCH)]
    """Each row is validated by itself, so that a bad one does not keep the good ones out."""


class RawBatch(RootModel[list[Any]]):
    """A batch as it was sent."""


class UpsertRead(Output):
    index: int
    sku: str
    status: UpsertStatus
    id: UUID | None
    version: int | None
    errors: list[FieldProblem]


class BatchRead(Output):
    """The fate of every row, in their order."""

    created: int
    updated: int
    unchanged: int
    failed: int
    results: Sequence[UpsertRead]


class ProductRead(Output):
    id: UUID
    sku: str
    name: str
    description: str | None
    category: str | None
    unit: str
    barcodes: list[str]
    reorder_point: int | None
    tracking: Tracking
    negative_stock: NegativeStock
    attributes: dict[str, Attribute]
    status: ProductStatus
    version: int
    created_at: datetime
    updated_at: datetime


class ProductPage(Page[ProductRead]):
    pass


class ProductSnapshot(Output):
    data: list[ProductRead]


def fields_given(body: Input) -> dict[str, Any]:
    """The fields that the client sent, by name, with tuples for lists as the model has them."""
    given = {name: getattr(body, name) for name in body.model_fields_set}
    return {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
