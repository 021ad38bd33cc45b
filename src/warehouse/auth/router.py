"""API keys over HTTP. Whoever gets here is an admin, so nobody makes a key with a role above their own."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from warehouse.auth.model import ApiKey
from warehouse.auth.schemas import ApiKeyCreate, ApiKeyIssued, ApiKeyPage
from warehouse.auth.sealing import Seal
from warehouse.auth.service import ApiKeyService, IssuedKey
from warehouse.commands.model import Answer, Outcome
from warehouse.http.idempotency import OptionalKey, command_for, json_answer, to_response
from warehouse.http.pagination import Cursor, Limit, PageScope, decode_cursor, page_response

router = APIRouter(tags=["api-keys"])

SCOPE = PageScope("api-keys", (UUID,))


async def _api_keys(request: Request) -> ApiKeyService:
    service: ApiKeyService = request.app.state.api_keys
    return service


ApiKeys = Annotated[ApiKeyService, Depends(_api_keys)]


@router.get("/api-keys", response_model=ApiKeyPage)
async def list_api_keys(request: Request, api_keys: ApiKeys, limit: Limit = 50, cursor: Cursor = None) -> Response:
    """The keys, revoked ones too, in the order of their making."""
    found = await api_keys.page(decode_cursor(cursor, SCOPE), limit + 1)
    return page_response(request, found, limit, _position, SCOPE)


@router.post("/api-keys", response_model=ApiKeyIssued, status_code=201)
async def create_api_key(request: Request, api_keys: ApiKeys, key: OptionalKey, body: ApiKeyCreate) -> Response:
    """Make a key. This answer alone, and its replays, hold it."""
    seal = _seal(request, key)
    collection = f"{request.scope.get('root_path', '')}/v1/api-keys"

    def success(issued: IssuedKey) -> Answer:
        return seal.close(_answer(issued, 201, {"Location": f"{collection}/{issued.key.id}"}))

    command = command_for(request, key, body, success=success)
    return _opened(seal, await api_keys.create(command, body.name, body.role, body.expires_at))


@router.post("/api-keys/{key_id}/rotate", response_model=ApiKeyIssued)
async def rotate_api_key(request: Request, api_keys: ApiKeys, key_id: UUID, key: OptionalKey) -> Response:
    """Put a new key in the place of one that is in force. The old one ends within a second; id, name, role and
    expiry stay. Rotate another key than the one you ask with: if that answer is lost, you are left without any."""
    seal = _seal(request, key)
    command = command_for(request, key, None, success=lambda issued: seal.close(_answer(issued, 200, {})))
    return _opened(seal, await api_keys.rotate(command, key_id))


@router.delete("/api-keys/{key_id}", status_code=204)
async def revoke_api_key(api_keys: ApiKeys, key_id: UUID) -> Response:
    """End a key for ever, within a second. A key may end itself, even the last one: the command line makes others."""
    await api_keys.revoke(key_id)
    return Response(status_code=204)


def _position(key: ApiKey) -> tuple[UUID]:
    return (key.id,)


def _seal(request: Request, key: str | None) -> Seal:
    _, _, secret = request.headers["authorization"].partition(" ")
    return Seal(secret.strip(" "), key)


def _answer(issued: IssuedKey, status: int, headers: Mapping[str, str]) -> Answer:
    body = {**asdict(issued.key), "key": issued.secret.text}
    return json_answer(body, status, {"Cache-Control": "no-store", **headers})


def _opened(seal: Seal, outcome: Outcome[IssuedKey]) -> Response:
    return to_response(replace(outcome, answer=seal.open(outcome.answer)))
