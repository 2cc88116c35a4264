"""`unseen curate`: what it asks for before any work."""

from __future__ import annotations

from pathlib import Path

import pytest

from unseen.cli.curate import curate


def links(folder: Path) -> Path:
    file = folder / "links.csv"
    file.write_text("url,text\nftp://x.org/a.jpg,a caption here\n")
    return file


def test_early_stages_run_alone_and_a_wrong_threshold_is_refused_before_work(tmp_path: Path) -> None:
    source = links(tmp_path)
    curate(source, out=tmp_path / "pairs", stages="parse,fetch")
    assert (tmp_path / "pairs" / "accounting.json").exists()
    with pytest.raises(ValueError, match="finite number"):
        curate(source, out=tmp_path / "other", threshold="nan")
    assert not (tmp_path / "other").exists()
