import argparse
import sys

import uvloop

from tests.faults.chance import new_seed
from tests.faults.soak.run import soak


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.soak")
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--seed", type=int, default=new_seed())
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)  # noqa: T201
    told = uvloop.run(soak(options.minutes, options.seed))
    print(told)  # noqa: T201
    sys.exit(bool(told.wrongs))


main()
