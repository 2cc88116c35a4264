"""`unseen curate`: what it asks for before any work."""

from __future__ import annotations

from pathlib import Path

import pytest

from unseen.cli.curate import curate


def links(folder: Path) -> Path:
    file = folder / "links.csv"
    file.write_text("url,text\nftp://x.org/a.jpg,a caption here\n")
    return file


def test_early_stages_need_no_threshold_and_the_last_one_does(tmp_path: Path) -> None:
    source = links(tmp_path)
    curate(source, out=tmp_path / "pairs", stages="parse,fetch")
    assert (tmp_path / "pairs" / "accounting.json").exists()
    for encoder in ("lite-clip", "open_clip:ViT-L-14/openai"):
        with pytest.raises(ValueError, match="say --target-keep"):
            curate(source, out=tmp_path / "other", encoder=encoder)
    with pytest.raises(ValueError, match="finite number"):
        curate(source, out=tmp_path / "other", threshold="nan")
    assert not (tmp_path / "other").exists()
