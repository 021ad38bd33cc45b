"""Who may do what: one table, and the one dependency that every operation has."""

from collections.abc import Mapping
from dataclasses import dataclass

from fastapi import FastAPI, Request
from starlette.types import Scope

from warehouse.auth.model import Caller, Role
from warehouse.errors import Forbidden, Unauthenticated, Unavailable
from warehouse.http.routes import operations, route_path
from warehouse.http.strictness import check_media_type, check_query, check_text

REQUIRED_ROLE: Mapping[str, Role] = {
    "list_products": Role.VIEWER,
    "get_product": Role.VIEWER,
    "get_product_by_sku": Role.VIEWER,
    "get_product_snapshot": Role.VIEWER,
    "create_product": Role.MANAGER,
    "update_product": Role.MANAGER,
    "delete_product": Role.MANAGER,
    "upsert_products": Role.MANAGER,
    "list_warehouses": Role.VIEWER,
    "get_warehouse": Role.VIEWER,
    "create_warehouse": Role.MANAGER,
    "update_warehouse": Role.MANAGER,
    "delete_warehouse": Role.MANAGER,
    "list_locations": Role.VIEWER,
    "get_location": Role.VIEWER,
    "create_location": Role.MANAGER,
    "update_location": Role.MANAGER,
    "delete_location": Role.MANAGER,
    "list_balances": Role.VIEWER,
    "get_stock_summary": Role.VIEWER,
    "list_movements": Role.VIEWER,
    "receive_stock": Role.OPERATOR,
    "ship_stock": Role.OPERATOR,
    "adjust_stock": Role.OPERATOR,
    "count_stock": Role.OPERATOR,
    "transfer_stock": Role.OPERATOR,
    "reverse_command": Role.OPERATOR,
    "list_reservations": Role.VIEWER,
    "get_reservation": Role.VIEWER,
    "create_reservation": Role.OPERATOR,
    "confirm_reservation": Role.OPERATOR,
    "release_reservation": Role.OPERATOR,
    "extend_reservation": Role.OPERATOR,
    "get_integrity": Role.VIEWER,
    "list_tasks": Role.VIEWER,
    "get_task": Role.VIEWER,
    "cancel_task": Role.VIEWER,
    "retry_task": Role.VIEWER,
    "follow_task": Role.VIEWER,
    "get_task_result": Role.VIEWER,
    "get_task_errors": Role.VIEWER,
    "create_import": Role.OPERATOR,
    "create_export": Role.VIEWER,
    "report_stock_as_of": Role.VIEWER,
    "report_movement_summary": Role.VIEWER,
    "report_low_stock": Role.VIEWER,
    "report_stock_ageing": Role.VIEWER,
    "report_abc_analysis": Role.VIEWER,
    "report_dead_stock": Role.VIEWER,
    "list_api_keys": Role.ADMIN,
    "create_api_key": Role.ADMIN,
    "rotate_api_key": Role.ADMIN,
    "revoke_api_key": Role.ADMIN,
    "list_breakers": Role.ADMIN,
    "order_breaker": Role.ADMIN,
}
"""The least role for each operation, by operation id; an operation that is not in it is refused to everybody."""


UNCONFIRMED = "unconfirmed"
"""In the state of a request: whose key it carries could not be confirmed, for the database does not answer."""
SHOWN_FROM_MEMORY = frozenset({"get_product_snapshot", "list_breakers"})
"""Operations that need no database, besides those that are `@cached`."""


@dataclass(frozen=True, slots=True)
class PublicPaths:
    """What is answered without a key: these paths, and all that begins with one of the prefixes."""

    exact: frozenset[str]
    prefixes: tuple[str, ...] = ()

    def covers(self, path: str) -> bool:
        return path in self.exact or path.startswith(self.prefixes)


PUBLIC = PublicPaths(
    frozenset({"/", "/livez", "/readyz", "/metrics", "/docs", "/redoc", "/openapi.json"}), ("/static/",)
)


async def admit(request: Request) -> None:
    """Every operation depends on it: the caller's role, then what of the input no model sees.

    Raises `Forbidden`, `Invalid`, `UnsupportedMediaType`.
    """
    authorize(request)
    check_query(request)
    await check_media_type(request)
    await check_text(request)


def authorize(request: Request) -> None:
    """Raises `Forbidden` where the caller's role does not cover the operation, and `Unavailable` where the caller is
    not confirmed and the operation does more than to show what is cached."""
    if PUBLIC.covers(route_path(request.scope)):
        return
    needed = REQUIRED_ROLE.get(request.scope["route"].name)
    if needed is None:
        raise Forbidden("No role may do this.")
    if is_unconfirmed(request.scope) and request.scope["route"].name not in SHOWN_FROM_MEMORY:
        raise Unavailable("The database does not answer.")
    if not caller_of(request).role.covers(needed):
        raise Forbidden(f"This needs a key with the role {needed} or above.")


def is_unconfirmed(scope: Scope) -> bool:
    """Whether it may get nothing but what is cached."""
    return UNCONFIRMED in scope.get("state", {})


def is_admitted(scope: Scope, operation: str) -> bool:
    """Whether the caller's role covers the operation."""
    caller = scope.get("state", {}).get("caller")
    needed = REQUIRED_ROLE.get(operation)
    return isinstance(caller, Caller) and needed is not None and caller.role.covers(needed)


def caller_of(request: Request) -> Caller:
    """Whose key the request carries. Raises `Unauthenticated` on a public path."""
    caller = request.scope.get("state", {}).get("caller")
    if not isinstance(caller, Caller):
        raise Unauthenticated("This needs an API key.")
    return caller


def check_access_table(app: FastAPI) -> None:
    """Raises `RuntimeError` unless the table names exactly the operations that are not public."""
    guarded = {each.name for each in operations(app) if not PUBLIC.covers(each.path)}
    if guarded != REQUIRED_ROLE.keys():
        missing, unknown = sorted(guarded - REQUIRED_ROLE.keys()), sorted(REQUIRED_ROLE.keys() - guarded)
        raise RuntimeError(f"The table of roles lacks {missing} and names {unknown}, which do not exist.")
