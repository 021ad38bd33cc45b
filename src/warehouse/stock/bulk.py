"""Movements from many rows at once, each row a command of its own: the path of a file of hundreds of thousands.

A row costs a few microseconds here: what rows share is looked up and judged once, in an `Account`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from warehouse.errors import Code, Conflict, FieldError, TransactionConflict
from warehouse.ids import new_id
from warehouse.stock.accounts import Account, Accounts, RowOutcome, RowStatus, Spelling, refused
from warehouse.stock.ledger import expire_on
from warehouse.stock.model import BalanceChange, BalanceKey, Movement, MovementKind
from warehouse.unit_of_work import UnitOfWork


@dataclass(slots=True)
class LedgerRow:
    """One movement to post: a receipt, a shipment or an adjustment. `quantity` is positive, but in an adjustment, where
    it is the signed change. `warehouse` None stands for any one; then the location's code must be unique over all
    warehouses. `expires_on` counts where stock comes in. The same `command_id` always names the same movement."""

    command_id: UUID
    kind: MovementKind
    sku: str
    warehouse: str | None
    location: str
    lot: str | None
    expires_on: date | None
    quantity: int
    reason: str | None
    reference: str | None
    occurred_at: datetime

    @property
    def delta(self) -> int:
        return -self.quantity if self.kind is MovementKind.SHIPMENT else self.quantity

    @property
    def spelling(self) -> Spelling:
        return self.sku, self.warehouse, self.location, self.lot


POSTED = RowOutcome(RowStatus.POSTED)
REPEATED = RowOutcome(RowStatus.REPEATED)


class Posting:
    """Posts the rows of one file, in one transaction after the other.

    Hopefully: the database lets nobody write a command twice, and no balance leave its range. So neither is asked about
    first, and nothing is locked first where nothing goes out. Where it refuses, the transaction is given up, and the
    next is run with care. With `careful` all are, for the sake of a large one that had better not be given up.
    """

    def __init__(self, *, careful: bool = False) -> None:
        self._accounts = Accounts()
        self._always_careful = careful
        self._careful = careful

    async def post(self, uow: UnitOfWork, rows: Sequence[LedgerRow], actor: str, at: datetime) -> list[RowOutcome]:
        """Post the rows in the caller's transaction, in their order; an outcome for each.

        A row whose command has been carried out before is `repeated`. A refused row changes nothing, and the rows
        behind it are decided without it. Raises `TransactionConflict`, and where it did the next call is careful.
        """
        careful, self._careful = self._careful, True
        done = await uow.stock.recorded({row.command_id for row in rows}) if careful else set()
        fresh = [row for row in rows if row.command_id not in done]
        accounts = await self._accounts.find(uow, dict.fromkeys(row.spelling for row in fresh))
        ledger = _Ledger(accounts, actor, at, done)
        await ledger.note_lots(uow, fresh)
        if careful or any(row.delta < 0 for row in fresh):
            await ledger.open(uow)
        outcomes = [ledger.take(row) for row in rows]
        await ledger.write(uow)
        self._careful = self._always_careful or len(fresh) < len(rows)
        return await _settled(uow, rows, outcomes)


async def _settled(uow: UnitOfWork, rows: Sequence[LedgerRow], outcomes: Sequence[RowOutcome]) -> list[RowOutcome]:
    """A row may lack the very stock that another caller, importing the same file, took for it before our locks."""
    in_doubt = {row.command_id for row, outcome in zip(rows, outcomes, strict=True) if outcome.errors}
    done = await uow.stock.recorded(in_doubt) if in_doubt else ()
    if not done:
        return list(outcomes)
    return [REPEATED if row.command_id in done else outcome for row, outcome in zip(rows, outcomes, strict=True)]


class _Ledger:
    """Decides row by row in memory; `write` then takes everything to the database at once."""

    def __init__(
        self, accounts: Mapping[Spelling, Account | RowOutcome], actor: str, at: datetime, done: set[UUID]
    ) -> None:
        self._by_spelling = accounts
        found = {account.key: account for account in accounts.values() if isinstance(account, Account)}
        # One lock order for every caller keeps the database out of deadlocks.
        self._accounts = dict(sorted(found.items(), key=_lock_order))
        self._expiries: dict[tuple[UUID, str], date | None] = {}
        self._posted: list[tuple[LedgerRow, Account]] = []
        self._actor = actor
        self._at = at
        self._done = done

    async def note_lots(self, uow: UnitOfWork, rows: Iterable[LedgerRow]) -> None:
        """The first row that brings a lot in says when it expires, unless that is known already."""
        for row in rows:
            if row.lot is not None and row.delta > 0:
                self._note_lot(row)
        if self._expiries:
            conflicts = await uow.stock.note_lots(self._expiries)
            self._expiries.update({(product_id, lot): known for product_id, lot, known in conflicts})

    async def open(self, uow: UnitOfWork) -> None:
        """Lock the balances and take over what they hold."""
        if not self._accounts:
            return
        held = await uow.stock.lock(self._accounts)
        reserved = [key for key, balance in held.items() if balance.reserved]
        if reserved and await expire_on(uow, reserved, self._at):
            held = await uow.stock.lock(self._accounts)
        for key, balance in held.items():
            account = self._accounts[key]
            account.on_hand, account.reserved = balance.on_hand, balance.reserved

    def take(self, row: LedgerRow) -> RowOutcome:
        if row.command_id in self._done:
            return REPEATED
        account = self._by_spelling[row.spelling]
        if isinstance(account, RowOutcome):
            return account
        delta = row.delta
        refusal = account.refusal(delta) or (row.expires_on and self._expiry_refusal(row, account)) or None
        if refusal is not None:
            return refusal
        account.post(delta)
        self._done.add(row.command_id)
        self._posted.append((row, account))
        return POSTED

    async def write(self, uow: UnitOfWork) -> None:
        if not self._posted:
            return
        changes = [
            BalanceChange(
                account.key, account.warehouse.id, account.change, 0, guarded=not account.product.allows_negative
            )
            for account in self._accounts.values()
            if account.posted
        ]
        try:
            await uow.stock.record(changes, self._at, self._movements)
        except Conflict as conflict:
            # What was opened was checked; with care the rest is told row by row.
            raise TransactionConflict(conflict.detail) from conflict

    def _note_lot(self, row: LedgerRow) -> None:
        account = self._by_spelling[row.spelling]
        if isinstance(account, Account) and account.refusal_in is None:
            lot = account.key.product_id, account.key.lot
            self._expiries[lot] = self._expiries.get(lot) or row.expires_on

    def _expiry_refusal(self, row: LedgerRow, account: Account) -> RowOutcome | None:
        if row.delta < 0:
            return None
        if row.lot is None:
            return refused(FieldError("/expires_on", "lot_not_tracked", "Only lots expire."))
        known = self._expiries[account.key.product_id, account.key.lot]
        if known == row.expires_on:
            return None
        return refused(FieldError("/expires_on", Code.LOT_MISMATCH, f"Lot {row.lot} is known to expire on {known}."))

    def _movements(self) -> list[Movement]:
        # By position, as keywords cost a third more; the order is that of the fields.
        return [
            Movement(
                new_id(),
                row.command_id,
                1,
                account.product.id,
                account.product.sku,
                account.warehouse.id,
                account.key.location_id,
                row.lot,
                row.delta,
                row.kind,
                row.reason,
                row.reference,
                self._actor,
                row.occurred_at,
                self._at,
            )
            for row, account in self._posted
        ]


def _lock_order(item: tuple[BalanceKey, Account]) -> tuple[int, int, str]:
    """That of the keys, without comparing them piece by piece."""
    key, _ = item
    return key.product_id.int, key.location_id.int, key.lot
