"""How much is running low, for those who watch the service."""

import logging
from contextlib import aclosing

from warehouse import metrics
from warehouse.clock import utc_now
from warehouse.exchange.report_model import LowStock
from warehouse.exchange.report_repository import ReportSnapshots

log = logging.getLogger(__name__)


class LowStockScan:
    def __init__(self, snapshots: ReportSnapshots) -> None:
        self._snapshots = snapshots

    async def run(self) -> int:
        """How many active products have no more available than their reorder point, all warehouses together."""
        found = 0
        async with self._snapshots() as reports, aclosing(reports.low_stock(LowStock(), utc_now())) as batches:
            async for batch in batches:
                found += len(batch)
        metrics.products_low.set(found)
        log.info("stock.low products=%d", found)
        return found
