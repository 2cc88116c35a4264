"""Runs as processes: they outlive the app, are found by another one, stop, go on; and how far they are."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from unseen.data.domain import Domain
from unseen.runtime import track, watched
from unseen.web.desk import AT_ONCE, Desk
from unseen.web.progress import STEPS, STEPS_OF, Progress

JOB = """
import json, sys, time
from pathlib import Path
from unseen.web.job import OUTCOME, PROGRESS, held, write
folder = Path(sys.argv[1])
with held(folder):
    count = folder / "count"
    count.write_text(str(int(count.read_text()) + 1 if count.exists() else 1))
    write(folder / PROGRESS, {"step": "reading", "share": 0.1, "left": None, "lines": []})
    while not (folder / "end").exists():
        time.sleep(0.02)
    write(folder / OUTCOME, {"state": (folder / "end").read_text(), "why": "so it is", "seconds": 1})
"""
INPUTS = {"source": "/data/photos", "classes": "a b, c", "seeds": 1}


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Callable[[], Desk]]:
    """Another desk over the same runs, as after a restart of the app."""
    desks: list[Desk] = []

    def new() -> Desk:
        desks.append(Desk(tmp_path / "runs", program=(sys.executable, "-c", JOB)))
        return desks[-1]

    yield new
    for desk in desks:
        for job in desk.all():
            desk.stop(job.name)


def wait(ready: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not ready():
        assert time.monotonic() < until
        time.sleep(0.02)


def state(desk: Desk, name: str) -> str:
    job = desk.get(name)
    assert job is not None
    return job.state


def test_a_run_outlives_the_app_that_started_it_and_ends(begin: Callable[[], Desk]) -> None:
    first = begin()
    name = first.start("", INPUTS)
    assert name == "run-1"
    wait(lambda: bool(first.get(name).progress))  # type: ignore[union-attr]
    second = begin()
    assert [job.name for job in second.all()] == [name]
    assert state(second, name) == "running"
    job = second.get(name)
    assert job is not None
    assert job.command.startswith("unseen compare --source /data/photos --classes 'a b, c' --seeds 1 --out ")
    assert second.used() == {"/data/photos"}
    (second.folder / name / "end").write_text("failed")
    wait(lambda: state(second, name) != "running")
    assert (state(first, name), second.get(name).why) == ("failed", "so it is")  # type: ignore[union-attr]


def test_a_stopped_run_goes_on_in_its_folder(begin: Callable[[], Desk]) -> None:
    first = begin()
    first.start("mine", INPUTS)
    wait(lambda: bool(first.get("mine").progress))  # type: ignore[union-attr]
    second = begin()  # which did not start it
    second.stop("mine")
    assert state(second, "mine") == "stopped"
    second.go_on("mine")
    with pytest.raises(ValueError, match="is running"):
        second.go_on("mine")
    wait(lambda: bool(second.get("mine").progress))  # type: ignore[union-attr]
    assert (second.folder / "mine" / "count").read_text() == "2"
    (second.folder / "mine" / "end").write_text("done")
    wait(lambda: state(second, "mine") == "done")
    second.forget("mine")
    assert second.get("mine") is None


def test_names_and_numbers_are_bounded(begin: Callable[[], Desk]) -> None:
    desk = begin()
    for name in ("../x", "a/b", ".web", "-x", "a" * 61, "a b"):
        with pytest.raises(ValueError, match="name: letters"):
            desk.start(name, INPUTS)
        assert desk.get(name) is None
    (desk.runs / "taken").mkdir(parents=True)
    with pytest.raises(ValueError, match="there is a run 'taken' already"):
        desk.start("taken", INPUTS)
    for k in range(AT_ONCE):
        desk.start(f"r{k}", INPUTS)
    with pytest.raises(ValueError, match="runs are under way"):
        desk.start("more", INPUTS)
    with pytest.raises(ValueError, match="stop it first"):
        desk.forget("r0")
    with pytest.raises(ValueError, match="there is no run"):
        desk.stop("absent")


@pytest.mark.slow
def test_a_real_run_is_done_and_a_wrong_one_says_why(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    y = np.arange(60) % 3
    for name, shift in (("source", 0.0), ("target", 0.5)):
        np.savez(tmp_path / f"{name}.npz", x=(np.eye(3)[y] * 4 + rng.normal(size=(60, 3)) + shift).astype("f4"), y=y)
    desk = Desk(tmp_path / "runs")
    inputs = {"source": str(tmp_path / "source.npz"), "target": str(tmp_path / "target.npz"), "seeds": 1}
    good = desk.start("good", inputs)
    bad = desk.start("bad", {**inputs, "source": str(tmp_path / "absent.npz")})
    wait(lambda: state(desk, bad) != "running")
    assert state(desk, bad) == "failed"
    assert "does not exist" in desk.get(bad).why  # type: ignore[union-attr]
    until = time.monotonic() + 300
    while state(desk, good) == "running" and time.monotonic() < until:
        time.sleep(0.2)
    job = desk.get(good)
    assert job is not None
    assert (job.state, job.why) == ("done", "")
    assert job.progress["step"] == "finishing"
    assert (desk.runs / "good" / "report.html").exists()


def test_data_are_looked_at_in_a_job_of_its_own_name_and_command(begin: Callable[[], Desk]) -> None:
    desk = begin()
    name = desk.start("", {"source": "/data/a b", "classes": "x,y"}, "recommend")
    job = desk.get(name)
    assert job is not None
    assert (name, job.task) == ("advice-1", "recommend")
    assert job.command == "unseen recommend --source '/data/a b' --classes x,y"
    assert desk.answer(name) == {}
    assert desk.get(desk.start("", INPUTS)).task == "compare"  # type: ignore[union-attr]


# -- how far ---------------------------------------------------------------------------------------------------


class Clock:
    """Seconds that pass when they are told to."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_progress_goes_forward_and_says_what_is_left(tmp_path: Path) -> None:
    clock = Clock()
    progress = Progress(tmp_path / "progress.json", domains=2, clock=clock)
    shares = [progress.told()["share"]]

    def pass_seconds(n: float) -> None:
        clock.now += n
        shares.append(progress.told()["share"])

    with watched(progress):
        for _ in track(range(2), "looking at files"):
            assert progress.told()["detail"] == "looking at files"
        for look in (
            "encoding photos by lite",
            "encoding sketches by lite",
            "second look at both",
            "encoding photos by x",
        ):
            for _ in track(range(10), look):
                pass_seconds(1)
            assert progress.told()["detail"] == look
            assert progress.told()["share"] > shares[1]
        assert progress.told()["step"] == "features"
        for _ in track(range(4), "fitting"):
            for training in ("source", "shot"):
                for _ in track(range(5), training):
                    pass_seconds(1)
        told = progress.told()
    assert told["step"] == "finishing"
    assert shares == sorted(shares)
    assert 0 <= shares[0] < shares[-1] <= told["share"] < 1
    assert json.loads((tmp_path / "progress.json").read_text())["step"] in STEPS


def test_what_an_encoder_tells_of_its_work_is_followed(tmp_path: Path) -> None:
    from unseen import encoders

    progress = Progress(tmp_path / "progress.json")
    steps: list[tuple[str, float]] = []

    def seen(label: str, done: int, total: int) -> None:
        progress(label, done, total)
        steps.append((progress.told()["step"], progress.told()["share"]))

    x = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3), dtype=np.uint8)
    with watched(seen):
        encoders.get("pixels?size=8").encode(Domain(x=x, kind="image", name="photos"), cache=False)
    assert steps[-1] == ("features", pytest.approx(0.04 + 0.7 * 0.31))
    assert "encoding photos" in progress.told()["detail"]


def test_looking_alone_is_all_of_the_work(tmp_path: Path) -> None:
    progress = Progress(tmp_path / "progress.json", task="recommend")
    shares = []
    with watched(progress):
        for _ in track(range(10), "encoding target by lite"):
            shares.append(progress.told()["share"])
    assert list(STEPS_OF["recommend"]) == ["reading", "features"]
    assert shares == sorted(shares)
    assert 0.6 < progress.told()["share"] <= 1


def test_what_is_left_is_guessed_from_the_pace(tmp_path: Path) -> None:
    clock = Clock()
    progress = Progress(tmp_path / "progress.json", clock=clock)
    assert progress.told()["left"] is None
    progress("fitting", 0, 10)
    clock.now = 20.0
    progress("fitting", 5, 10)
    assert progress.told()["left"] == pytest.approx(20.0)
    progress.say("a line")
    assert json.loads((tmp_path / "progress.json").read_text())["lines"] == ["a line"]
