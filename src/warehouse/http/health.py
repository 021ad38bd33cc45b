"""Whether the process lives, and whether it can serve."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from enum import StrEnum

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from warehouse.http.draining import is_draining
from warehouse.http.json import JsonResponse

CHECK_SECONDS = 2.0

Check = Callable[[], Awaitable[object]]
"""Asks something that the service stands on whether it answers; any exception means that it does not."""

log = logging.getLogger(__name__)


class CheckState(StrEnum):
    OK = "ok"
    FAILING = "failing"


class Liveness(BaseModel):
    status: CheckState


class ReadinessStatus(StrEnum):
    READY = "ready"
    DEGRADED = "degraded"
    """It serves, though without something that makes it faster."""
    NOT_READY = "not_ready"
    DRAINING = "draining"


class Readiness(BaseModel):
    """`checks` has the state of each thing that the service stands on. A server that is `draining` is about to end."""

    status: ReadinessStatus
    checks: dict[str, CheckState]


SERVING = frozenset({ReadinessStatus.READY, ReadinessStatus.DEGRADED})
REQUIRED = frozenset({"database"})
"""Without these nothing can be served; the others can be done without."""


def health_router(checks: Mapping[str, Check], seconds: float = CHECK_SECONDS) -> APIRouter:
    """`checks` by the names under which /readyz tells of them; each has so many `seconds`."""
    router = APIRouter(tags=["operations"])

    @router.get("/livez", response_model=Liveness)
    async def livez() -> Response:
        """The process answers. Says nothing of what it stands on."""
        return JsonResponse({"status": CheckState.OK})

    @router.get("/readyz", response_model=Readiness, responses={503: {"model": Readiness}})
    async def readyz(request: Request) -> Response:
        """Whether requests can be served, and the state of each thing that the service stands on: 503 where the
        database does not answer or the server drains, `degraded` where Redis does not answer."""
        answers = await asyncio.gather(*(_state(name, check, seconds) for name, check in checks.items()))
        states = dict(zip(checks, answers, strict=True))
        failing = [name for name, state in states.items() if state is not CheckState.OK]
        status = _status(failing, draining=is_draining(request.scope.get("state", {})))
        return JsonResponse({"status": status, "checks": states}, 200 if status in SERVING else 503)

    return router


def _status(failing: Sequence[str], *, draining: bool) -> ReadinessStatus:
    if draining:
        return ReadinessStatus.DRAINING
    if not failing:
        return ReadinessStatus.READY
    return ReadinessStatus.DEGRADED if REQUIRED.isdisjoint(failing) else ReadinessStatus.NOT_READY


async def _state(name: str, check: Check, seconds: float) -> CheckState:
    try:
        async with asyncio.timeout(seconds):
            await check()
    except Exception as error:  # noqa: BLE001 (whatever it is, the answer is the same; its text may hold a password)
        log.warning("health.failing check=%s error=%s", name, type(error).__name__)
        return CheckState.FAILING
    return CheckState.OK
