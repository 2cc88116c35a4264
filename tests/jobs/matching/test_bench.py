"""`unseen match bench`: pairs of a table with truth, unlike scenes, one table of areas, means and ranks."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("cv2", reason="matching needs OpenCV")

import typer.testing
from PIL import Image
from sklearn.datasets import load_sample_image

from unseen.cli import app
from unseen.data.domain import Domain, Lazy
from unseen.data.homographies import apply, grid, moved_corners, warped
from unseen.data.simulate.flights import Way, flight
from unseen.evaluation.zeb import DEGREES, PIXELS, Cameras, KnownPair, Plane
from unseen.jobs.matching import bench
from unseen.jobs.matching.job import make
from unseen.jobs.matching.page import bench_page
from unseen.methods.base import Card
from unseen.methods.matching.matcher import PairMatcher
from unseen.nn.protocols import Matches

PHOTOGRAPH = np.ascontiguousarray(load_sample_image("china.jpg")[:400:2, :512:2])
MATRIX = moved_corners(np.random.default_rng(1), 256, 200, 0.1)


def text(values: np.ndarray) -> str:
    return " ".join(repr(float(value)) for value in np.ravel(values))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of pairs with a homography, and one with cameras."""
    where = tmp_path_factory.mktemp("pairs")
    Image.fromarray(PHOTOGRAPH).save(where / "a.png")
    Image.fromarray(warped(PHOTOGRAPH, MATRIX, 256, 200)).save(where / "b.png")
    pd.DataFrame({"first": ["a.png"], "second": ["b.png"], "homography": [text(MATRIX)]}).to_csv(
        where / "flat.csv", index=False
    )
    way = Way(roll=8, lean=20, near=1.0, far=1.2, dusk=0, haze=0, noise=0)
    video = flight(load_sample_image("china.jpg"), frames=20, layers=10, way=way, seed=2)
    for t in (2, 10):
        Image.fromarray(video.frame(t)).save(where / f"{t}.png")
    rotation, translation = video.pose(2, 10)
    fx, fy, cx, cy = video.intrinsics[[0, 1, 0, 1], [0, 1, 2, 2]]
    row = {
        "first": "2.png", "second": "10.png", "K0": f"{fx} {fy} {cx} {cy}", "K1": json.dumps(video.intrinsics.tolist()),
        "T": text(np.column_stack([rotation, translation])), "dataset": "flown",
    }  # fmt: skip
    pd.DataFrame([row]).to_csv(where / "posed.csv", index=False)
    return where


def test_pairs_with_a_homography_and_with_cameras_are_read_and_graded(folder: Path) -> None:
    flat, posed = bench.known_pairs(folder / "flat.csv"), bench.known_pairs(folder / "posed.csv")
    assert isinstance(flat["flat"][0].truth, Plane)
    assert isinstance(posed["flown"][0].truth, Cameras)
    result = bench.bench(["sift", "orb"], flat | posed)
    assert result.units == {"flat": PIXELS, "flown": DEGREES}
    assert result.table.loc["sift", "flat"] > 0.9
    assert result.table.loc["sift", "flown"] > 0.4
    assert bench.in_degrees(result) == ["flown"]
    told = result.told()
    assert [one["matcher"] for one in told["matchers"]] == ["sift", "orb"]
    assert told["pairs"] == {"flat": 1, "flown": 1}
    assert told["matchers"][0]["mean"] == pytest.approx(result.table.loc["sift"].mean())
    assert b"sift" in bench_page(result, "errors.csv")


def test_pairs_that_match_would_not_call_a_match_are_counted_so(folder: Path) -> None:
    """A homography can be fitted to any four points: that one was found is no match yet."""
    unlike = (PHOTOGRAPH, np.ascontiguousarray(load_sample_image("flower.jpg")[:400:2, :512:2]))
    other = KnownPair("unlike", lambda: unlike, Plane(MATRIX, 256, 200))
    made = bench.bench(["sift"], {"flat": [*bench.known_pairs(folder / "flat.csv")["flat"], other]})
    assert made.errors.found.tolist() == [True, False]
    assert made.told()["matchers"][0]["nothing_found"] == 0.5


def test_scenes_are_unlike_each_known_and_drawn_from_the_seed() -> None:
    one = Domain(x=Lazy([0, 1], lambda i: PHOTOGRAPH), kind="image", name="p", ids=np.array(["x", "y"]))
    made, again, other = (bench.scenes(one, pairs=2, seed=seed) for seed in (0, 0, 1))
    assert list(made) == list(bench.SCENES)
    for name in made:
        first, second = made[name][0].pictures()
        np.testing.assert_array_equal(second, again[name][0].pictures()[1])
        assert not np.array_equal(second, other[name][0].pictures()[1])
        assert first.shape[2] == second.shape[2] == 3
    assert [pair.name for pair in made["night"]] == ["x 0", "y 0"]
    assert {pair.truth.unit for pair in made["flight over depth"]} == {DEGREES}
    turned = made["turned by 90 degrees"][0].pictures()
    assert turned[0].shape[:2] == turned[1].shape[1::-1]


def test_the_truth_of_a_turned_scene_is_what_sift_finds() -> None:
    one = Domain(x=Lazy([0], lambda i: load_sample_image("china.jpg")), kind="image", name="p")
    made = bench.scenes(one, pairs=1)
    result = bench.bench(
        ["sift"], {name: made[name] for name in ("seen from aside", "turned by 90 degrees", "calm flight")}
    )
    assert (result.table.loc["sift"] > 0.7).all()


def test_the_command_writes_a_page_and_a_table_and_prints_all_figures(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "bench.html"
    found = typer.testing.CliRunner().invoke(
        app, ["match", "bench", str(folder / "flat.csv"), "--with", "sift,orb", "--out", str(out)]
    )
    assert found.exit_code == 0, found.output
    assert "sift  mean" in found.output
    assert "no match in 0 % of the pairs" in found.output
    page = out.read_text()
    assert "<script" not in page
    assert "data set by data set" in page.lower()
    assert pd.read_csv(out.with_suffix(".csv")).matcher.tolist() == ["sift", "orb"]


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ({}, "either homography, or K0, K1 and T"),
        ({"homography": "1 2 3"}, "row 1: homography must be 9 finite numbers"),
        ({"homography": "one 0 0 0 1 0 0 0 1"}, "row 1: homography must be 9 numbers"),
        ({"homography": "0 0 0 0 0 0 0 0 0"}, "row 1: homography must be invertible"),
        ({"K0": "1 1 0 0", "K1": "1 1 0 0", "T": "1 0 0 0 0 1 0 0 0 0 2 0"}, "row 1: T must begin with a rotation"),
        ({"K0": "0 1 0 0", "K1": "1 1 0 0", "T": "1 0 0 0 0 1 0 0 0 0 1 0"}, "row 1: K0 must have focal lengths"),
    ],
)
def test_truth_that_cannot_be_is_named_with_its_row(folder: Path, tmp_path: Path, columns: dict, told: str) -> None:
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    pd.DataFrame([{"first": "a.png", "second": "b.png", **columns}]).to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(ValueError, match=told):
        bench.known_pairs(tmp_path / "t.csv")


def test_what_cannot_be_graded_is_named_before_any_work(folder: Path, tmp_path: Path) -> None:
    row = {"first": "nowhere.png", "second": "b.png", "homography": text(np.eye(3))}
    pd.DataFrame([row]).to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(FileNotFoundError, match=r"nowhere\.png"):
        bench.known_pairs(tmp_path / "t.csv")
    with pytest.raises(FileNotFoundError, match="there is no table"):
        bench.known_pairs(tmp_path / "none.csv")
    flat = bench.known_pairs(folder / "flat.csv")
    with pytest.raises(ValueError, match="sift is named twice"):
        bench.bench(["sift", "sift"], flat)
    with pytest.raises(ValueError, match=r"matcher must be auto.*got 'gim:sift'"):
        bench.bench(["gim:sift"], flat)  # it learns from videos
    with pytest.raises(ValueError, match="must name at least one"):
        bench.bench([], flat)
    with pytest.raises(ValueError, match="matcher must be auto"):
        bench.bench(["loftr"], flat)


class Corners(PairMatcher):
    """Another package's method, which knows the truth."""

    card = Card(
        slug="corners", title="Corners", venue="", summary="Knows.", unseen={"modalities"}, modalities={"image"},
        protocols={"matching"}, task="matches",
    )  # fmt: skip

    def matches_of(self, first: np.ndarray, second: np.ndarray) -> Matches:
        points = grid(256, 200, 16)
        return Matches(np.column_stack([points, apply(MATRIX, points)]), np.ones(len(points)))


def test_a_method_of_another_package_is_graded_by_its_card(folder: Path, install: Callable[..., None]) -> None:
    install("methods", corners=Corners)
    given = ["match", "bench", str(folder / "flat.csv"), "--with", "sift,corners:sift", "--json"]
    done = typer.testing.CliRunner().invoke(app, given)
    assert done.exit_code == 0, done.output
    told = {one["matcher"]: one for one in json.loads(done.stdout)["matchers"]}
    assert set(told) == {"sift", "corners:sift"}
    assert told["corners:sift"]["mean"] > 0.99
    assert told["corners:sift"]["mean_rank"] == 1


def test_a_saved_matcher_alone_is_told_to_be_graded_beside_what_it_began_as(folder: Path, tmp_path: Path) -> None:
    make("orb").save(tmp_path / "mine")
    table = str(folder / "flat.csv")
    alone = typer.testing.CliRunner().invoke(app, ["match", "bench", table, "--with", str(tmp_path / "mine")])
    assert alone.exit_code == 0, alone.output
    told = (
        f"nothing untrained stands beside it; what training gained: unseen match bench --with xfeat,{tmp_path / 'mine'}"
    )
    assert told in alone.output
    both = typer.testing.CliRunner().invoke(app, ["match", "bench", table, "--with", f"orb,{tmp_path / 'mine'}"])
    assert "nothing untrained" not in both.output
