"""What loaders share: how a column is found, and a path that is missing asked about."""

from __future__ import annotations

from pathlib import Path

import pytest

from unseen.data.loaders.common import find_column, locate


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        ("body", "column 'body' is not there. The columns are: id, text"),
        ("txt", "column 'txt' is not there; did you mean 'text'? The columns are: id, text"),
    ],
)
def test_a_column_that_is_not_there_is_told_in_sentences(wanted: str, told: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        find_column(["id", "text"], wanted, "column")
    assert str(caught.value) == told


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("none", ""), ("phon", "phone"), ("Phone", "phone"), ("iphone", "phone"), ("fone", ""), ("voc", "voc_src"),
        ("street2", "street"), ("strets", "street"), ("zz", ""),
    ],
)  # fmt: skip
def test_a_path_that_is_missing_is_asked_about_only_where_another_is_near(tmp_path: Path, name: str, near: str) -> None:
    for there in ("phone", "voc_src", "street", "gym"):
        (tmp_path / there).mkdir()
    with pytest.raises(FileNotFoundError) as found:
        locate(tmp_path / name)
    assert str(found.value).partition("; did you mean ")[2] == (f"'{tmp_path / near}'?" if near else "")


def test_a_path_that_is_meant_is_said_from_where_the_missing_one_began(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data" / "phone").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    for wrong, meant in (("dta", "data"), ("data/phon/", "data/phone"), ("../" + tmp_path.name + "/dat", None)):
        with pytest.raises(FileNotFoundError) as found:
            locate(wrong)
        assert str(found.value).endswith(f"; did you mean {meant or '../' + tmp_path.name + '/data'!r}?")


def test_a_link_that_leads_to_itself_or_nowhere_is_told(tmp_path: Path) -> None:
    (tmp_path / "round").symlink_to(tmp_path / "back")
    (tmp_path / "back").symlink_to(tmp_path / "round")
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    for name in ("round", "gone"):
        with pytest.raises(FileNotFoundError, match=rf"{name}' is a link that leads to nothing$"):
            locate(tmp_path / name)
