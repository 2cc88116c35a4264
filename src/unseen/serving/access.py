"""Who may ask: this machine alone, or whoever holds the token."""

from __future__ import annotations

import base64
import binascii
import hmac
import ipaddress
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

SHORTEST = 16
"""Characters of the shortest token."""

DIGITS = 18
"""Of the longest number of bytes that is looked at."""

ASK = {"www-authenticate": 'Basic realm="unseen: any name, the token as password", charset="UTF-8"'}
"""Lets a browser ask its user for the token."""


def is_loopback(host: str) -> bool:
    """Whether an address is reached from this machine alone."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def check_access(host: str, token: str | None) -> None:
    """Raise `ValueError` if others could ask without a token, or with one that can be guessed."""
    if token is not None and (len(token) < SHORTEST or not token.isascii() or not token.isprintable()):
        raise ValueError(f"token must have at least {SHORTEST} printable ASCII characters; got {len(token)} characters")
    if token is None and not is_loopback(host):
        raise ValueError(
            f"host {host!r} can be reached from other machines, so a token is needed: set UNSEEN_TOKEN, for example "
            "to what `openssl rand -hex 24` prints"
        )


def host_name(header: str) -> str:
    """The host that a `Host` header names, without its port: "[::1]" of "[::1]:8000"."""
    name = header if header.endswith("]") else header.rpartition(":")[0] or header
    return name.lower()


def allowed(authorization: str | None, token: str) -> bool:
    """Whether an `Authorization` header carries the token; takes as long for a wrong one as for the right one."""
    scheme, _, credentials = (authorization or "").partition(" ")
    return hmac.compare_digest(credentials.strip().encode(), token.encode()) and scheme.lower() == "bearer"


def carries(authorization: str | None, token: str) -> bool:
    """Whether a header carries the token, as `Bearer`, or as the password that a browser asks for (`Basic`)."""
    scheme, _, credentials = (authorization or "").partition(" ")
    if scheme.lower() == "basic":
        try:
            _, _, password = base64.b64decode(credentials, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return False
        return allowed(f"Bearer {password}", token)
    return allowed(authorization, token)


def is_foreign(headers: Mapping[str, str], path: str) -> bool:
    """Whether a browser asks for a page of another site, which may only follow a link to `/`.

    Browsers say so by `Sec-Fetch-Site`; those that do not, by an `Origin` that is not the host that is asked.
    """
    if path == "/":
        return False
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site not in ("same-origin", "none")
    origin = headers.get("origin")
    try:
        return origin is not None and urlsplit(origin).netloc.lower() != headers.get("host", "").lower()
    except ValueError:  # no URL
        return True


class Refusal(NamedTuple):
    """Why a request is not answered."""

    detail: str
    status: int
    headers: dict[str, str] | None = None


ELSEWHERE = Refusal("another web page may not ask", 403)


def too_long(longest: int) -> Refusal:
    """Of a body of more bytes than that."""
    return Refusal(f"a request may have at most {longest:,} bytes", 413)


def refusal(headers: Mapping[str, str], token: str | None, longest: int, barred: Refusal | None) -> Refusal | None:
    """Why a request may not be asked: it lacks the token, is `barred`, or says that its body is too long."""
    if token is not None and not carries(headers.get("authorization"), token):
        return Refusal("the token is missing or wrong", 401, ASK)
    length = headers.get("content-length", "0")
    fits = length.isascii() and length.isdigit() and len(length) <= DIGITS and int(length) <= longest
    return barred or (None if fits else too_long(longest))
