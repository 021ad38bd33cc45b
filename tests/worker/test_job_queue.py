"""Jobs on a real Valkey: what is there, what is missing, and in what order they come."""

from collections.abc import AsyncIterator

import orjson
import pytest
import redis.asyncio as redis
from arq.constants import in_progress_key_prefix, job_key_prefix
from arq.jobs import deserialize_job

from tests.servers import Valkey
from tests.worker.conftest import PinnedValkey
from warehouse.errors import Unavailable
from warehouse.ids import new_id
from warehouse.policies import Policies
from warehouse.tasks.arq_queue import RUN_TASK, ArqJobQueue, queue_name
from warehouse.tasks.model import TaskQueue
from warehouse.tasks.queue import Job

SHORT, LONG = (queue_name(queue) for queue in TaskQueue)


def jobs(number: int, queue: TaskQueue = TaskQueue.SHORT) -> list[Job]:
    return [Job(queue, new_id(), 0) for _ in range(number)]


@pytest.fixture
async def client(valkey: Valkey) -> AsyncIterator["redis.Redis"]:
    client = redis.Redis.from_url(valkey.url(3), decode_responses=True)
    await client.flushdb()
    yield client
    await client.aclose()


@pytest.fixture
def queue(client: "redis.Redis") -> ArqJobQueue:
    return ArqJobQueue(client, Policies().queue)


async def test_a_job_is_there_in_the_form_that_arq_reads(queue: ArqJobQueue, client: "redis.Redis") -> None:
    [job] = jobs(1)
    await queue.enqueue([job])
    definition = deserialize_job(str(await client.get(job_key_prefix + job.id)).encode(), deserializer=orjson.loads)
    assert (definition.function, list(definition.args)) == (RUN_TASK, [str(job.task_id), 0])
    assert definition.kwargs == {}
    assert await client.zrange(SHORT, 0, -1) == [job.id]
    assert await client.ttl(job_key_prefix + job.id) > 29 * 24 * 3600


async def test_jobs_that_come_again_stay_where_they_are(queue: ArqJobQueue, client: "redis.Redis") -> None:
    some = jobs(3)
    for _ in range(2):
        await queue.enqueue(some)
        await queue.enqueue(some[::-1])
    assert await client.zcard(SHORT) == 3
    assert await queue.missing(some) == []


async def test_each_queue_has_its_own(queue: ArqJobQueue, client: "redis.Redis") -> None:
    short, long = jobs(2), jobs(3, TaskQueue.LONG)
    await queue.enqueue([*short, *long])
    assert (await client.zcard(SHORT), await client.zcard(LONG)) == (2, 3)
    await client.delete(LONG)
    assert await queue.missing([*short, *long]) == long


async def test_after_a_flush_all_are_missing_and_can_come_again(queue: ArqJobQueue, client: "redis.Redis") -> None:
    some = jobs(20)
    await queue.enqueue(some)
    await client.flushdb()
    assert await queue.missing(some) == some
    await queue.enqueue(some)
    assert await queue.missing(some) == []


async def test_a_key_of_a_dead_job_keeps_none_out(queue: ArqJobQueue, client: "redis.Redis") -> None:
    [job] = jobs(1)
    await queue.enqueue([job])
    await client.zrem(SHORT, job.id)
    assert await queue.missing([job]) == [job]
    await queue.enqueue([job])
    assert await client.zrange(SHORT, 0, -1) == [job.id]


async def test_one_in_a_workers_hands_is_not_missing(queue: ArqJobQueue, client: "redis.Redis") -> None:
    [job] = jobs(1)
    await queue.enqueue([job])
    await client.set(in_progress_key_prefix + job.id, 1)
    assert await queue.missing([job]) == []


async def test_another_attempt_is_another_job(queue: ArqJobQueue) -> None:
    [job] = jobs(1)
    again = Job(job.queue, job.task_id, 1)
    await queue.enqueue([job])
    assert await queue.missing([job, again]) == [again]


async def test_the_older_task_comes_first_whatever_comes_when(queue: ArqJobQueue, client: "redis.Redis") -> None:
    some = jobs(50)
    for job in some[::-1]:
        await queue.enqueue([job])
    assert await client.zrange(SHORT, 0, -1) == [job.id for job in some]


async def test_none_costs_nothing(pinned_valkey: PinnedValkey) -> None:
    client = redis.Redis.from_url(pinned_valkey.url)
    queue = ArqJobQueue(client, Policies().queue)
    await queue.enqueue([])
    assert await queue.missing([]) == []
    await client.aclose()


async def test_one_that_does_not_answer_says_so(pinned_valkey: PinnedValkey) -> None:
    client = redis.Redis.from_url(pinned_valkey.url)
    queue = ArqJobQueue(client, Policies().queue)
    for _ in range(10):  # more than open the circuit
        with pytest.raises(Unavailable):
            await queue.enqueue(jobs(1))
        with pytest.raises(Unavailable):
            await queue.missing(jobs(1))
    await client.aclose()


async def test_one_that_is_of_another_type_says_so(queue: ArqJobQueue, client: "redis.Redis") -> None:
    await client.set(SHORT, "no queue")
    with pytest.raises(Unavailable):
        await queue.enqueue(jobs(1))
