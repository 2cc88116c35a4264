"""Connections that ask nothing keep nobody out: how long a request may take to arrive, how many one address has."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import ipaddress
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.auto import AutoHTTPProtocol


@dataclasses.dataclass(frozen=True, kw_only=True)
class Patience:
    """How long connections are waited for, and how many there may be.

    Parameters
    ----------
    headers : float, > 0
        Seconds until the headers of a request must be there, from the first byte or from the connection.
    body : float, > 0
        Seconds until its body must be there.
    reading : float, > 0
        Seconds that a client may not read what waits for it.
    address : int, >= 1
        Connections of one address; beyond it the oldest whose request is not whole yet is closed, or else the new one.
    connections : int, >= 1
        Connections of all addresses; beyond it the oldest whose request is not whole yet is closed, or else requests
        are answered with 503.
    """

    headers: float = 10.0
    body: float = 120.0
    reading: float = 60.0
    address: int = 1024
    connections: int = 2048


class Watch:
    """The connections of one server, by address; until its request is there with its body, one is half open."""

    def __init__(self, patience: Patience) -> None:
        self.patience = patience
        self.open: dict[str, set[Any]] = {}
        self.half: dict[Any, str] = {}  # with its address, the oldest first

    def admit(self, connection: Any, address: str) -> bool:
        """Make room for a connection among those of its address and of all; False if there is none."""
        if len(self.open.get(address, ())) >= self.patience.address:
            oldest = next((other for other, of in self.half.items() if of == address), None)
            if oldest is None:
                return False
            self._close(oldest)
        elif self.half and sum(map(len, self.open.values())) >= self.patience.connections - 1:
            self._close(next(iter(self.half)))
        self.open.setdefault(address, set()).add(connection)
        self.half[connection] = address
        return True

    def asked(self, connection: Any) -> None:
        """Count a connection as one that asks."""
        self.half.pop(connection, None)

    def waits(self, connection: Any, address: str) -> None:
        """Count a connection as half open: its request has begun, or its body is missing."""
        if connection in self.open.get(address, ()):
            self.half.setdefault(connection, address)

    def forget(self, connection: Any, address: str) -> None:
        """Take a closed connection out."""
        self.half.pop(connection, None)
        there = self.open.get(address, set())
        there.discard(connection)
        if not there:
            self.open.pop(address, None)

    def _close(self, connection: Any) -> None:
        self.forget(connection, self.half[connection])
        connection.transport.abort()


class Impatient(AutoHTTPProtocol):  # type: ignore[misc, valid-type]
    """uvicorn's protocol, which waits for a request, its body and its reader for so long only."""

    def __init__(self, *args: Any, watch: Watch, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.watch = watch
        self.address = ""
        self._timer: asyncio.TimerHandle | None = None
        self._waits_for = ""
        self._reader: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Begin to wait for headers, if the address may have one connection more."""
        self.address = address_of(transport.get_extra_info("peername"))
        self.transport = transport
        admitted = self.watch.admit(self, self.address)
        super().connection_made(transport)
        if admitted:
            self._wait("headers")
        else:
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._rest()
        self.resume_writing()
        self.watch.forget(self, self.address)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes, then wait for what is missing."""
        super().data_received(data)
        if self.transport.is_closing():
            return
        cycle = self.cycle
        if cycle is None or cycle.response_complete:
            self.watch.waits(self, self.address)
            self._wait("headers")
            return
        if cycle.more_body:
            self.watch.waits(self, self.address)
            self._wait("body")
        else:
            self.watch.asked(self)
            self._rest()

    def pause_writing(self) -> None:
        """Wait for a client that does not read."""
        super().pause_writing()
        if self._reader is None:
            self._reader = self.loop.call_later(self.watch.patience.reading, self._end)

    def resume_writing(self) -> None:
        """The client reads again."""
        if self._reader is not None:
            self._reader.cancel()
            self._reader = None
        with contextlib.suppress(AttributeError):  # there is no flow yet on a connection that is refused
            super().resume_writing()

    def on_response_complete(self) -> None:
        """uvicorn's own timer waits for the next request."""
        self._rest()
        super().on_response_complete()

    def _wait(self, what: str) -> None:
        """Close the connection unless `what` is there in time; more bytes of it do not make it longer."""
        if self._timer is not None and self._waits_for == what:
            return
        self._rest()
        self._waits_for = what
        self._timer = self.loop.call_later(getattr(self.watch.patience, what), self._end)

    def _rest(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _end(self) -> None:
        self.transport.abort()


def address_of(peer: Any) -> str:
    """Whose connection it is: an address, or of IPv6 the network of 64 bits that one customer has."""
    if not isinstance(peer, (tuple, list)) or not peer:
        return ""
    try:
        address = ipaddress.ip_address(str(peer[0]).partition("%")[0])
    except ValueError:
        return str(peer[0])
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is None:
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(getattr(address, "ipv4_mapped", None) or address)


def protocol(patience: Patience) -> Callable[..., Any]:
    """What uvicorn makes a connection with."""
    return functools.partial(Impatient, watch=Watch(patience))


def allow_descriptors(wanted: int) -> None:
    """Let the process hold so many files, as far as it may raise its own limit."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
