"""wrk, and what it says: one thread that sends requests over some connections as fast as they are answered."""

import json
import os
import secrets
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.programs import wrk_program
from bench.servers import cpu_seconds
from bench.wire import HOST, Request
from tests.process import Process

GRACE_SECONDS = 60


class LoadError(Exception):
    """Some request was not answered as it should have been: the run counts for nothing."""


@dataclass(frozen=True, slots=True)
class Load:
    """The requests, one after the other and again from the first. With `unique_keys` each is sent under an
    Idempotency-Key of its own."""

    requests: Sequence[Request]
    connections: int = 32
    unique_keys: bool = False


@dataclass(frozen=True, slots=True)
class LoadResult:
    """`seconds` is wall time, `median_seconds` that of one answer; the CPU shares are of one core."""

    requests: int
    seconds: float
    bytes: int
    median_seconds: float
    server_cpu: float
    generator_cpu: float

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.requests / self.seconds


@dataclass(slots=True)
class Wrk:
    """Runs loads, with its scripts in `folder`."""

    folder: Path = field(default_factory=lambda: Path(tempfile.gettempdir()))

    def run(self, server: Process, load: Load, seconds: int) -> LoadResult:
        """Raises `LoadError`."""
        script = self.folder / f"load-{secrets.token_hex(4)}.lua"
        script.write_text(_script(load))
        command = [str(wrk_program()), "-t1", f"-c{load.connections}", f"-d{seconds}s", f"-s{script}", "--timeout=30s"]
        before, begun = cpu_seconds(server.pid), time.perf_counter()
        process = subprocess.Popen(
            [*command, f"http://{HOST}:{server.port}/"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        try:
            output, _ = process.communicate(timeout=seconds + GRACE_SECONDS)
        except BaseException:
            process.kill()
            process.wait()
            raise
        finally:
            script.unlink()
        elapsed = time.perf_counter() - begun
        said = _result(output)
        return LoadResult(
            requests=int(said["requests"]),
            seconds=said["duration"] / 1e6,
            bytes=int(said["bytes"]),
            median_seconds=said["median"] / 1e6,
            server_cpu=(cpu_seconds(server.pid) - before) / elapsed,
            generator_cpu=said["cpu"] / elapsed,
        )


def _result(output: str) -> Mapping[str, float | int]:
    lines = [line for line in output.splitlines() if line.startswith("{")]
    if not lines:
        raise LoadError(f"wrk said: {output.strip()}")
    said: dict[str, float | int] = json.loads(lines[-1])
    faults = {name: said[name] for name in ("connect", "read", "write", "status", "timeout") if said[name]}
    if faults:
        raise LoadError(f"of {said['requests']} requests some failed: {faults}")
    if not said["requests"]:
        raise LoadError("no request was answered")
    return said


def _script(load: Load) -> str:
    made = "\n".join(
        f"made[{number}] = {{{_text(each.method)}, {_text(each.path)}, {_table(each)}, {_text(each.body.decode())}}}"
        for number, each in enumerate(load.requests, start=1)
    )
    prefix = f"{os.getpid()}-{secrets.token_hex(4)}-"
    return _LUA.format(made=made, unique=str(load.unique_keys).lower(), prefix=prefix)


def _table(request: Request) -> str:
    headers = dict(request.headers)
    if request.body:
        headers["Content-Type"] = "application/json"
    return "{" + ", ".join(f"[{_text(name)}] = {_text(value)}" for name, value in headers.items()) + "}"


def _text(value: str) -> str:
    """As a Lua string: of JSON's escapes these requests contain only those that are Lua's too."""
    return json.dumps(value, ensure_ascii=False)


_LUA = """
local made, encoded, sent, unique, prefix = {{}}, {{}}, 0, {unique}, "{prefix}"
{made}

local function format(each)
  local body = each[4]
  if body == "" then body = nil end
  return wrk.format(each[1], each[2], each[3], body)
end

function init(arguments)
  for number, each in ipairs(made) do encoded[number] = format(each) end
end

function request()
  sent = sent + 1
  local number = (sent - 1) % #made + 1
  if not unique then return encoded[number] end
  made[number][3]["Idempotency-Key"] = prefix .. sent
  return format(made[number])
end

function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    '\\n{{"requests": %d, "duration": %d, "bytes": %d, "median": %d, "cpu": %f, ' ..
    '"connect": %d, "read": %d, "write": %d, "status": %d, "timeout": %d}}\\n',
    summary.requests, summary.duration, summary.bytes, latency:percentile(50), os.clock(),
    e.connect, e.read, e.write, e.status, e.timeout))
end
"""
