"""To `q` a word is the same on every database, whatever its own idea of one; and words are found by an index."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.contract.ledger import Ledger
from tests.contract.statements import Statement, recorded
from warehouse.catalogue.model import (
    MAX_SEARCH_WORDS,
    ProductDraft,
    ProductFilter,
    ProductSort,
    ProductStatus,
    sku_key,
)
from warehouse.clock import utc_now
from warehouse.ids import new_id
from warehouse.storage.connection import Connection
from warehouse.storage.database import SqlDatabase
from warehouse.text import LONGEST_WORD

RARE = "\N{CJK UNIFIED IDEOGRAPH-20BB7}"
COMBINING_GRAVE = "\N{COMBINING GRAVE ACCENT}"

SHELF: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "rye": ("-100.5/A", "Rye Bread with Seeds", ("4006381333931", "EAN X-7")),
    "north": ("-1001", "The Bread of the North", ()),
    "milk": ("+m", "Milch 3,5 % Fett 1 l", ()),
    "brulee": ("(c)", "Crème brûlée", ()),
    "plain": ("[c]", "Creme brulee", ()),
    "pudding": ("焦", "焦糖布丁 200g", ()),
    "rare": (RARE, f"{RARE}野家 牛丼", ()),
    "xleb": ("ж", "Хлеб Ржаной", ()),
    "street": ("ß", "Große Straße", ()),
    "letters": ("_ab", "AB C d x-y_z i", ()),
    "rosu": ("ș", "Roșii și țelină", ()),
    "hindi": ("ह", "हिन्दी चाय", ()),
    "vitamin": ("*", 'Vitamin C+ & D-3 (retard) 50% "Forte" O\'Neill <b> a|b ~x @y \\z', ()),
    "emoji": ("🍞", "🍞🍞", ()),
    "long": ("~", "x" * 100 + " " + "焦" * 90, ()),
    "or": ("OR", "near or not and", ()),
    "tilde": ("", "Tilde", ()),
}
"""The end of the SKU, the name, and the barcodes."""


def letters() -> str:
    """A word of letters alone that nobody else has, and that no other word begins."""
    return "qq" + new_id().hex[-12:].translate({ord(digit): "ghijklmnop"[int(digit)] for digit in "0123456789"})


@dataclass(frozen=True)
class Shelf:
    """These products alone, in a category of their own. Their SKUs begin with `tag`, but for that of `tilde`."""

    ledger: Ledger
    tag: str
    names: dict[Any, str]

    async def found(self, q: str, status: ProductStatus | None = None) -> set[str]:
        criteria = ProductFilter(q=q, category=self.tag, status=status)
        found = await self.ledger.product_page(criteria, ProductSort.SKU, None, 1000)
        assert len({product.id for product in found}) == len(found)
        return {self.names[product.id] for product in found}


@pytest.fixture(scope="session")
async def shelf(ledger: Ledger) -> Shelf:
    tag = letters()
    products = {
        name: await ledger.product(
            sku=tag + sku if sku else f"~! %_\\{tag}", name=title, barcodes=barcodes, category=tag
        )
        for name, (sku, title, barcodes) in SHELF.items()
    }
    return Shelf(ledger, tag, {product.id: name for name, product in products.items()})


class TestWords:
    @pytest.mark.parametrize(
        ("q", "expected"),
        [
            ("bread", {"rye", "north"}),
            ("BREAD", {"rye", "north"}),
            ("brea", {"rye", "north"}),
            ("b", {"rye", "north", "brulee", "plain", "vitamin"}),
            ("read", set()),
            ("breads", set()),
            ("rye bread", {"rye"}),
            ("bread rye", {"rye"}),
            ("br se w", {"rye"}),
            ("rye milch", set()),
            ("  rye,bread;", {"rye"}),
        ],
    )
    async def test_begin_a_word_every_one_of_them(self, shelf: Shelf, q: str, expected: set[str]) -> None:
        assert await shelf.found(q) == expected

    @pytest.mark.parametrize(
        ("q", "expected"),
        [
            ("the", {"north"}),
            ("of the", {"north"}),
            ("with", {"rye"}),
            ("or", {"or"}),
            ("not", {"or"}),
            ("near", {"or"}),
            ("and", {"or"}),
            ("i", {"letters"}),
            ("l", {"milk"}),
            ("ab", {"letters"}),
            ("ab c", {"letters"}),
            ("x y z", {"letters", "vitamin"}),
            ("x-y_z", {"letters", "vitamin"}),
            ("d", {"letters", "vitamin"}),
            ("3", {"milk", "vitamin"}),
            ("3,5 fett", {"milk"}),
            ("50%", {"vitamin"}),
            ("200", {"pudding"}),
            ("200g", {"pudding"}),
            ("o'neill", {"vitamin"}),
        ],
    )
    async def test_count_however_short_or_common_they_are(self, shelf: Shelf, q: str, expected: set[str]) -> None:
        assert await shelf.found(q) == expected

    @pytest.mark.parametrize(
        ("q", "expected"),
        [
            ("crème", {"brulee"}),
            (f"cre{COMBINING_GRAVE}me", {"brulee"}),
            ("CRÈME BRÛ", {"brulee"}),
            ("creme", {"plain"}),
            ("strasse", {"street"}),
            ("STRASSE", {"street"}),
            ("straße gro", {"street"}),
            ("хлеб", {"xleb"}),
            ("ХЛЕ рж", {"xleb"}),
            ("roșii", {"rosu"}),
            ("ȘI", {"rosu"}),
            ("ro", {"rosu"}),
            ("roși t", set()),
            ("țel", {"rosu"}),
            ("焦糖", {"pudding"}),
            ("焦", {"pudding", "long"}),
            ("布丁", set()),
            (RARE, {"rare"}),
            (f"{RARE}野", {"rare"}),
            (chr(ord(RARE) + 1), set()),
            ("牛", {"rare"}),
            ("हिन्दी", {"hindi"}),
            ("चा", {"hindi"}),
        ],
    )
    async def test_are_those_of_every_script_in_any_case_with_their_accents(
        self, shelf: Shelf, q: str, expected: set[str]
    ) -> None:
        assert await shelf.found(q) == expected

    @pytest.mark.parametrize("length", [LONGEST_WORD - 1, LONGEST_WORD, LONGEST_WORD + 1, 90, 100])
    async def test_may_be_of_any_length(self, shelf: Shelf, length: int) -> None:
        assert await shelf.found("x" * length) == {"long"}
        assert await shelf.found("焦" * min(length, 90)) == {"long"}

    async def test_count_up_to_a_number_of_them(self, ledger: Ledger) -> None:
        words = [f"{letters()}{number}" for number in range(MAX_SEARCH_WORDS + 4)]
        product = await ledger.product(name=" ".join(words[: MAX_SEARCH_WORDS // 2]))
        for number, expected in ((MAX_SEARCH_WORDS // 2, [product]), (MAX_SEARCH_WORDS // 2 + 1, [])):
            criteria = ProductFilter(q=" ".join(words[:number]))
            assert await ledger.product_page(criteria, ProductSort.SKU, None, 10) == expected

    async def test_that_are_none_find_nothing(self, shelf: Shelf) -> None:
        for q in ("🍞", "%", "_", "*", '"', "''", "()", "+-", "\\", "&|!", "...", COMBINING_GRAVE):
            assert await shelf.found(q) == set()

    async def test_are_told_apart_in_every_script(self, ledger: Ledger) -> None:
        category, every = letters(), [chr(code) for code in range(0x80, 0x110000) if chr(code).isalnum()]
        characters = [*every[::601], *"ǔșțΐ\N{LATIN SMALL LIGATURE FFI}Ⅷ²½٣ഹ한ｱ"]
        drafts = [
            ProductDraft(f"{category}{number}", f"{character}k{character}v", category=category)
            for number, character in enumerate(characters)
        ]
        async with ledger.uow() as uow:
            await uow.products.add_all([(new_id(), draft) for draft in drafts], utc_now())
            await uow.commit()
        for character in characters:
            for q in (f"{character}k", f"{character}k{character}v"):
                criteria = ProductFilter(q=q, category=category)
                found = await ledger.product_page(criteria, ProductSort.SKU, None, 1000)
                begin = [draft.sku for draft in drafts if sku_key(draft.name).startswith(sku_key(q))]
                assert sorted(product.sku for product in found) == sorted(begin), (character, q)


class TestOperators:
    @pytest.mark.parametrize(
        "q",
        [
            '"bread',
            "bread'",
            "bread*",
            "+bread",
            "-bread",
            "~bread",
            "<bread>",
            "(bread)",
            "{bread}",
            "[bread]",
            "bread:*",
            "bread & ",
            "| bread",
            "!bread",
            "^bread",
            "bread@",
            "%bread%",
            "\\bread\\",
            "bread;--",
            "bread /*",
            "<-> bread",
            "'bread':*",
        ],
    )
    async def test_are_no_more_than_space_between_words(self, shelf: Shelf, q: str) -> None:
        assert await shelf.found(q) == {"rye", "north"}

    @pytest.mark.parametrize(
        "q",
        [
            "rye OR milch",
            "rye AND milch",
            "bread NOT rye",
            "NEAR(bread rye, 2)",
            "words:bread",
            "bread^2",
            "'; DROP TABLE products; --",
            "bread @9",
            "9=9",
        ],
    )
    async def test_in_letters_are_words_like_others(self, shelf: Shelf, q: str) -> None:
        assert await shelf.found(q) == set()


class TestSkus:
    @pytest.mark.parametrize(
        ("end", "expected"),
        [
            ("", set(SHELF)),
            ("-100", {"rye", "north"}),
            ("-100.5/", {"rye"}),
            ("-100.5/a", {"rye"}),
            ("-1001", {"north"}),
            ("-10011", set()),
            ("ж", {"xleb"}),
            ("Ж", {"xleb"}),
            ("ss", {"street"}),
            ("or", {"or"}),
            ("o", {"or"}),
            ("_100 5", {"rye"}),
        ],
    )
    async def test_are_found_by_how_they_begin(self, shelf: Shelf, end: str, expected: set[str]) -> None:
        for tag in (shelf.tag, shelf.tag.upper()):
            assert await shelf.found(tag + end) == expected

    async def test_are_found_by_how_they_begin_where_that_is_no_word(self, shelf: Shelf) -> None:
        for q in ("~", "~!", "~! %_", "~! %_\\"):
            assert await shelf.found(q) == {"tilde"}
        for q in ("~!_", "!", "~%", "%_"):
            assert await shelf.found(q) == set()

    async def test_are_found_by_their_words_in_any_order_too(self, shelf: Shelf) -> None:
        assert await shelf.found(f"100 {shelf.tag} 5") == {"rye"}
        assert await shelf.found(f"seeds {shelf.tag}") == {"rye"}


class TestBarcodes:
    @pytest.mark.parametrize(
        ("q", "expected"),
        [
            ("4006381333931", {"rye"}),
            ("400638", {"rye"}),
            ("6381", set()),
            ("40063813339310", set()),
            ("ean", {"rye"}),
            ("EAN X-7", {"rye"}),
            ("bread 4006381333931", {"rye"}),
        ],
    )
    async def test_are_found_by_how_they_begin(self, shelf: Shelf, q: str, expected: set[str]) -> None:
        assert await shelf.found(q) == expected


class TestChanges:
    async def test_of_barcodes_and_skus_are_searched_at_once(self, ledger: Ledger) -> None:
        barcode, start = letters(), letters()
        product = await ledger.product()
        changed = await ledger.change(product, barcodes=(barcode,), sku=f"{start}-{product.sku}")
        for q in (barcode, f"{start}-"):
            assert await ledger.product_page(ProductFilter(q=q), ProductSort.SKU, None, 10) == [changed]

    async def test_that_are_not_committed_are_not_found(self, ledger: Ledger) -> None:
        word, product = letters(), await ledger.product()
        async with ledger.uow() as uow:
            await uow.products.replace(product, ProductDraft(product.sku, word), utc_now())
        assert await ledger.product_page(ProductFilter(q=word), ProductSort.SKU, None, 10) == []

    async def test_of_what_is_archived_keep_it_findable(self, shelf: Shelf) -> None:
        assert await shelf.found("bread", ProductStatus.ACTIVE) == {"rye", "north"}
        assert await shelf.found("bread", ProductStatus.ARCHIVED) == set()


INDEXES = {
    "sqlite": ("product_search VIRTUAL TABLE INDEX", "products_2 (sku_key>? AND sku_key<?)"),
    "postgresql": ("ix_products_search", "uq_products_sku_key"),
    "mysql": ("ix_products_search", "uq_products_sku_key"),
}
"""How a plan names the index of words and that of SKUs."""


async def explained(connection: Connection, statement: Statement) -> str:
    """How the database would carry it out, in its own words."""
    prefixes = {"sqlite": "EXPLAIN QUERY PLAN", "postgresql": "EXPLAIN", "mysql": "EXPLAIN FORMAT=JSON"}
    if connection.dialect.name == "postgresql":
        # So small a table it would rather read through.
        await connection.exec_driver_sql("SET enable_seqscan = off")
    rows = await connection.exec_driver_sql(f"{prefixes[connection.dialect.name]} {statement[0]}", statement[1])
    return "\n".join(" ".join(map(str, row)) for row in rows)


class TestPlan:
    @pytest.fixture
    async def plan(self, shelf: Shelf, database: SqlDatabase) -> AsyncIterator[str]:
        with recorded() as statements:
            await shelf.found("rye bread")
        [statement] = statements
        async with database.connect(read_only=True) as connection:
            yield await explained(connection, statement)
            if connection.dialect.name == "postgresql":
                await connection.exec_driver_sql("RESET enable_seqscan")

    async def test_looks_words_and_skus_up_in_their_indexes(self, plan: str, database: SqlDatabase) -> None:
        for index in INDEXES[database.dialect]:
            assert index in plan
