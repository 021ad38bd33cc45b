"""What callers do with tasks, whatever these are of: look, follow, cancel, have done again, fetch."""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from httpx import ASGITransport, AsyncClient, Response

from tests.api.answers import pointers, problem
from tests.api.calls import Json, accepted, done, looked_at, new_code, new_key, new_task, read_task
from tests.api.conftest import RunTask, blobs
from tests.api.streams import Seen, events
from tests.conftest import ClientAs
from warehouse.app import create_app
from warehouse.auth.model import Role
from warehouse.catalogue.batch import UPSERT_PRODUCTS
from warehouse.container import Container
from warehouse.errors import Invalid
from warehouse.ids import new_id
from warehouse.settings import JobSettings
from warehouse.tasks.model import TaskDraft, TaskQueue
from warehouse.tasks.model import new_task as new_row
from warehouse.tasks.running import Handler, Running, TaskKind, TaskRunner

Attempt = Callable[[Json, Handler], Coroutine[Any, Any, None]]


@pytest.fixture
def attempt(container: Container) -> Attempt:
    """Another worker, which does what the test says."""

    async def attempt(task: Json, handler: Handler) -> None:
        runner = TaskRunner(container.uow, {UPSERT_PRODUCTS: TaskKind(handler, 60)})
        await runner.run(UUID(task["id"]), task["attempt"])

    return attempt


async def refuses(running: Running) -> None:
    raise Invalid("It will not do.")


async def never_ends(running: Running) -> None:
    running.report(3, 10)
    await asyncio.Event().wait()


async def act(client: AsyncClient, task: Json, what: str) -> Response:
    return await client.post(f"/v1/tasks/{task['id']}/{what}", headers=new_key())


async def follow(client: AsyncClient, task: Json, last: int | None = None) -> list[Seen]:
    """What a client sees until the end."""
    headers = {} if last is None else {"Last-Event-ID": str(last)}
    response = await client.get(f"/v1/tasks/{task['id']}/events", headers=headers)
    assert response.headers["content-type"].startswith("text/event-stream")
    return list(events(response.text.split("\n")))


class TestLooking:
    async def test_a_task_says_when_to_look_again_until_it_has_ended(
        self, client: AsyncClient, run_task: RunTask
    ) -> None:
        task = await new_task(client)
        waiting = await client.get(f"/v1/tasks/{task['id']}")
        assert (waiting.headers["retry-after"], waiting.headers["cache-control"]) == ("1", "private, no-store")
        assert waiting.json() == task
        assert task["progress"] == {"done": 0, "total": None, "unit": "rows", "rate": None}
        names = ("status", "attempt", "error", "result_url", "started_at", "finished_at")
        assert [task[name] for name in names] == ["queued", 0, None, None, None, None]

        await run_task(task)
        ended = await client.get(f"/v1/tasks/{task['id']}")
        assert "retry-after" not in ended.headers
        assert (ended.json()["status"], ended.json()["attempt"]) == ("succeeded", 1)
        assert (ended.json()["progress"]["done"], ended.json()["progress"]["total"]) == (1, 1)
        assert ended.json()["result_url"] == f"/v1/tasks/{task['id']}/result"
        assert ended.json()["created_at"] <= ended.json()["started_at"] <= ended.json()["finished_at"]

    async def test_a_task_of_another_key_is_not_there_but_for_an_admin(
        self, client: AsyncClient, client_as: ClientAs
    ) -> None:
        viewer, operator = await client_as(Role.VIEWER), await client_as(Role.OPERATOR)
        file = {"file": ("m.csv", b"timestamp,type,sku,location,qty\n", "text/csv")}
        task = await done(operator, await operator.post("/v1/imports?kind=movements", files=file))
        path = f"/v1/tasks/{task['id']}"
        for asked in (path, f"{path}/events", f"{path}/result", f"{path}/errors"):
            problem(await viewer.get(asked), 404, "not_found")
            assert (await operator.get(asked)).status_code == (await client.get(asked)).status_code == 200
        for what in ("cancel", "retry"):
            problem(await act(viewer, task, what), 404, "not_found")
            assert (await act(operator, task, what)).status_code == (await act(client, task, what)).status_code == 409

    async def test_a_list_has_the_callers_own_and_an_admins_has_all(
        self, client: AsyncClient, client_as: ClientAs
    ) -> None:
        viewer = await client_as(Role.VIEWER)
        own = accepted(await viewer.post("/v1/exports", params={"kind": "stock", "sku": new_code()}))
        other = await new_task(client)
        mine, all_ = [await listed(each) for each in (viewer, client)]
        assert own["id"] in mine
        assert other["id"] not in mine
        assert {own["id"], other["id"]} <= set(all_)

    async def test_filters_and_pages_give_each_task_once_the_newest_first(
        self, client: AsyncClient, run_task: RunTask
    ) -> None:
        tasks = [await new_task(client) for _ in range(5)]
        await act(client, tasks[1], "cancel")
        await run_task(tasks[3])
        ids = [task["id"] for task in reversed(tasks)]
        assert [each for each in await listed(client, kind=UPSERT_PRODUCTS, limit="2") if each in ids] == ids
        expected = {"queued": {ids[0], ids[2], ids[4]}, "cancelled": {ids[3]}, "succeeded": {ids[1]}, "failed": set()}
        for status, some in expected.items():
            found = await listed(client, kind=UPSERT_PRODUCTS, status=status)
            assert some == set(ids) & set(found)
        assert await listed(client, kind="nothing") == []
        assert pointers(await client.get("/v1/tasks?status=done")) == {"?status"}


async def listed(client: AsyncClient, **query: str) -> list[str]:
    """The ids of all pages."""
    found: list[str] = []
    page = await client.get("/v1/tasks", params={"limit": "500", **query})
    while True:
        found += [task["id"] for task in page.json()["data"]]
        if not page.json()["has_more"]:
            return found
        page = await client.get(page.links["next"]["url"])


class TestCancelling:
    async def test_what_waits_ends_at_once_and_is_not_begun(self, client: AsyncClient, run_task: RunTask) -> None:
        task = await new_task(client)
        cancelled = await act(client, task, "cancel")
        assert (cancelled.status_code, cancelled.json()["status"]) == (200, "cancelled")
        assert cancelled.json()["finished_at"] is not None
        assert (await act(client, task, "cancel")).json() == cancelled.json()
        assert await run_task(task) == cancelled.json()
        problem(await client.get(f"/v1/tasks/{task['id']}/result"), 404, "not_found")

    async def test_what_runs_ends_when_its_worker_has_heard_of_it(self, client: AsyncClient, attempt: Attempt) -> None:
        task = await new_task(client)
        working = asyncio.create_task(attempt(task, never_ends))
        await looked_at(client, task, lambda task: task["status"] == "running")
        assert (await act(client, task, "cancel")).json()["status"] == "running"
        async with asyncio.timeout(30):
            await working
        found = await read_task(client, task)
        assert (found["status"], found["progress"]["done"], found["error"]) == ("cancelled", 3, None)

    async def test_what_has_ended_cannot_be_cancelled(
        self, client: AsyncClient, run_task: RunTask, attempt: Attempt
    ) -> None:
        succeeded, failed = await new_task(client), await new_task(client)
        await run_task(succeeded)
        await attempt(failed, refuses)
        for task, status in ((succeeded, "succeeded"), (failed, "failed")):
            refused = await act(client, task, "cancel")
            assert problem(refused, 409, "task_ended")["task_status"] == status


class TestDoingAgain:
    async def test_what_was_cancelled_or_has_failed_is_done_after_all(
        self, client: AsyncClient, run_task: RunTask, attempt: Attempt
    ) -> None:
        cancelled, failed = await new_task(client), await new_task(client)
        await act(client, cancelled, "cancel")
        await attempt(failed, refuses)
        assert (await read_task(client, failed))["error"] == {
            "code": "invalid",
            "detail": "It will not do.",
            "errors": [],
        }
        for task, attempts in ((cancelled, 0), (failed, 1)):
            response = await act(client, task, "retry")
            again = accepted(response)
            assert response.headers["location"] == f"/v1/tasks/{task['id']}"
            names = ("status", "attempt", "error", "result_url", "finished_at")
            assert [again[name] for name in names] == ["queued", attempts, None, None, None]
            assert again["progress"]["rate"] is None
            found = await run_task(again)
            assert (found["status"], found["attempt"]) == ("succeeded", attempts + 1)

    async def test_what_waits_or_has_succeeded_is_not_done_again(self, client: AsyncClient, run_task: RunTask) -> None:
        task = await new_task(client)
        assert problem(await act(client, task, "retry"), 409, "task_not_failed")["task_status"] == "queued"
        await run_task(task)
        assert problem(await act(client, task, "retry"), 409, "task_not_failed")["task_status"] == "succeeded"

    async def test_a_repeated_key_does_it_again_once(
        self, client: AsyncClient, run_task: RunTask, attempt: Attempt
    ) -> None:
        task, key = await new_task(client), new_key()
        await attempt(task, refuses)
        first = await client.post(f"/v1/tasks/{task['id']}/retry", headers=key)
        await run_task(accepted(first))
        again = await client.post(f"/v1/tasks/{task['id']}/retry", headers=key)
        assert (again.content, again.headers["idempotent-replayed"]) == (first.content, "true")
        assert (await read_task(client, task))["status"] == "succeeded"


class TestFollowing:
    async def test_events_tell_every_change_in_order_and_the_end_last(
        self, client: AsyncClient, attempt: Attempt
    ) -> None:
        task, goes_on = await new_task(client), asyncio.Event()

        async def steps(running: Running) -> None:
            running.report(3, 10)
            await goes_on.wait()
            running.report(10, 10)

        followers = [asyncio.create_task(follow(client, task)) for _ in range(2)]
        working = asyncio.create_task(attempt(task, steps))
        await looked_at(client, task, lambda task: task["progress"]["done"] == 3)
        late = asyncio.create_task(follow(client, task))
        goes_on.set()
        await working
        for seen in [await each for each in (*followers, late)]:
            ids = [event.id for event in seen]
            assert ids == sorted(set(ids))
            assert [event.name for event in seen] == ["progress"] * (len(seen) - 1) + ["end"]
            assert seen[-1].data == await read_task(client, task)
            assert seen[0].data["id"] == task["id"]

    async def test_who_was_cut_off_goes_on_behind_what_he_has(self, client: AsyncClient, run_task: RunTask) -> None:
        task = await new_task(client)
        following = asyncio.create_task(follow(client, task))
        await run_task(task)
        seen = await following
        resumed = await follow(client, task, seen[0].id)
        assert [event.id for event in resumed] == [seen[-1].id]
        assert (resumed[0].name, resumed[0].data) == ("end", seen[-1].data)
        path = f"/v1/tasks/{task['id']}/events"
        known = await client.get(path, headers={"Last-Event-ID": str(seen[-1].id)})
        assert (known.status_code, known.content) == (204, b"")

    @pytest.mark.parametrize("last", ["", "x", "-1", "99999999999999999999", "7; drop", "\u0661"])
    async def test_an_id_that_was_never_sent_begins_at_the_beginning(self, client: AsyncClient, last: str) -> None:
        task = await new_task(client)
        await act(client, task, "cancel")
        response = await client.get(f"/v1/tasks/{task['id']}/events", headers=[(b"Last-Event-ID", last.encode())])
        assert [event.name for event in events(response.text.split("\n"))] == ["end"]

    async def test_who_knew_the_end_hears_that_it_is_done_again(self, client: AsyncClient, run_task: RunTask) -> None:
        task = await new_task(client)
        await act(client, task, "cancel")
        (end,) = await follow(client, task)
        again = accepted(await act(client, task, "retry"))
        following = asyncio.create_task(follow(client, task, end.id))
        await run_task(again)
        seen = await following
        assert (seen[0].id > end.id, seen[-1].data["status"]) == (True, "succeeded")

    async def test_an_unknown_task_has_no_events(self, client: AsyncClient) -> None:
        refused = await client.get(f"/v1/tasks/{new_id()}/events")
        problem(refused, 404, "not_found")
        assert refused.headers["content-type"] == "application/problem+json"


class TestResults:
    async def test_a_result_is_sent_whole_in_part_or_not_at_all(self, client: AsyncClient, run_task: RunTask) -> None:
        task = await run_task(await new_task(client))
        path = task["result_url"]
        whole = await client.get(path, headers={"Accept-Encoding": "identity"})
        assert whole.headers["content-disposition"] == 'attachment; filename="batch.json"'
        tag = whole.headers["etag"]
        part = await client.get(path, headers={"Range": "bytes=2-9", "If-Range": tag})
        assert (part.status_code, part.content) == (206, whole.content[2:10])
        assert part.headers["content-range"] == f"bytes 2-9/{len(whole.content)}"
        other = await client.get(path, headers={"Range": "bytes=2-9", "If-Range": '"other"'})
        assert (other.status_code, other.content) == (200, whole.content)
        known = await client.get(path, headers={"If-None-Match": tag})
        assert (known.status_code, known.content) == (304, b"")
        head = await client.head(path, headers={"Accept-Encoding": "identity"})
        assert (head.content, head.headers["content-length"]) == (b"", str(len(whole.content)))

    async def test_a_task_that_has_made_nothing_has_no_result(self, client: AsyncClient, attempt: Attempt) -> None:
        waiting, failed = await new_task(client), await new_task(client)
        await attempt(failed, refuses)
        for task in (waiting, failed):
            problem(await client.get(f"/v1/tasks/{task['id']}/result"), 404, "not_found")

    async def test_only_imports_have_a_list_of_errors(self, client: AsyncClient) -> None:
        problem(await client.get(f"/v1/tasks/{(await new_task(client))['id']}/errors"), 404, "not_found")

    async def test_a_kind_that_this_release_does_not_know_fails_and_says_so(
        self, client: AsyncClient, container: Container
    ) -> None:
        row = new_row(TaskDraft("fortune_telling", TaskQueue.LONG, {}), new_id(), "test", datetime.now(UTC))
        async with container.uow() as uow:
            await uow.tasks.add(row)
            await uow.commit()
        await container.duties().runner.run(row.id, 0)
        found = await read_task(client, {"id": row.id})
        assert (found["status"], found["error"]["code"]) == ("failed", "unknown_kind")


class TestBatchesThatAreNotWaitedFor:
    async def test_the_result_is_what_the_answer_would_have_been(self, client: AsyncClient, run_task: RunTask) -> None:
        sku = new_code()
        rows = [{"sku": sku, "name": "Rye bread"}, {"sku": sku}, {"name": "Nameless"}, 7]
        inline = await client.post("/v1/products/batch", json={"products": rows}, headers=new_key())
        assert inline.status_code == 200
        rows[0] = {"sku": new_code(), "name": "Rye bread"}
        again = await client.post("/v1/products/batch", json={"products": rows}, headers=new_key())
        headers = {**new_key(), "Prefer": "wait=5, respond-async"}
        response = await client.post("/v1/products/batch", json={"products": rows}, headers=headers)
        task = accepted(response)
        assert response.headers["preference-applied"] == "respond-async"
        assert response.headers["location"] == f"/v1/tasks/{task['id']}"
        result = (await client.get((await run_task(task))["result_url"])).json()
        assert result.keys() == inline.json().keys()
        assert (result["failed"], result["unchanged"]) == (again.json()["failed"], 2)
        assert result["results"][2:] == again.json()["results"][2:] == inline.json()["results"][2:]

    async def test_other_preferences_change_nothing(self, client: AsyncClient) -> None:
        for prefer in ("wait=5", "respond-async=no", "return=minimal", "respond-async; ,,= "):
            body = {"products": [{"sku": new_code(), "name": "Rye bread"}]}
            response = await client.post("/v1/products/batch", json=body, headers={"Prefer": prefer})
            assert (response.status_code, "preference-applied" in response.headers) == (200, False), prefer

    async def test_a_repeated_key_makes_one_task(self, client: AsyncClient, container: Container) -> None:
        body = {"products": [{"sku": new_code(), "name": "Rye bread"}]}
        headers = {**new_key(), "Prefer": "respond-async"}
        first, again = [await client.post("/v1/products/batch", json=body, headers=headers) for _ in range(2)]
        assert (again.content, again.headers["idempotent-replayed"]) == (first.content, "true")
        assert again.headers["preference-applied"] == "respond-async"
        other = await client.post("/v1/products/batch", json={"products": []}, headers=headers)
        assert other.status_code == 422


class TestAFullQueue:
    @pytest.fixture
    async def crowded(self, container: Container, client: AsyncClient) -> AsyncClient:
        """The same service, of which no more than one task may wait."""
        await new_task(client)
        jobs = JobSettings(queued=1)
        settings = container.settings.model_copy(update={"jobs": jobs})
        app = create_app(settings)
        return AsyncClient(transport=ASGITransport(app), base_url="http://warehouse.test", headers=client.headers)

    async def test_more_is_refused_and_nothing_of_it_kept(self, container: Container, crowded: AsyncClient) -> None:
        before = blobs(container)
        body = {"products": [{"sku": new_code(), "name": "Rye bread"}]}
        headers = {**new_key(), "Prefer": "respond-async"}
        refused = await crowded.post("/v1/products/batch", json=body, headers=headers)
        problem(refused, 503, "overloaded")
        assert refused.headers["retry-after"] == "30"
        assert blobs(container) == before
        # The long queue is another.
        assert (await crowded.post("/v1/exports?kind=stock&sku=x")).status_code == 202
        await crowded.aclose()
