"""Several processes of the server on one address, and the one that looks after them."""

import uvicorn
from uvicorn.supervisors import multiprocess

from warehouse.http.server import DrainingServer, ServerConfig


def supervise(config: ServerConfig) -> None:
    """Serve with `config.workers` processes until told to stop."""
    # uvicorn's supervisor takes no parameter for what it is to start.
    multiprocess.Process = _Process  # type: ignore[misc]
    _Supervisor(config, [config.bind_socket()]).run()


class _Process(multiprocess.Process):
    config: ServerConfig

    @property
    def server(self) -> uvicorn.Server:
        if self._server is None:
            self._server = DrainingServer(self.config)
        return self._server


class _Supervisor(multiprocess.Multiprocess):
    def terminate_all(self) -> None:
        super().terminate_all()
        # While it is open here the system goes on to accept connections that no process will take.
        for each in self.sockets:
            each.close()
