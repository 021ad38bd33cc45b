"""The load generator: `python -m bench.programs ensure` installs it where it may, else says what is missing."""

import shutil
import sys
from pathlib import Path

from tests.programs import MissingProgramError, can_install, install


def wrk_program() -> Path:
    found = shutil.which("wrk")
    if found is None:
        raise MissingProgramError("wrk is missing: install Debian's package wrk.", packages=["wrk"])
    return Path(found)


def main() -> None:
    if sys.argv[1:] != ["ensure"]:
        sys.exit("usage: python -m bench.programs ensure")
    try:
        wrk_program()
    except MissingProgramError as error:
        if can_install():
            install(error.packages)
    try:
        wrk_program()
    except MissingProgramError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
