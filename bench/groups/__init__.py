"""The comparisons. Each module has `run(stage) -> GroupReport`."""
