"""`serve`: the explorer on an address, until it is told to stop."""

from __future__ import annotations

from collections.abc import Callable

from unseen.curation.retrieval import RetrievalService
from unseen.explorer.app import create_app
from unseen.runtime import runtime
from unseen.serving.app import LOCAL
from unseen.serving.limits import Limits
from unseen.serving.server import check_address, listen

LAST_ANSWERS = 5
"""Seconds that requests under way have to end when the explorer is stopped."""


def serve(
    service: RetrievalService,
    *,
    title: str = "",
    host: str = "127.0.0.1",
    port: int = 8500,
    token: str | None = None,
    limits: Limits | None = None,
    ready: Callable[[str], None] = lambda url: None,
    warn: Callable[[str], None] = lambda reason: None,
) -> None:
    """Show a collection until SIGINT or SIGTERM.

    Parameters
    ----------
    service : RetrievalService
    title : str
        What the page calls the collection.
    host : str
        Address to listen on. Any but this machine's own needs a token.
    port : int in [0, 65535]
        0 takes a free one.
    token : str, optional
        What requests must carry, at least 16 characters; a browser asks for it as a password.
    limits : Limits, optional
        Bytes of a body, pixels of a picture.
    ready : callable
        Told the URL when the explorer listens.
    warn : callable
        Told what cannot be looked for, and why, before.

    Raises
    ------
    ValueError
        If others could ask without a token.
    OSError
        If the address cannot be had.
    """
    check_address(host, port, token)
    with runtime(progress=False):
        service.warm()
        for reason in (service.encoders.reason, service.encoders.other_reason):
            if reason is not None:
                warn(reason)
        listen(
            create_app(service, title=title, limits=limits, token=token, hosts=(*LOCAL, host)),
            host,
            port,
            ready,
            LAST_ANSWERS,
        )
