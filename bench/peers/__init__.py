"""Each peer as its users write it. These run in the peers' environment, not in ours, and import nothing of ours."""
