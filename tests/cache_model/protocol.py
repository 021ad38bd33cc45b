"""The protocol of the cache: values under tags with generations.

What is abstracted, and why nothing is lost by it:

- A generation is a random token that never comes again. So all that matters of one is whether its tag has it still
  (LIVE) or never again (DEAD). MISSING is what a tag has after a RELEASE or an eviction.
- A value one of whose generations is DEAD is no value: nothing will ever take it for a hit.
- An answer is judged in the step that fixes what it will say; when it goes out changes nothing for anybody else. So a
  FILL may come before the answer, long after it, or never.
- Readers who share a flight are one flight, which owes each of them what was acknowledged when it joined.
- A process may have copies of values that others have filled, or that have been overwritten since. Whose they are does
  not matter, for all may be gone at any time: with `copies` any value that was ever filled may be found.
- Evictions come without end. A wipe is several in a row.
- A writer that died before its RELEASE is one that takes no further step.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from tests.cache_model.composition import Step

DEAD, MISSING, LIVE = -1, 0, 1

Vector = tuple[int, ...]


class Key(NamedTuple):
    """A cached value, made of some data items."""

    items: Vector
    tags: Vector


class Write(NamedTuple):
    """A change of one data item, and the tags it RELEASEs."""

    item: int
    tags: Vector


@dataclass(frozen=True)
class Setup:
    """Reads without end, so many at a time; writes, so many at a time, which bring every item to so many versions."""

    keys: tuple[Key, ...]
    writes: tuple[Write, ...]
    flights: int
    writers: int
    versions: int
    copies: bool = False
    generations: int = 0
    """So many are ever made, each a number of its own, as a check of their renaming; 0 is no limit, and renaming."""


@dataclass(frozen=True)
class Variant:
    """What is done otherwise than the protocol says."""

    acknowledge_before_release: bool = False
    release_of_one_tag: bool = False
    fill_with_current_generations: bool = False
    counters: bool = False
    """RELEASE is an INCR, and a missing generation begins again with 1."""
    missing_equals_missing: bool = False
    """So a READ has no need to set what is missing."""
    query_before_generations: bool = False
    snapshot_before_generations: bool = False
    join_after_query: bool = False


AS_DESIGNED = Variant()


class Value(NamedTuple):
    generations: Vector
    versions: Vector


class Shared(NamedTuple):
    """The database, Redis, and the newest version of each item that was acknowledged."""

    committed: Vector
    acknowledged: Vector
    generations: Vector
    values: tuple[frozenset[Value], ...]
    """Those of each key: one at most, but for copies."""
    made: int = 0


class Flight(NamedTuple):
    """A read, and those who joined it. `required` are the versions it owes them, `versions` those that it queried."""

    phase: str = "idle"
    key: int = 0
    required: Vector = ()
    generations: Vector = ()
    versions: Vector = ()


class Writer(NamedTuple):
    write: Write | None = None
    version: int = 0
    released: int = 0


Actor = Flight | Writer
Move = Step[Shared, Actor]


@dataclass(frozen=True)
class TagProtocol:
    setup: Setup
    variant: Variant = AS_DESIGNED

    def initial(self) -> tuple[Shared, Iterable[Actor]]:
        items = 1 + max(write.item for write in self.setup.writes)
        tags = 1 + max(tag for write in self.setup.writes for tag in write.tags)
        shared = Shared((0,) * items, (0,) * items, (MISSING,) * tags, (frozenset(),) * len(self.setup.keys))
        return shared, (*[Flight()] * self.setup.flights, *[Writer()] * self.setup.writers)

    def environment(self, shared: Shared) -> Iterator[Move]:
        for tag, generation in enumerate(shared.generations):
            if generation != MISSING:
                yield self._without_generation(f"evict generation {tag}", shared, tag)
        for key, values in enumerate(shared.values):
            for value in values:
                yield Step(f"evict value {key}", stored(shared, key, values - {value}))

    def steps(self, shared: Shared, actor: Actor) -> Iterator[Move]:
        return self._reading(shared, actor) if isinstance(actor, Flight) else self._writing(shared, actor)

    def forget(self, actor: Actor, ended: int) -> Actor:
        if isinstance(actor, Writer):
            return actor
        pairs = zip(self.setup.keys[actor.key].tags, actor.generations, strict=False)
        generations = (DEAD if tag == ended and generation == LIVE else generation for tag, generation in pairs)
        return actor._replace(generations=tuple(generations))

    # READ, query, FILL

    def _reading(self, shared: Shared, flight: Flight) -> Iterator[Move]:
        if flight.phase == "idle":
            for key in range(len(self.setup.keys)):
                yield from self._begin(shared, key)
        elif flight.phase == "begun":
            yield from self._read(shared, flight)
        elif flight.phase == "missed":
            yield from self._after_miss(shared, flight)
        else:
            yield from self._after_query(shared, flight)

    def _begin(self, shared: Shared, key: int) -> Iterator[Move]:
        begun = Flight("begun", key, self._owed(shared, key))
        if self.variant.snapshot_before_generations:
            yield Step(f"open a snapshot for {key}", shared, begun._replace(versions=self._newest(shared, key)))
        else:
            yield from self._read(shared, begun)

    def _read(self, shared: Shared, flight: Flight) -> Iterator[Move]:
        """MGET of the value and its tags' generations, or of these alone where there is a copy."""
        key = flight.key
        generations = of(shared.generations, self.setup.keys[key].tags)
        valid = [value for value in shared.values[key] if self._valid(value, generations)]
        for value in valid:
            yield answer(f"READ {key}, hit", shared, Flight(), value.versions, flight.required)
        if valid and not self.setup.copies:
            return
        if self.variant.query_before_generations and not flight.versions:
            yield Step(f"READ {key}, miss, query", shared, flight._replace(versions=self._newest(shared, key)))
        else:
            yield Step(f"READ {key}, miss", shared, flight._replace(phase="missed", generations=generations))

    def _valid(self, value: Value, generations: Vector) -> bool:
        exist = MISSING not in generations or self.variant.missing_equals_missing
        return exist and value.generations == generations

    def _after_miss(self, shared: Shared, flight: Flight) -> Iterator[Move]:
        if not flight.versions:
            yield Step(f"join {flight.key}", shared, flight._replace(required=self._owed(shared, flight.key)))
        if MISSING in flight.generations and not self.variant.missing_equals_missing:
            yield from self._set_missing(shared, flight)
        else:
            yield self._query(shared, flight)

    def _set_missing(self, shared: Shared, flight: Flight) -> Iterator[Move]:
        """SET NX GET, of one tag at a time."""
        place = flight.generations.index(MISSING)
        tag = self.setup.keys[flight.key].tags[place]
        if shared.generations[tag] == MISSING:
            if self.setup.generations and shared.made == self.setup.generations:
                return
            shared = self._with_fresh_generation(shared, tag)
        generations = put(flight.generations, place, shared.generations[tag])
        yield Step(f"SET NX generation {tag}", shared, flight._replace(generations=generations))

    def _with_fresh_generation(self, shared: Shared, tag: int) -> Shared:
        if not self.setup.generations:
            return shared._replace(generations=put(shared.generations, tag, LIVE))
        made = shared.made + 1
        return shared._replace(generations=put(shared.generations, tag, made), made=made)

    def _query(self, shared: Shared, flight: Flight) -> Move:
        versions = flight.versions or self._newest(shared, flight.key)
        queried = flight._replace(phase="queried", required=(), versions=versions)
        return answer(f"query {flight.key}", shared, queried, versions, flight.required)

    def _after_query(self, shared: Shared, flight: Flight) -> Iterator[Move]:
        yield self._fill(shared, flight)
        yield Step(f"FILL {flight.key} is lost", shared, Flight())
        if self.variant.join_after_query:
            owed = self._owed(shared, flight.key)
            yield answer(f"join {flight.key} after its query", shared, flight, flight.versions, owed)

    def _fill(self, shared: Shared, flight: Flight) -> Move:
        generations = flight.generations
        if self.variant.fill_with_current_generations:
            generations = of(shared.generations, self.setup.keys[flight.key].tags)
        filled = frozenset() if DEAD in generations else frozenset({Value(generations, flight.versions)})
        before = shared.values[flight.key] if self.setup.copies else frozenset()
        return Step(f"FILL {flight.key}", stored(shared, flight.key, before | filled), Flight())

    def _owed(self, shared: Shared, key: int) -> Vector:
        return of(shared.acknowledged, self.setup.keys[key].items)

    def _newest(self, shared: Shared, key: int) -> Vector:
        return of(shared.committed, self.setup.keys[key].items)

    # WRITE, RELEASE

    def _writing(self, shared: Shared, writer: Writer) -> Iterator[Move]:
        if writer.write is None:
            yield from self._commits(shared)
            return
        tags = writer.write.tags[:1] if self.variant.release_of_one_tag else writer.write.tags
        if writer.released < len(tags):
            yield self._release(shared, writer, tags[writer.released])
        if writer.released == len(tags) or self.variant.acknowledge_before_release:
            yield acknowledge(shared, writer.write.item, writer.version)

    def _commits(self, shared: Shared) -> Iterator[Move]:
        for write in self.setup.writes:
            version = shared.committed[write.item] + 1
            if version <= self.setup.versions:
                committed = put(shared.committed, write.item, version)
                yield Step(f"commit {write.item}", shared._replace(committed=committed), Writer(write, version))

    def _release(self, shared: Shared, writer: Writer, tag: int) -> Move:
        """DEL, of one tag at a time."""
        name, after = f"RELEASE {tag}", writer._replace(released=writer.released + 1)
        if self.variant.counters:
            generations = put(shared.generations, tag, shared.generations[tag] + 1)
            return Step(name, shared._replace(generations=generations), after)
        return self._without_generation(name, shared, tag)._replace(actor=after)

    def _without_generation(self, name: str, shared: Shared, tag: int) -> Move:
        gone = shared._replace(generations=put(shared.generations, tag, MISSING))
        if self.variant.counters or self.setup.generations:
            return Step(name, gone)
        pairs = zip(self.setup.keys, shared.values, strict=True)
        values = (
            frozenset(value for value in values if tag not in key.tags or LIVE not in value.generations)
            for key, values in pairs
        )
        return Step(name, gone._replace(values=tuple(values)), ended=tag)


def acknowledge(shared: Shared, item: int, version: int) -> Move:
    newest = max(version, shared.acknowledged[item])
    after = shared._replace(acknowledged=put(shared.acknowledged, item, newest))
    return Step(f"acknowledge {item}", after, Writer())


def answer(name: str, shared: Shared, flight: Flight, versions: Vector, owed: Vector) -> Move:
    if all(version >= least for version, least in zip(versions, owed, strict=True)):
        return Step(name, shared, flight)
    return Step(f"{name}: answers {versions} after {owed} was acknowledged", None, flight)


def stored(shared: Shared, key: int, values: frozenset[Value]) -> Shared:
    return shared._replace(values=(*shared.values[:key], values, *shared.values[key + 1 :]))


def of(whole: Vector, places: Vector) -> Vector:
    return tuple(whole[place] for place in places)


def put(whole: Vector, place: int, part: int) -> Vector:
    return (*whole[:place], part, *whole[place + 1 :])
