"""Debian's package index as a graph: what packages say, what they depend on, and the sections that they stand in."""

from __future__ import annotations

import functools
import gzip
import json
import lzma
import re
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from unseen.data.classes import ClassSpace
from unseen.data.sources.downloads import SourceUnavailable
from unseen.data.text_graphs import TextAttributedGraph
from unseen.runtime import cache_folder, replacing

CREDIT = "Debian's package index: package metadata, by the Debian project and the packages' maintainers"
MIRROR = "https://deb.debian.org/debian/dists/stable/main/binary-{}/Packages.xz"
ARCHITECTURES = ("amd64",)
"""Of the mirror: an index of one architecture names the packages of all, too."""
LARGEST = 2**28
"""Bytes of an index, packed or unpacked."""
FEWEST = 1000
"""Packages below which an index of apt is that of no archive."""
HUB = 200
"""Packages on which more others depend than this say nothing of what depends on them, such as the C library."""
_FIELDS = ("Package", "Section", "Description", "Depends", "Recommends")


class Package(NamedTuple):
    """A row of the index."""

    name: str
    section: str
    text: str
    needs: tuple[str, ...]


@functools.cache
def package_index() -> tuple[Package, ...]:
    """All packages of the index, by name: kept from an earlier call, else of apt's lists, else of Debian's mirror.

    The first that is had is kept in the cache (`debian/packages.jsonl.gz`), so that later calls read the same rows;
    removing the file reads it anew.

    Raises
    ------
    SourceUnavailable
        If there is neither.
    """
    kept = cache_folder() / "debian" / "packages.jsonl.gz"
    if kept.exists():
        try:
            with gzip.open(kept, "rt", encoding="utf-8") as file:
                return tuple(
                    Package(name, section, text, tuple(needs)) for name, section, text, needs in map(json.loads, file)
                )
        except (OSError, EOFError, ValueError, TypeError, IndexError) as error:
            raise SourceUnavailable(f"{kept} is damaged ({error}): remove it and try again") from error
    rows = sorted({row.name: row for row in _rows()}.values())
    kept.parent.mkdir(parents=True, exist_ok=True)
    with replacing(kept) as part, part.open("wb") as raw, gzip.GzipFile(fileobj=raw, mode="wb", mtime=0) as file:
        file.writelines(f"{json.dumps(row)}\n".encode() for row in rows)
    return tuple(rows)


def package_graph(sections: Iterable[str] | None = None, *, hub: int = HUB) -> TextAttributedGraph:
    """Packages as nodes: their descriptions as texts, what they depend on or recommend as edges, sections as labels.

    Parameters
    ----------
    sections : strings, optional
        Which sections count as classes, in that order. The graph has all packages; those of other sections carry no
        label. All sections, sorted, if absent.
    hub : int, >= 1
        An edge to a package on which more than so many others depend is left out.

    Raises
    ------
    SourceUnavailable
        If the index cannot be had here.
    ValueError
        If there is no such section, or `hub` is less than 1.
    """
    if hub < 1:
        raise ValueError(f"hub must be at least 1; got {hub!r}")
    rows = package_index()
    there = sorted({row.section for row in rows} - {""})
    names = there if sections is None else list(dict.fromkeys(sections))
    strange = [name for name in names if name not in there]
    if strange or not names:
        raise ValueError(f"sections must be some of {', '.join(there)}; got {', '.join(strange) or 'none'}")
    place = {row.name: i for i, row in enumerate(rows)}
    needs = [(i, place[other]) for i, row in enumerate(rows) for other in row.needs if other in place]
    pairs = np.array([pair for pair in needs if pair[0] != pair[1]], dtype=np.int64).reshape(-1, 2)
    pairs = np.unique(pairs, axis=0)
    dependents = np.bincount(pairs[:, 1], minlength=len(rows)) if len(pairs) else np.zeros(len(rows), dtype=np.int64)
    number = {name: i for i, name in enumerate(names)}
    return TextAttributedGraph(
        texts=np.array([row.text for row in rows]), names=np.array([row.name for row in rows]),
        edges=pairs[dependents[pairs[:, 1]] <= hub], labels=np.array([number.get(row.section, -1) for row in rows]),
        classes=ClassSpace(names=tuple(names)), name="packages", credits=(CREDIT,),
    )  # fmt: skip


def _rows() -> Iterator[Package]:
    """Rows of apt's lists where there are some, else of the mirror."""
    apt = shutil.which("apt-cache")
    if apt is not None:
        done = subprocess.run([apt, "dumpavail"], capture_output=True, check=False, timeout=120)  # noqa: S603
        rows = list(read_index(done.stdout.decode("utf-8", "replace"))) if done.returncode == 0 else []
        if len(rows) >= FEWEST:
            return iter(rows)
    return (row for architecture in ARCHITECTURES for row in read_index(_fetched(MIRROR.format(architecture))))


def _fetched(address: str) -> str:
    fix = "run `apt-get update` as root on a Debian machine, or check the network or proxy"
    try:
        with urllib.request.urlopen(address, timeout=60) as answer:  # noqa: S310 - a fixed https address
            packed = answer.read(LARGEST + 1)
    except (urllib.error.URLError, OSError) as error:
        raise SourceUnavailable(
            f"Debian's package index is neither with apt nor at {address} ({error}): {fix}"
        ) from error
    try:
        plain = lzma.LZMADecompressor(memlimit=LARGEST).decompress(packed, max_length=LARGEST + 1)
    except lzma.LZMAError as error:
        raise SourceUnavailable(f"what {address} gave cannot be unpacked ({error}): {fix}") from error
    if len(packed) > LARGEST or len(plain) > LARGEST:
        raise SourceUnavailable(f"what {address} gave is larger than {LARGEST:,} bytes: {fix}")
    return plain.decode("utf-8", "replace")


def read_index(text: str) -> Iterator[Package]:
    """The packages of an index in Debian's format, those with a name and a description."""
    for block in text.split("\n\n"):
        fields: dict[str, str] = {}
        for line in block.splitlines():
            key, colon, value = line.partition(":")
            if colon and key in _FIELDS and not line[:1].isspace():
                fields[key] = value.strip()
        if fields.get("Package") and fields.get("Description"):
            section = fields.get("Section", "").rpartition("/")[2]
            text_ = f"{fields['Package']}: {fields['Description']}"
            yield Package(
                fields["Package"], section, text_, _needs(fields.get("Depends", ""), fields.get("Recommends", ""))
            )


def _needs(*fields: str) -> tuple[str, ...]:
    """Names in a relation, the first of alternatives, without versions and architectures."""
    parts = [part.partition("|")[0] for field in fields for part in field.split(",")]
    names = [re.split(r"[\s(:\[]", part.strip(), maxsplit=1)[0] for part in parts if part.strip()]
    return tuple(dict.fromkeys(name for name in names if name))
