"""After a fault: every command that was not answered is sent again, and every one that was is looked for."""

import asyncio
import random
from collections import defaultdict
from collections.abc import Mapping, Sequence

from httpx import AsyncClient, Response

from tests.api.calls import Json, Records
from tests.faults.commands import Sent, is_final
from tests.faults.database.figures import Figures

SETTLE_SECONDS = 30.0
AGAIN_SECONDS = 0.05
PAGE = 1000
SAMPLE = 50


async def settle(client: AsyncClient, sent: Sequence[Sent], chance: random.Random) -> None:
    """Sends what has no final answer until it has one. Some, whenever they were answered, get their answer again."""
    for each in sent:
        if each.answer is None:
            each.answer = await _final(client, each)
    for each in chance.sample(sent, min(SAMPLE, len(sent))):
        again = await _final(client, each)
        assert each.answer is not None
        assert (again.status_code, again.content) == (each.answer.status_code, each.answer.content)
        assert "idempotent-replayed" in again.headers


async def audit(client: AsyncClient, sent: Sequence[Sent], records: Records, figures: Figures) -> None:
    """Every command is settled. Raises where the ledger tells something else than the answers did."""
    product = records.product["id"]
    moved = _by_reference(await _all(client, f"/v1/stock/movements?product_id={product}"))
    reserved = _by_reference(await _all(client, "/v1/reservations?"))
    for each in sent:
        assert each.answer is not None
        figures.acknowledged += each.answer.is_success
        if each.body is None:
            continue  # it is told by what became of its reservation
        has, should_have = _effects(each, moved, reserved)
        figures.lost += [each.key] * (len(has) < len(should_have))
        figures.duplicated += [each.key] * (len(has) > len(should_have))
        assert len(has) != len(should_have) or has == should_have
    _check_ends(sent, moved, figures)
    balances = await _all(client, f"/v1/stock?product_id={product}", {"Cache-Control": "no-cache"})
    figures.oversold += sum(each["on_hand"] < 0 or each["available"] < 0 for each in balances)


def _effects(
    sent: Sent, moved: Mapping[str, list[Json]], reserved: Mapping[str, list[Json]]
) -> tuple[list[Json], list[Json]]:
    """What there is of it, and what it was answered."""
    assert sent.answer is not None
    answer, done = sent.answer.json(), sent.answer.is_success
    if sent.path == "/v1/reservations":
        ids = [{"id": each["id"]} for each in reserved[sent.key]]
        return ids, [{"id": answer["id"]}] if done else []
    return moved[sent.key][::-1], answer["movements"] if done else []


def _check_ends(sent: Sequence[Sent], moved: Mapping[str, list[Json]], figures: Figures) -> None:
    """What is confirmed has been shipped, once."""
    ends = {
        each.answer.json()["reference"]: each
        for each in sent
        if each.body is None and each.answer is not None and each.answer.is_success
    }
    for reference, end in ends.items():
        assert end.answer is not None
        answer = end.answer.json()
        lines = len(answer["lines"]) if answer["status"] == "confirmed" else 0
        figures.lost += [end.key] * (len(moved[reference]) < lines)
        figures.duplicated += [end.key] * (len(moved[reference]) > lines)


async def _final(client: AsyncClient, sent: Sent) -> Response:
    async with asyncio.timeout(SETTLE_SECONDS):
        while not is_final(answer := await sent.send(client)):
            assert answer.status_code in (409, 503), answer.text
            await asyncio.sleep(AGAIN_SECONDS)
        return answer


async def _all(client: AsyncClient, path: str, headers: Mapping[str, str] | None = None) -> list[Json]:
    """Of every page."""
    found: list[Json] = []
    cursor: str | None = ""
    while cursor is not None:
        answer = await client.get(f"{path}&limit={PAGE}" + (f"&cursor={cursor}" if cursor else ""), headers=headers)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        found += page["data"]
        cursor = page["next_cursor"]
    return found


def _by_reference(found: Sequence[Json]) -> defaultdict[str, list[Json]]:
    by: defaultdict[str, list[Json]] = defaultdict(list)
    for each in found:
        by[each["reference"]].append(each)
    return by
