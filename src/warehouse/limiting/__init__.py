"""Rate limits: quotas per key that hold over all processes, shared through Redis, and alone where it does not answer.

It knows nothing of HTTP and, but for `warehouse.resilience`, nothing of the service around it.
docs/decisions/0013-rate-limit.md says why it is as it is.
"""

from warehouse.limiting.decision import Decision
from warehouse.limiting.limiter import Limiter
from warehouse.limiting.quota import Quota, parse_quota

__all__ = ["Decision", "Limiter", "Quota", "parse_quota"]
