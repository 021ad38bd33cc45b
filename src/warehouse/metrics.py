"""Every metric of the service, and how Prometheus reads them; docs/metrics.md says what they mean.

The processes of a server count in files of one folder, so that whichever of them is asked answers for all. Where there
is no folder, a process counts in its memory, for itself.
"""

import os
from collections.abc import Callable
from pathlib import Path

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.exposition import choose_encoder
from prometheus_client.multiprocess import MultiProcessCollector

FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
"""The library reads it when it is imported, once and for all: it has to be set before the process starts."""

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
OTHER_METHOD = "other"
BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Seconds."""

FOLDER = os.environ.get(FOLDER_VARIABLE, "")
"""That of the processes of a server; empty where there is but one."""
if FOLDER:
    Path(FOLDER).mkdir(parents=True, exist_ok=True)

# The time at which each series began: as many series again, and not with several processes.
disable_created_metrics()  # type: ignore[no-untyped-call]  # the library is annotated in part

http_requests = Counter(
    "warehouse_http_requests_total", "Requests that have been answered.", ("method", "route", "status")
)
http_seconds = Histogram(
    "warehouse_http_request_duration_seconds",
    "From the head of a request to the end of its answer.",
    ("method", "route"),
    buckets=BUCKETS,
)

cache_reads = Counter(
    "warehouse_cache_reads_total", "Reads through the cache, by what came of them.", ("kind", "result")
)
cache_fills = Counter("warehouse_cache_fills_total", "Values that were brought to the cache.", ("kind", "result"))
cache_lease_waits = Counter(
    "warehouse_cache_lease_waits_total", "Reads that waited for another to fill the cache.", ("kind",)
)
cache_garbage = Counter("warehouse_cache_garbage_total", "Cached values that could not be read.", ("kind",))
cache_fences = Counter("warehouse_cache_fences_total", "Times that a failed release switched the cache off.")
cache_releases = Counter("warehouse_cache_releases_total", "Releases of what a transaction had changed.", ("result",))
cache_reads_saved = Counter(
    "warehouse_cache_database_reads_saved_total", "Reads of the database that the cache made needless.", ("kind",)
)
cache_usable = Gauge(
    "warehouse_cache_usable", "Processes that can use the cache at the moment.", multiprocess_mode="livesum"
)

policy_attempts = Counter(
    "warehouse_policy_attempts_total",
    "Calls to what may fail, each attempt, by its outcome.",
    ("policy", "outcome"),
)
policy_seconds = Histogram(
    "warehouse_policy_attempt_duration_seconds", "What an attempt took.", ("policy",), buckets=BUCKETS
)
policy_retries = Counter("warehouse_policy_retries_total", "Attempts that followed a failed one.", ("policy",))
policy_rejections = Counter(
    "warehouse_policy_rejections_total", "Calls that were refused without an attempt.", ("policy", "reason")
)
policy_changes = Counter(
    "warehouse_policy_state_changes_total", "Changes of the state of a circuit.", ("policy", "state")
)
policy_open = Gauge(
    "warehouse_policy_not_closed",
    "Processes whose circuit is not closed.",
    ("policy",),
    multiprocess_mode="livesum",
)

TASK_BUCKETS = (0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0)
"""Seconds."""

tasks_ended = Counter(
    "warehouse_task_attempts_total", "Attempts of background tasks, by what became of them.", ("kind", "outcome")
)
task_seconds = Histogram(
    "warehouse_task_attempt_duration_seconds", "What an attempt took.", ("kind",), buckets=TASK_BUCKETS
)
tasks_abandoned = Counter(
    "warehouse_task_abandoned_total", "Running tasks whose worker was found to be gone.", ("kind",)
)
tasks_enqueued_late = Counter(
    "warehouse_task_enqueued_by_sweep_total", "Tasks that were not in the queue when a sweep looked.", ("queue",)
)
tasks_queued = Gauge(
    "warehouse_tasks_queued", "Tasks that wait for a worker.", ("queue",), multiprocess_mode="livemostrecent"
)
tasks_oldest = Gauge(
    "warehouse_tasks_oldest_queued_seconds",
    "How long the task has been waiting that waits longest.",
    ("queue",),
    multiprocess_mode="livemostrecent",
)
tasks_running = Gauge(
    "warehouse_tasks_running", "Tasks that a worker has.", ("queue",), multiprocess_mode="livemostrecent"
)
products_low = Gauge(
    "warehouse_products_low",
    "Active products of which no more is available than their reorder point.",
    multiprocess_mode="livemostrecent",
)
queue_garbage = Counter(
    "warehouse_queue_garbage_total", "Entries of the queue that are no task of this service; they are kept aside."
)

SAVING = frozenset({"hit", "negative"})
"""Results of reads that did not come to the database."""

Attempts = tuple[Counter, Histogram]

_counted: dict[tuple[str, str], tuple[Counter, ...]] = {}
_observed: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}


def observe_request(method: str, route: str, status: int, seconds: float) -> None:
    """`route` is a template and never a path: everything that is different makes series of its own."""
    key = (method if method in METHODS else OTHER_METHOD, route, status)
    found = _observed.get(key)
    if found is None:
        found = _observed[key] = (http_requests.labels(*key), http_seconds.labels(*key[:2]))
    counter, histogram = found
    counter.inc()
    histogram.observe(seconds)


def attempts_of(policy: str, outcome: str) -> Attempts:
    """Where attempts of this policy with this outcome are counted."""
    return policy_attempts.labels(policy, outcome), policy_seconds.labels(policy)


def count_cache_read(kind: str, result: str) -> None:
    key = kind, result
    found = _counted.get(key)
    if found is None:
        saved = (cache_reads_saved.labels(kind),) if result in SAVING else ()
        found = _counted[key] = (cache_reads.labels(*key), *saved)
    for counter in found:
        counter.inc()


def exposition(accept: str) -> tuple[bytes, str]:
    """All metrics in the format that the Accept header asks for, and its media type. Reads files: not for the loop."""
    encode, media_type = _encoder(accept)
    return encode(_registry()), media_type


def _encoder(accept: str) -> tuple[Callable[[CollectorRegistry], bytes], str]:
    try:
        return choose_encoder(accept)
    except TypeError:  # the library compares versions as numbers, whatever they are
        return choose_encoder("")


def _registry() -> CollectorRegistry:
    if not FOLDER:
        return REGISTRY
    _forget_gauges_of_the_dead(Path(FOLDER))
    registry = CollectorRegistry()
    MultiProcessCollector(registry, FOLDER)  # type: ignore[no-untyped-call]
    return registry


def _forget_gauges_of_the_dead(folder: Path) -> None:
    """What a process has counted stays when it has ended; how it was then does not."""
    for file in folder.glob("gauge_live*.db"):
        if not _is_alive(int(file.stem.rpartition("_")[2])):
            file.unlink(missing_ok=True)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
