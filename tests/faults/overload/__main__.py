"""`python -m tests.faults.overload`: the whole of the experiment on a MariaDB of its own, and its figures."""

import sys
import tempfile
from pathlib import Path

from tests.faults.chance import new_seed, seeded
from tests.faults.overload.mix import READING, WORKING
from tests.faults.overload.stage import NEAR
from tests.faults.overload.trial import FULL, run
from tests.servers import Servers


def main() -> None:
    seed = new_seed()
    print(f"seed {seed}")  # noqa: T201 (what it is for)
    with tempfile.TemporaryDirectory() as folder, Servers(Path(folder), durable=False) as servers:
        broken: list[str] = []
        for weights in (WORKING, READING):
            trial = run(servers.fresh_database("mariadb"), NEAR, weights, FULL, seeded(seed))
            print(f"{weights}\n{trial}")  # noqa: T201
            broken += trial.broken
    sys.exit("\n".join(broken) or None)


if __name__ == "__main__":
    main()
