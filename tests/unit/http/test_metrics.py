"""Every request is counted once, under one of few names, and docs/metrics.md explains every metric."""

import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from fastapi import APIRouter, FastAPI, Request, Response
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families
from starlette.types import Message, Receive, Scope, Send

from tests.conftest import ROOT
from tests.unit.http.asgi import application, client, http_scope
from warehouse import metrics
from warehouse.http.metrics import router
from warehouse.http.request_id import RequestIdMiddleware

PAGE = ROOT / "docs" / "metrics.md"
ROW = re.compile(
    r"^\| `(?P<name>\w+)` \| (?P<type>\w+) \| (?P<labels>[`\w, ]*?) ?\| (?P<meaning>[^|]+) \|$", re.MULTILINE
)
COUNT = "warehouse_http_requests_total"
TIMED = "warehouse_http_request_duration_seconds_count"
STRANGERS = 10_000

Sample = tuple[str, frozenset[tuple[str, str]]]


def shop() -> FastAPI:
    app = application()
    products = APIRouter(prefix="/v1/products")

    @products.get("/{product_id}")
    async def get_product(product_id: str) -> str:
        return product_id

    @products.delete("/{product_id}")
    async def delete_product(product_id: str) -> None:
        raise ZeroDivisionError

    app.include_router(products)
    app.include_router(router)
    app.add_route("/page", page)
    app.add_middleware(RequestIdMiddleware)
    return app


async def page(request: Request) -> Response:
    return Response()


def sample(name: str, **labels: str) -> Sample:
    return name, frozenset(labels.items())


def samples() -> Mapping[Sample, float]:
    text = metrics.exposition("")[0].decode()
    found = (each for family in text_string_to_metric_families(text) for each in family.samples)
    return {sample(each.name, **each.labels): each.value for each in found}


def since(before: Mapping[Sample, float], name: str) -> Mapping[frozenset[tuple[str, str]], float]:
    """By how much the samples of this name have grown."""
    growth = {
        labels: value - before.get((each, labels), 0) for (each, labels), value in samples().items() if each == name
    }
    return {labels: value for labels, value in growth.items() if value}


async def no_body() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}


async def ignore(message: Message) -> None:
    pass


@pytest.mark.parametrize(
    ("method", "path", "status", "counted", "route"),
    [
        ("GET", "/v1/products/7", 200, "GET", "/v1/products/{product_id}"),
        ("DELETE", "/v1/products/7", 500, "DELETE", "/v1/products/{product_id}"),
        ("PUT", "/v1/products/7", 405, "PUT", "/v1/products/{product_id}"),
        ("BREW", "/v1/products/7", 405, "other", "/v1/products/{product_id}"),
        ("HEAD", "/page", 200, "HEAD", "-"),
        ("HEAD", "/v1/products/7", 405, "HEAD", "/v1/products/{product_id}"),
        ("GET", "/v1/products/7/8", 404, "GET", "-"),
        ("BREW", "/nowhere", 404, "other", "-"),
        ("GET", "/metrics", 200, "GET", "/metrics"),
    ],
)
async def test_a_request_is_counted_and_timed_once_under_its_template(
    method: str, path: str, status: int, counted: str, route: str
) -> None:
    before = samples()
    async with client(shop()) as http:
        assert (await http.request(method, path)).status_code == status

    labels = {"method": counted, "route": route}
    assert since(before, COUNT) == {frozenset({**labels, "status": str(status)}.items()): 1}
    assert since(before, TIMED) == {frozenset(labels.items()): 1}


async def test_a_request_that_ends_without_an_answer_is_a_500() -> None:
    async def breaking(scope: Scope, receive: Receive, send: Send) -> None:
        raise ZeroDivisionError

    before = samples()
    with pytest.raises(ZeroDivisionError):
        await RequestIdMiddleware(breaking)(http_scope(), no_body, ignore)

    assert since(before, COUNT) == {frozenset({"method": "GET", "route": "-", "status": "500"}.items()): 1}


async def test_strangers_make_few_series() -> None:
    app, before, methods = shop(), samples(), sorted(metrics.METHODS)
    for number in range(STRANGERS):
        path = f"/v1/products/{number:x}" if number % 2 else f"/{number:x}/{number}"
        method = methods[number % len(methods)] if number % 3 else f"M{number:X}"
        await app(http_scope(path, method), no_body, ignore)

    counted = since(before, COUNT)
    assert sum(counted.values()) == sum(since(before, TIMED).values()) == STRANGERS
    assert {dict(labels)["method"] for labels in counted} == {*methods, "other"}
    assert {dict(labels)["route"] for labels in counted} == {"-", "/v1/products/{product_id}"}
    assert {dict(labels)["status"] for labels in counted} == {"200", "404", "405", "500"}


def test_the_buckets_reach_from_half_a_millisecond_to_ten_seconds() -> None:
    assert (metrics.BUCKETS[0], metrics.BUCKETS[-1]) == (0.0005, 10)


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("", "text/plain; version=0.0.4; charset=utf-8"),
        ("*/*", "text/plain; version=0.0.4; charset=utf-8"),
        ("text/plain;version=abc", "text/plain; version=0.0.4; charset=utf-8"),
        ("application/openmetrics-text;version=x.y, text/plain", "text/plain; version=0.0.4; charset=utf-8"),
        ("text/plain;version=1.0.0;q=0.6,*/*;q=0.1", "text/plain; version=1.0.0; charset=utf-8; escaping=underscores"),
        (
            "application/openmetrics-text;version=1.0.0,text/plain;q=0.5",
            "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=underscores",
        ),
    ],
)
async def test_the_format_is_the_one_that_is_asked_for(accept: str, media_type: str) -> None:
    async with client(shop()) as http:
        response = await http.get("/metrics", headers={"Accept": accept})

    assert (response.status_code, response.headers["content-type"]) == (200, media_type)
    assert response.text.endswith("# EOF\n") == media_type.startswith("application/openmetrics-text")


def test_both_formats_can_be_parsed() -> None:
    metrics.observe_request("GET", "/v1/products/{product_id}", 200, 0.002)
    plain = metrics.exposition("")[0].decode()
    open_metrics = metrics.exposition("application/openmetrics-text")[0].decode()

    # The parser of OpenMetrics is not annotated.
    for families in (text_string_to_metric_families(plain), openmetrics_families(open_metrics)):  # type: ignore[no-untyped-call]
        by_name = {family.name: family for family in families}
        assert by_name["warehouse_http_requests"].type == "counter"
        assert by_name["warehouse_http_request_duration_seconds"].type == "histogram"
    assert "_created" not in plain + open_metrics


@given(st.text(st.characters(max_codepoint=255)).map(lambda text: f"text/plain;version={text}"))
def test_no_wish_for_a_format_breaks_the_scrape(accept: str) -> None:
    content, media_type = metrics.exposition(accept)

    assert COUNT.encode() in content
    assert media_type.startswith("text/plain; version=")


COUNTING = "from warehouse import metrics; metrics.cache_fences.inc(); metrics.cache_usable.set(1); "
SCRAPING = COUNTING + "print(metrics.exposition('')[0].decode())"
ENDING = COUNTING + "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"


def process(folder: Path, program: str) -> str:
    """What the program prints, whose folder of counts this is."""
    environment = {"PYTHONPATH": str(ROOT / "src"), metrics.FOLDER_VARIABLE: str(folder)}
    return subprocess.run([sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE, text=True).stdout


def test_what_a_killed_process_counted_stays_and_how_it_was_does_not(tmp_path: Path) -> None:
    folder = tmp_path / "made" / "when needed"
    for _ in range(2):
        process(folder, ENDING)
    lines = process(folder, SCRAPING).splitlines()

    assert "warehouse_cache_fences_total 3.0" in lines
    assert "warehouse_cache_usable 1.0" in lines


def test_a_process_alone_and_several_tell_of_the_same_metrics(tmp_path: Path) -> None:
    shared = process(tmp_path, SCRAPING)
    alone = metrics.exposition("")[0].decode()

    assert declared(shared) <= declared(alone)
    assert {"warehouse_cache_fences_total", "warehouse_cache_usable"} <= declared(shared)


def declared(text: str) -> set[str]:
    return set(re.findall(r"^# TYPE (warehouse_\w+) ", text, re.MULTILINE))


def rows() -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Of each metric in the documentation its name, its type and its labels."""
    for row in ROW.finditer(PAGE.read_text()):
        yield row["name"], row["type"], tuple(re.findall(r"\w+", row["labels"]))


def test_every_metric_is_explained_once_and_no_other() -> None:
    defined = [each for each in vars(metrics).values() if isinstance(each, MetricWrapperBase)]
    described = [(metric, next(iter(metric.describe()))) for metric in defined]

    assert len(defined) >= 10
    assert sorted(rows()) == sorted(
        (f"{family.name}_total" if family.type == "counter" else family.name, family.type, tuple(metric._labelnames))
        for metric, family in described
    )


def test_every_metric_has_the_prefix_of_the_service() -> None:
    assert all(name.startswith("warehouse_") for name, _, _ in rows())
