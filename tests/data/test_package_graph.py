"""Debian's package index as a graph: what is read of it, and that its absence is named."""

from __future__ import annotations

import io
import lzma
import shutil
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from unseen.data.sources import packages
from unseen.data.sources.downloads import SourceUnavailable
from unseen.data.taxonomies import noun_graph
from unseen.data.taxonomies.wordnet import FIELDS

INDEX = """Package: chess
Section: games
Depends: libc6 (>= 2.3), board:any | other-board
Recommends: clock
Description: a chess engine
 more of it

Package: board
Section: non-free/graphics
Description: draws a board
Depends: libc6

Package: libc6
Section: libs
Description: the C library

Package: nameless
Section: games
"""


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNSEEN_CACHE", str(tmp_path))
    monkeypatch.setattr(shutil, "which", lambda name: None)
    packages.package_index.cache_clear()
    yield
    packages.package_index.cache_clear()


def answer(content: bytes) -> Any:
    return lambda address, timeout: io.BytesIO(content)


def test_an_index_is_read_by_fields() -> None:
    rows = list(packages.read_index(INDEX))
    assert [row.name for row in rows] == ["chess", "board", "libc6"]
    assert rows[0] == packages.Package("chess", "games", "chess: a chess engine", ("libc6", "board", "clock"))
    assert rows[1].section == "graphics"


def test_packages_make_a_graph_without_the_edges_of_hubs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(urllib.request, "urlopen", answer(lzma.compress(INDEX.encode())))
    graph = packages.package_graph(["games", "graphics"], hub=1)
    assert graph.names.tolist() == ["board", "chess", "libc6"]
    assert graph.edges.tolist() == [[0, 1]]  # two packages need libc6
    assert graph.labels is not None
    assert graph.labels.tolist() == [1, 0, -1]
    assert len(packages.package_graph().edges) == 3
    assert (tmp_path / "debian/packages.jsonl.gz").exists()
    packages.package_index.cache_clear()
    monkeypatch.setattr(urllib.request, "urlopen", answer(b"nothing"))
    assert len(packages.package_graph()) == 3  # of the cache


def test_where_it_cannot_be_had_its_absence_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fails(address: str, timeout: float) -> None:
        raise urllib.error.URLError("no route")

    monkeypatch.setattr(urllib.request, "urlopen", fails)
    with pytest.raises(SourceUnavailable, match="neither with apt nor at https://deb"):
        packages.package_graph()
    monkeypatch.setattr(urllib.request, "urlopen", answer(b"no archive"))
    with pytest.raises(SourceUnavailable, match="cannot be unpacked"):
        packages.package_graph()
    (tmp_path / "debian").mkdir()
    (tmp_path / "debian/packages.jsonl.gz").write_bytes(b"damaged")
    with pytest.raises(SourceUnavailable, match="is damaged"):
        packages.package_graph()


def test_a_section_that_is_none_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(urllib.request, "urlopen", answer(lzma.compress(INDEX.encode())))
    with pytest.raises(ValueError, match="sections must be some of games, graphics, libs; got gams"):
        packages.package_graph(["gams"])
    with pytest.raises(ValueError, match="hub must be at least 1"):
        packages.package_graph(hub=0)


def test_nouns_make_a_graph_of_glosses(tmp_path: Path) -> None:
    (tmp_path / "data.noun").write_text(
        "  1 licence\n"
        "00000001 05 n 01 animal 0 000 | a living being\n"
        '00000002 05 n 02 dog 0 hound 0 002 @ 00000001 n 0000 + 00000009 v 0101 | it barks; "a dog"\n'
    )
    (tmp_path / "index.noun").write_text("  1 licence\n")
    graph = noun_graph(tmp_path)
    assert graph.texts.tolist() == ["animal: a living being", 'dog, hound: it barks; "a dog"']
    assert graph.edges.tolist() == [[0, 1]]
    assert graph.labels is not None
    assert FIELDS[graph.labels[1]] == "animal"
    (tmp_path / "data.noun").write_text("00000001 99 n 01 animal 0 000 | a\n")
    with pytest.raises(ValueError, match="not in the format of WordNet"):
        noun_graph(tmp_path)
