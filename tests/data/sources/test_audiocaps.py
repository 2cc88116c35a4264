"""AudioCaps' captions are read from a folder of the user's, and what is not there is told with its terms."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from unseen.data import sources
from unseen.data.sources import SourceUnavailable
from unseen.data.sources.audiocaps import COLUMNS, audiocaps, audiocaps_folder


def write(folder: Path, rows: list[tuple[str, str, str, str]], split: str = "val") -> Path:
    folder.mkdir(exist_ok=True)
    pd.DataFrame(rows, columns=list(COLUMNS)).to_csv(folder / f"{split}.csv", index=False)
    return folder


ROWS = [
    ("7", "NA", "30", "A dog  barks"),
    ("8", "NA", "30", "A dog is heard, far"),
    ("9", "x-1", "0", "Rain falls"),
]


def test_captions_are_read_from_a_folder_with_the_sound_of_each(tmp_path: Path) -> None:
    found = audiocaps("val", write(tmp_path / "own", ROWS))
    assert found.x.tolist() == ["A dog barks", "A dog is heard, far", "Rain falls"]
    assert found.columns["clip"].tolist() == ["NA 30", "NA 30", "x-1 0"]
    assert found.ids is not None
    assert found.ids.tolist() == ["audiocaps/7", "audiocaps/8", "audiocaps/9"]
    assert "academic purposes only" in found.credits[0]


def test_the_folder_is_named_by_the_environment_and_a_changed_file_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNSEEN_DATA", str(tmp_path))
    assert audiocaps_folder() == tmp_path / "audiocaps"
    write(tmp_path / "audiocaps", ROWS)
    assert len(audiocaps("val")) == 3
    write(tmp_path / "audiocaps", ROWS[:2])
    assert len(audiocaps("val")) == 2


def test_where_they_are_not_the_error_says_where_to_get_them_and_under_which_terms(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNSEEN_DATA", str(tmp_path))
    with pytest.raises(SourceUnavailable, match=r"github\.com/cdjkim/audiocaps.*UNSEEN_DATA.*academic purposes only"):
        audiocaps("train")
    with pytest.raises(ValueError, match="split must be train, val or test"):
        audiocaps("dev")  # type: ignore[arg-type]


def test_a_file_of_other_columns_or_without_a_caption_is_named(tmp_path: Path) -> None:
    (tmp_path / "val.csv").write_text("caption\na\n")
    with pytest.raises(ValueError, match="it lacks audiocap_id, youtube_id, start_time"):
        audiocaps("val", tmp_path)
    write(tmp_path, [*ROWS, ("10", "y", "0", " ")])
    with pytest.raises(ValueError, match="1 of 4 are empty"):
        audiocaps("val", tmp_path)
    (tmp_path / "val.csv").write_bytes(b"\xff\xfe\x00caption")
    with pytest.raises(ValueError, match=r"val\.csv"):
        audiocaps("val", tmp_path)


def test_no_caption_of_audiocaps_is_in_the_package() -> None:
    assert [file.name for file in (Path(sources.__file__).parent / "sounds").iterdir()] == ["events.json"]
