"""`serve`: the browser app on an address, until it is told to stop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.types import ASGIApp

from unseen.runtime import runtime
from unseen.serving.app import LOCAL
from unseen.serving.limits import Limits
from unseen.serving.server import check_address, listen
from unseen.web.app import create_app
from unseen.web.desk import Desk
from unseen.web.guard import FORM, Guard
from unseen.web.pages import Shown
from unseen.web.places import LONGEST, Places

LAST_ANSWERS = 2
"""Seconds that open connections have to end when the app is stopped; a browser holds one for as long as it shows it."""

EVIDENCE = Path("docs/evidence")
"""Where a checkout has its evidence."""


def serve(
    *,
    runs: Path = Path("runs"),
    models: Path = Path("models"),
    data: Sequence[Path] = (),
    evidence: Path | None = None,
    host: str = "127.0.0.1",
    port: int = 7860,
    token: str | None = None,
    limits: Limits | None = None,
    longest: int = LONGEST,
    trust: bool = False,
    ready: Callable[[str], None] = lambda url: None,
) -> None:
    """Show the app until SIGINT or SIGTERM; runs that are under way then go on.

    Parameters
    ----------
    runs, models : path
        Folders below which runs and saved models are looked for; nothing outside them can be opened. New runs and what
        is uploaded for them lie in `runs`.
    data : sequence of path
        Folders below which runs may read; the one that the app is started in if there is none.
    evidence : path, optional
        Folder of recorded evidence; that of a checkout if it is there, else what ships with the package.
    host : str
        Address to listen on. Any but this machine's own needs a token.
    port : int in [0, 65535]
        0 takes a free one.
    token : str, optional
        What a browser must give as its password, at least 16 characters.
    limits : Limits, optional
        Bytes and pixels of a sample that a model is tried on.
    longest : int, >= 1
        Bytes of one upload for a run.
    trust : bool
        Whether encoders of saved models may be loaded that can run code.
    ready : callable
        Told the URL when the app listens.

    Raises
    ------
    ValueError
        If others could ask without a token, or `evidence` or one of `data` is no folder.
    OSError
        If the address cannot be had.
    """
    check_address(host, port, token)
    for name, folder in (("evidence", evidence), *(("data", folder) for folder in data)):
        if folder is not None and not folder.is_dir():
            raise ValueError(f"{name} must be a folder; got {str(folder)!r}")
    if longest < 1:
        raise ValueError(f"longest must be at least 1 byte; got {longest}")
    if evidence is None and EVIDENCE.is_dir():
        evidence = EVIDENCE
    limits = limits or Limits()
    desk = Desk(runs)
    places = Places(data or [Path()], desk.folder.parent / "uploads", longest=longest)
    places.sweep(desk.used())
    shown = Shown(runs=runs, models=models, evidence=evidence, limits=limits, trust=trust)
    with runtime(progress=False):
        app: ASGIApp = create_app(shown, desk, places)
        if token is None:
            app = TrustedHostMiddleware(app, allowed_hosts=[*LOCAL, host], www_redirect=False)
        bodies = {"/upload": longest, "/try": limits.bytes + FORM}
        listen(Guard(app, token=token, longest=bodies), host, port, ready, LAST_ANSWERS)
