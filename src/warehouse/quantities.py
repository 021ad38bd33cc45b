"""How much there may be, in whole base units."""

MAX_QUANTITY = 1_000_000_000_000
"""Of one line."""

MAX_ON_HAND = 9_007_199_254_740_991
"""Of one balance: the largest integer that every JSON reader takes exactly (RFC 8259, 6)."""
