"""Servers whose wall clocks can be set while they run."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.faults.cache import shifted
from tests.faults.cache.stage import Stage, StagedServer

KEPT = {f"CACHE_{kind}_SECONDS": "600" for kind in ("PRODUCTS", "STOCK")}
"""Longer than a test takes, and less than the clocks are off by: what ends, the clock has ended."""


class ShiftedServer(StagedServer):
    def __init__(self, database_url: str, *, workers: int, settings: Mapping[str, str]) -> None:
        super().__init__(database_url, workers=workers, settings={**settings, **KEPT})

    def initialise(self) -> None:
        super().initialise()
        self._clock.write_bytes(shifted.OFFSET.pack(0))

    def command(self) -> Sequence[str]:
        command = super().command()
        module = command.index("-m")
        return [*command[:module], "-P", shifted.__file__, str(self._clock), *command[module + 2 :]]

    def set_clock(self, seconds: float) -> None:
        """It is off by so many seconds from now on."""
        with self._clock.open("r+b") as file:
            file.write(shifted.OFFSET.pack(seconds))

    @property
    def _clock(self) -> Path:
        return self.folder / "clock"


def set_clocks(stage: Stage, offsets: Sequence[float]) -> None:
    """Each server's, in seconds that it is off."""
    for server, seconds in zip(stage.servers, offsets, strict=True):
        assert isinstance(server, ShiftedServer)
        server.set_clock(seconds)
