"""Who reads, who writes, and what befalls the installation meanwhile."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace

from tests.cache_schedules.network import Link, Manner
from tests.cache_schedules.plan import ITEMS, PAGES, SINGLE
from tests.cache_schedules.process import Process
from tests.cache_schedules.world import Violation, World

TRIES = 400
"""By then all must be well again."""

DISTANT = Manner(reach=4.0, instant=0.3)


class Actors:
    """Those around the processes; a dead one is replaced when somebody wants something of it."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._chances = world.chances
        self._processes = [Process(world, number) for number in range(world.plan.processes)]
        self._gone: list[Process] = []
        self._disturbances: Mapping[str, Callable[[], Awaitable[None]]] = {
            "wipe": self._wipe,
            "evict": self._evict,
            "garble": self._garble,
            "fill up": self._fill_up,
            "cut store": lambda: self._cut("store"),
            "cut control": lambda: self._cut("control"),
            "cut data": lambda: self._cut("data"),
            "slow down": self._slow_down,
            "split": self._split,
            "pause": self._pause,
            "kill": self._kill,
        }

    async def act(self) -> None:
        plan = self._world.plan
        if self._chances.happens(0.9):
            await asyncio.gather(*(process.fence.look() for process in self._processes), return_exceptions=True)
        readers = [self._read() for _ in range(plan.readers)]
        writers = [self._write() for _ in range(plan.writers)]
        await asyncio.gather(*readers, *writers, self._disturb())
        if plan.recovers:
            await self._recover()
        for process in (*self._processes, *self._gone):
            await process.close()

    async def _read(self) -> None:
        for _ in range(self._world.plan.tempo.reads):
            await self._read_once()
            await self._world.idle()

    async def _write(self) -> None:
        """What is about to change was often read before, and is often read by those who know that it has changed."""
        for _ in range(self._world.plan.tempo.writes):
            if self._chances.happens(0.5):
                await self._read_once()
            await self._write_once(self._chances.below(ITEMS), self._some_process())
            await asyncio.gather(*(self._read_once() for _ in range(self._chances.below(3))))
            await self._world.idle()

    async def _disturb(self) -> None:
        for name in self._world.plan.disturbances:
            await self._world.idle()
            self._world.trace.note("weather", name)
            self._world.happened[name] += 1
            await self._disturbances[name]()

    async def _recover(self) -> None:
        """With the faults over, everybody can use the cache again: what was read once is a hit."""
        self._calm()
        for number in range(len(self._processes)):
            await self._eventually(number, self._is_usable)
        for item in range(ITEMS):
            await self._write_once(item, self._some_process())
        for number in range(len(self._processes)):
            await self._eventually(number, self._hits)
        self._world.happened["recovered"] += 1

    def _calm(self) -> None:
        plan = self._world.plan
        self._world.plan = replace(plan, private=0.0, impatient=0.0, deadly=0.0, kept_seconds=(60.0,))
        for number in range(len(self._processes)):
            for link in self._process(number).links.values():
                link.manner = Manner(reach=0.01, instant=0.5)

    async def _eventually(self, number: int, holds: Callable[[Process], Awaitable[bool]]) -> None:
        process = self._processes[number]
        if process.outside:
            return
        for _ in range(TRIES):
            if await holds(process):
                return
            await asyncio.sleep(0.1)
        raise Violation(f"process {number} does not recover")

    async def _is_usable(self, process: Process) -> bool:
        """What is cached since before the faults is read here, if anywhere."""
        for page in PAGES:
            await process.serve(process.read(page))
        return process.fence.usable is not None

    async def _hits(self, process: Process) -> bool:
        return all([await process.serve(process.hits(page)) for page in PAGES])

    # What they do once

    async def _read_once(self) -> None:
        process = self._some_process()
        await process.serve(process.read(self._chances.one_of(self._world.plan.pages)))

    async def _write_once(self, item: int, process: Process) -> None:
        """Sent to the process, and to whomever until it is acknowledged."""
        command = self._world.new_command(item)
        while not await process.serve(process.write(command)):
            self._world.happened["sent again"] += 1
            await self._world.idle()
            process = self._some_process()

    def _some_process(self) -> Process:
        return self._process(self._chances.below(len(self._processes)))

    def _process(self, number: int) -> Process:
        process = self._processes[number]
        if process.dead:
            self._gone.append(process)
            process = self._processes[number] = Process(self._world, number)
        return process

    # What befalls them

    async def _wipe(self) -> None:
        self._world.cells.wipe()

    async def _evict(self) -> None:
        for _ in range(1 + self._chances.below(3)):
            self._world.cells.evict(self._chances)
            await self._world.idle()

    async def _garble(self) -> None:
        self._world.cells.garble(self._chances)

    async def _fill_up(self) -> None:
        self._world.cells.full = True
        await self._world.idle()
        self._world.cells.full = False

    async def _cut(self, server: str) -> None:
        link = self._some_process().links[server]
        await self._spell(link, replace(link.manner, failing=1.0))

    async def _slow_down(self) -> None:
        server = self._chances.one_of(("store", "control", "data"))
        reach = 2 * self._world.plan.tempo.reach
        await self._spell(self._some_process().links[server], Manner(reach=reach, instant=0.0))

    async def _spell(self, link: Link, manner: Manner) -> None:
        usual, link.manner = link.manner, manner
        await self._world.idle()
        await self._world.idle()
        link.manner = usual

    async def _split(self) -> None:
        """One process loses the store, another sight of the row, while the one writes and the other reads."""
        lame, blind = self._some_process(), self._some_process()
        if lame is blind:
            return
        links = (blind.links["control"], lame.links["control"], lame.links["store"])
        usual = [link.manner for link in links]
        bad = (replace(usual[0], failing=1.0), DISTANT, Manner(answer=2.5), usual[0])
        links[0].manner = self._chances.one_of(bad)
        for _ in range(self._chances.below(3)):
            await self._world.idle()
        links[1].manner = self._chances.one_of((usual[1], Manner(request=2.0)))
        links[2].manner = replace(usual[2], failing=1.0)
        others = [self._some_process() for _ in range(self._chances.below(3))]
        later = (self._write_between_reads(writer, blind, 1 + self._chances.below(4)) for writer in others)
        await asyncio.gather(self._write_between_reads(lame, blind), *later)
        links[2].manner = usual[2]
        await self._write_between_reads(lame, blind)
        for link, manner in zip(links, usual, strict=True):
            link.manner = manner

    async def _write_between_reads(self, writer: Process, reader: Process, rests: int = 0) -> None:
        for _ in range(rests):
            await self._world.idle()
        page = self._chances.one_of(SINGLE)
        await reader.serve(reader.read(page))
        await self._write_once(page.items[0], writer)
        await reader.serve(reader.read(page))

    async def _pause(self) -> None:
        self._world.loop.pause(self._some_process().number, 2 * self._world.plan.tempo.pace * self._chances.random())

    async def _kill(self) -> None:
        self._some_process().kill()
