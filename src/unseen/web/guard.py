"""Between the network and the app: who may ask, how much may be sent, and that a page asks nobody else."""

from __future__ import annotations

import asyncio

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from unseen.serving.access import ELSEWHERE, is_foreign, refusal
from unseen.serving.headers import SAFE, policy, with_headers

FORM = 2**16
"""Bytes of a form, beside the file in it."""

SECONDS = 30.0
"""Time that each part of a body has to arrive."""

POLICY = policy(
    script_src="'self'",
    style_src="'self'",
    img_src="'self' data: blob:",
    media_src="blob:",
    connect_src="'self'",
    form_action="'self'",
)
"""What a page may load and run: files of this server, and pictures that stand in it."""

REPORT = policy(img_src="data:", style_src="'unsafe-inline'")
"""The same of a report from a run's folder, whatever stands in it: its style and pictures, and no script."""

HEADERS = {**SAFE, "content-security-policy": POLICY, "cache-control": "no-store"}


class Guard:
    """An application around the app: asks for the token, answers its own pages alone, limits bodies and their time,
    sets the headers of safety.

    Parameters
    ----------
    app : ASGI application
    token : str or None
        What every request must carry.
    longest : mapping of path to int
        Bytes of a body; of another path those of a form.
    """

    def __init__(self, app: ASGIApp, *, token: str | None, longest: dict[str, int]) -> None:
        self.app, self.token, self.longest = app, token, longest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return
        headers, longest = Headers(scope=scope), self.longest.get(scope["path"], FORM)
        closed = with_headers(send, HEADERS)
        barred = ELSEWHERE if is_foreign(headers, scope["path"]) else None
        if scope["method"] not in ("GET", "HEAD") and is_foreign(headers, ""):
            barred = ELSEWHERE
        if refused := refusal(headers, self.token, longest, barred):
            await PlainTextResponse(*refused)(scope, receive, closed)
            return
        await self.app(scope, _bounded(receive, longest), closed)


def _bounded(receive: Receive, longest: int) -> Receive:
    """The body, cut off as a lost connection where it is too long or does not come."""
    seen, whole = 0, False

    async def bounded() -> Message:
        nonlocal seen, whole
        if whole:
            return await receive()
        try:
            async with asyncio.timeout(SECONDS):
                message = await receive()
        except TimeoutError:
            return {"type": "http.disconnect"}
        seen += len(message.get("body", b""))
        whole = not message.get("more_body", False)
        return {"type": "http.disconnect"} if seen > longest else message

    return bounded
