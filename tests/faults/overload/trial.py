"""Two server processes are offered three times what they can do, and then half of it: what is done, what is refused and
how quickly, and how soon all is as before."""

import asyncio
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import uvloop

from tests.faults.overload.client import Client, Request, Step
from tests.faults.overload.load import SLICE_SECONDS, Load
from tests.faults.overload.mix import made, mixed
from tests.faults.overload.stage import Setting, staged
from warehouse.auth.model import Role

CLIENTS = (8, 16, 32, 64)
"""In closed loops, one after the other: the most that is done by any is the peak."""
CONNECTIONS = 2000
"""More than can be worked at and wait: as a proxy in front of the servers does, the client keeps its connections. New
ones would wait in the system's queue, of which the servers know nothing."""
TIMES = 3.0
HALF = 0.5
SLOWER = 2.0
"""Normal are median times up to so many of those before the overload, and some milliseconds more."""
SLACK_SECONDS = 0.02
GOODPUT = 0.9
REFUSAL_SECONDS = 0.05
RECOVERY_SECONDS = 10.0
NORMAL_AGAIN = "normal again soon"
STEADY = 3
"""A single slow slice later on is the machine's."""


@dataclass(frozen=True)
class Plan:
    """How long each step takes, in seconds."""

    closed: float
    before: float
    overload: float
    after: float


SHORT = Plan(closed=2.0, before=2.0, overload=8.0, after=12.0)
FULL = Plan(closed=5.0, before=5.0, overload=20.0, after=15.0)


@dataclass(frozen=True)
class Trial:
    """`peak` is the best of so many `clients`; `before` half of that, `overload` three times of it, and `after` right
    afterwards half of it again. `client_cpu` is the part of a core that the client took for the last two."""

    peak: Load
    clients: int
    before: Load
    overload: Load
    after: Load
    client_cpu: float

    @property
    def goodput(self) -> float:
        """During the overload, as a part of the peak."""
        return self.overload.goodput / self.peak.goodput

    @property
    def recovery(self) -> float:
        """Seconds after the overload until `STEADY` slices in a row are as before it; those of all slices, where none
        are."""
        bound = self.before.median * SLOWER + SLACK_SECONDS
        right = [each.median <= bound and each.good.answers == each.answers for each in self.after.slices]
        starts = [start for start in range(len(right) - STEADY + 1) if all(right[start : start + STEADY])]
        return (starts[0] if starts else len(right)) * SLICE_SECONDS

    @property
    def broken(self) -> Sequence[str]:
        """The promises that were not kept."""
        refused = self.overload.refused.answers
        promises = {
            "goodput at 90 % of the peak": self.goodput >= GOODPUT,
            "some are refused": bool(refused),
            "refusals tell when to come again": all(each.tells_when for each in refused),
            "refusals at once": bool(refused) and self.overload.refused.median <= REFUSAL_SECONDS,
            "an answer to every request": not self.overload.others.answers,
            NORMAL_AGAIN: self.recovery <= RECOVERY_SECONDS,
        }
        return [promise for promise, is_kept in promises.items() if not is_kept]

    def __str__(self) -> str:
        overload, goodputs = self.overload, self.overload.goodputs
        kinds = ", ".join(
            f"{kind} {goodputs.get(kind, 0):,.0f} of {peak:,.0f}" for kind, peak in self.peak.goodputs.items()
        )
        return "\n".join(
            (
                f"peak {self.peak.goodput:,.0f} a second, by {self.clients} clients; at half of it {self.before.times}",
                f"offered {TIMES:.0f} times the peak: {len(overload.answers):,} requests ({overload.statuses})",
                f"goodput {self.goodput:.0%} of the peak ({kinds}), in {overload.good.times}",
                f"{len(overload.refused.answers):,} refused, in {overload.refused.times}",
                f"{len(overload.others.answers):,} others ({overload.others.statuses})",
                f"the client took {self.client_cpu:.0%} of a core, and sent {overload.lag} late",
                f"normal again after {self.recovery:.0f} s; at half of the peak {self.after.times}",
            )
        )


def run(database_url: str, setting: Setting, weights: Mapping[str, float], plan: Plan, chance: random.Random) -> Trial:
    """`weights` are those of the kinds of requests."""
    return uvloop.run(_run(database_url, setting, weights, plan, chance))


async def _run(
    database_url: str, setting: Setting, weights: Mapping[str, float], plan: Plan, chance: random.Random
) -> Trial:
    async with staged(database_url, setting) as server:
        key = await asyncio.to_thread(server.key, Role.ADMIN)
        goods = await asyncio.to_thread(made, server.url, key)
        return await _tried(server.port, mixed(goods, weights, chance), plan)


async def _tried(port: int, requests: Iterator[Request], plan: Plan) -> Trial:
    async with Client(port, requests) as client:
        await client.closed_loop(CLIENTS[0], plan.before)  # whatever the first requests have to make is made
        peaks = {clients: Load(await client.closed_loop(clients, plan.closed), plan.closed) for clients in CLIENTS}
        clients, peak = max(peaks.items(), key=lambda each: each[1].goodput)
        (before,) = await client.open_loop(Step(peak.goodput * HALF, plan.before))
        await client.connect(CONNECTIONS)
        used = time.process_time()
        overload, after = await client.open_loop(
            Step(peak.goodput * TIMES, plan.overload), Step(peak.goodput * HALF, plan.after)
        )
        used = time.process_time() - used
    return Trial(
        peak,
        clients,
        Load(before, plan.before),
        Load(overload, plan.overload),
        Load(after, plan.after),
        used / (plan.overload + plan.after),
    )
