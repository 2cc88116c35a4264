"""Between the network and the app: who may ask, how much may be sent, and that a page asks nobody else."""

from __future__ import annotations

import re
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from unseen.serving.access import ELSEWHERE, Refusal, is_foreign, refusal
from unseen.serving.manual import source_hash

FORM = 2**16
"""Bytes that a form adds to the file in it."""

POLICY = {
    "default-src": "'self'",
    "script-src": "'self' 'unsafe-eval'",
    "style-src": "'self' 'unsafe-inline'",
    "img-src": "'self' data: blob:",
    "font-src": "'self' data:",
    "worker-src": "'self' blob:",
    "object-src": "'none'",
    "base-uri": "'self'",
    "form-action": "'self'",
    "frame-ancestors": "'none'",
}
"""What a page may load and run; gradio makes functions from its own templates, which `unsafe-eval` allows."""

OPEN = (
    "/static/",
    "/assets/",
    "/theme.css",
    "/manifest.json",
    "/favicon.ico",
    "/config",
    "/gradio_api/queue/",
    "/gradio_api/upload",
    "/gradio_api/file=",
    "/gradio_api/heartbeat/",
    "/gradio_api/cancel",
    "/gradio_api/reset",
)
"""Beginnings of the paths that the page itself asks for; no other route of gradio answers."""

_OUTSIDE = re.compile(
    r"<script\b[^>]*\bsrc=[\"']?(?:https?:)?//[^>]*>\s*</script>|<link\b[^>]*\bhref=[\"']?(?:https?:)?//[^>]*>",
    re.IGNORECASE,
)
_INLINE = re.compile(r"<script\b(?![^>]*\bsrc=)[^>]*>(.*?)</script>", re.IGNORECASE | re.DOTALL)


def without_outside(page: str) -> str:
    """A page without scripts and links of other hosts."""
    return _OUTSIDE.sub("", page)


def policy(page: str) -> str:
    """A content security policy for a page: its own inline scripts run, whatever is put into it later does not."""
    hashes = " ".join(dict.fromkeys(source_hash(script) for script in _INLINE.findall(page)))
    rules = {**POLICY, "script-src": f"{POLICY['script-src']} {hashes}".strip()}
    return "; ".join(f"{key} {value}" for key, value in rules.items())


class Guard:
    """An application around the app: asks for the token, opens few paths to its own pages alone, limits bodies, closes
    pages to the outside.

    Parameters
    ----------
    app : ASGI application
    token : str or None
        What every request must carry.
    longest : int, >= 1
        Bytes of a body.
    """

    def __init__(self, app: ASGIApp, *, token: str | None, longest: int) -> None:
        self.app = app
        self.token = token
        self.longest = longest + FORM

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        there = scope["path"] == "/" or scope["path"].startswith(OPEN)
        barred = None if there else Refusal("there is no such page", 404)
        if is_foreign(headers, scope["path"]):
            barred = ELSEWHERE
        if refused := refusal(headers, self.token, self.longest, barred):
            await PlainTextResponse(*refused)(scope, receive, send)
            return
        if "text/html" in headers.get("accept", ""):  # a compressed page could not be closed
            scope = {**scope, "headers": [(k, v) for k, v in scope["headers"] if k != b"accept-encoding"]}
        await self.app(scope, self._counted(receive), Closed(send))

    def _counted(self, receive: Receive) -> Receive:
        """The body, cut off as a lost connection where it is too long."""
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            return {"type": "http.disconnect"} if seen > self.longest else message

        return counted


class Closed:
    """What is sent to the browser: pages are collected and closed to the outside, the rest passes as it comes."""

    def __init__(self, send: Send) -> None:
        self.send = send
        self.start: Message | None = None
        self.body = b""

    async def __call__(self, message: Message) -> None:
        """Pass a message on, perhaps later."""
        if message["type"] == "http.response.start":
            headers = MutableHeaders(raw=message["headers"])
            for key, value in (("x-content-type-options", "nosniff"), ("referrer-policy", "no-referrer")):
                headers[key] = value
            if headers.get("content-type", "").startswith("text/html"):
                self.start = message
                return
        elif self.start is not None:
            self.body += message.get("body", b"")
            if not message.get("more_body"):
                await self._finish(self.start)
            return
        await self.send(message)

    async def _finish(self, start: Message) -> None:
        page = without_outside(self.body.decode("utf-8", "replace"))
        content = page.encode()
        headers: Any = MutableHeaders(raw=start["headers"])
        headers["content-security-policy"] = policy(page)
        headers["content-length"] = str(len(content))
        await self.send(start)
        await self.send({"type": "http.response.body", "body": content})
