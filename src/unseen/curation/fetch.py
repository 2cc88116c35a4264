"""Pictures from the web: many at once, few per host, nothing private, nothing without end, nobody who said no.

A host name is resolved here, its addresses are checked, and the connection is dialled to an address that was checked: a
name that answers differently a moment later leads nowhere. Connections are kept by host, not by address, so that every
host shows a certificate of its own. Redirects are followed by hand, each through the same gate.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import dataclasses
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from urllib.parse import urljoin, urlsplit, urlunsplit

from unseen.curation.hosts import BAD_PORTS, host_places, is_public, plain_host

if TYPE_CHECKING:
    import httpx

Taken = TypeVar("Taken")

NO_AI = frozenset({"noai", "noimageai", "noindex", "noimageindex", "none"})
"""Words of ``X-Robots-Tag`` that forbid the use of a picture; img2dataset's, and ``none``, which is noindex."""

PRIVATE, BLOCKED, UNKNOWN_HOST = "a private address", "a disallowed host", "an unknown host"
TIMEOUT, REFUSED, REDIRECTS = "no answer in time", "no connection", "too many redirects"
TOO_LARGE, OPTED_OUT, COMPRESSED = "larger than is downloaded", "X-Robots-Tag says no", "a compressed transfer"
BAD_URL, BAD_PORT, BROKEN = "no URL that can be fetched", "a port of another service", "an error while downloading"
_AGAIN = frozenset({429, 500, 502, 503, 504})
_MOVED = frozenset({301, 302, 303, 307, 308})

IN_FLIGHT = 256 * 2**20
"""Bytes of pictures that are held at once while they arrive and are looked at."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Politeness:
    """How pictures are fetched.

    Parameters
    ----------
    timeout : float, > 0
        Seconds for one picture, redirects included.
    max_bytes : int, >= 1
        Of one picture; the transfer is cut there.
    at_once, per_host : int, >= 1
        Transfers at the same time, altogether and from one host.
    delay : float, >= 0
        Seconds between the starts of two transfers from one host.
    retries : int, >= 0
        After a time-out, a lost connection, or an answer of 429 or 5xx.
    redirects : int, >= 0
    respect_opt_out : bool
        Leave out what `NO_AI` words in ``X-Robots-Tag`` forbid.
    agent : str
        What servers are told, and what a directive for one robot is compared with.
    blocked_hosts : tuple of str
        Hosts that are never asked, with all below them.
    allowed_hosts : tuple of str
        ``host`` or ``host:port`` that may be private, such as ``127.0.0.1:8000`` or ``[::1]:8000`` of an intranet;
        with a port also one of `BAD_PORTS`.
    """

    timeout: float = 10.0
    max_bytes: int = 32 * 2**20
    at_once: int = 64
    per_host: int = 8
    delay: float = 0.0
    retries: int = 1
    redirects: int = 5
    respect_opt_out: bool = True
    agent: str = "unseen-curate"
    blocked_hosts: tuple[str, ...] = ()
    allowed_hosts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, least in (("max_bytes", 1), ("at_once", 1), ("per_host", 1), ("retries", 0), ("redirects", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}; got {getattr(self, name)}")
        for name in ("blocked_hosts", "allowed_hosts"):
            try:
                host_places(getattr(self, name))
            except ValueError as error:
                raise ValueError(f"{name} must hold hosts, or hosts with a port; got {getattr(self, name)}") from error
        if not self.timeout > 0 or self.delay < 0:
            raise ValueError(f"timeout must be > 0 and delay >= 0; got {self.timeout} and {self.delay}")


class Fetched(NamedTuple):
    """The bytes of a picture, or why there are none."""

    content: bytes
    reason: str = ""
    detail: str = ""


class _Dropped(Exception):  # noqa: N818 - it is an answer, not an error
    def __init__(self, reason: str, detail: str = "", again: bool = False, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.reason, self.detail, self.again, self.wait = reason, detail, again, wait


Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""From host and port to addresses."""


def fetch(urls: Sequence[str], polite: Politeness | None = None, *, resolve: Resolve | None = None) -> list[Fetched]:
    """Fetch pictures, in the order of their URLs; what cannot be had comes back with a reason, never as an error.

    Parameters
    ----------
    urls : sequence of str
    polite : Politeness, optional
    resolve : callable, optional
        In place of the system's resolver, for tests.

    Raises
    ------
    ImportError
        If httpx is missing.
    """
    return fetch_each(urls, lambda _, fetched: fetched, polite, resolve=resolve)


def fetch_each(
    urls: Sequence[str],
    take: Callable[[int, Fetched], Taken],
    polite: Politeness | None = None,
    *,
    resolve: Resolve | None = None,
) -> list[Taken]:
    """Fetch pictures and hand each to `take` as it arrives, with its position; what `take` gave, in order.

    No more than `IN_FLIGHT` bytes are held that `take` has not seen; it is called from one thread of its own.
    """
    try:
        import httpx  # noqa: F401
    except ImportError as error:
        raise ImportError("downloading needs httpx: pip install 'unseen[curate]'") from error
    work = _fetch_all(list(urls), take, polite or Politeness(), resolve or _system_resolve)
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    with ThreadPoolExecutor(1) as pool:  # a loop runs here already, as in a notebook
        return pool.submit(contextvars.copy_context().run, asyncio.run, work).result()


async def _fetch_all(
    urls: list[str], take: Callable[[int, Fetched], Taken], polite: Politeness, resolve: Resolve
) -> list[Taken]:
    fetcher = _Fetcher(polite, resolve)
    with ThreadPoolExecutor(1) as pool:
        loop = asyncio.get_running_loop()
        context = contextvars.copy_context()

        async def one(i: int) -> Taken:
            async with fetcher.budget.share() as share:
                fetched = await fetcher.get(urls[i], share)
                return await loop.run_in_executor(pool, context.run, take, i, fetched)

        async with fetcher:
            return await asyncio.gather(*(one(i) for i in range(len(urls))))


async def _system_resolve(host: str, port: int) -> Sequence[str]:
    entries = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in entries]


class _Budget:
    """Bytes that may be held at once."""

    def __init__(self, total: int) -> None:
        self.total = self.left = total
        self.changed = asyncio.Condition()

    @contextlib.asynccontextmanager
    async def share(self) -> AsyncIterator[_Share]:
        share = _Share(self)
        try:
            yield share
        finally:
            await share.give_back()


class _Share:
    """What one picture has of the budget."""

    def __init__(self, budget: _Budget) -> None:
        self.budget, self.held = budget, 0

    async def take(self, size: int) -> None:
        size = min(size, self.budget.total)
        async with self.budget.changed:
            await self.budget.changed.wait_for(lambda: self.budget.left >= size)
            self.budget.left -= size
            self.held += size

    async def give_back(self) -> None:
        async with self.budget.changed:
            self.budget.left += self.held
            self.held = 0
            self.budget.changed.notify_all()


def _client(fetcher: _Fetcher, context: ssl.SSLContext | None = None) -> httpx.AsyncClient:
    """A client that dials the addresses that `fetcher` has checked, and checks certificates by the hosts' names."""
    import httpcore
    import httpx

    class Dialler(httpcore.AsyncNetworkBackend):
        """Connects to checked addresses, one after another until one answers."""

        def __init__(self) -> None:
            self.own = httpcore.AnyIOBackend()

        async def connect_tcp(self, host: str, port: int, *args: Any, **more: Any) -> httpcore.AsyncNetworkStream:
            failed: Exception = httpcore.ConnectError(f"{host} has no address")
            for address in await fetcher.addresses_of(host, port):
                try:
                    return await self.own.connect_tcp(address, port, *args, **more)
                except (httpcore.ConnectError, httpcore.ConnectTimeout, OSError) as error:
                    failed = error
            raise failed

        async def connect_unix_socket(self, path: str, *args: Any, **more: Any) -> httpcore.AsyncNetworkStream:
            raise httpcore.UnsupportedProtocol(f"no socket is asked: {path}")

        async def sleep(self, seconds: float) -> None:
            await asyncio.sleep(seconds)

    at_once = fetcher.polite.at_once
    transport = httpx.AsyncHTTPTransport(trust_env=False)
    transport._pool = httpcore.AsyncConnectionPool(
        ssl_context=context or httpx.create_ssl_context(trust_env=False),
        max_connections=at_once,
        max_keepalive_connections=at_once,
        keepalive_expiry=5.0,
        network_backend=Dialler(),
    )
    return httpx.AsyncClient(
        transport=transport, timeout=fetcher.polite.timeout, follow_redirects=False, trust_env=False
    )


class _Fetcher:
    def __init__(self, polite: Politeness, resolve: Resolve, context: ssl.SSLContext | None = None) -> None:
        self.polite, self.resolve = polite, resolve
        self.client = _client(self, context)
        self.budget = _Budget(IN_FLIGHT)
        self.open = asyncio.Semaphore(polite.at_once)
        self.hosts: dict[str, asyncio.Semaphore] = {}
        self.next_start: dict[str, float] = {}
        self.addresses: dict[tuple[str, int], asyncio.Task[list[str]]] = {}
        self.allowed = host_places(polite.allowed_hosts)
        self.blocked = {host for host, _ in host_places(name.lstrip("*.") for name in polite.blocked_hosts)}

    async def __aenter__(self) -> _Fetcher:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.client.aclose()

    async def get(self, url: str, share: _Share | None = None) -> Fetched:
        """One picture, tried again where that may help."""
        if share is None:
            async with self.budget.share() as fresh:
                return await self.get(url, fresh)
        outcome = _Dropped(REFUSED)
        for attempt in range(self.polite.retries + 1):
            try:
                return Fetched(await self._follow(url, share))
            except _Dropped as dropped:
                outcome = dropped
                if not dropped.again:
                    break
            except Exception as error:  # whatever a server sends, it costs its own picture only
                return Fetched(b"", BROKEN, f"{type(error).__name__}: {error}")
            await share.give_back()
            if attempt < self.polite.retries:
                await asyncio.sleep(max(0.1 * 2**attempt, min(outcome.wait, self.polite.timeout)))
        return Fetched(b"", outcome.reason, outcome.detail)

    async def _wait(self, host: str) -> None:
        """Keep the host's pace."""
        if not self.polite.delay:
            return
        now = asyncio.get_running_loop().time()
        start = max(now, self.next_start.get(host, now))
        self.next_start[host] = start + self.polite.delay
        await asyncio.sleep(start - now)

    async def _follow(self, url: str, share: _Share) -> bytes:
        left = self.polite.timeout
        loop = asyncio.get_running_loop()
        for _ in range(self.polite.redirects + 1):
            host = _host_of(url)[0]
            turn = self.hosts.setdefault(host, asyncio.Semaphore(self.polite.per_host))
            async with turn:
                await self._wait(host)
                async with self.open:
                    try:
                        async with asyncio.timeout(left) as timer:
                            target, content = await self._ask(url, share, timer)
                    except TimeoutError as error:
                        raise _Dropped(TIMEOUT, again=True) from error
                    left = max(0.001, (timer.when() or 0.0) - loop.time())
            if target is None:
                return content
            url = target
        raise _Dropped(REDIRECTS, f"more than {self.polite.redirects}")

    async def _ask(self, url: str, share: _Share, timer: asyncio.Timeout) -> tuple[str | None, bytes]:
        """Where a URL leads to, or what it holds."""
        import httpx

        host, port, parts = _host_of(url)
        await self.addresses_of(host, port)
        named = f"[{host}]" if ":" in host else host
        netloc = named if parts.port is None else f"{named}:{parts.port}"
        headers = {
            "User-Agent": self.polite.agent,
            "Accept": "image/webp,image/png,image/jpeg,image/*;q=0.8",
            "Accept-Encoding": "identity",
        }
        try:
            whole = urlunsplit((parts.scheme, netloc, parts.path or "/", parts.query, ""))
            answer = await self.client.send(self.client.build_request("GET", whole, headers=headers), stream=True)
        except httpx.TimeoutException as error:
            raise _Dropped(TIMEOUT, again=True) from error
        except (httpx.InvalidURL, httpx.UnsupportedProtocol, UnicodeError) as error:
            raise _Dropped(BAD_URL, str(error)) from error
        except httpx.HTTPError as error:
            raise _Dropped(REFUSED, type(error).__name__, again=True) from error
        try:
            return await self._body_of(url, answer, share, timer)
        except httpx.TimeoutException as error:
            raise _Dropped(TIMEOUT, again=True) from error
        except httpx.HTTPError as error:
            raise _Dropped(REFUSED, type(error).__name__, again=True) from error
        finally:
            await answer.aclose()

    async def _body_of(
        self, url: str, answer: httpx.Response, share: _Share, timer: asyncio.Timeout
    ) -> tuple[str | None, bytes]:
        if answer.status_code in _MOVED:
            target = answer.headers.get("location", "")
            if not target:
                raise _Dropped(f"HTTP {answer.status_code}", "without a place to go to")
            try:
                return urljoin(url, target), b""
            except ValueError as error:
                raise _Dropped(BAD_URL, f"a redirect to {target[:200]}") from error
        if answer.status_code != 200:
            retry_after = answer.headers.get("retry-after", "")
            wait = float(retry_after) if retry_after.isdecimal() else 0.0
            raise _Dropped(f"HTTP {answer.status_code}", again=answer.status_code in _AGAIN, wait=wait)
        if self.polite.respect_opt_out and opted_out(answer.headers.get_list("x-robots-tag"), self.polite.agent):
            raise _Dropped(OPTED_OUT)
        if answer.headers.get("content-encoding", "identity").lower() != "identity":
            raise _Dropped(COMPRESSED, answer.headers["content-encoding"])
        length = answer.headers.get("content-length", "")
        if length.isdigit() and int(length) > self.polite.max_bytes:
            raise _Dropped(TOO_LARGE, f"{length} bytes")
        began = asyncio.get_running_loop().time()
        await share.take(int(length) if length.isdigit() else self.polite.max_bytes)
        timer.reschedule((timer.when() or began) + asyncio.get_running_loop().time() - began)
        parts: list[bytes] = []
        total = 0
        async for piece in answer.aiter_raw():
            total += len(piece)
            if total > self.polite.max_bytes:
                raise _Dropped(TOO_LARGE, f"more than {self.polite.max_bytes} bytes")
            parts.append(piece)
        return None, b"".join(parts)

    async def addresses_of(self, host: str, port: int) -> list[str]:
        """Addresses of a host that may be asked; looked up once, unless the lookup failed for the moment only."""
        host = host.strip("[]")
        if any(host == blocked or host.endswith(f".{blocked}") for blocked in self.blocked):
            raise _Dropped(BLOCKED, host)
        key = (host, port)
        if key not in self.addresses:
            self.addresses[key] = asyncio.ensure_future(self._look_up(host, port))
        task = self.addresses[key]
        try:
            return await asyncio.shield(task)
        except _Dropped as dropped:
            if dropped.again and self.addresses.get(key) is task:
                del self.addresses[key]
            raise

    async def _look_up(self, host: str, port: int) -> list[str]:
        try:
            addresses = list(dict.fromkeys(await self.resolve(host, port)))
        except (OSError, UnicodeError) as error:
            again = isinstance(error, socket.gaierror) and error.errno == socket.EAI_AGAIN
            raise _Dropped(UNKNOWN_HOST, host, again=again) from error
        if not addresses:
            raise _Dropped(UNKNOWN_HOST, host)
        trusted = (host, None) in self.allowed or (host, port) in self.allowed
        if not trusted and not all(is_public(address) for address in addresses):
            raise _Dropped(PRIVATE, host)
        if port in BAD_PORTS and (host, port) not in self.allowed:
            raise _Dropped(BAD_PORT, str(port))
        return addresses


def _host_of(url: str) -> tuple[str, int, Any]:
    """Host in the letters that DNS knows, port and parts of a URL."""
    try:
        parts = urlsplit(url)
        host, port = plain_host(parts.hostname or ""), parts.port
    except ValueError as error:
        raise _Dropped(BAD_URL, str(error)) from error
    if parts.scheme not in ("http", "https") or not host:
        raise _Dropped(BAD_URL, parts.scheme)
    return host, port or (443 if parts.scheme == "https" else 80), parts


def opted_out(headers: Sequence[str], agent: str) -> bool:
    """Whether ``X-Robots-Tag`` headers forbid a picture to this robot; a directive may be for one robot alone."""
    for header in headers:
        robot, sign, rest = header.partition(":")
        words = header
        if sign and "," not in robot:
            if robot.strip().lower() not in (agent.lower(), "*") and robot.strip().lower() not in _WITH_VALUE:
                continue
            words = rest
        if {word.strip().lower() for word in words.split(",")} & NO_AI:
            return True
    return False


_WITH_VALUE = frozenset({"unavailable_after", "max-snippet", "max-image-preview", "max-video-preview"})
