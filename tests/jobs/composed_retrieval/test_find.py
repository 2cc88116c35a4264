"""`unseen find` and `unseen compose`: on small towers, and through a real process."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import typer.testing
from PIL import Image

import processes
from unseen import encoders
from unseen.cli import app
from unseen.data.domain import Domain
from unseen.data.pairs import Pairs
from unseen.data.sounds import Sound
from unseen.encoders.towers import save_towers
from unseen.jobs.composed_retrieval.composer import Composer
from unseen.jobs.composed_retrieval.job import Bench, _weak, compose, composers, find, nearest
from unseen.jobs.composed_retrieval.page import lines
from unseen.methods.base import Card
from unseen.methods.query_composers import QueryComposer, Question
from unseen.methods.tower_shrinkers import towers_of_a_moment

COLOURS = {"red": (220, 30, 30), "blue": (30, 40, 220), "green": (20, 160, 60)}
SHAPES = ("square", "bar", "dot")
PREPROCESS = {"size": [16, 16], "crop": 1.0, "mode": "squash", "mean": [0.5] * 3, "std": [0.25] * 3}
QUICK: dict[str, Any] = {"triplets": 40, "epochs": 2, "batch_size": 8, "project": 8, "hidden": 8}


@pytest.fixture
def encoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Towers of the house, with caches of their own."""
    monkeypatch.setenv("UNSEEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("UNSEEN_DATA", str(tmp_path / "data"))
    save_towers(tmp_path / "towers", towers_of_a_moment(16), PREPROCESS, "name")
    return f"towers:{tmp_path / 'towers'}"


def pictures(where: Path, n: int = 60) -> Path:
    """Shapes on colours with captions, as a table; the pictures stand in a folder of their own."""
    (where / "photos").mkdir()
    rows = ["image,caption,shape,colour"]
    for i in range(n):
        shape, (name, colour) = SHAPES[i % 3], list(COLOURS.items())[i // 3 % 3]
        array = np.full((16, 16, 3), colour, dtype=np.uint8)
        size = {"square": (8, 8), "bar": (2, 14), "dot": (3, 3)}[shape]
        array[1 : 1 + size[0], 1 : 1 + size[1]] = 255 - i % 7
        Image.fromarray(array).save(where / "photos" / f"{i:02d}.png")
        rows.append(f"photos/{i:02d}.png,a {shape} on {name},{shape},{name}")
    (where / "captions.csv").write_text("\n".join(rows))
    return where / "captions.csv"


def test_a_combiner_is_learnt_saved_and_asked(encoder: str, tmp_path: Path) -> None:
    table = pictures(tmp_path)
    about = compose(table, out=tmp_path / "composer", encoder=encoder, settings=QUICK)
    assert about["subjects"] == 3
    assert about["relations"] == 60
    assert set(about["recall"]) == {"combiner", "sum", "image", "text", "chance"}
    assert about["recall"]["sum"] >= max(about["recall"]["image"], about["recall"]["text"]) - 1e-9
    assert 0 <= about["share"] <= 1
    composer = Composer.load(tmp_path / "composer")
    assert composer.modes[0] == "combiner"
    assert composer.share == about["share"]
    photo = tmp_path / "photos" / "00.png"
    found, told = find(tmp_path / "photos", image=photo, text="on blue", model=tmp_path / "composer", top=5)
    assert len(found) == 5
    assert told["mode"] == "combiner"
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
    q = composer.vectors([Image.open(photo)], ["on blue"])
    x = composer.encoder.encode_image([Image.open(tmp_path / "photos" / f"{one.place:02d}.png") for one in found])
    np.testing.assert_allclose([one.score for one in found], x @ q[0], atol=1e-5)
    assert any("recall@1" in line for line in lines(about))


def test_without_a_model_picture_and_text_are_added_and_each_can_ask_alone(encoder: str, tmp_path: Path) -> None:
    pictures(tmp_path)
    photo, collection = tmp_path / "photos" / "04.png", tmp_path / "photos"
    alone, told = find(collection, image=photo, encoder=encoder, top=3)
    assert told["mode"] == "image"
    assert alone[0].place in {i for i in range(60) if i % 3 == 1 and i // 3 % 3 == 1} - {4}
    assert "the picture itself is left out" in told["notes"][0]
    said, told = find(collection, text="on blue", encoder=encoder, top=3)
    assert told["mode"] == "text"
    both, told = find(collection, image=photo, text="on blue", encoder=encoder, top=60)
    assert told["mode"] == "sum"
    whole, _ = find(collection, image=photo, text="on blue", encoder=encoder, share=1.0, top=3)
    assert [one.place for one in whole] == [one.place for one in said]
    made: Any = encoders.get(encoder)
    x, t = made.encode_image([Image.open(photo)])[0], made.encode_text(["on blue"])[0]
    q = (x + t) / np.linalg.norm(x + t)
    first = made.encode_image([Image.open(collection / f"{both[0].place:02d}.png")])[0]
    assert both[0].score == pytest.approx(float(q @ first), abs=1e-5)


def test_a_text_beyond_the_context_is_told_where_it_asks_and_where_it_teaches(encoder: str, tmp_path: Path) -> None:
    table = pictures(tmp_path)
    long = "on a wide and even ground of one colour"
    _, told = find(tmp_path / "photos", text=long, encoder=encoder, top=3)
    assert "the text is longer than the context of towers:towers; what is behind is not read" in told["notes"]
    _, told = find(tmp_path / "photos", image=tmp_path / "photos" / "04.png", text=long, encoder=encoder, mode="image")
    assert not any("context" in note for note in told["notes"]), "a text that nobody reads is not cut"
    table.write_text(table.read_text().replace("on green", f"on {'g' * 40}"))
    settings = {**QUICK, "held_out": 0.5}
    about = compose(table, out=tmp_path / "composer", encoder=encoder, settings=settings)
    (note,) = about["notes"]
    assert note.startswith("1 of 3 texts that ask are longer than the context of towers:")
    assert note in lines(about)
    assert note[1:] in (tmp_path / "composer" / "report.html").read_text()


def test_an_empty_condition_asks_for_the_picture_alone_and_neither_asks_for_nothing(
    encoder: str, tmp_path: Path
) -> None:
    pictures(tmp_path)
    photo = tmp_path / "photos" / "04.png"
    blank, about = find(tmp_path / "photos", image=photo, text="  ", encoder=encoder)
    assert "text is blank: the picture alone asks" in about["notes"]
    plain, _ = find(tmp_path / "photos", image=photo, encoder=encoder, mode="image")
    assert [one.place for one in blank] == [one.place for one in plain]
    composer = Composer(encoders.get(encoder))
    np.testing.assert_allclose(composer.vectors([Image.open(photo)], [""], "sum"),
                               composer.vectors([Image.open(photo)], [""], "image"), atol=1e-6)  # fmt: skip
    for change, told in (
        ({}, "got neither"),
        ({"text": "on blue", "mode": "image"}, "needs an image"),
        ({"image": photo, "mode": "text"}, "mode 'text' needs a text"),
        ({"image": photo, "mode": "sum", "text": " "}, "mode 'sum' needs a text"),
        ({"image": tmp_path / "none.png"}, "there is no file"),
        ({"image": tmp_path / "captions.csv"}, "cannot be read"),
        ({"image": photo, "text": "on blue", "mode": "combiner"}, "mode must be one of"),
        ({"image": photo, "top": 0}, "top must be at least 1"),
        ({"image": photo, "text": "on blue", "share": 2.0}, "share must lie"),
        ({"image": photo, "model": tmp_path, "encoder": None}, "not written by"),
        ({"image": photo, "model": tmp_path}, "name one of the two"),
        ({"text": "on blue", "mode": "foo"}, "mode must be one of"),
        ({"text": "on blue", "mode": "combiner"}, "mode must be one of"),
    ):
        with pytest.raises(ValueError, match=told):
            find(tmp_path / "photos", **{"encoder": encoder, **change})


def test_the_picture_that_asks_is_no_answer_of_an_index(
    encoder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures(tmp_path)
    files = sorted((tmp_path / "photos").iterdir())
    made: Any = encoders.get(encoder)
    x = made.encode_image([Image.open(file) for file in files]).astype(np.float16).astype(np.float32)
    (tmp_path / "curated" / "index").mkdir(parents=True)
    seen = []

    class Service:
        """A collection of `unseen curate`, whose vectors are kept in half precision."""

        indices: Any = {"image": SimpleNamespace(vectors=SimpleNamespace(take=lambda rows: x[rows]))}

        def __len__(self) -> int:
            return len(x)

        def search(self, query: Any) -> Any:
            seen.append(query)
            scores = x @ query.terms[0].value
            rows = np.argsort(-scores)[: query.k].tolist()
            hits = [
                SimpleNamespace(row=row, similarity=scores[row], columns={"uid": f"u{row}", "url": f"p/{row}.png"})
                for row in rows
            ]
            return SimpleNamespace(hits=hits, rows=rows, seconds=0.0)

    monkeypatch.setattr("unseen.curation.retrieval.RetrievalService.open", lambda *args, **kwargs: Service())
    found, told = find(tmp_path / "curated", image=files[4], encoder=encoder, top=5)
    assert len(found) == 5
    assert 4 not in [one.place for one in found]
    assert "the picture itself is left out" in told["notes"][0]
    assert not seen[0].deduplicate
    said, _ = find(tmp_path / "curated", text="on blue", encoder=encoder, top=5)
    assert len(said) == 5
    assert not seen[1].deduplicate
    assert said[0].url == f"p/{said[0].place}.png"


def test_a_benchmark_is_built_from_a_table_and_every_way_is_compared(encoder: str, tmp_path: Path) -> None:
    table = pictures(tmp_path, 90)
    bench = Bench(table, "shape", ("colour",), words={"colour": "on"}, n=20, gallery=6)
    about = compose(table, out=tmp_path / "composer", encoder=encoder, settings=QUICK, bench=bench)
    assert set(about["bench"]) == {"combiner", "sum", "image", "text"}
    for way in about["bench"].values():
        assert set(way["kinds"]) == {"change-attribute"}  # which attribute counts is no question where there is one
        assert way["kinds"]["change-attribute"]["chance"] == pytest.approx(1 / 6)
    page = (tmp_path / "composer" / "report.html").read_text()
    assert "change-attribute" in page
    said: list[str] = []
    with pytest.raises(ValueError, match="no column 'size'"):
        compose(
            table, out=tmp_path / "c", encoder=encoder, settings=QUICK, bench=Bench(table, "size", ("colour",)),
            say=said.append,
        )  # fmt: skip
    assert said == []  # before anything is encoded or learnt
    assert not (tmp_path / "c").exists()


def test_ratings_leave_abstract_captions_out_and_what_they_lack_is_named(encoder: str, tmp_path: Path) -> None:
    table = pictures(tmp_path)
    words = [*SHAPES, *COLOURS]
    (tmp_path / "ratings.csv").write_text("word,concreteness\n" + "\n".join(f"{word},5" for word in words))
    about = compose(table, out=tmp_path / "a", encoder=encoder, settings=QUICK, concreteness=tmp_path / "ratings.csv")
    assert about["subjects"] == 3
    (tmp_path / "ratings.csv").write_text("word,concreteness\n" + "\n".join(f"{word},2" for word in words))
    with pytest.raises(ValueError, match="concreteness must exceed"):
        compose(table, out=tmp_path / "b", encoder=encoder, settings=QUICK, concreteness=tmp_path / "ratings.csv")
    (tmp_path / "ratings.csv").write_text("noun,rating\ndog,5")
    with pytest.raises(ValueError, match="no column 'word'"):
        compose(table, out=tmp_path / "b", encoder=encoder, settings=QUICK, concreteness=tmp_path / "ratings.csv")
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"preset": "fast"}, "preset must be one of features; got 'fast'"),
        ({"preset": "default"}, "preset must be one of features"),
        ({"settings": {**QUICK, "held_out": 0.0}}, "held_out must be above 0"),
        ({"settings": {"colour": 1}}, "no parameter 'colour'"),
        ({"settings": {"scope": "whole"}}, "the towers rest"),
        ({"encoder": "minilm"}, "one tower"),
        ({"text": "shape"}, "no caption has two nouns"),
    ],
)
def test_what_cannot_be_composed_is_named(encoder: str, tmp_path: Path, change: Any, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        compose(pictures(tmp_path), out=tmp_path / "c", **{"encoder": encoder, "settings": QUICK, **change})
    assert not (tmp_path / "c").exists()


class Halves(QueryComposer):
    """Another package's method: half the picture, half the text."""

    card = Card(
        slug="halves", title="Halves", venue="", summary="Add both.", unseen={"data"}, modalities={"features"},
        protocols={"composed"},
    )  # fmt: skip

    def fit(self, *, pairs: Pairs, model: Any) -> Halves:
        self.pairs_ = len(pairs)
        return self

    def compose(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.normalize(x + t, dim=1)

    def questions(self, pairs: Pairs, auxiliary: Domain | None, most: int) -> list[Question]:
        return [Question(i, str(pairs.right.x[i + 1]), i + 1) for i in range(min(len(pairs) - 1, most))]


def test_a_method_of_another_package_composes_by_its_card_alone(
    encoder: str, tmp_path: Path, install: Callable[..., None]
) -> None:
    install("methods", halves=Halves)
    assert composers() == ("genecis", "halves")
    table, out = pictures(tmp_path), tmp_path / "composer"
    given = ["compose", str(table), "--out", str(out), "--encoder", encoder, "--method", "halves"]
    told = typer.testing.CliRunner().invoke(app, given)
    assert told.exit_code == 0, told.output
    assert "recall@1" in told.output
    assert "relations" not in told.output
    page = (out / "report.html").read_text()
    assert "compose · halves" in page
    assert "Relations in them" not in page
    assert isinstance(kept := Composer.load(out), Composer)
    assert isinstance(kept.method, Halves)
    photo = tmp_path / "photos" / "00.png"
    (by_method, about), (by_sum, _) = (
        find(tmp_path / "photos", image=photo, text="on blue", model=out, mode=mode, share=0.5)
        for mode in ("combiner", "sum")
    )
    assert about["method"] == "halves"
    assert [one.id for one in by_method] == [one.id for one in by_sum]
    for change, why in (
        ({"method": "coral"}, "method must be one of genecis, halves; got 'coral'"),
        ({"method": "halves", "preset": "features"}, "preset must be one of default; got 'features'"),
        ({"method": "halves", "concreteness": table}, "concreteness: halves reads none"),
    ):
        with pytest.raises(ValueError, match=why):
            compose(table, out=tmp_path / "c", encoder=encoder, **change)


def test_the_nearest_of_many_are_those_of_a_plain_sort() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(5000, 32)).astype(np.float32)
    places, scores = nearest(x, x[17], 7)
    assert places.tolist() == np.argsort(-(x @ x[17]), kind="stable")[:7].tolist()
    np.testing.assert_allclose(scores, (x @ x[17])[places], rtol=1e-5)
    assert len(nearest(x[:3], x[0], 10)[0]) == 3


def test_where_the_only_picture_asks_the_command_says_that_there_is_no_other(encoder: str, tmp_path: Path) -> None:
    pictures(tmp_path)
    (tmp_path / "one").mkdir()
    (tmp_path / "photos" / "04.png").rename(tmp_path / "one" / "04.png")
    asked = ["find", str(tmp_path / "one"), "--encoder", encoder, "--image", str(tmp_path / "one" / "04.png")]
    told = typer.testing.CliRunner().invoke(app, [*asked, "--page", str(tmp_path / "found.html")])
    assert told.exit_code == 0, told.output
    assert "there are no other pictures that could be found" in told.output
    assert "1 picture searched in" in told.output
    assert "1 picture was searched in" in (tmp_path / "found.html").read_text()


@pytest.mark.slow
def test_the_commands_in_a_real_process(encoder: str, tmp_path: Path) -> None:
    pictures(tmp_path)
    few = [f"--set={key}={value}" for key, value in QUICK.items()]

    def run(*arguments: str) -> Any:
        command = [sys.executable, "-m", "unseen.cli", *arguments]
        return processes.run(command, cwd=tmp_path, capture_output=True, text=True, env=os.environ, check=False)

    made = run("compose", "captions.csv", "--out", "composer", "--encoder", encoder, *few)
    assert made.returncode == 0, made.stderr
    found = run("find", "photos", "--image", "photos/04.png", "--text", "on red", "--model", "composer", "--top", "3",
                "--page", "found.html", "--json")  # fmt: skip
    assert found.returncode == 0, found.stderr
    assert len(json.loads(found.stdout)["found"]) == 3
    assert "on red" in (tmp_path / "found.html").read_text()
    wrong = run("find", "photos")
    assert wrong.returncode == 1
    assert "got neither" in wrong.stderr


def test_a_hit_that_chance_could_give_is_told_to_be_weak() -> None:
    scores = np.random.default_rng(0).normal(0.2, 0.05, 1000).astype(np.float32)
    assert "perhaps none of them" in _weak(scores, float(scores.max()), len(scores))
    assert _weak(scores, 0.2 + 5 * 0.05, len(scores)) == ""
    assert _weak(scores[:20], float(scores[:20].max()), 20) == ""  # too few to tell


def test_a_collection_without_pictures_is_refused_before_an_encoder_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoders, "get", None)
    sounds = Domain(x=[Sound(np.zeros(16000, dtype=np.float32), 16000, 1.0)], kind="audio", name="calls")
    with pytest.raises(ValueError, match="calls holds 1 sounds; `unseen caption` describes sounds"):
        find(sounds, text="an owl")
