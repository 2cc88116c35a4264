"""Between the network and the explorer: who may ask, how much may be sent, what a browser may do with an answer."""

from __future__ import annotations

import asyncio

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from unseen.serving.access import ELSEWHERE, Refusal, is_foreign, refusal, too_long
from unseen.serving.headers import SAFE, policy, with_headers

POLICY = policy(script_src="'self'", style_src="'self'", img_src="'self' data: blob:", connect_src="'self'")
"""What a page may load and run: files of this server, its empty icon, and pictures that the user dropped on it."""

HEADERS = {**SAFE, "content-security-policy": POLICY}

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
    seconds : float, > 0
        Time within which a body must have arrived.
    """

    def __init__(self, app: ASGIApp, *, token: str | None, longest: int, seconds: float = 30.0) -> None:
        self.app, self.token, self.longest, self.seconds = app, token, longest, seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        closed = with_headers(send, HEADERS)
        barred = ELSEWHERE if is_foreign(headers, scope["path"]) else None
        token = None if scope["path"] in OPEN else self.token
        outcome = refusal(headers, token, self.longest, barred) or await self._body(receive)
        if isinstance(outcome, Refusal):
            await JSONResponse({"detail": outcome.detail}, outcome.status, outcome.headers)(scope, receive, closed)
        else:
            await self.app(scope, _replayed(outcome, receive), closed)

    async def _body(self, receive: Receive) -> list[Message] | Refusal:
        """The messages of the whole body, or why they are not waited for."""
        messages, seen = [], 0
        try:
            async with asyncio.timeout(self.seconds):
                while True:
                    message = await receive()
                    messages.append(message)
                    seen += len(message.get("body", b""))
                    if seen > self.longest:
                        return too_long(self.longest)
                    if message["type"] != "http.request" or not message.get("more_body", False):
                        return messages
        except TimeoutError:
            return Refusal(f"the request took more than {self.seconds:g} seconds to arrive", 408)


def _replayed(messages: list[Message], receive: Receive) -> Receive:
    """What has arrived, then what arrives."""
    waiting = list(messages)

    async def replayed() -> Message:
        return waiting.pop(0) if waiting else await receive()

    return replayed
