"""What the production code could do wrongly, each put in its place for the time of one test."""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence

from pytest import MonkeyPatch  # noqa: PT013 (half of the lines here name it)

from tests.cache_schedules.process import Process
from tests.cache_schedules.servers import Command, Database
from warehouse.cache import fence as fences
from warehouse.cache import invalidation, values
from warehouse.cache import reading as readings
from warehouse.cache.entry import GENERATION_BYTES, HEAD, Entry, decode
from warehouse.cache.fence import Fence, View
from warehouse.cache.invalidation import Invalidator
from warehouse.cache.reading import Cache, Load, Loaded, Reading, Result, Wanted
from warehouse.cache.redis import RedisCacheStore
from warehouse.cache.segments import Parts, SegmentCache

# Writes and their releases


def a_failed_drop_is_ignored(patch: MonkeyPatch) -> None:
    drop = Invalidator._drop

    async def ignorant(self: Invalidator, view: View, tags: Collection[str]) -> bool:
        await drop(self, view, tags)
        return True

    patch.setattr(Invalidator, "_drop", ignorant)


def whoever_has_no_store_leaves_the_cache_on(patch: MonkeyPatch) -> None:
    drop = Invalidator._drop

    async def careless(self: Invalidator, view: View, tags: Collection[str]) -> bool:
        return self._store is None or await drop(self, view, tags)

    patch.setattr(Invalidator, "_drop", careless)


def writes_are_answered_before_their_release(patch: MonkeyPatch) -> None:
    release = Invalidator.release
    running = set()

    async def later(self: Invalidator, tags: Collection[str]) -> None:
        task = asyncio.create_task(release(self, tags))
        running.add(task)
        task.add_done_callback(running.discard)

    patch.setattr(Invalidator, "release", later)


def the_first_tag_alone_is_released(patch: MonkeyPatch) -> None:
    release = Invalidator.release

    async def some(self: Invalidator, tags: Collection[str]) -> None:
        await release(self, list(tags)[:1])

    patch.setattr(Invalidator, "release", some)


def a_replay_does_not_release(patch: MonkeyPatch) -> None:
    written = Process._written

    async def once(self: Process, command: Command) -> int:
        known = self._world.database.done.get(command)
        return await written(self, command) if known is None else known

    patch.setattr(Process, "_written", once)


def a_release_trusts_a_view_that_says_off(patch: MonkeyPatch) -> None:
    release = Invalidator._release

    async def trusting(self: Invalidator, tags: Collection[str]) -> None:
        view = self._fence._view
        if view is None or view.usable:
            await release(self, tags)
        else:
            await self._fence.in_force()

    patch.setattr(Invalidator, "_release", trusting)


# Reads and their fills


def fills_carry_the_generations_of_their_time(patch: MonkeyPatch) -> None:
    fill = readings._Attempt._fill

    async def late(self: readings._Attempt, loaded: Loaded) -> bool:
        await self.look()
        return await fill(self, loaded)

    patch.setattr(readings._Attempt, "_fill", late)


def queries_are_sent_before_generations_are_read(patch: MonkeyPatch) -> None:
    read = Cache.read

    async def early(self: Cache, wanted: Wanted, load: Load) -> Reading:
        loaded = await load()

        async def known() -> Loaded:
            return loaded

        return await read(self, wanted, known)

    patch.setattr(Cache, "read", early)


def flights_are_joined_after_their_query_was_sent(patch: MonkeyPatch) -> None:
    class Open(readings._Flight):
        def __setattr__(self, name: str, value: object) -> None:
            super().__setattr__(name, value if name != "sent" else False)

    patch.setattr(readings, "_Flight", Open)


def generations_are_ignored(patch: MonkeyPatch) -> None:
    patch.setattr(values, "decode", lambda value, _: decode(value, _carried(value)))


def generations_count_for_the_first_tag_alone(patch: MonkeyPatch) -> None:
    def lax(value: bytes, generations: Sequence[bytes]) -> Entry | None:
        return decode(value, [generations[0], *_carried(value)[1:]])

    patch.setattr(values, "decode", lax)


def a_decoded_value_counts_as_long_as_it_is_stored(patch: MonkeyPatch) -> None:
    counting = values.Copies.counting

    def lax(
        self: values.Copies, kind: str, key: str, value: bytes | None, generations: Sequence[bytes]
    ) -> Entry | None:
        copy = self._copies.get(key)
        return copy.entry if copy and copy.value == value else counting(self, kind, key, value, generations)

    patch.setattr(values.Copies, "counting", lax)


def a_copy_counts_whatever_its_generations(patch: MonkeyPatch) -> None:
    async def lax(self: Cache, wanted: Wanted) -> Reading | None:
        view = self._fence.usable
        copy = self._copies.trusted(wanted.under(view.prefix).value) if view else None
        return Reading(copy.entry, Result.HIT) if copy else None

    patch.setattr(Cache, "_copied", lax)


def generations_come_again(patch: MonkeyPatch) -> None:
    patch.setattr("secrets.token_bytes", lambda length: b"1" * length)


def epochs_share_their_keys(patch: MonkeyPatch) -> None:
    patch.setattr(View, "__post_init__", lambda view: object.__setattr__(view, "prefix", "w1:"))


def fetches_join_one_that_was_sent(patch: MonkeyPatch) -> None:
    fetch = RedisCacheStore.fetch
    flying: dict[tuple[object, ...], asyncio.Future[list[bytes | None]]] = {}

    async def joining(self: RedisCacheStore, keys: Sequence[str]) -> list[bytes | None]:
        key = (self, *keys)
        if key in flying:
            return await flying[key]
        flying[key] = asyncio.get_running_loop().create_future()
        try:
            found = await fetch(self, keys)
            flying[key].set_result(found)
        finally:
            flying.pop(key).cancel()
        return found

    patch.setattr(RedisCacheStore, "fetch", joining)


def segments_carry_the_generations_of_their_time(patch: MonkeyPatch) -> None:
    keep = SegmentCache._keep

    async def late(self: SegmentCache, key: str, view: View, made: Mapping[int, tuple[Entry, bytes]]) -> None:
        generations = await self._generations(view, self._tags)
        await keep(self, key, view, {number: (entry, generations[number]) for number, (entry, _) in made.items()})

    patch.setattr(SegmentCache, "_keep", late)


def segments_in_memory_always_count(patch: MonkeyPatch) -> None:
    async def lax(self: SegmentCache, key: str, view: View) -> Parts | None:
        return self._known[key].parts if key in self._known else None

    patch.setattr(SegmentCache, "_unchanged", lax)


def the_generation_of_the_whole_is_read_after_those_of_its_parts(patch: MonkeyPatch) -> None:
    generations = SegmentCache._generations
    read: dict[SegmentCache, list[bytes]] = {}

    async def early(self: SegmentCache, view: View, tags: Sequence[str]) -> list[bytes]:
        if tags == [self._whole]:
            read[self] = await generations(self, view, self._tags)
            return await generations(self, view, tags)
        return read[self]

    patch.setattr(SegmentCache, "_generations", early)


def wholes_are_released_before_their_parts(patch: MonkeyPatch) -> None:
    patch.setattr(invalidation, "is_whole", lambda tag: ":" in tag)


# The fence


def a_lease_counts_from_the_answer(patch: MonkeyPatch) -> None:
    async def look(self: Fence) -> View:
        view = await self._control.read()
        return self._note(view, self._now())

    patch.setattr(Fence, "look", look)


def a_view_never_grows_old(patch: MonkeyPatch) -> None:
    patch.setattr(fences, "LEASE_SECONDS", 1e9)


def a_fence_is_not_waited_for(patch: MonkeyPatch) -> None:
    async def at_once(self: Fence) -> None:
        return None

    patch.setattr(Fence, "in_force", at_once)


def a_fence_is_waited_for_no_longer_than_a_lease(patch: MonkeyPatch) -> None:
    patch.setattr(fences, "IN_FORCE_SECONDS", fences.LEASE_SECONDS)


def the_cache_is_on_again_at_once(patch: MonkeyPatch) -> None:
    patch.setattr(fences, "CLOSED_SECONDS", 0.0)


def the_row_is_switched_whatever_its_epoch(patch: MonkeyPatch) -> None:
    switch = Database.switch

    def blindly(self: Database, view: View, usable: bool) -> View:
        return switch(self, self.view, usable)

    patch.setattr(Database, "switch", blindly)


def a_fence_counts_from_the_request(patch: MonkeyPatch) -> None:
    note = Fence._note

    def early(self: Fence, view: View, sent: float) -> View:
        known = self._view
        noted = note(self, view, sent)
        if known != noted:
            self._noted = sent
        return noted

    patch.setattr(Fence, "_note", early)


MUTANTS: Sequence[Callable[[MonkeyPatch], None]] = (
    a_failed_drop_is_ignored,
    whoever_has_no_store_leaves_the_cache_on,
    writes_are_answered_before_their_release,
    the_first_tag_alone_is_released,
    a_replay_does_not_release,
    a_release_trusts_a_view_that_says_off,
    fills_carry_the_generations_of_their_time,
    queries_are_sent_before_generations_are_read,
    flights_are_joined_after_their_query_was_sent,
    generations_are_ignored,
    generations_count_for_the_first_tag_alone,
    a_decoded_value_counts_as_long_as_it_is_stored,
    a_copy_counts_whatever_its_generations,
    generations_come_again,
    epochs_share_their_keys,
    fetches_join_one_that_was_sent,
    segments_carry_the_generations_of_their_time,
    segments_in_memory_always_count,
    the_generation_of_the_whole_is_read_after_those_of_its_parts,
    wholes_are_released_before_their_parts,
    a_lease_counts_from_the_answer,
    a_view_never_grows_old,
    a_fence_is_not_waited_for,
    a_fence_is_waited_for_no_longer_than_a_lease,
    the_cache_is_on_again_at_once,
    the_row_is_switched_whatever_its_epoch,
    a_fence_counts_from_the_request,
)


def _carried(value: bytes) -> Sequence[bytes]:
    """The generations under which a value was made."""
    count = HEAD.unpack_from(value)[1] if len(value) >= HEAD.size else 0
    starts = range(HEAD.size, HEAD.size + count * GENERATION_BYTES, GENERATION_BYTES)
    return [value[start : start + GENERATION_BYTES] for start in starts]
