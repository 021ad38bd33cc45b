"""What a circuit breaker should do, in lists: everything is kept and counted anew, nothing is quick or bounded."""

from dataclasses import dataclass, field

from warehouse.resilience import PolicySettings


@dataclass
class Period:
    """The time between two changes of state."""

    state: str
    began: float
    results: list[str] = field(default_factory=list)
    on_their_way: int = 0


class Refused(Exception):
    pass


class Model:
    def __init__(self, settings: PolicySettings, now: float) -> None:
        self.settings = settings
        self.period = Period("closed", now)

    def admit(self, now: float) -> Period:
        """The period that the call belongs to."""
        if self.period.state == "open" and now - self.period.began >= self.settings.open_seconds:
            self.period = Period("half_open", now)
        period = self.period
        taken = len(period.results) + period.on_their_way
        if period.state in {"open", "forced_open"} or (
            period.state == "half_open" and taken >= self.settings.half_open_permits
        ):
            raise Refused
        period.on_their_way += 1
        return period

    def end(self, period: Period, result: str, now: float) -> None:
        """`result`: "ok", "slow", "failed", "failed slow" or "nothing"."""
        period.on_their_way -= 1
        if result != "nothing":
            period.results.append(result)
        if period is self.period and period.state in {"closed", "half_open"}:
            self.period = self._judge(period, now)

    def order(self, state: str, now: float) -> None:
        self.period = Period(state, now)

    def _judge(self, period: Period, now: float) -> Period:
        if self._in_a_row(period) or self._rates(period):
            return Period("open", now)
        if period.state == "half_open" and len(period.results) == self.settings.half_open_permits:
            return Period("closed", now)
        return period

    def _in_a_row(self, period: Period) -> bool:
        last = period.results[-self.settings.fail_max :]
        return len(last) == self.settings.fail_max and all("failed" in each for each in last)

    def _rates(self, period: Period) -> bool:
        if period.state == "half_open":
            judged, number = period.results, self.settings.half_open_permits
        else:
            judged = period.results[-self.settings.window :]
            number = len(judged)
            if number < self.settings.minimum_calls:
                return False
        failures = sum("failed" in each for each in judged)
        slow = sum("slow" in each for each in judged)
        return failures / number >= self.settings.failure_rate or slow / number >= self.settings.slow_rate
