"""`unseen continue`: the job on small towers without any download, and the command through a real process."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from unseen import encoders
from unseen.bundle import Bundle
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.loaders import load
from unseen.files import sweep
from unseen.jobs.streams import job
from unseen.jobs.streams.job import ABOUT, HELD_OUT, PAGE, ZERO_SHOT, History, asked_about, continue_stream
from unseen.jobs.streams.page import lines, page, scores, told
from unseen.jobs.streams.reading import check_reads
from unseen.methods.multimodal.zscl import ZSCL
from unseen.methods.tower_streams import TowerStream

QUICK: dict[str, Any] = {"iterations": 8, "warm_up": 2, "average_every": 4, "batch_size": 8}
COLOURS = {
    "warm": {"red": (220, 30, 30), "yellow": (230, 220, 40)},
    "cold": {"blue": (30, 40, 220), "green": (20, 160, 60), "violet": (140, 30, 200)},
    "grey": {"black": (10, 10, 10), "white": (245, 245, 245)},
}


def folder_of(where: Path, name: str, n: int = 9) -> Path:
    """Class folders of noisy colours."""
    rng = np.random.default_rng(len(name))
    for label, colour in COLOURS[name].items():
        (where / name / label).mkdir(parents=True)
        for i in range(n):
            noisy = np.clip(np.array(colour) + rng.normal(0, 20, (16, 16, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(noisy).save(where / name / label / f"{i}.png")
    return where / name


@pytest.fixture
def clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of an open_clip model of a moment, with a cache of its own."""
    open_clip = pytest.importorskip("open_clip")
    monkeypatch.setenv("UNSEEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("UNSEEN_DATA", str(tmp_path / "data"))
    text = {"context_length": 20, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 1}
    vision = {"image_size": 32, "layers": 1, "width": 64, "patch_size": 16}
    config = {"embed_dim": 16, "vision_cfg": vision, "text_cfg": text, "quick_gelu": True}
    (tmp_path / "stream-vit.json").write_text(json.dumps(config))
    open_clip.add_model_config(tmp_path / "stream-vit.json")
    torch.manual_seed(0)
    model = open_clip.create_model("stream-vit")
    torch.save(model.state_dict(), tmp_path / "weights.pt")
    return f"open_clip:stream-vit/{tmp_path / 'weights.pt'}"


def begin(clip: str, tasks: Any, **given: Any) -> Any:
    """A stream that zscl learns."""
    return continue_stream(clip, tasks, **{"method": "zscl"} | given)


@pytest.mark.parametrize("train", ["heads", "all"])
def test_a_stream_is_learnt_saved_predicts_and_goes_on(clip: str, tmp_path: Path, train: Any) -> None:
    warm, cold, grey = (folder_of(tmp_path, name) for name in COLOURS)
    out = tmp_path / "m1"
    first, history = begin(
        clip, [warm, cold], out=out, also=[grey], texts=["a hat", "the sea", "old iron"], train=train, settings=QUICK
    )
    assert [row["after"] for row in history.rows] == [ZERO_SHOT, "warm", "cold"]
    assert all(set(row["accuracy"]) == {"warm", "cold", "grey"} for row in history.rows)
    assert history.learnt == ["warm", "cold"]
    assert first.classes.names == ("red", "yellow", "blue", "green", "violet")
    assert (set(history.whole), history.classes) == ({"warm", "cold"}, 5)
    some = load(cold)
    some = some.take(asked_about(some, HELD_OUT))
    assert some.classes is not None
    right = first.predict(some)["class"].to_numpy() == np.array(some.classes.names)[some.labels]
    assert history.whole["cold"] == pytest.approx(right.mean(), abs=1e-6)
    assert f"{100 * history.whole['cold']:.1f} % among all 5 classes that were learnt" in "\n".join(told(history))
    assert {ABOUT, PAGE, "bundle.json", "method"} <= {file.name for file in out.iterdir()}

    again = Bundle.load(out)
    picture = grey / "black" / "0.png"
    table = again.predict(picture, top=2)
    assert table["class"].tolist() == first.predict(picture, top=2)["class"].tolist()
    assert set(table["class"]) <= set(first.classes.names)

    later, history = continue_stream(out, [grey, warm], out=tmp_path / "m2", texts=["a hat"], settings=QUICK)
    assert history.learnt == ["warm", "cold", "grey"]
    assert set(history.rows[-1]["accuracy"]) == {"grey", "warm"}
    assert later.classes.names[-2:] == ("black", "white")
    assert Bundle.load(tmp_path / "m2").predict(picture)["class"].tolist() == later.predict(picture)["class"].tolist()
    assert history.rows[0]["accuracy"]["grey"] == pytest.approx(  # the start is asked once
        json.loads((out / ABOUT).read_text())["rows"][0]["accuracy"]["grey"]
    )
    assert "cold: not asked about now" in "\n".join(told(history))
    assert scores(history) is None
    assert len(json.loads((out / ABOUT).read_text())["rows"]) == 3  # the old one is as it was


class Named(TowerStream):
    """Knows the names of the classes, and learns nothing."""

    card = dataclasses.replace(ZSCL.card, slug="named", presets={"default": {}}, on_request=frozenset())


def test_a_method_of_another_package_goes_through_a_stream_by_its_card_alone(
    install: Callable[..., None], clip: str, tmp_path: Path
) -> None:
    install("methods", named=Named)
    assert job.stream_learners()[-1] == "named"
    warm, cold = (folder_of(tmp_path, name) for name in ("warm", "cold"))
    continue_stream(clip, [warm], out=tmp_path / "m", method="named", train="heads")
    made, history = continue_stream(tmp_path / "m", [cold, warm], out=tmp_path / "m")
    assert (made.method.card.slug, history.method, history.learnt) == ("named", "named", ["warm", "cold"])
    assert history.rows[0]["accuracy"]["cold"] == history.rows[-1]["accuracy"]["cold"]
    assert len(Bundle.load(tmp_path / "m").predict(cold / "blue" / "0.png")) == 1


def test_classes_of_two_tasks_that_differ_in_case_only_are_told_before_any_work(clip: str, tmp_path: Path) -> None:
    warm, cold = (folder_of(tmp_path, name) for name in ("warm", "cold"))
    lines: list[str] = []
    continue_stream(clip, [warm], out=tmp_path / "a", say=lines.append)
    assert not any("case only" in line for line in lines)
    (warm / "red").rename(warm / "Blue")
    shouted = warm.rename(tmp_path / "shouted")
    lines.clear()
    continue_stream(clip, [shouted], out=tmp_path / "b", also=[cold], say=lines.append)
    assert lines[0].startswith("'Blue' and 'blue' differ in upper and lower case only: two classes each")
    lines.clear()
    continue_stream(tmp_path / "b", [cold], out=tmp_path / "c", say=lines.append)  # the stream knows them from before
    assert lines[0].startswith("'blue' and 'Blue' differ in upper and lower case only")


def test_a_stream_stays_with_the_share_that_it_holds_out(clip: str, tmp_path: Path) -> None:
    warm, cold = (folder_of(tmp_path, name) for name in ("warm", "cold"))
    begin(clip, [warm], out=tmp_path / "a", texts=["a"], settings=QUICK, held_out=0.5)
    with pytest.raises(ValueError, match=r"this stream holds out 0\.5"):
        continue_stream(tmp_path / "a", [cold], out=tmp_path / "b", texts=["a"], settings=QUICK, held_out=0.25)
    _, history = continue_stream(tmp_path / "a", [cold], out=tmp_path / "b", texts=["a"], settings=QUICK)
    assert history.held_out == 0.5


@pytest.mark.parametrize("train", ["heads", "all"])
def test_one_layer_on_frozen_features_learns_all_tasks_as_one(clip: str, tmp_path: Path, train: Any) -> None:
    warm, cold, grey = (folder_of(tmp_path, name) for name in COLOURS)
    made, history = continue_stream(clip, [cold], out=tmp_path / "one", also=[grey], train=train, method="stream-ridge")
    assert len({row["accuracy"]["grey"] for row in history.rows}) == 1  # no tower changes
    made, history = continue_stream(tmp_path / "one", [warm, grey], out=tmp_path / "two", settings={"penalty": 0.1})
    assert history.method == "stream-ridge"
    assert set(history.whole) == {"warm", "grey"}
    if train == "heads":
        both, history = continue_stream(clip, [warm, cold], out=tmp_path / "both", also=[grey])
        assert both.method.card.slug == history.method == job.DEFAULT["heads"]
        more, _ = continue_stream(tmp_path / "both", [grey], out=tmp_path / "three")
        order = [more.classes.names.index(name) for name in made.classes.names]
        torch.testing.assert_close(made.method.weights_, more.method.weights_[:, order])  # type: ignore[attr-defined]
    assert "stream-ridge" in (tmp_path / "two" / PAGE).read_text()
    picture = grey / "white" / "0.png"
    again = Bundle.load(tmp_path / "two").predict(picture)
    assert again["class"].tolist() == made.predict(picture)["class"].tolist()
    with pytest.raises(ValueError, match="began with stream-ridge; it cannot go on with zscl"):
        continue_stream(tmp_path / "one", [warm], out=tmp_path / "n", method="zscl")
    with pytest.raises(
        ValueError, match="reference: stream-ridge changes no tower, and reads no references; method=zscl does"
    ):
        continue_stream(clip, [warm], out=tmp_path / "n", reference=grey, method="stream-ridge")
    with pytest.raises(ValueError, match=r"has no parameter 'iterations'; .*; method=zscl has others"):
        continue_stream(clip, [warm], out=tmp_path / "n", settings={"iterations": 3}, method="stream-ridge")
    with pytest.raises(ValueError, match=r"method must be one of .*stream-ridge.*; got 'shot'"):
        continue_stream(clip, [warm], out=tmp_path / "n", method="shot")


def test_a_preset_keeps_the_rate_of_heads(clip: str, tmp_path: Path) -> None:
    warm = folder_of(tmp_path, "warm")
    short = {"iterations": 2, "warm_up": 1, "batch_size": 4}
    made, _ = begin(clip, [warm], out=tmp_path / "a", texts=["a"], preset="lwf", settings=short)
    params = made.method.get_params()
    assert (params["learning_rate"], params["teacher"]) == (1e-3, "previous")


def test_the_zero_shot_start_of_a_task_that_comes_later_is_that_of_the_first_model(clip: str, tmp_path: Path) -> None:
    warm, cold = (folder_of(tmp_path, name) for name in ("warm", "cold"))
    _, both = begin(clip, [warm], out=tmp_path / "a", also=[cold], texts=["a"], settings=QUICK)
    begin(clip, [warm], out=tmp_path / "b", texts=["a"], settings=QUICK)
    _, later = continue_stream(tmp_path / "b", [cold], out=tmp_path / "c", texts=["a"], settings=QUICK)
    assert later.rows[0]["accuracy"]["cold"] == both.rows[0]["accuracy"]["cold"]


def test_one_call_and_two_learn_the_same(clip: str, tmp_path: Path) -> None:
    warm, cold = (folder_of(tmp_path, name) for name in ("warm", "cold"))
    at_once, one = begin(clip, [warm, cold], out=tmp_path / "a", texts=["a", "b"], settings=QUICK)
    begin(clip, [warm], out=tmp_path / "b", texts=["a", "b"], settings=QUICK)
    after, two = continue_stream(tmp_path / "b", [cold, warm], out=tmp_path / "b", texts=["a", "b"], settings=QUICK)
    assert torch.equal(at_once.method.vectors_, after.method.vectors_)  # type: ignore[attr-defined]
    assert one.rows[-1]["accuracy"] == two.rows[-1]["accuracy"]


def test_what_is_asked_about_is_chosen_by_content_and_never_learnt() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 3)).astype(np.float32)
    domain = Domain(x=x, y=np.arange(60) % 4, classes=ClassSpace(names=tuple("abcd")))
    out = asked_about(domain, 0.25)
    for label in range(4):
        assert 0 < out[domain.y == label].sum() < 15
    order = rng.permutation(60)
    assert np.array_equal(asked_about(domain.take(order), 0.25), out[order])
    more = Domain(
        x=np.vstack([x, rng.normal(size=(40, 3)).astype(np.float32)]), y=np.arange(100) % 4, classes=domain.classes
    )
    assert (asked_about(more, 0.25)[:60] == out).mean() > 0.95  # the place of a picture does not depend on others
    single = domain.take([0, 1, 5, 9])
    assert asked_about(single, 0.25)[0] == False  # noqa: E712 - one of its class


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"model": "efficientnet-lite0"}, "has one tower; name a two-tower encoder"),
        ({"model": "no-such"}, "no encoder"),
        ({"tasks": []}, "at least one folder"),
        ({"held_out": 1.0}, "held_out must lie in"),
        ({"train": "some"}, "train must be auto, heads or all"),
        ({"preset": "best"}, "preset must be one of default, heads"),
        ({"prompts": ["a cat"]}, "one place"),
        ({"texts": []}, "at least one sentence"),
        ({"also": ["warm"]}, "two are called 'warm'"),
    ],
)
def test_what_cannot_be_is_named_before_anything_is_written(clip: str, tmp_path: Path, change: Any, match: str) -> None:
    warm = folder_of(tmp_path, "warm")
    given: dict[str, Any] = {"model": clip, "tasks": [warm], "out": tmp_path / "m", "settings": QUICK} | change
    given["also"] = [tmp_path / name for name in given.get("also", ())]
    with pytest.raises(ValueError, match=match):
        begin(given.pop("model"), given.pop("tasks"), **given)
    assert not (tmp_path / "m").exists()


def test_samples_that_the_stream_does_not_read_are_told_by_the_name_that_it_began_with(
    clip: str, tmp_path: Path
) -> None:
    x = np.random.default_rng(0).integers(0, 255, (8, 2, 3, 8, 8)).astype(np.uint8)
    y, classes = np.arange(8) % 2, ClassSpace(names=("up", "down"))
    moves = Domain(x=x, kind="clip", y=y, classes=classes, name="moves")
    told = f"tasks: 'moves' holds videos; {clip!r} reads pictures; a stream that begins with 'frames:{clip}' learns"
    with pytest.raises(ValueError, match=re.escape(told)):
        continue_stream(clip, [moves], out=tmp_path / "m")
    with pytest.raises(ValueError, match="'lite-clip' reads pictures; a stream that begins with 'frames:lite-clip'"):
        check_reads([moves], encoders.get("pixels?size=8"), "lite-clip")
    rows = Domain(x=x.reshape(8, -1).astype(np.float32), y=y, classes=classes, name="rows")
    with pytest.raises(ValueError, match=r"'rows' holds vectors of numbers; 'lite-clip' reads pictures$"):
        check_reads([rows], encoders.get("pixels?size=8"), "lite-clip")


def test_a_model_that_cannot_go_on_is_told_so(clip: str, tmp_path: Path) -> None:
    warm, cold = (folder_of(tmp_path, name) for name in ("warm", "cold"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="a folder without a saved model"):
        continue_stream(tmp_path / "empty", [warm], out=tmp_path / "m")
    (tmp_path / "empty" / "forecaster.json").write_text("{}")
    with pytest.raises(ValueError, match="empty' is a forecaster, which learns no further task"):
        continue_stream(tmp_path / "empty", [warm], out=tmp_path / "m")
    begin(clip, [warm], out=tmp_path / "m", texts=["a"], settings=QUICK)
    with pytest.raises(ValueError, match="all of them were learnt before"):
        continue_stream(tmp_path / "m", [warm], out=tmp_path / "n")
    with pytest.raises(ValueError, match="began with heads; it cannot go on with all"):
        continue_stream(tmp_path / "m", [cold], out=tmp_path / "n", train="all")
    (warm / "red" / "0.png").unlink()
    with pytest.raises(ValueError, match="'warm' of other samples"):
        continue_stream(tmp_path / "m", [cold, warm], out=tmp_path / "n")
    with pytest.raises(FileExistsError, match="holds other files"):
        continue_stream(tmp_path / "m", [cold], out=tmp_path / "warm")
    (tmp_path / "m" / ABOUT).write_text("{}")
    with pytest.raises(ValueError, match="does not tell the stream"):
        continue_stream(tmp_path / "m", [cold], out=tmp_path / "n")


def test_labels_of_what_is_asked_about_change_no_bit_of_the_model(
    clip: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    warm = folder_of(tmp_path, "warm")
    one, _ = begin(clip, [warm], out=tmp_path / "a", texts=["a"], settings=QUICK)
    split = job._task

    def lying(data: Any, share: float) -> Any:
        task = split(data, share)
        return job.dataclasses.replace(task, exam=task.exam.replace(y=1 - task.exam.y))

    monkeypatch.setattr(job, "_task", lying)
    other, _ = begin(clip, [warm], out=tmp_path / "b", texts=["a"], settings=QUICK)
    assert torch.equal(one.method.vectors_, other.method.vectors_)  # type: ignore[attr-defined]


# -- the page ----------------------------------------------------------------------------------------------


def history() -> History:
    tasks = [
        {"name": name, "classes": ["x", "y"], "mark": name, "learnt": name != "<c>", "exam": 9}
        for name in ("<c>", "a", "b")
    ]
    rows = [
        {"after": ZERO_SHOT, "accuracy": {"a": 0.5, "b": 0.4, "<c>": 0.3}},
        {"after": "a", "accuracy": {"a": 0.9, "b": 0.6, "<c>": 0.2}},
        {"after": "b", "accuracy": {"a": 0.8, "b": 0.7, "<c>": 0.35}},
    ]
    return History("lite-clip", "heads", tasks, rows)


def test_the_table_says_what_is_known_now_and_what_was_forgotten() -> None:
    assert lines(history()) == [
        "after      a (9)  b (9)  <c> (9)",
        "zero-shot   50.0   40.0     30.0",
        "a           90.0   60.0     20.0",
        "b           80.0   70.0     35.0",
    ]
    assert told(history())[:3] == [
        "a: 80.0 % now, 50.0 % at the start; 10.0 points less than when it was best",
        "b: 70.0 % now, 40.0 % at the start; nothing is forgotten",
        "<c>: 35.0 % now, 30.0 % at the start (+5.0 points); not learnt",
    ]
    figures = scores(history())
    assert figures is not None
    assert figures["transfer"] == pytest.approx(0.6)
    assert figures["average"] == pytest.approx(0.75)


def test_names_are_text_in_the_page() -> None:
    text = page(history()).decode()
    assert "<c>" not in text
    assert "&lt;c&gt;" in text
    assert "<script" not in text


# -- whole processes ---------------------------------------------------------------------------------------

RUN = """
import os, signal, sys
from pathlib import Path
import open_clip
from unseen.jobs.streams import job

open_clip.add_model_config(Path(sys.argv[1]))
at, seen = int(sys.argv[2]), 0
out, cold = Path(sys.argv[3]), sys.argv[4]

def count(event, arguments):
    global seen
    if event.startswith(("os.", "open", "shutil.")) and any(str(out.parent) in str(a) for a in arguments):
        seen += 1
        if seen == at:
            os.kill(os.getpid(), signal.SIGKILL)

quick = {"iterations": 2, "warm_up": 1, "average_every": 1, "batch_size": 4}
sys.addaudithook(count)
job.continue_stream(out, [cold], out=out, texts=["a"], settings=quick)
print(seen)
"""


@pytest.mark.slow
def test_a_continue_that_is_killed_leaves_the_old_model_whole_or_the_new_one(clip: str, tmp_path: Path) -> None:
    warm, cold = (folder_of(tmp_path, name, 4) for name in ("warm", "cold"))
    place = tmp_path / "place" / "m"
    place.parent.mkdir()
    config = str(tmp_path / "stream-vit.json")
    both = set()
    points = 0
    for at in (0, 0.1, 0.5, 0.9, 1.0):
        begin(clip, [warm], out=place, texts=["a"], settings=QUICK)
        number = str(round(at * points))
        run = [sys.executable, "-c", RUN, config, number, str(place), str(cold)]
        done = subprocess.run(run, capture_output=True, text=True, env=dict(os.environ))
        if at == 0:
            assert done.returncode == 0, done.stderr
            points = int(done.stdout)
            assert points >= 10
        else:
            assert done.returncode == -signal.SIGKILL, done.stderr
        bundle, known = job._saved(place, False)  # type: ignore[misc]
        assert len(bundle.predict(warm)) == 8
        assert known.learnt in (["warm"], ["warm", "cold"])
        both.add(len(known.learnt))
    assert both == {1, 2}
    sweep(place.parent)  # as the next process that writes there does first
    assert [entry.name for entry in place.parent.iterdir()] == ["m"]


def unseen(folder: Path, *arguments: str, code: int = 0) -> Any:
    env = {**os.environ, "NO_COLOR": "1", "COLUMNS": "120", "UNSEEN_DATA": str(folder / "data")}
    run = [sys.executable, "-m", "unseen.cli", *arguments]
    done = subprocess.run(run, capture_output=True, text=True, cwd=folder, env=env)
    assert done.returncode == code, done.stderr[-2000:]
    return done


@pytest.mark.slow
def test_lite_clip_learns_two_tasks_predicts_in_a_fresh_process_and_goes_on(tmp_path: Path) -> None:
    for name in COLOURS:
        folder_of(tmp_path, name, 6)
    (tmp_path / "texts.txt").write_text("a hat\nthe sea\nold iron\n")
    few = ["--texts", "texts.txt", *(f"--set={key}={value}" for key, value in QUICK.items())]
    first = unseen(tmp_path, "continue", "lite-clip", "warm", "cold", "--method", "zscl", "--out", "m", *few)
    assert "after" in first.stdout
    assert "zero-shot" in first.stdout
    assert "warm: " in first.stdout
    second = unseen(tmp_path, "continue", "m", "grey", "warm", "--out", "m", "--json", *few)
    assert [row["after"] for row in json.loads(second.stdout)["rows"]] == ["zero-shot", "warm", "cold", "grey"]
    assert unseen(tmp_path, "predict", "m", "grey/black/0.png").stdout.count("\n") == 1
    refused = unseen(tmp_path, "continue", "m", "grey", "--out", "m", code=1)
    assert "all of them were learnt before" in refused.stderr


def test_heads_of_any_two_towers_change_nothing_at_first(clip: str) -> None:
    from unseen.encoders.trainable import tower_heads, whole_towers

    encoder: Any = encoders.get(clip, precision="fp32")
    heads, whole = tower_heads(encoder), whole_towers(encoder)
    texts = ["a cat", "two dogs"]
    x = Domain(x=np.random.default_rng(0).integers(0, 255, (3, 32, 32, 3)).astype(np.uint8), kind="image")
    features = heads.reading.encode(x, cache=False).x
    expected = encoder.encode_text(texts, cache=False)
    with torch.no_grad():
        np.testing.assert_allclose(heads.towers.encode_image(torch.from_numpy(features)), features, atol=1e-5)
        np.testing.assert_allclose(heads.towers.encode_text(heads.towers.tokenize(texts)), expected, atol=1e-5)
        np.testing.assert_allclose(whole.encode_text(whole.tokenize(texts)), expected, atol=1e-5)
        batch = encoder.image.preprocess(list(x.x))
        np.testing.assert_allclose(whole.encode_image(batch), features, atol=1e-5)
