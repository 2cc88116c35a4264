"""What Debian packages carry: fetched once by apt, pinned, checked, kept; nothing is installed or run."""

from __future__ import annotations

import io
import os
import shutil
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from unseen.data.sources.downloads import SourceUnavailable, fetched
from unseen.data.sources.npm import MAX_MEMBER
from unseen.runtime import cache_folder

_MAGIC = b"!<arch>\n"
_HEADER = 60


def deb_path(pin: Mapping[str, Any]) -> Path:
    """Where a pinned package is, or will be, kept."""
    return cache_folder() / "debian" / str(pin["file"])


def fetch_deb(package: str, pin: Mapping[str, Any]) -> Path:
    """The archive of a Debian package, downloaded (without root) and checked if it is not there.

    Parameters
    ----------
    package : str
    pin : mapping
        Its ``version``, ``file`` and ``sha256``.

    Raises
    ------
    SourceUnavailable
        If apt is not installed or cannot download it, or its content is not the pinned one.
    """
    target = deb_path(pin)
    by_hand = f"put {pin['file']} from https://packages.debian.org/{package} into {target.parent}"
    apt = shutil.which("apt-get")
    if apt is None and not target.exists():
        raise SourceUnavailable(f"{package} needs apt-get (Debian, Ubuntu), which is not installed: {by_hand}")
    name = f"{package}={pin['version']}"
    return fetched(
        target, name, pin["sha256"], [apt or "apt-get", "--quiet", "download", name], client="apt-get",
        fix=f"check the network or proxy, run `apt-get update` as root, or {by_hand}",
        registry="a mirror of https://deb.debian.org",
    )  # fmt: skip


def read_deb(archive: Path, wanted: Callable[[str], bool], *, skip_links: bool = False) -> dict[str, bytes]:
    """The plain files of a package whose paths (such as ``usr/share/x``) are `wanted`, read in memory.

    Links, devices and paths that lead out of the package are never followed or written: nothing is unpacked to disk.
    Symbolic links among the wanted are refused, or left out with `skip_links`.

    Raises
    ------
    ValueError
        If the file is no Debian package, is cut off, or a wanted member is no plain file of at most 256 MiB.
    """
    files: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(_data(archive)), mode="r:*") as content:
            for info in content:
                name = info.name.removeprefix("./")
                if not wanted(name) or (skip_links and info.issym()):
                    continue
                if not info.isreg() or info.size > MAX_MEMBER or ".." in Path(name).parts or name.startswith("/"):
                    raise ValueError(f"{archive.name}: {info.name} is no plain file of at most {MAX_MEMBER:,} bytes")
                stream = content.extractfile(info)
                assert stream is not None
                files[name] = stream.read()
    except (tarfile.TarError, EOFError, OSError) as error:
        raise ValueError(f"{archive.name} is no Debian package that can be read: {error}") from error
    return files


def _data(archive: Path) -> bytes:
    """The member ``data.tar.*`` of the `ar` archive that a package is."""
    with archive.open("rb") as file:
        if file.read(len(_MAGIC)) != _MAGIC:
            raise ValueError(f"{archive.name} is no Debian package: it does not begin as one")
        while len(header := file.read(_HEADER)) == _HEADER:
            name, size = header[:16].decode("ascii", "replace").strip().rstrip("/"), header[48:58].strip()
            if header[58:] != b"`\n" or not size.isdigit():
                raise ValueError(f"{archive.name} is no Debian package that can be read: a header in it is damaged")
            length = int(size)
            if length > archive.stat().st_size - file.tell():
                raise ValueError(f"{archive.name} is cut off: its member {name} says that it has {length:,} bytes")
            if name.startswith("data.tar"):
                return file.read(length)
            file.seek(length + length % 2, os.SEEK_CUR)
    raise ValueError(f"{archive.name} is no Debian package: it holds no data.tar")
