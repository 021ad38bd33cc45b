"""The demo: a grocery catalogue, four warehouses, and what is in them."""

from collections.abc import Callable

from warehouse.exchange.importing import Importer


async def load_demo(importer: Importer, progress: Callable[[int], None]) -> None:
    """Import the demo's files."""
