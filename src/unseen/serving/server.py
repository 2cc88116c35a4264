"""`serve`: a saved model on an address, until it is told to stop."""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import torch
import uvicorn
from starlette.types import ASGIApp

from unseen.bundle import Bundle
from unseen.runtime import runtime
from unseen.serving.access import check_access
from unseen.serving.app import LOCAL, create_app
from unseen.serving.connections import Patience, allow_descriptors, protocol
from unseen.serving.limits import Limits
from unseen.serving.model import Served
from unseen.serving.rows import ServedRows

LAST_ANSWERS = 30
"""Seconds that requests under way have to end when the server is stopped."""


class Server(uvicorn.Server):
    """uvicorn that says when it is ready and for which a signal is a wish, not an accident: it ends with 0."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[str], None]) -> None:
        super().__init__(config)
        self.ready = ready

    async def startup(self, sockets: list[Any] | None = None) -> None:
        """Begin to listen, then say where."""
        await super().startup(sockets=sockets)
        if self.started:
            host, port = self.servers[0].sockets[0].getsockname()[:2]
            self.ready(f"http://{f'[{host}]' if ':' in host else host}:{port}")

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop gracefully on SIGINT and SIGTERM; at once on a second SIGINT."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def serve(
    model: Bundle | ServedRows,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    token: str | None = None,
    limits: Limits | None = None,
    ready: Callable[[str], None] = lambda url: None,
) -> None:
    """Answer requests until SIGINT or SIGTERM; what is under way then is still answered.

    Parameters
    ----------
    model : Bundle or ServedRows
    host : str
        Address to listen on. Any but this machine's own needs a token.
    port : int in [0, 65535]
        0 takes a free one.
    token : str, optional
        What requests must carry, at least 16 characters.
    limits : Limits, optional
        What a request may bring.
    ready : callable
        Told the URL when the server listens.

    Raises
    ------
    ValueError
        If the model cannot be served, or others could ask without a token.
    OSError
        If the address cannot be had.
    """
    check_address(host, port, token)
    limits = limits or Limits()
    served = model if isinstance(model, ServedRows) else Served(model, max_pixels=limits.pixels)
    with runtime(progress=False, threads=1 if served.threads > 1 else None), _torch_threads(served.begin):
        served.warm()
        listen(create_app(served, limits=limits, token=token, hosts=(*LOCAL, host)), host, port, ready, LAST_ANSWERS)


@contextlib.contextmanager
def _torch_threads(begin: Callable[[], object]) -> Iterator[None]:
    """Threads that begin in the block compute as this one is told by `begin`; after it, as before."""
    before = torch.get_num_threads()
    begin()
    try:
        yield
    finally:
        torch.set_num_threads(before)


def listen(
    app: ASGIApp,
    host: str,
    port: int,
    ready: Callable[[str], None],
    last_answers: int,
    patience: Patience | None = None,
) -> None:
    """Run an application until SIGINT or SIGTERM, then `last_answers` seconds more for requests under way; nothing of
    requests is logged. Connections are waited for as `patience` says.

    Raises
    ------
    OSError
        If the address cannot be had.
    """
    patience = patience or Patience()
    allow_descriptors(patience.connections + 256)
    config = uvicorn.Config(
        app,
        http=protocol(patience),  # type: ignore[arg-type] # any callable will do
        ws="none",
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        server_header=False,
        limit_concurrency=patience.connections,
        timeout_graceful_shutdown=last_answers,
    )
    try:
        Server(config, ready).run()
    except SystemExit as error:  # what uvicorn makes of an address that it cannot have
        raise OSError(f"cannot listen on {host}:{port}; is it in use?") from error


def check_free(host: str, port: int) -> None:
    """Raise `OSError` if nobody can listen there now; before a model is loaded, which takes seconds."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host.strip("[]"), port), family=family).close()
    except OSError as error:
        raise OSError(f"cannot listen on {host}:{port}; is it in use?") from error


def check_address(host: str, port: int, token: str | None) -> None:
    """Raise `ValueError` for a port out of range, or an address that others could ask without a token."""
    if not 0 <= port <= 65535:
        raise ValueError(f"port must lie in [0, 65535]; got {port}")
    check_access(host, token)
