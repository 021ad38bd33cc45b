"""Load for minutes while one fault follows another: `python -m tests.faults.soak`."""
