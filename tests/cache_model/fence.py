"""The fence: how a write is acknowledged although its RELEASE failed. One key under one tag, epoch after epoch.

What is abstracted besides what `protocol` abstracts:

- There is no clock. A lease ends at any moment. A wait as long as a lease may be over as soon as each lease has ended
  that was begun before the wait: those in the views, and those that answers still under way would bring.
- A view that says "off" is no view: either way a reader bypasses the cache and a writer polls anew.
- A bypass reads the newest committed version. It cannot break the promise and is left out.
- A RELEASE that fails has no effect. One that took effect all the same, then or later, is an eviction besides.
- A crashed writer is one that takes no step until its command is replayed, in whichever process, from the commit on.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from tests.cache_model.composition import Step
from tests.cache_model.protocol import DEAD, MISSING, put

NONE, OFF = -1, -2
"""What stands for a view, or the answer to a poll, where it is not the epoch of an "on"."""


@dataclass(frozen=True)
class Setup:
    """Reads, polls, lost operations, crashes and evictions without end; so many versions, and cycles of off and on."""

    processes: int
    flights: int
    writers: int
    versions: int
    cycles: int


@dataclass(frozen=True)
class Variant:
    """What is done otherwise than the protocol says."""

    fence_without_wait: bool = False
    enable_without_wait: bool = False
    fence_keeps_epoch: bool = False
    enable_keeps_epoch: bool = False
    failed_release_ignored: bool = False
    off_view_trusted: bool = False
    """A writer whose view says off acknowledges without a RELEASE, and without a poll after its commit."""
    epoch_chosen_before_commit: bool = False
    """The view that says where to RELEASE is looked at before the commit."""
    lapse_during_release_ignored: bool = False
    """It is not looked at once more after the RELEASE."""
    replay_without_release: bool = False
    fill_into_current_epoch: bool = False
    lease_from_receipt: bool = False
    lapsed_view_used: bool = False
    join_before_miss: bool = False
    """A reader joins a flight that may be a hit yet, though its own process may have no valid view."""
    fence_of_own_epoch_only: bool = False
    """A writer whose RELEASE failed acknowledges at once where the row is on with another epoch."""


AS_DESIGNED = Variant()


class Cell(NamedTuple):
    """What Redis holds under one epoch `e`, where a generation that is not DEAD is `e + 1`."""

    generation: int = MISSING
    value: tuple[int, int] | None = None
    """The generation that it was stored with, and its version."""


class Shared(NamedTuple):
    on: bool
    epoch: int
    committed: int
    acknowledged: int
    cells: tuple[Cell, ...]
    views: tuple[int, ...]
    """What each process may use: while its lease is valid, the epoch."""
    polls: tuple[int, ...]
    """What the row said to a poll whose answer is under way."""


class Flight(NamedTuple):
    phase: str = "idle"
    epoch: int = 0
    required: int = 0
    generation: int = MISSING
    version: int = 0


class Writer(NamedTuple):
    phase: str = "idle"
    process: int = 0
    version: int = 0
    epoch: int = 0


Actor = Flight | Writer
Move = Step[Shared, Actor]


@dataclass(frozen=True)
class FencedProtocol:
    setup: Setup
    variant: Variant = AS_DESIGNED

    def initial(self) -> tuple[Shared, Iterable[Actor]]:
        cells, nothing = (Cell(),) * (2 * self.setup.cycles + 1), (NONE,) * self.setup.processes
        shared = Shared(True, 0, 0, 0, cells, nothing, nothing)
        return shared, (*[Flight()] * self.setup.flights, *[Writer()] * self.setup.writers)

    def steps(self, shared: Shared, actor: Actor) -> Iterator[Move]:
        return self._reading(shared, actor) if isinstance(actor, Flight) else self._writing(shared, actor)

    def forget(self, actor: Actor, ended: int) -> Actor:
        if isinstance(actor, Flight) and actor.generation == ended:
            return actor._replace(generation=DEAD)
        return actor

    # The environment: polls and leases, evictions, the way back to "on"

    def environment(self, shared: Shared) -> Iterator[Move]:
        for process in range(self.setup.processes):
            yield from self._polling(shared, process)
        for epoch, cell in enumerate(shared.cells):
            if cell.generation != MISSING:
                yield without_generation(f"evict the generation of {epoch}", shared, epoch)
            if cell.value:
                yield Step(f"evict the value of {epoch}", stored(shared, epoch, cell._replace(value=None)))
        if not shared.on and (self._in_force(shared, shared.epoch) or self.variant.enable_without_wait):
            epoch = shared.epoch + (not self.variant.enable_keeps_epoch)
            yield Step(f"on, epoch {epoch}", shared._replace(on=True, epoch=epoch))

    def _polling(self, shared: Shared, process: int) -> Iterator[Move]:
        view, poll = shared.views[process], shared.polls[process]
        ended = shared._replace(views=put(shared.views, process, NONE))
        lost = shared._replace(polls=put(shared.polls, process, NONE))
        if view != NONE:
            yield Step(f"the lease of {process} ends", ended)
        if poll == NONE:
            yield Step(f"{process} polls", shared._replace(polls=put(shared.polls, process, self._row(shared))))
        else:
            yield Step(f"the poll of {process} comes too late", lost)
            yield Step(f"{process} receives its poll", lost._replace(views=put(shared.views, process, poll)))

    def _row(self, shared: Shared) -> int:
        if shared.on:
            return shared.epoch
        return OFF if self.variant.off_view_trusted else NONE

    def _in_force(self, shared: Shared, off: int) -> bool:
        """Every lease has ended that was begun before the row went off, which gave it the epoch `off`."""
        leases = shared.views if self.variant.lease_from_receipt else shared.views + shared.polls
        last_on = off if self.variant.fence_keeps_epoch else off - 1
        return all(lease < 0 or lease > last_on for lease in leases)

    # READ, query, FILL

    def _reading(self, shared: Shared, flight: Flight) -> Iterator[Move]:
        if flight.phase == "idle":
            for epoch in self._usable(shared):
                yield Step(f"a read begins in {epoch}", shared, Flight("begun", epoch, shared.acknowledged))
        elif flight.phase == "begun":
            yield self._read(shared, flight)
            if self.variant.join_before_miss:
                yield join(shared, flight)
        elif flight.phase == "missed":
            yield join(shared, flight)
            yield self._set_missing(shared, flight) if flight.generation == MISSING else self._query(shared, flight)
        else:
            yield from self._filling(shared, flight)

    def _usable(self, shared: Shared) -> Iterable[int]:
        """Epochs that some process has a valid view of."""
        if self.variant.lapsed_view_used:
            return range(shared.epoch + 1)
        return sorted({view for view in shared.views if view >= 0})

    def _read(self, shared: Shared, flight: Flight) -> Move:
        generation, value = shared.cells[flight.epoch]
        if value and generation != MISSING and value[0] == generation:
            return answer("READ, hit", shared, Flight(), value[1], flight.required)
        return Step("READ, miss", shared, flight._replace(phase="missed", generation=generation))

    def _set_missing(self, shared: Shared, flight: Flight) -> Move:
        cell = shared.cells[flight.epoch]
        generation = cell.generation or flight.epoch + 1
        after = stored(shared, flight.epoch, cell._replace(generation=generation))
        return Step("SET NX the generation", after, flight._replace(generation=generation))

    def _query(self, shared: Shared, flight: Flight) -> Move:
        queried = flight._replace(phase="queried", required=0, version=shared.committed)
        return answer("query", shared, queried, shared.committed, flight.required)

    def _filling(self, shared: Shared, flight: Flight) -> Iterator[Move]:
        yield Step("FILL lost", shared, Flight())
        value = None if flight.generation == DEAD else (flight.generation, flight.version)
        for epoch in self._usable(shared) if self.variant.fill_into_current_epoch else (flight.epoch,):
            after = stored(shared, epoch, shared.cells[epoch]._replace(value=value))
            yield Step(f"FILL in {epoch}", after, Flight())

    # WRITE, RELEASE, FENCE

    def _writing(self, shared: Shared, writer: Writer) -> Iterator[Move]:
        if writer.phase == "idle":
            yield from self._beginning(shared)
        elif writer.phase == "prepared":
            yield from self._commit(shared, writer, "releasing")
        else:
            yield from self._after_commit(shared, writer)
            yield from self._replaying(shared, writer)

    def _beginning(self, shared: Shared) -> Iterator[Move]:
        for process in range(self.setup.processes):
            if not self.variant.epoch_chosen_before_commit:
                yield from self._commit(shared, Writer("idle", process), "committed")
            elif shared.views[process] >= 0:
                yield Step(f"{process} chooses", shared, Writer("prepared", process, 0, shared.views[process]))

    def _commit(self, shared: Shared, writer: Writer, phase: str) -> Iterator[Move]:
        version = shared.committed + 1
        if version <= self.setup.versions:
            after = shared._replace(committed=version)
            yield Step(f"{writer.process} commits {version}", after, writer._replace(phase=phase, version=version))

    def _after_commit(self, shared: Shared, writer: Writer) -> Iterator[Move]:
        if writer.phase == "committed":
            yield self._choose(shared, writer)
        elif writer.phase == "releasing":
            yield from self._release(shared, writer)
        elif writer.phase == "released":
            yield self._finish(shared, writer)
        elif writer.phase == "fencing":
            yield from self._fence(shared, writer)
        elif self._in_force(shared, writer.epoch) or self.variant.fence_without_wait:
            yield acknowledge(shared, writer)

    def _choose(self, shared: Shared, writer: Writer) -> Move:
        view = shared.views[writer.process]
        if view >= 0:
            return Step(f"{writer.process} chooses {view}", shared, writer._replace(phase="releasing", epoch=view))
        if view == OFF:  # the view of a variant
            return acknowledge(shared, writer)
        return self._poll_anew(shared, writer)

    def _finish(self, shared: Shared, writer: Writer) -> Move:
        if shared.views[writer.process] == writer.epoch or self.variant.lapse_during_release_ignored:
            return acknowledge(shared, writer)
        return self._poll_anew(shared, writer)

    def _poll_anew(self, shared: Shared, writer: Writer) -> Move:
        if not shared.on:
            return Step("the row says off", shared, writer._replace(phase="waiting", epoch=shared.epoch))
        if writer.phase == "released" and writer.epoch == shared.epoch:
            return acknowledge(shared, writer)
        return Step("the row says on", shared, writer._replace(phase="releasing", epoch=shared.epoch))

    def _release(self, shared: Shared, writer: Writer) -> Iterator[Move]:
        released = writer._replace(phase="released")
        yield without_generation(f"RELEASE in {writer.epoch}", shared, writer.epoch)._replace(actor=released)
        failed = released if self.variant.failed_release_ignored else writer._replace(phase="fencing")
        yield Step("RELEASE fails", shared, failed)

    def _fence(self, shared: Shared, writer: Writer) -> Iterator[Move]:
        if not shared.on:
            yield Step("FENCE: off already", shared, writer._replace(phase="waiting", epoch=shared.epoch))
        elif self.variant.fence_of_own_epoch_only and shared.epoch != writer.epoch:
            yield acknowledge(shared, writer)
        elif shared.epoch < 2 * self.setup.cycles:
            epoch = shared.epoch + (not self.variant.fence_keeps_epoch)
            after = shared._replace(on=False, epoch=epoch)
            yield Step(f"FENCE: off, epoch {epoch}", after, writer._replace(phase="waiting", epoch=epoch))

    def _replaying(self, shared: Shared, writer: Writer) -> Iterator[Move]:
        for process in range(self.setup.processes):
            replay = Writer("committed", process, writer.version)
            if self.variant.replay_without_release:
                yield acknowledge(shared, replay)
            else:
                yield Step(f"crash, and replay in {process}", shared, replay)


def stored(shared: Shared, epoch: int, cell: Cell) -> Shared:
    return shared._replace(cells=(*shared.cells[:epoch], cell, *shared.cells[epoch + 1 :]))


def without_generation(name: str, shared: Shared, epoch: int) -> Move:
    return Step(name, stored(shared, epoch, Cell()), ended=epoch + 1)


def join(shared: Shared, flight: Flight) -> Move:
    return Step("another reader joins", shared, flight._replace(required=shared.acknowledged))


def acknowledge(shared: Shared, writer: Writer) -> Move:
    newest = max(writer.version, shared.acknowledged)
    return Step(f"acknowledge {writer.version}", shared._replace(acknowledged=newest), Writer())


def answer(name: str, shared: Shared, flight: Flight, version: int, required: int) -> Move:
    if version >= required:
        return Step(name, shared, flight)
    return Step(f"{name}: answers {version} after {required} was acknowledged", None, flight)
