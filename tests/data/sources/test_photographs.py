"""Photographs of packages."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest

from unseen.data.sources.downloads import SourceUnavailable
from unseen.data.sources.photographs import photographs

source: Any = importlib.import_module("unseen.data.sources.photographs")


def test_photographs_of_wheels_are_made_smaller_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("skimage", reason='needs pip install "unseen[photos]"')
    monkeypatch.setenv("UNSEEN_CACHE", str(tmp_path))
    found = photographs("shipped", longest=96)
    assert len(found) == 7
    assert all(max(picture.size) <= 96 for picture in found.x)
    assert found.y is None
    monkeypatch.setattr(source, "_shipped", dict)
    assert photographs("shipped", longest=96).ids.tolist() == found.ids.tolist()


def test_what_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNSEEN_CACHE", str(tmp_path))
    with pytest.raises(ValueError, match="name must be one of mate"):
        photographs("flickr")
    with pytest.raises(ValueError, match="longest must lie in"):
        photographs("shipped", longest=8)
    monkeypatch.setattr(source.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SourceUnavailable, match="comes with sklearn"):
        photographs("shipped", longest=64)


def test_each_set_has_a_pin_or_is_shipped_and_a_credit() -> None:
    assert set(source._pins()) == set(source.SETS)
    for pin in source._pins().values():
        assert pin["credit"]
        assert "package" not in pin or len(pin["sha256"]) == 64
