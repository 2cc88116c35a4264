"""`serve`: the browser app on an address, until it is told to stop."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.types import ASGIApp

from unseen.runtime import runtime
from unseen.serving.app import LOCAL
from unseen.serving.limits import Limits
from unseen.serving.server import check_address, listen
from unseen.web.guard import Guard

LAST_ANSWERS = 2
"""Seconds that open connections have to end when the app is stopped; a browser holds one for as long as it shows it."""

EVIDENCE = Path("docs/evidence")
"""Where a checkout has its evidence."""


def serve(
    *,
    runs: Path = Path("runs"),
    models: Path = Path("models"),
    evidence: Path | None = None,
    host: str = "127.0.0.1",
    port: int = 7860,
    token: str | None = None,
    limits: Limits | None = None,
    trust: bool = False,
    ready: Callable[[str], None] = lambda url: None,
) -> None:
    """Show the app until SIGINT or SIGTERM.

    Parameters
    ----------
    runs, models : path
        Folders below which runs and saved models are looked for; nothing outside them can be opened.
    evidence : path, optional
        Folder of recorded evidence; that of a checkout if it is there.
    host : str
        Address to listen on. Any but this machine's own needs a token.
    port : int in [0, 65535]
        0 takes a free one.
    token : str, optional
        What a browser must give as its password, at least 16 characters.
    limits : Limits, optional
        Bytes and pixels of a sample.
    trust : bool
        Whether encoders of saved models may be loaded that can run code.
    ready : callable
        Told the URL when the app listens.

    Raises
    ------
    ValueError
        If others could ask without a token, or `evidence` is no folder.
    OSError
        If the address cannot be had.
    """
    check_address(host, port, token)
    if evidence is not None and not evidence.is_dir():
        raise ValueError(f"evidence must be a folder of records; got {str(evidence)!r}")
    if evidence is None and EVIDENCE.is_dir():
        evidence = EVIDENCE
    limits = limits or Limits()
    from unseen.web.app import build, mounted

    with tempfile.TemporaryDirectory(prefix="unseen-web-") as uploads, runtime(progress=False):
        _close(uploads)
        app: ASGIApp = mounted(build(runs=runs, models=models, evidence=evidence, limits=limits, trust=trust), limits)
        if token is None:
            app = TrustedHostMiddleware(app, allowed_hosts=[*LOCAL, host], www_redirect=False)
        listen(Guard(app, token=token, longest=limits.bytes), host, port, ready, LAST_ANSWERS)


def _close(uploads: str) -> None:
    """Settings that gradio reads when an app is made: nothing is told to anyone, uploads go to a folder of our own."""
    os.environ.update(
        GRADIO_ANALYTICS_ENABLED="False",
        GRADIO_TEMP_DIR=uploads,
        GRADIO_SHARE="False",
        GRADIO_RUN_HISTORY="False",
        HF_HUB_DISABLE_TELEMETRY="1",
    )
