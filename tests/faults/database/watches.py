"""What happens to a server's connections to the database at a moment of a transaction."""

from dataclasses import dataclass

from tests.faults.proxy import Verdict
from tests.faults.returning import Returning

COMMIT = b"\x03COMMIT"
"""The command's number, and its text."""
BEHIND_THE_SCENES = (b"cache_control", b"api_keys")
"""What is in a server's statements that belong to no write."""


@dataclass
class CutAtCommit:
    """The next COMMIT meets this verdict, and all else passes."""

    verdict: Verdict
    cuts: int = 0

    def __call__(self, piece: bytes) -> Verdict:
        if self.cuts or COMMIT not in piece:
            return Verdict.PASS
        self.cuts += 1
        return self.verdict


@dataclass
class KillAt:
    """The server is killed at the `step`th of a write's statements (never, at 0), which arrives all the same where the
    verdict is that it passes. `seen` is how many there were."""

    server: Returning
    step: int = 0
    verdict: Verdict = Verdict.LOSE
    seen: int = 0

    def __call__(self, piece: bytes) -> Verdict:
        if any(word in piece for word in BEHIND_THE_SCENES):
            return Verdict.PASS
        self.seen += 1
        if self.seen != self.step:
            return Verdict.PASS
        self.server.kill()
        return self.verdict
