"""Headers of every page that a server of this house sends: what a browser may do with it."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.datastructures import MutableHeaders
from starlette.types import Message, Send

SAFE = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "x-frame-options": "DENY",
}


def policy(**rules: str) -> str:
    """A content security policy that allows what is named (`img_src="'self' blob:"`) and nothing else."""
    closed = {"base_uri": "'none'", "form_action": "'none'", "frame_ancestors": "'none'"}
    parts = {"default_src": "'none'", **rules, **{name: value for name, value in closed.items() if name not in rules}}
    return "; ".join(f"{name.replace('_', '-')} {value}" for name, value in parts.items())


def with_headers(send: Send, headers: Mapping[str, str]) -> Send:
    """`send`, which gives an answer those headers that it does not set itself."""

    async def told(message: Message) -> None:
        if message["type"] == "http.response.start":
            sent = MutableHeaders(scope=message)
            for key, value in headers.items():
                sent.setdefault(key, value)
        await send(message)

    return told
