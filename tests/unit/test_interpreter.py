"""What a process that runs for long asks of the interpreter, asked in one of its own."""

import subprocess
import sys

from warehouse.interpreter import NEW_OBJECTS, SWITCH_SECONDS

ASKING = """
import gc, sys
from warehouse.interpreter import settle_in
settle_in()
print(sys.getswitchinterval(), gc.get_threshold()[0], gc.get_freeze_count() > 1000)
"""


def test_the_loop_gets_its_turn_soon_and_what_stays_is_not_looked_through() -> None:
    told = subprocess.run([sys.executable, "-c", ASKING], capture_output=True, text=True, check=True).stdout.split()
    assert [float(told[0]), int(told[1]), told[2]] == [SWITCH_SECONDS, NEW_OBJECTS, "True"]
