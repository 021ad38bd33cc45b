import json
from collections.abc import Sequence
from itertools import product

import pytest

from warehouse.catalogue.snapshot import FORMS, JSON, NDJSON, SnapshotForm

ROWS = ['{"sku":"a"}', '{"sku":"é 🍮 \\n"}', '{"sku":"c"}']


def written(form: SnapshotForm, segments: Sequence[Sequence[str]]) -> str:
    encoded = [segment for segment in map(form.segment, segments) if segment]
    return b"".join(form.pieces(encoded, bytes)).decode()


def read(form: SnapshotForm, text: str) -> list[str]:
    """The SKUs."""
    documents = json.loads(text)["data"] if form is JSON else [json.loads(line) for line in text.split("\n")[:-1]]
    return [document["sku"] for document in documents]


@pytest.mark.parametrize("form", list(FORMS.values()), ids=list(FORMS))
@pytest.mark.parametrize("sizes", list(product([0, 1, 2], repeat=3)))
def test_segments_of_any_size_make_one_document(form: SnapshotForm, sizes: tuple[int, ...]) -> None:
    segments = [ROWS[:size] for size in sizes]
    skus = [json.loads(row)["sku"] for segment in segments for row in segment]
    assert read(form, written(form, segments)) == skus


def test_without_segments_it_is_empty() -> None:
    assert written(JSON, []) == '{"data":[]}'
    assert written(NDJSON, []) == ""


def test_the_rows_go_out_as_they_are() -> None:
    assert written(JSON, [ROWS[:2], [], ROWS[2:]]) == f'{{"data":[{",".join(ROWS)}]}}'
    assert written(NDJSON, [ROWS[:2], [], ROWS[2:]]) == "".join(f"{row}\n" for row in ROWS)
