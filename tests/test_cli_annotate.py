"""`unseen annotate` through real processes."""

import functools
import os
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image, ImageDraw

import in_process
import processes
from unseen.cli.annotate import alike_in, described, embedded
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.encoders import TwoTowerEncoder
from unseen.methods.zero_shot.tmv_hlp import TMVHLP

COLOURS = {"red": (220, 30, 30), "green": (30, 170, 60), "blue": (40, 60, 220), "yellow": (240, 210, 30)}
SHAPES = ("circle", "square", "triangle")
UNSEEN = ("red triangle", "blue circle", "yellow square")


@pytest.fixture
def call(tmp_path, monkeypatch):
    """The command line in this process, which is quicker."""
    monkeypatch.setenv("UNSEEN_CACHE", str(tmp_path / "cache"))
    return functools.partial(in_process.unseen, tmp_path, "annotate", code=0)


@pytest.fixture
def process(tmp_path):
    def run(*args, code=0):
        env = {**os.environ, "OMP_NUM_THREADS": "1", "UNSEEN_CACHE": str(tmp_path / "cache"), "NO_COLOR": "1"}
        command = [sys.executable, "-m", "unseen.cli", "annotate", *map(str, args)]
        done = processes.run(command, capture_output=True, text=True, cwd=tmp_path, env=env)
        assert done.returncode == code, done.stderr[-2000:]
        return done

    return run


def drawn(shape, colour, seed):
    """A shape at some place and size."""
    rng, picture = np.random.default_rng(seed), Image.new("RGB", (96, 96), (255, 255, 255))
    size = rng.integers(40, 60)
    left, top = rng.integers(2, 94 - size, 2)
    box, draw = (left, top, left + size, top + size), ImageDraw.Draw(picture)
    if shape == "circle":
        draw.ellipse([int(v) for v in box], fill=colour)
    elif shape == "square":
        draw.rectangle([int(v) for v in box], fill=colour)
    else:
        corners = [(left, top + size), (left + size, top + size), (left + size // 2, top)]
        draw.polygon([(int(x), int(y)) for x, y in corners], fill=colour)
    return picture


@pytest.fixture
def folders(tmp_path):
    names = [f"{colour} {shape}" for colour in COLOURS for shape in SHAPES]
    for k, name in enumerate(names):
        colour, shape = name.split()
        where = tmp_path / "new" if name in UNSEEN else tmp_path / "known" / name
        where.mkdir(parents=True, exist_ok=True)
        for i in range(6):
            drawn(shape, COLOURS[colour], 100 * k + i).save(where / f"{name.replace(' ', '-')}-{i}.png")
    words = [*COLOURS, *SHAPES]
    table = pd.DataFrame([[n, *(int(w in n.split()) for w in words)] for n in names], columns=["name", *words])
    table.to_csv(tmp_path / "classes.csv", index=False)
    return tmp_path


def test_words_are_embedded_by_the_tower_that_embeds_classes(monkeypatch):
    monkeypatch.setattr(TwoTowerEncoder, "embed", lambda self, classes: classes.replace(embeddings=np.eye(2)))
    found = embedded(["red", "blue"], object.__new__(TwoTowerEncoder))
    np.testing.assert_array_equal(found, np.eye(2))


def test_attributes_below_the_mean_are_blank():
    rng, names = np.random.default_rng(0), tuple("abcdefgh")
    z = rng.normal(size=(8, 3))
    classes = ClassSpace(names=names, attributes=z, attribute_names=("big", "red", "old"), embeddings=z, seen=range(6))
    y = np.repeat(range(8), 6)
    whole = Domain(x=z[y] @ rng.normal(size=(3, 5)) + 0.1 * rng.normal(size=(48, 5)), y=y)
    pool = whole.take(y > 5)
    method = TMVHLP(neighbours=4, hyper_neighbours=4).fit(source=whole.take(y < 6), classes=classes, target=pool)
    table = described(method, pool.x, classes, list(names), z, 3)
    values = method.views_["attributes"].vectors(torch.as_tensor(pool.x))
    above = (values > values.mean(dim=0)).sum(dim=1).numpy()
    shown = table[[f"attribute_{i}" for i in (1, 2, 3)]] != ""
    assert shown.sum(axis=1).tolist() == above.tolist()
    assert (table[[f"attribute_{i}_score" for i in (1, 2, 3)]].notna().to_numpy() == shown.to_numpy()).all()


def test_samples_whose_first_words_are_equally_near_are_counted():
    rng = np.random.default_rng(0)
    z = rng.normal(size=(8, 3))
    classes = ClassSpace(names=tuple("abcdefgh"), embeddings=z, seen=range(6))
    y = np.repeat(range(8), 6)
    whole = Domain(x=z[y] @ rng.normal(size=(3, 5)) + 0.1 * rng.normal(size=(48, 5)), y=y)
    pool = whole.take(y > 5)
    method = TMVHLP(neighbours=4, hyper_neighbours=4).fit(source=whole.take(y < 6), classes=classes, target=pool)
    assert alike_in(method, pool.x, z) < len(pool)
    assert alike_in(method, pool.x, np.tile(z[:1], (4, 1)) + 1e-7 * rng.normal(size=(4, 3))) == len(pool)
    assert alike_in(method, pool.x, z[:1]) == 0


@pytest.mark.slow
def test_a_folder_of_pictures_is_described_by_words_and_attributes(process, folders):
    given = ("new", "--source", "known", "--classes", "classes.csv", "--out", "a.csv")
    done = process(*given, "--top", 2)
    assert "18 samples are described" in done.stderr
    table = pd.read_csv(folders / "a.csv")
    assert list(table.columns) == [
        "sample", "class", "word_1", "word_1_score", "word_2", "word_2_score",
        "attribute_1", "attribute_1_score", "attribute_2", "attribute_2_score",
    ]  # fmt: skip
    truth = table["sample"].str.rpartition("/")[2].str.rsplit("-", n=1).str[0].str.replace("-", " ")
    assert (table["class"] == truth).mean() > 0.6  # a third by chance
    right = [a in t.split() for a, t in zip(table["attribute_1"], truth)]
    assert np.mean(right) > 0.5  # 2 of 7 by chance
    assert (table["word_1_score"] >= table["word_2_score"]).all()
    assert "18 samples are few for 3 unseen classes" in done.stderr
    (folders / "words.txt").write_text("red\n\nblue\nred\n")
    process(*given, "--words", "words.txt", "--set", "mixture=1.0")
    assert set(pd.read_csv(folders / "a.csv")["word_1"]) <= {"red", "blue"}


def test_help_and_mistakes_are_short(call, folders):
    assert "unseen annotate" in call("--help").stdout
    given = ("new", "--source", "known", "--classes", "classes.csv", "--out", "a.csv")
    assert "there is no folder 'nowhere'" in call(*given[:-1], "nowhere/a.csv", code=1).stderr
    (folders / "words.txt").write_text("\n")
    assert "holds no word" in call(*given, "--words", "words.txt", code=1).stderr
    pd.read_csv(folders / "classes.csv").iloc[3:].to_csv(folders / "classes.csv", index=False)
    assert "classes must hold all of the labelled data" in call(*given, code=1).stderr
    assert not (folders / "a.csv").exists()
