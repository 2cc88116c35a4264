"""Between the network and the explorer: who may ask, how much may be sent, what a browser may do with an answer."""

from __future__ import annotations

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from unseen.serving.access import carries

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
"""What a page may load and run: files of this server, and pictures that the user dropped on it."""

HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "x-frame-options": "DENY",
}

OPEN = ("/health",)
"""Paths that need no token."""


class Guard:
    """An application around the explorer: asks for the token, limits bodies, sets the headers of safety.

    Parameters
    ----------
    app : ASGI application
    token : str or None
        What every request but `/health` must carry, as `Bearer` or as a browser's password.
    longest : int, >= 1
        Bytes of a body.
    """

    def __init__(self, app: ASGIApp, *, token: str | None, longest: int) -> None:
        self.app, self.token, self.longest = app, token, longest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        closed = _with_headers(send)
        if (
            self.token is not None
            and scope["path"] not in OPEN
            and not carries(headers.get("authorization"), self.token)
        ):
            ask = {"www-authenticate": 'Basic realm="unseen: any name, the token as password", charset="UTF-8"'}
            await PlainTextResponse("the token is missing or wrong", 401, ask)(scope, receive, closed)
            return
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > self.longest:
            too_long = PlainTextResponse(f"a request may have at most {self.longest:,} bytes", 413)
            await too_long(scope, receive, closed)
            return
        await self.app(scope, self._counted(receive), closed)

    def _counted(self, receive: Receive) -> Receive:
        """The body, cut off as a lost connection where it is too long."""
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            return {"type": "http.disconnect"} if seen > self.longest else message

        return counted


def _with_headers(send: Send) -> Send:
    async def told(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for key, value in HEADERS.items():
                headers[key] = value
        await send(message)

    return told
