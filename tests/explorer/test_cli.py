"""`unseen index` and `unseen explore` in this process: what they say where nothing, or less, is found."""

from __future__ import annotations

import errno
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

pytest.importorskip("faiss", reason="an index needs `pip install unseen[curate]`")

from unseen import encoders
from unseen.cli import app
from unseen.curation import Collection
from unseen.curation.columns import is_reordered, open_columns
from unseen.curation.index import open_index
from unseen.explorer.app import FOLDER
from unseen.report.pages import stylesheet

from .conftest import Colours, clustered


@pytest.fixture(autouse=True)
def named(monkeypatch: pytest.MonkeyPatch) -> None:
    def get(name: str, **more: Any) -> Any:
        found = Colours()
        if name == "another":
            found.fingerprint = "00" * 32  # type: ignore[misc]
        elif name not in ("colours", "same"):
            raise ValueError(f"no encoder {name!r}")
        return found

    monkeypatch.setattr(encoders, "get", get)


def run(*arguments: Any) -> Any:
    return CliRunner().invoke(app, [str(one) for one in arguments])


def test_what_is_left_out_is_said(colours_folder: Path) -> None:
    done = run("explore", colours_folder, "--query", "red", "--k", "60")
    assert done.exit_code == 0, done.output
    assert re.search(r"left out: .*6 unsafe ones", done.stderr)
    assert re.search(r"[0-9]+ near duplicates of what is shown", done.stderr)


def test_a_change_is_of_what_is_shown_and_read_by_the_model(
    colours_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from unseen.jobs.composed_retrieval.composer import Composer

    def found(*more: str) -> set[int]:
        done = run("explore", colours_folder, "--row", "3", "--k", "9", "--duplicates", "--json", *more)
        assert done.exit_code == 0, done.output
        return {hit["row"] % 3 for hit in json.loads(done.stdout)["hits"]}

    class Combiner:
        encoder = Colours()

        @staticmethod
        def of_one(x: Any, t: Any) -> Any:
            return t[[0, 2, 1, 3]]

    assert found() == {0}
    monkeypatch.setattr(Composer, "load", lambda folder: Combiner)
    assert found("--change", "green", "--model", "combiner") == {2}
    done = run("explore", colours_folder, "--change", "green")
    assert "--change says what is different of what --image" in str(done.exception)
    done = run("explore", colours_folder, "--row", "0", "--model", "combiner", "--encoder", "colours")
    assert "--encoder: the model has its own encoder" in str(done.exception)


def test_nothing_found_is_said(colours_folder: Path) -> None:
    for more, told in (
        (("--where", "language=xx"), "nothing was found: no pair passes --where"),
        (("--above", "1"), "nothing is as near as 1; lower --above"),
    ):
        done = run("explore", colours_folder, "--query", "red", *more)
        assert (done.exit_code, told in done.stderr) == (0, True), done.output
        assert done.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--image", "no/such.png"), "--image names a picture that cannot be read: no/such.png"),
        (("--query", "red", "--encoder", "another"), "find nothing that makes sense"),
        (("--query", "red", "--encoder", "unheard"), "no encoder 'unheard'"),
        (("--query", "red", "--k", "100000"), "k must lie in"),
    ],
)
def test_what_cannot_be_asked_is_one_sentence(colours_folder: Path, arguments: Any, told: str) -> None:
    done = run("explore", colours_folder, *arguments)
    assert done.exit_code != 0
    assert told in str(done.exception) + done.output


def test_an_encoder_of_another_name_is_known_by_its_fingerprint(colours_folder: Path) -> None:
    done = run("explore", colours_folder, "--query", "red", "--k", "1", "--encoder", "same", "--json")
    assert json.loads(done.stdout)["hits"][0]["text"].startswith("red")


def test_reorder_without_lists_is_refused_before_anything_is_built(colours_folder: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(colours_folder, data)
    shutil.rmtree(data / "index")
    done = run("index", data, "--side", "text", "--reorder")
    assert done.exit_code != 0
    assert "--reorder needs an index with lists; for 60 pairs it is Flat" in str(done.exception) + done.output
    assert not (data / "index").exists()
    wrong = run("index", data, "--encoder", "another")
    assert "find nothing that makes sense" in str(wrong.exception) + wrong.output


def test_added_shards_are_reordered_as_the_others_were(tmp_path: Path) -> None:
    data = tmp_path / "data"
    clustered(data, 18_000, 8, 3)
    last = data / "shards" / "00002"
    last.rename(tmp_path / "later")
    done = run("index", data, "--memory-mapped", "--memory", "2MB", "--reorder")
    assert done.exit_code == 0, done.output
    assert is_reordered(Collection.open(data))
    (tmp_path / "later").rename(last)
    done = run("index", data, "--add")
    assert done.exit_code == 0, done.output
    collection = Collection.open(data)
    assert is_reordered(collection)
    columns = open_columns(collection)
    assert [row["text"] for row in columns.take([0, 17_999])] == ["row 0", "row 17999"]
    assert columns.rank is not None
    assert (columns.rank == open_index(collection).ranks()).all()


def luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_what_has_to_be_seen_stands_out_from_its_ground() -> None:
    themes = [[], []]
    for style in (stylesheet(), (FOLDER / "page.css").read_text()):
        for theme, block in zip(themes, re.findall(r":root \{(.*?)\}", style, re.DOTALL)):
            theme += re.findall(r"--([\w-]+): (#[0-9a-f]{3,6})", block)
    for theme in themes:
        colours = {name: value if len(value) == 7 else "#" + "".join(2 * c for c in value[1:]) for name, value in theme}
        for front, grounds, least in (
            ("ink", ("page", "card", "field", "notice"), 7),
            ("quiet", ("page", "card"), 4.5),
            ("wrong", ("page",), 4.5),
            ("page", ("chosen",), 4.5),
            ("chance", ("page", "card", "field"), 3),
            ("chosen", ("page", "card"), 3),
        ):
            for ground in grounds:
                light, dark = sorted((luminance(colours[front]), luminance(colours[ground])), reverse=True)
                assert (light + 0.05) / (dark + 0.05) >= least, (front, ground)


def test_a_full_disk_is_one_sentence_while_an_index_is_built(
    colours_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    folder = tmp_path / "pairs"
    shutil.copytree(colours_folder, folder, ignore=shutil.ignore_patterns("index"))
    monkeypatch.setattr("unseen.curation.index.build_index", full)
    done = run("explore", folder, "--build", "--query", "red")
    assert done.exit_code == 1
    assert "the disk is full, so the index of images could not be written" in str(done.exception) + done.output


def test_a_query_without_words_is_an_error(colours_folder: Path) -> None:
    done = run("explore", colours_folder, "--query", "  ")
    assert done.exit_code == 1
    assert "--query must hold words" in str(done.exception) + done.output


def test_what_is_tagged_is_printed_and_exported(colours_folder: Path, tmp_path: Path) -> None:
    from unseen.curation.tags import Tags

    data = tmp_path / "data"
    shutil.copytree(colours_folder, data)
    collection = Collection.open(data)
    Tags(collection, open_columns(collection)).add("sharp", [4, 5, 7])
    done = run("explore", data, "--tag", "sharp", "--where", "language=de")
    assert done.exit_code == 0, done.output
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["4", "7"]
    assert "2 pairs pass" in done.stderr
    told = json.loads(run("explore", data, "--tag", "sharp", "--k", "1", "--json").stdout)
    assert (told["allowed"], [row["row"] for row in told["rows"]]) == (3, [4])
    done = run("explore", data, "--tag", "sharp", "--export", tmp_path / "sharp.csv")
    assert done.exit_code == 0, done.output
    assert len((tmp_path / "sharp.csv").read_text().splitlines()) == 4
    hits = json.loads(run("explore", data, "--query", "green", "--tag", "sharp", "--duplicates", "--json").stdout)[
        "hits"
    ]
    assert {hit["row"] for hit in hits} == {4, 5, 7}
    for wrong, told in (
        (("--tag", "none such"), "no pair is tagged 'none such'; there are: sharp"),
        (("--where", "language=xx", "--export", tmp_path / "a.csv"), "no pair passes, so nothing is written"),
        (("--export", tmp_path / "a.csv"), "name what to look for"),
    ):
        refused = run("explore", data, *wrong)
        assert refused.exit_code == 1
        assert told in str(refused.exception) + refused.output
