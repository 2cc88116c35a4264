"""Pictures from the web: many at once, few per host, nothing private, nothing without end, nobody who said no.

A host name is resolved here, its addresses are checked, and the connection goes to the address that was checked: a name
that answers differently a moment later leads nowhere. Redirects are followed by hand, each through the same gate.
"""

from __future__ import annotations

import asyncio
import dataclasses
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urljoin, urlsplit, urlunsplit

if TYPE_CHECKING:
    import httpx

NO_AI = frozenset({"noai", "noimageai", "noindex", "noimageindex", "none"})
"""Words of ``X-Robots-Tag`` that forbid the use of a picture; img2dataset's, and ``none``, which is noindex."""

PRIVATE, BLOCKED, UNKNOWN_HOST = "a private address", "a disallowed host", "an unknown host"
TIMEOUT, REFUSED, REDIRECTS = "no answer in time", "no connection", "too many redirects"
TOO_LARGE, OPTED_OUT, COMPRESSED = "larger than is downloaded", "X-Robots-Tag says no", "a compressed transfer"
BAD_URL = "no URL that can be fetched"
_AGAIN = frozenset({429, 500, 502, 503, 504})
_MOVED = frozenset({301, 302, 303, 307, 308})


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
        ``host`` or ``host:port`` that may be private, such as ``127.0.0.1:8000`` of an intranet.
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
        if not self.timeout > 0 or self.delay < 0:
            raise ValueError(f"timeout must be > 0 and delay >= 0; got {self.timeout} and {self.delay}")


class Fetched(NamedTuple):
    """The bytes of a picture, or why there are none."""

    content: bytes
    reason: str = ""
    detail: str = ""


class _Dropped(Exception):  # noqa: N818 - it is an answer, not an error
    def __init__(self, reason: str, detail: str = "", again: bool = False) -> None:
        super().__init__(reason)
        self.reason, self.detail, self.again = reason, detail, again


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
    try:
        import httpx  # noqa: F401
    except ImportError as error:
        raise ImportError("downloading needs httpx: pip install 'unseen[curate]'") from error
    return asyncio.run(_fetch_all(list(urls), polite or Politeness(), resolve or _system_resolve))


async def _fetch_all(urls: list[str], polite: Politeness, resolve: Resolve) -> list[Fetched]:
    import httpx

    limits = httpx.Limits(max_connections=polite.at_once, max_keepalive_connections=polite.at_once)
    async with httpx.AsyncClient(
        limits=limits, timeout=polite.timeout, follow_redirects=False, trust_env=False, verify=True
    ) as client:
        fetcher = _Fetcher(client, polite, resolve)
        return await asyncio.gather(*(fetcher.get(url) for url in urls))


async def _system_resolve(host: str, port: int) -> Sequence[str]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]


class _Fetcher:
    def __init__(self, client: httpx.AsyncClient, polite: Politeness, resolve: Resolve) -> None:
        self.client, self.polite, self.resolve = client, polite, resolve
        self.open = asyncio.Semaphore(polite.at_once)
        self.hosts: dict[str, asyncio.Semaphore] = {}
        self.next_start: dict[str, float] = {}
        self.addresses: dict[tuple[str, int], asyncio.Task[str]] = {}

    async def get(self, url: str) -> Fetched:
        """One picture, tried again where that may help."""
        told = _Dropped(REFUSED)
        for attempt in range(self.polite.retries + 1):
            try:
                return Fetched(await self._once(url))
            except _Dropped as dropped:
                told = dropped
                if not dropped.again:
                    break
            if attempt < self.polite.retries:
                await asyncio.sleep(0.1 * 2**attempt)
        return Fetched(b"", told.reason, told.detail)

    async def _once(self, url: str) -> bytes:
        host = _host_of(url)[0]
        turn = self.hosts.setdefault(host, asyncio.Semaphore(self.polite.per_host))
        async with turn, self.open:
            await self._wait(host)
            try:
                async with asyncio.timeout(self.polite.timeout):
                    return await self._follow(url)
            except TimeoutError as error:
                raise _Dropped(TIMEOUT, again=True) from error

    async def _wait(self, host: str) -> None:
        """Keep the host's pace."""
        if not self.polite.delay:
            return
        now = asyncio.get_running_loop().time()
        start = max(now, self.next_start.get(host, now))
        self.next_start[host] = start + self.polite.delay
        await asyncio.sleep(start - now)

    async def _follow(self, url: str) -> bytes:
        for _ in range(self.polite.redirects + 1):
            target, content = await self._ask(url)
            if target is None:
                return content
            url = target
        raise _Dropped(REDIRECTS, f"more than {self.polite.redirects}")

    async def _ask(self, url: str) -> tuple[str | None, bytes]:
        """Where a URL leads to, or what it holds."""
        import httpx

        host, port, parts = _host_of(url)
        address = await self._address(host, port)
        shown = f"[{address}]" if ":" in address else address
        named = f"[{host}]" if ":" in host else host
        netloc = shown if parts.port is None else f"{shown}:{parts.port}"
        headers = {
            "Host": named if parts.port is None else f"{named}:{parts.port}",
            "User-Agent": self.polite.agent,
            "Accept": "image/webp,image/png,image/jpeg,image/*;q=0.8",
            "Accept-Encoding": "identity",
        }
        pinned = urlunsplit((parts.scheme, netloc, parts.path or "/", parts.query, ""))
        try:
            request = self.client.build_request("GET", pinned, headers=headers, extensions={"sni_hostname": host})
            answer = await self.client.send(request, stream=True)
        except httpx.TimeoutException as error:
            raise _Dropped(TIMEOUT, again=True) from error
        except (httpx.InvalidURL, httpx.UnsupportedProtocol, UnicodeError) as error:
            raise _Dropped(BAD_URL, str(error)) from error
        except httpx.HTTPError as error:
            raise _Dropped(REFUSED, type(error).__name__, again=True) from error
        try:
            return await self._read(url, answer)
        except httpx.TimeoutException as error:
            raise _Dropped(TIMEOUT, again=True) from error
        except httpx.HTTPError as error:
            raise _Dropped(REFUSED, type(error).__name__, again=True) from error
        finally:
            await answer.aclose()

    async def _read(self, url: str, answer: httpx.Response) -> tuple[str | None, bytes]:
        if answer.status_code in _MOVED:
            target = answer.headers.get("location", "")
            if not target:
                raise _Dropped(f"HTTP {answer.status_code}", "without a place to go to")
            return urljoin(url, target), b""
        if answer.status_code != 200:
            raise _Dropped(f"HTTP {answer.status_code}", again=answer.status_code in _AGAIN)
        if self.polite.respect_opt_out and opted_out(answer.headers.get_list("x-robots-tag"), self.polite.agent):
            raise _Dropped(OPTED_OUT)
        if answer.headers.get("content-encoding", "identity").lower() != "identity":
            raise _Dropped(COMPRESSED, answer.headers["content-encoding"])
        length = answer.headers.get("content-length", "")
        if length.isdigit() and int(length) > self.polite.max_bytes:
            raise _Dropped(TOO_LARGE, f"{length} bytes")
        parts: list[bytes] = []
        total = 0
        async for piece in answer.aiter_raw():
            total += len(piece)
            if total > self.polite.max_bytes:
                raise _Dropped(TOO_LARGE, f"more than {self.polite.max_bytes} bytes")
            parts.append(piece)
        return None, b"".join(parts)

    async def _address(self, host: str, port: int) -> str:
        """An address of a host that may be asked; looked up once."""
        if any(host == blocked or host.endswith(f".{blocked}") for blocked in self.polite.blocked_hosts):
            raise _Dropped(BLOCKED, host)
        key = (host, port)
        if key not in self.addresses:
            self.addresses[key] = asyncio.ensure_future(self._look_up(host, port))
        return await asyncio.shield(self.addresses[key])

    async def _look_up(self, host: str, port: int) -> str:
        try:
            found = await self.resolve(host, port)
        except (OSError, UnicodeError) as error:
            raise _Dropped(UNKNOWN_HOST, host) from error
        if not found:
            raise _Dropped(UNKNOWN_HOST, host)
        trusted = host in self.polite.allowed_hosts or f"{host}:{port}" in self.polite.allowed_hosts
        if not trusted and not all(is_public(address) for address in found):
            raise _Dropped(PRIVATE, host)
        return found[0]


def _host_of(url: str) -> tuple[str, int, Any]:
    """Host, port and parts of a URL."""
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").rstrip("."), parts.port
    except ValueError as error:
        raise _Dropped(BAD_URL, str(error)) from error
    if parts.scheme not in ("http", "https") or not host:
        raise _Dropped(BAD_URL, parts.scheme)
    return host.lower(), port or (443 if parts.scheme == "https" else 80), parts


def is_public(address: str) -> bool:
    """Whether an address is on the open internet: not private, loopback, link-local, multicast or reserved."""
    try:
        own: Any = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(own, ipaddress.IPv6Address):
        embedded = own.ipv4_mapped or own.sixtofour or (own.teredo[1] if own.teredo else None)
        if own in ipaddress.ip_network("64:ff9b::/96"):
            embedded = ipaddress.IPv4Address(int(own) & 0xFFFFFFFF)
        if embedded is not None:
            return is_public(str(embedded))
    return own.is_global and not own.is_multicast and not own.is_reserved and not own.is_unspecified


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
