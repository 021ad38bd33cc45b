"""API keys on the wire."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import Field

from warehouse.auth.model import Role
from warehouse.http.fields import Input, KeyName, Moment, Output
from warehouse.http.pagination import Page


class ApiKeyCreate(Input):
    name: KeyName
    role: Annotated[Role, Field(strict=False)]
    expires_at: Moment | None = Field(None, description="In the future; null for never.")


class ApiKeyRead(Output):
    id: UUID
    name: str
    role: Role
    prefix: str = Field(description="How the key begins, behind `wh_`.")
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None = Field(description="To the minute.")
    revoked_at: datetime | None


class ApiKeyIssued(ApiKeyRead):
    """The only answer that holds the key itself."""

    key: str = Field(description="Send it as `Authorization: Bearer …`. It cannot be read again.")


class ApiKeyPage(Page[ApiKeyRead]):
    pass
