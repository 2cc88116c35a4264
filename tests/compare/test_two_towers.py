"""Seen classes with pictures, unseen ones by name, in the space of a two-tower encoder: through `compare`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import processes
import unseen
from small_towers import saved_towers
from unseen.catalogue import Given
from unseen.compare.inputs import prepare
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.methods import get
from unseen.scale import Engine

NAMES = ("black", "white", "red", "green", "blue", "yellow")
COLOURS = ((0, 0, 0), (255, 255, 255), (255, 0, 0), (0, 160, 0), (0, 0, 255), (255, 255, 0))


@pytest.fixture(scope="module")
def folders(tmp_path_factory: Any) -> Path:
    """Squares of one colour each, with some noise: four colours have pictures, two have words alone."""
    from PIL import Image

    root = tmp_path_factory.mktemp("colours")
    rng = np.random.default_rng(0)
    for side, each in (("source", 4), ("target", 4)):
        for name, colour in zip(NAMES[:4] if side == "source" else NAMES, COLOURS):
            folder = root / side / name
            folder.mkdir(parents=True)
            for i in range(each):
                pixels = np.array(colour) + rng.normal(0, 25, (32, 32, 3))
                Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"{i}.png")
    rows = ["name,description", "black,the night is black", "black,coal is black", "white,snow; milk"]
    (root / "names.csv").write_text("\n".join([*rows, *(f"{name}," for name in NAMES[2:])]) + "\n")
    return root


@pytest.mark.slow
@pytest.mark.full
def test_a_command_runs_them_and_the_saved_model_predicts(folders: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    settings = ["--encoder", "lite-clip", "--methods", "describe,adaptclipzs,coop,ogen", "--seeds", "1"]
    command = ["compare", "--source", folders / "source", "--target", folders / "target", "--classes",
               folders / "names.csv", *settings, "--protocol", "base-to-new", "--out", out]  # fmt: skip
    done = processes.run([sys.executable, "-m", "unseen.cli", *map(str, command)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    results = json.loads((out / "results.json").read_text())
    assert results["protocol"]["name"] == "base-to-new"
    found = {row["name"]: row["metrics"]["adapted"] for row in results["candidates"]}
    assert {"adaptclipzs", "adaptclipzs:generalized", "coop:generalized", "ogen:generalized"} <= set(found)
    for figures in found.values():
        assert set(figures) >= {"base", "new", "h"}
    picture = next((folders / "target" / "blue").glob("*.png"))
    said = processes.run([sys.executable, "-m", "unseen.cli", "predict", str(out), str(picture), "--top", "2"],
                          capture_output=True, text=True)  # fmt: skip
    assert said.returncode == 0, said.stderr


@pytest.mark.full
def test_towers_of_a_folder_are_read_and_prompted_where_they_stand(folders: Path, tmp_path: Path) -> None:
    """Their own name leaves the folder out: it is the user's by which they are had again."""
    encoder = saved_towers(tmp_path / "somewhere" / "small").removeprefix("frames:")
    unseen.compare(
        source=folders / "source", target=folders / "target", classes=folders / "names.csv", encoder=encoder,
        methods=["describe", "adaptclipzs", "coop"], protocol="base-to-new", seeds=1, engine=Engine(workers=1),
        out=tmp_path / "run",
    )  # fmt: skip
    found = json.loads((tmp_path / "run" / "results.json").read_text())["candidates"]
    assert {"adaptclipzs", "coop"} <= {row["name"] for row in found}
    saved = unseen.Bundle.load(tmp_path / "run")
    assert len(saved.predict([next((folders / "target" / "blue").glob("*.png"))])) == 1


def test_without_two_towers_they_say_what_they_need() -> None:
    rng = np.random.default_rng(0)
    space = ClassSpace(names=NAMES, seen=np.arange(4), embeddings=rng.normal(size=(6, 8)))
    source = Domain(x=rng.normal(size=(24, 8)).astype(np.float32), y=np.arange(24) % 4, classes=space)
    given = Given({"source": source, "classes": space})
    for slug in ("adaptclipzs", "coop", "ogen"):
        assert "two-tower encoder" in str(given.why_not(get(slug)))
    inputs = prepare(source=source, target=source.take(np.arange(12)), classes=space)
    assert inputs.shared_by is None
    with pytest.raises(ValueError, match="two-tower encoder"):
        unseen.compare(source=source, target=source.replace(x=source.x + 1), classes=space, methods="ogen",
                       engine=Engine(workers=1))  # fmt: skip


def test_towers_that_are_given_are_used() -> None:
    from unseen.nn.dual_encoder import Letters
    from unseen.nn.layer_statistics import row_reader
    from unseen.nn.prompting import PromptableTowers
    from unseen.nn.small_towers import small_towers

    small = small_towers()
    towers = PromptableTowers(row_reader((), 4), small.text, 20.0, small.tokenize)
    towers.reader = Letters()
    rng = np.random.default_rng(0)
    space = ClassSpace(names=NAMES, seen=np.arange(4), embeddings=rng.normal(size=(6, 4)))
    source = Domain(x=rng.normal(size=(24, 4)).astype(np.float32), y=np.arange(24) % 4, classes=space)
    given = Given({"source": source, "classes": space}, shared_space=True, towers=lambda: towers)
    for slug, settings in (("adaptclipzs", {"epochs": 1}), ("coop", {"epochs": 1}), ("ogen", {"epochs": 1})):
        assert given.why_not(get(slug)) is None
        fitted = given.fit(get(slug)(**settings))
        assert set(fitted.predict(source)) <= {4, 5}
    assert "ad-clip" in get("ad-clip").card.slug
    assert given.why_not(get("ad-clip")) is not None  # it reads layers, which are not there
