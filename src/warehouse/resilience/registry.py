"""All policies of a process, for those who run it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from warehouse.resilience.policy import Policy


@dataclass(frozen=True, slots=True)
class Snapshot:
    """How a policy is at one moment. The counts are those of the results in the window, which every change of state
    empties."""

    name: str
    state: str
    """closed, open, half_open, forced_open or disabled."""
    retry_after: float
    """Seconds until a call may be let through; 0 where one may be now."""
    calls: int
    failures: int
    slow: int
    consecutive_failures: int
    in_flight: int
    queued: int
    retries_left: int


class Registry:
    """Policies by name. Each method that takes a name raises `KeyError` where there is no such policy."""

    def __init__(self) -> None:
        self._policies: dict[str, Policy] = {}

    def add(self, policy: "Policy") -> None:
        """Raises `ValueError` where another one has the name."""
        if policy.name in self._policies:
            raise ValueError(f"there is a policy named {policy.name} already")
        self._policies[policy.name] = policy

    def snapshots(self) -> list[Snapshot]:
        """By name."""
        return [policy.snapshot() for _, policy in sorted(self._policies.items())]

    def force_open(self, name: str) -> None:
        """Refuse all its calls until told otherwise."""
        self._policies[name].circuit.force_open()

    def force_closed(self, name: str) -> None:
        """Let all its calls through, whatever comes of them, until told otherwise."""
        self._policies[name].circuit.disable()

    def auto(self, name: str) -> None:
        """Let its circuit decide again. It begins closed, if there was an order."""
        self._policies[name].circuit.automate()
