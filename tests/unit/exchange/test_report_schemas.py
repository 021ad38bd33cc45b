"""What is wrong with the parameters of a report is told by its field."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from pydantic import ValidationError

from warehouse.clock import utc_now
from warehouse.exchange.report_model import (
    AbcAnalysis,
    DeadStock,
    LowStock,
    MovementSummary,
    ReportClock,
    ReportKind,
    StockAgeing,
    StockAsOf,
    written_out,
)
from warehouse.exchange.report_schemas import REPORT_INPUTS
from warehouse.http.json import encode
from warehouse.http.validation import field_errors

START, END = "2026-01-01T00:00:00Z", "2026-02-01T00:00:00+01:00"
NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)
ID = "01890a5d-ac96-774b-bcce-b302099a8057"
KIND = {kind.value: kind for kind in ReportKind}


def faults(kind: str, body: Any) -> list[str]:
    with pytest.raises(ValidationError) as error:
        REPORT_INPUTS[KIND[kind]].model_validate(body)
    return [fault.pointer for fault in field_errors(error.value, body)]


@pytest.mark.parametrize(
    ("kind", "body", "pointer"),
    [
        ("stock_as_of", {"as_of": (utc_now() + timedelta(hours=1)).isoformat()}, "/as_of"),
        ("stock_as_of", {"as_of": "2026-01-01"}, "/as_of"),
        ("stock_as_of", {"as_of": "2026-01-01T00:00:00"}, "/as_of"),
        ("stock_as_of", {"clock": "wall"}, "/clock"),
        ("stock_as_of", {"product_id": "x"}, "/product_id"),
        ("stock_as_of", {"include_zero": "yes"}, "/include_zero"),
        ("stock_as_of", {"asof": START}, "/asof"),
        ("movement_summary", {}, "/from"),
        ("movement_summary", {"from": END, "to": START}, "/to"),
        ("movement_summary", {"from": (utc_now() + timedelta(hours=1)).isoformat()}, "/from"),
        ("movement_summary", {"from_": START, "from": START}, "/from_"),
        ("low_stock", {"outflow_days": 0}, "/outflow_days"),
        ("low_stock", {"outflow_days": 3661}, "/outflow_days"),
        ("low_stock", {"outflow_days": 1.5}, "/outflow_days"),
        ("low_stock", {"warehouse_id": 7}, "/warehouse_id"),
        ("stock_ageing", {"buckets": []}, "/buckets"),
        ("stock_ageing", {"buckets": [30, 30]}, "/buckets"),
        ("stock_ageing", {"buckets": [30, -1]}, "/buckets/1"),
        ("stock_ageing", {"buckets": list(range(13))}, "/buckets"),
        ("stock_ageing", {"expiring_days": True}, "/expiring_days"),
        ("abc_analysis", {"from": END, "to": START}, "/to"),
        ("abc_analysis", {"from": START, "by": "money"}, "/by"),
        ("abc_analysis", {"from": START, "a_percent": 0}, "/a_percent"),
        ("abc_analysis", {"from": START, "b_percent": 101}, "/b_percent"),
        ("abc_analysis", {"from": START, "a_percent": 70, "b_percent": 69}, "/b_percent"),
        ("dead_stock", {"idle_days": 0}, "/idle_days"),
        ("dead_stock", {"idle_days": None}, "/idle_days"),
    ],
)
def test_names_the_field_at_fault(kind: str, body: Any, pointer: str) -> None:
    assert faults(kind, body) == [pointer]


def test_every_fault_is_told_at_once() -> None:
    assert faults("abc_analysis", {"to": START, "by": 1, "more": 1}) == ["/from", "/by", "/more"]


def test_a_limit_that_is_not_said_counts_too() -> None:
    with pytest.raises(ValidationError, match="b_percent must not be less than a_percent"):
        REPORT_INPUTS[ReportKind.ABC_ANALYSIS].model_validate({"from": START, "a_percent": 96})


@pytest.mark.parametrize(
    ("kind", "body", "parameters"),
    [
        ("stock_as_of", {}, StockAsOf()),
        (
            "stock_as_of",
            {"as_of": END, "clock": "recorded", "warehouse_id": ID, "product_id": ID, "include_zero": True},
            StockAsOf(datetime(2026, 1, 31, 23, tzinfo=UTC), ReportClock.RECORDED, UUID(ID), UUID(ID), True),
        ),
        ("movement_summary", {"from": START}, MovementSummary(NEW_YEAR)),
        ("movement_summary", {"from": START, "to": START}, MovementSummary(NEW_YEAR, NEW_YEAR)),
        ("low_stock", {}, LowStock()),
        ("low_stock", {"outflow_days": 3660, "by_warehouse": True}, LowStock(3660, True)),
        ("stock_ageing", {}, StockAgeing()),
        ("stock_ageing", {"buckets": [0, 7]}, StockAgeing((0, 7))),
        ("abc_analysis", {"from": START, "a_percent": 95}, AbcAnalysis(NEW_YEAR, a_percent=95)),
        ("dead_stock", {"idle_days": 1}, DeadStock(1)),
    ],
)
def test_what_is_right_becomes_parameters(kind: str, body: Any, parameters: Any) -> None:
    assert REPORT_INPUTS[KIND[kind]].model_validate(body).parameters() == parameters


@pytest.mark.parametrize("kind", ReportKind)
def test_an_example_is_valid_and_comes_back_by_the_same_names(kind: ReportKind) -> None:
    model = REPORT_INPUTS[kind]
    schema = model.model_json_schema()
    assert schema["additionalProperties"] is False
    assert model.__doc__
    [example] = schema["examples"]
    parameters = model.model_validate(example).parameters()
    assert set(written_out(parameters)) == set(schema["properties"])
    assert model.model_validate_json(encode(written_out(parameters))).parameters() == parameters
