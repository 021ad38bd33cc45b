"""`q` finds the same products on every database."""

import unicodedata

import pytest

from tests.contract.ledger import Ledger, code
from warehouse.catalogue.model import Product, ProductFilter, ProductSort

BEYOND = "\N{DESERET SMALL LETTER LONG I}"


@pytest.fixture(scope="session")
async def mark(ledger: Ledger) -> str:
    """A word that only this run's products have; each query names it too."""
    mark = f"m{code('').strip('-').lower().replace('-', '')}"
    for name, barcodes in {
        "Italian Bread 22 LB": ("4006381333931",),
        "The bread of a king": (),
        "Crème brûlée": (),
        "STRASSE straße": (),
        "大米 rice": (),
        "Size 4x2, No. 7": (),
        "don't drop; table products--": (),
        f"odd {BEYOND}": (),
    }.items():
        await ledger.product(sku=code(f"{mark}/X").replace("-", ""), name=f"{name} {mark}", barcodes=barcodes)
    return mark


async def found(ledger: Ledger, q: str) -> list[Product]:
    return await ledger.product_page(ProductFilter(q=q), ProductSort.SKU, None, 1000)


async def names(ledger: Ledger, mark: str, q: str) -> set[str]:
    return {product.name.removesuffix(f" {mark}") for product in await found(ledger, f"{q} {mark}")}


@pytest.mark.parametrize(
    ("q", "expected"),
    {
        "bread": {"Italian Bread 22 LB", "The bread of a king"},
        "bre ital": {"Italian Bread 22 LB"},
        "BREAD": {"Italian Bread 22 LB", "The bread of a king"},
        "read": set(),
        "the": {"The bread of a king"},
        "of a": {"The bread of a king"},
        "k": {"The bread of a king"},
        "22": {"Italian Bread 22 LB"},
        "2": {"Italian Bread 22 LB"},
        "4x": {"Size 4x2, No. 7"},
        "7": {"Size 4x2, No. 7"},
        "4006381333931": {"Italian Bread 22 LB"},
        "400638": {"Italian Bread 22 LB"},
        "brûlée": {"Crème brûlée"},
        unicodedata.normalize("NFD", "crème"): {"Crème brûlée"},
        "strasse": {"STRASSE straße"},
        "straß": {"STRASSE straße"},
        "大": {"大米 rice"},
        "drop": {"don't drop; table products--"},
        "bread & king": {"The bread of a king"},
        "+bread -king": {"The bread of a king"},
        'bread "italian': {"Italian Bread 22 LB"},
        "bread*": {"Italian Bread 22 LB", "The bread of a king"},
        "bread OR rice": set(),
        "':* | \\": None,
        "%": None,
        BEYOND: {f"odd {BEYOND}"},
    }.items(),
)
async def test_every_word_begins_a_word(ledger: Ledger, mark: str, q: str, expected: set[str] | None) -> None:
    seen = await names(ledger, mark, q)
    assert seen == expected if expected is not None else len(seen) == 8


async def test_what_begins_a_sku_finds_it_punctuation_and_all(ledger: Ledger) -> None:
    sku = code("ab.-9/")
    product = await ledger.product(sku=sku)
    for end in range(len("ab.-9/") + 4, len(sku) + 1):
        assert product in await found(ledger, sku[:end].upper())
    assert product not in await found(ledger, f"{sku}x")


async def test_a_sku_of_punctuation_alone_is_found(ledger: Ledger) -> None:
    sku = "%_%" + "".join("-/.:"[int(digit, 16) % 4] for digit in code("").strip("-").lower() if digit.isalnum())
    product = await ledger.product(sku=sku, name="?!")
    assert [each.id for each in await found(ledger, sku)] == [product.id]
    assert product not in await found(ledger, "x" + sku)


async def test_a_change_of_name_is_searched_at_once(ledger: Ledger) -> None:
    before, after = code("old").replace("-", ""), code("new").replace("-", "")
    product = await ledger.product(name=before)
    await ledger.catalogue.update(product.id, {"name": after}, None)
    assert not await found(ledger, before)
    assert [each.name for each in await found(ledger, after)] == [after]


async def test_what_is_deleted_is_not_found(ledger: Ledger) -> None:
    name = code("gone").replace("-", "")
    product = await ledger.product(name=name)
    assert len(await found(ledger, name)) == 1
    await ledger.catalogue.delete(product.id, None)
    assert not await found(ledger, name)


async def test_only_the_first_words_of_a_long_query_count(ledger: Ledger) -> None:
    name = code("long").replace("-", "")
    await ledger.product(name=name)
    assert len(await found(ledger, " ".join([name] * 3 + ["l"] * 50))) == 1


async def test_a_search_can_be_filtered_sorted_and_paged(ledger: Ledger, mark: str) -> None:
    every = await ledger.product_page(ProductFilter(q=mark), ProductSort.CREATED_AT_DESCENDING, None, 100)
    assert len(every) == 8
    paged: list[Product] = []
    while len(paged) < 8:
        after = (paged[-1].created_at, paged[-1].id) if paged else None
        paged += await ledger.product_page(ProductFilter(q=mark), ProductSort.CREATED_AT_DESCENDING, after, 3)
    assert paged == every
    assert not await ledger.product_page(ProductFilter(q=mark, category="none"), ProductSort.SKU, None, 100)
