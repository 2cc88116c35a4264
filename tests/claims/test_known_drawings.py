"""Drawings that are known by their causes are not drawn again, and what draws otherwise than it did is noticed."""

import json
from pathlib import Path

import numpy as np
import pytest

from unseen.claims import known_drawings
from unseen.data.domain import Domain
from unseen.data.sources import draw
from unseen.data.sources.undrawn import SAMPLE, Drawings, undrawn

ICONS = {f"1F{i:03d}": f"square-{i}" for i in range(20)}


def square(name: str) -> str:
    side = 1 + int(name.rpartition("-")[2]) % 15
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><rect width="{side}" height="3"/></svg>'


def domain(folder: Path, size: int = 16) -> Domain:
    pictures = Drawings(folder, size, ICONS, square).pictures()
    return Domain(x=pictures, y=np.arange(20) % 2, kind="image", ids=np.array(list(ICONS)))


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A list of what one domain is drawn from, and of what came out."""
    file = tmp_path / "known.json"
    monkeypatch.setattr(known_drawings, "FILE", file)
    monkeypatch.setattr(known_drawings, "_read_by_stamps", lambda: iter([domain(tmp_path / "recorded")]))
    known_drawings.record(file)
    return file


def drawn_in(folder: Path) -> int:
    return len(list(folder.glob("*.png")))


def test_what_is_known_is_told_without_drawing_it(table: Path, tmp_path: Path) -> None:
    there = domain(tmp_path / "recorded").fingerprint(labels=True)
    with undrawn():
        assert known_drawings.fingerprint(domain(tmp_path / "new")) == there
    assert drawn_in(tmp_path / "new") == 0
    assert len(json.loads(table.read_text())["samples"]) == SAMPLE


def test_where_drawings_are_not_put_off_all_are_drawn(table: Path, tmp_path: Path) -> None:
    there = domain(tmp_path / "recorded").fingerprint(labels=True)
    assert known_drawings.fingerprint(domain(tmp_path / "new")) == there
    assert drawn_in(tmp_path / "new") == len(ICONS)


def test_what_is_drawn_is_read_and_not_told(table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with undrawn():
        other = domain(tmp_path / "new")
        other.digests()
        (tmp_path / "new" / "1F000.png").write_bytes((tmp_path / "new" / "1F001.png").read_bytes())
        assert known_drawings.fingerprint(other) != domain(tmp_path / "recorded").fingerprint(labels=True)


@pytest.mark.parametrize("changed", ["background", "library"])
def test_drawing_code_that_draws_otherwise_is_noticed(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed: str, caplog: pytest.LogCaptureFixture
) -> None:
    there = domain(tmp_path / "recorded").fingerprint(labels=True)
    as_it_was = draw.draw
    other = {
        "background": lambda svg, size: as_it_was(svg.replace("<rect", '<rect fill="red"'), size),
        "library": lambda svg, size: as_it_was(svg, size) + b"\0",
    }[changed]
    monkeypatch.setattr(draw, "draw", other)
    with undrawn():
        assert known_drawings.fingerprint(domain(tmp_path / "new")) != there
    assert drawn_in(tmp_path / "new") == len(ICONS)
    assert "not what they were" in caplog.text


def test_another_size_or_drawing_or_label_is_not_known(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = domain(tmp_path / "recorded").fingerprint(labels=True)
    with undrawn():
        assert known_drawings.fingerprint(domain(tmp_path / "larger", 17)) != there
        labelled = domain(tmp_path / "labels")
        assert known_drawings.fingerprint(labelled.with_labels(1 - labelled.labels)) != there
        svg = {"square-3": square("square-4")}
        pictures = Drawings(tmp_path / "svg", 16, ICONS, lambda name: svg.get(name, square(name))).pictures()
        assert known_drawings.fingerprint(labelled.replace(x=pictures)) != there
    assert {drawn_in(tmp_path / name) for name in ("larger", "labels", "svg")} == {len(ICONS)}
