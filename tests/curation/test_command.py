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


def test_files_of_something_else_are_not_written_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, out = links(tmp_path), tmp_path / "run"
    out.mkdir()
    (out / "report.html").write_text("of a run of compare")
    monkeypatch.setattr("unseen.encoders.get", lambda *_, **__: pytest.fail("an encoder was loaded first"))
    for stages in ("parse,fetch", "parse,fetch,embed"):
        with pytest.raises(
            FileExistsError, match=r"run holds other files, such as 'report\.html', which would be lost"
        ):
            curate(source, out=out, stages=stages)
    assert [file.name for file in out.iterdir()] == ["report.html"]
    (out / "report.html").rename(out / "notes.txt")
    curate(source, out=out, stages="parse,fetch")  # nothing is lost, and a run that was begun goes on
    curate(source, out=out, stages="parse,fetch")
    assert (out / "notes.txt").read_text() == "of a run of compare"
    assert "of a run of compare" not in (out / "report.html").read_text()
