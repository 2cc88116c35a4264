"""`unseen caption`: learnt from texts, sounds in words, a page, a table, a model for a fresh process."""

from __future__ import annotations

import copy
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.io import wavfile

import processes
from unseen.data.domain import Domain
from unseen.data.sources import SourceUnavailable
from unseen.encoders.sound import SmallSpace
from unseen.jobs.captioning import job
from unseen.jobs.captioning.captioner import Captioner
from unseen.jobs.captioning.page import facts, graded, lines, rows, write_page, write_table
from unseen.methods.base import Card
from unseen.methods.multimodal.audio_captioning import AudioCaptioning
from unseen.methods.sound_captioners import SoundCaptioner

RATE = 16_000
SAID = {
    "hum": "a low hum goes on",
    "whistle": "a shrill whistle blows",
    "steam": "steam hisses",
    "clock": "a clock ticks",
}
QUICK = {
    "epochs": 50, "pretrain": 2, "width": 32, "layers": 1, "heads": 2, "length": 2, "least_count": 1,
    "batch_size": 16, "longest": 8, "learning_rate": 5e-3, "mapper_rate": 5e-3, "dropout": 0.0,
}  # fmt: skip


def wave(kind: str, rng: Any, seconds: float = 1.0) -> Any:
    t = np.arange(round(seconds * RATE)) / RATE
    made = {
        "hum": 0.4 * np.sin(2 * np.pi * rng.uniform(90, 140) * t),
        "whistle": 0.4 * np.sin(2 * np.pi * rng.uniform(2500, 3500) * t),
        "steam": 0.3 * rng.normal(size=len(t)),
        "clock": (np.arange(len(t)) % 2000 < 40) * 0.8 + 0.01 * rng.normal(size=len(t)),
    }[kind]
    return made.astype(np.float32)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sounds with captions for the small space, a folder of others, captions to learn from, names of events."""
    root = tmp_path_factory.mktemp("caption")
    rng = np.random.default_rng(0)
    (root / "known").mkdir()
    (root / "sounds" / "deep").mkdir(parents=True)
    table = []
    for i in range(4):
        for kind, text in SAID.items():
            wavfile.write(root / "known" / f"{kind}{i}.wav", RATE, wave(kind, rng))
            table.append({"sound": f"{kind}{i}.wav", "caption": text})
    pd.DataFrame(table).to_csv(root / "known" / "pairs.csv", index=False)
    for kind in SAID:
        wavfile.write(root / "sounds" / f"{kind}.wav", RATE, wave(kind, rng))
    wavfile.write(root / "sounds" / "deep" / "hum long.wav", RATE, wave("hum", rng, 25.0))
    wavfile.write(root / "sounds" / "silent.wav", RATE, np.zeros(RATE, dtype=np.int16))
    wavfile.write(root / "sounds" / "hour.wav", 1000, np.ones(1000 * 700, dtype=np.int16))
    (root / "sounds" / "readme.txt").write_text("no sound")
    texts = [f"{text}{tail}" for text in SAID.values() for tail in ("", " loudly", " in the distance", " nearby")]
    (root / "captions.txt").write_text("\n".join(texts * 3))
    (root / "events.txt").write_text("hum\nwhistle\nsteam\nclock\n")
    graded = [{"sound": f"{kind}.wav", "caption": text} for kind, text in SAID.items()]
    graded += [{"sound": "hum.wav", "caption": "something hums low"}]
    pd.DataFrame(graded).to_csv(root / "sounds" / "graded.csv", index=False)
    return root


@pytest.fixture(scope="module")
def captioner(place: Path) -> Captioner:
    return job.learn(
        place / "captions.txt", pairs=place / "known" / "pairs.csv", labels=place / "events.txt", settings=QUICK
    )


def test_sounds_are_captioned_and_what_is_left_out_is_named(place: Path, captioner: Captioner) -> None:
    found = job.caption(place / "sounds", captioner)
    by_name = {one.name: one for one in found.heard}
    assert set(by_name) == {*(f"{kind}.wav" for kind in SAID), "deep/hum long.wav"}
    for kind, text in SAID.items():
        assert set(text.split()) & set(by_name[f"{kind}.wav"].caption.split()) - {"a"}, by_name[f"{kind}.wav"].caption
        assert by_name[f"{kind}.wav"].events[0][0] == kind
        assert by_name[f"{kind}.wav"].nearest.startswith(text)
    assert by_name["deep/hum long.wav"].parts == 3
    left = {one.where: one.why for one in found.skipped}
    assert set(left) == {"silent.wav", "hour.wav"}
    assert left["silent.wav"].startswith("silence")
    assert "11:40 min long; at most 10:00 min" in left["hour.wav"]
    assert "nothing is graded" in found.verdict


def test_no_sound_is_learnt_from(place: Path, captioner: Captioner, monkeypatch: pytest.MonkeyPatch) -> None:
    def heard(self: Any, waves: Any) -> Any:
        raise AssertionError("a sound was read")

    monkeypatch.setattr(type(captioner.space), "encode_audio", heard)
    job.learn(place / "captions.txt", encoder=captioner.space, labels=place / "events.txt", settings=QUICK)


def test_captions_of_a_table_grade_and_the_nearest_caption_stands_beside(place: Path, captioner: Captioner) -> None:
    pytest.importorskip("pycocoevalcap", reason='no pycocoevalcap; pip install "unseen[captioning]"')
    found = job.caption(place / "sounds" / "graded.csv", captioner)
    assert found.graded == 4
    assert set(found.figures) == {"captioner", "nearest caption", "keywords"}
    own, near = (found.figures[name]["CIDEr"] for name in ("captioner", "nearest caption"))
    assert f"{own:.3f}" in found.verdict
    assert f"{near:.3f}" in found.verdict
    assert ("no better" in found.verdict) == (own <= near)


def test_one_sound_alone_has_no_cider(place: Path, captioner: Captioner, tmp_path: Path) -> None:
    pytest.importorskip("pycocoevalcap", reason='no pycocoevalcap; pip install "unseen[captioning]"')
    pd.DataFrame([{"sound": "hum.wav", "caption": "a low hum"}]).to_csv(place / "sounds" / "one.csv", index=False)
    found = job.caption(place / "sounds" / "one.csv", captioner)
    (place / "sounds" / "one.csv").unlink()
    assert found.graded == 1
    assert "one sound alone" in found.verdict
    assert all("CIDEr" not in own for own in found.figures.values())
    write_page(found, tmp_path / "page.html", "unseen caption one.csv")
    assert "event F1" in (tmp_path / "page.html").read_text()
    assert not any("CIDEr" in line for line in graded(found.figures))


def test_a_file_twice_has_its_caption_twice(place: Path, captioner: Captioner) -> None:
    files = [str(place / "sounds" / "hum.wav")] * 2
    one, two = captioner.caption(files)
    assert one == two != ""


def test_silent_parts_are_left_out_and_counted(place: Path, captioner: Captioner, tmp_path: Path) -> None:
    hum = wave("hum", np.random.default_rng(5), 10.0)
    wavfile.write(tmp_path / "a.wav", RATE, np.concatenate([hum, np.zeros(20 * RATE, dtype=np.float32)]))
    wavfile.write(tmp_path / "b.wav", RATE, hum)
    found = {one.name: one for one in job.caption(tmp_path, captioner).heard}
    assert (found["a.wav"].parts, found["a.wav"].silent) == (1, 2)
    assert found["a.wav"].events == found["b.wav"].events
    write_page(job.caption(tmp_path, captioner), tmp_path / "p.html", "unseen caption")
    assert "2 silent left out" in (tmp_path / "p.html").read_text()


def test_without_captions_the_error_says_where_they_are_and_under_which_terms(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNSEEN_DATA", str(tmp_path))
    wanted = r"captions: name texts to learn from, a line each or a table; .*academic purposes only"
    with pytest.raises(SourceUnavailable, match=wanted):
        job.learn(pairs=place / "known" / "pairs.csv", settings=QUICK)


def test_a_captioner_that_is_there_refuses_what_it_was_not_made_with(captioner: Captioner) -> None:
    job.refuse_others(captioner, {"encoder": "small", "decoder": None, "most": 12_000, "seed": 0, "layers": 1})
    for given, told in (
        ({"encoder": "clap:x"}, "encoder: the captioner is there and was made with 'small', not 'clap:x'"),
        ({"decoder": "smollm2"}, "decoder: .* made with 'small'"),
        ({"most": 5}, "most: .* made with 12000, not 5"),
        ({"seed": 3}, "seed: .* made with 0, not 3"),
        ({"variance": 0.5}, "variance: .* made with 0.008"),
        ({"varience": 0.5}, "has no parameter 'varience'"),
    ):
        with pytest.raises(ValueError, match=told):
            job.refuse_others(captioner, given)
    assert isinstance(captioner.method, AudioCaptioning)
    before = captioner.method.beam
    job.refuse_others(captioner, {"beam": 2, "project": True})
    assert (captioner.method.beam, captioner.method.project) == (2, True)
    captioner.method.set_params(beam=before, project=False)


def test_a_page_plays_the_sounds_and_shows_what_is_left_out(place: Path, captioner: Captioner, tmp_path: Path) -> None:
    found = job.caption(place / "sounds", captioner)
    write_page(found, tmp_path / "page.html", "unseen caption sounds")
    page = (tmp_path / "page.html").read_text()
    assert page.count("<audio controls") == 5
    assert page.count("data:audio/wav;base64,UklGR") == 5  # RIFF
    assert "media-src data:" in page
    assert "one caption for 3 parts" in page
    assert "silence (" in page
    assert "a small space, not a CLAP" in page
    assert all(one.nearest in page for one in found.heard)


def test_captions_are_written_as_csv_and_json(place: Path, captioner: Captioner, tmp_path: Path) -> None:
    found = job.caption(place / "sounds", captioner)
    write_table(tmp_path / "a.csv", found)
    table = pd.read_csv(tmp_path / "a.csv", keep_default_na=False)
    assert table["file"].tolist() == [row["file"] for row in rows(found)]
    assert len(table) == 7
    assert (table["left out"] != "").sum() == 2
    write_table(tmp_path / "a.json", found)
    assert json.loads((tmp_path / "a.json").read_text()) == json.loads(json.dumps(facts(found)))
    assert lines(found, 1)[-1] == "and so on for 5 sounds: on the page"


def test_a_saved_captioner_says_the_same_in_a_fresh_process(place: Path, captioner: Captioner, tmp_path: Path) -> None:
    captioner.save(tmp_path / "m")
    files = [str(place / "sounds" / f"{kind}.wav") for kind in SAID] + [str(place / "sounds" / "silent.wav")]
    expected = captioner.caption(files)
    assert expected[-1] == ""
    code = (
        "import json, sys; from unseen.jobs.captioning.captioner import Captioner; "
        "print(json.dumps(Captioner.load(sys.argv[1]).caption(sys.argv[2:])))"
    )
    done = processes.run([sys.executable, "-c", code, str(tmp_path / "m"), *files], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == expected
    assert {file.suffix for file in (tmp_path / "m").rglob("*") if file.is_file()} == {".json", ".safetensors"}


def test_a_captioner_whose_space_is_another_one_by_now_is_refused(captioner: Captioner, tmp_path: Path) -> None:
    captioner.save(tmp_path / "m")
    space: Any = captioner.space
    turned = copy.copy(space)
    turned.weights, turned.mean = -space.weights, -space.mean
    text = copy.copy(space.text)
    text.encode = lambda domain: space.text.encode(domain).replace(x=space.text.encode(domain).x[:, ::-1])
    turned.text = text
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SmallSpace, "load", classmethod(lambda cls, folder: turned))
        with pytest.raises(ValueError, match=r"was made in another space than what is called 'small' here"):
            Captioner.load(tmp_path / "m")


def test_captions_that_are_all_the_same_are_refused(place: Path, tmp_path: Path) -> None:
    (tmp_path / "one.txt").write_text("a dog barks\n" * 9)
    with pytest.raises(ValueError, match=r"^captions: all 9 are the same, 'a dog barks'"):
        job.learn(tmp_path / "one.txt", pairs=place / "known" / "pairs.csv", settings=QUICK)


def test_what_is_no_captioner_is_named(tmp_path: Path) -> None:
    (tmp_path / "captioner.json").write_text('{"format": 9}')
    with pytest.raises(ValueError, match="was not written by `unseen caption`: it is of format 9"):
        Captioner.load(tmp_path)
    with pytest.raises(ValueError, match="was not written by `unseen caption`"):
        Captioner.load(tmp_path / "nowhere")


def test_the_command_learns_writes_and_captions_again(place: Path, tmp_path: Path, capsys: Any) -> None:
    from typer.testing import CliRunner

    from unseen.cli import app

    runner = CliRunner()
    settings = [part for key, value in QUICK.items() for part in ("--set", f"{key}={value}")]
    told = [
        "caption", str(place / "sounds"), "--out", str(tmp_path / "a.html"), "--model", str(tmp_path / "m"),
        "--captions", str(place / "captions.txt"), "--pairs", str(place / "known" / "pairs.csv"),
        "--labels", str(place / "events.txt"), "--table", str(tmp_path / "a.json"),
    ]  # fmt: skip
    first = runner.invoke(app, [*told, *settings], catch_exceptions=False)
    assert first.exit_code == 0, first.output
    assert "nearest caption: " in first.output
    assert "2 left out" in first.output
    again = runner.invoke(
        app, ["caption", str(place / "sounds"), "--out", str(tmp_path / "b.html"), "--model", str(tmp_path / "m"),
              "--table", str(tmp_path / "b.json")], catch_exceptions=False,
    )  # fmt: skip
    assert again.exit_code == 0, again.output
    assert "m the captioner" in first.output
    assert "the captioner" not in again.output.rpartition("holds the page")[2]
    other = runner.invoke(
        app, ["caption", str(place / "sounds"), "--out", str(tmp_path / "c.html"), "--model", str(tmp_path / "m"),
              "--encoder", "clap:x"],
    )  # fmt: skip
    assert other.exit_code == 1
    assert "encoder: the captioner is there" in str(other.exception) + other.output
    one, two = (json.loads((tmp_path / f"{name}.json").read_text())["sounds"] for name in "ab")
    assert one == two


class Shouts(SoundCaptioner):
    """Another package's method: the nearest caption, louder."""

    card = Card(
        slug="shouts", title="Shouts", venue="", summary="Say it louder.", unseen={"modalities"},
        modalities={"features"}, reads={"corpus": {"text"}}, protocols={"captioning"}, task="text",
    )  # fmt: skip

    marks: int = 1

    def fit(self, *, corpus: Domain, encoder: Any) -> Shouts:
        self.remember([str(text) for text in corpus.x], encoder)
        return self

    def caption(self, x: torch.Tensor) -> Any:
        return np.array([text.upper() + "!" * self.marks for text in self.nearest(x).tolist()])


def test_a_method_of_another_package_captions_by_its_card_alone(
    place: Path, tmp_path: Path, install: Callable[..., None]
) -> None:
    from typer.testing import CliRunner

    from unseen.cli import app
    from unseen.jobs import saved_model

    install("methods", shouts=Shouts)
    assert job.captioners() == ("audio-captioning", "shouts")
    given = ["caption", str(place / "sounds" / "hum.wav"), "--model", str(tmp_path / "m")]
    learns = ["--captions", str(place / "captions.txt"), "--pairs", str(place / "known" / "pairs.csv")]
    out = ["--out", str(tmp_path / "a.html"), "--json"]
    first = CliRunner().invoke(app, [*given, *learns, *out, "--method", "shouts", "--set", "marks=2"])
    assert first.exit_code == 0, first.output
    told = json.loads(first.stdout)
    assert (told["model"]["method"], told["model"]["decoder"], told["model"]["events"]) == ("shouts", None, 0)
    row = told["sounds"][0]
    assert row["caption"] == row["nearest caption"].upper() + "!!" != "!!"
    assert (row["events"], row["keywords"]) == ("", "")
    page = (tmp_path / "a.html").read_text()
    assert "caption · shouts" in page
    assert row["caption"] in page
    assert "eywords" not in page
    assert "ound events" not in page
    again = CliRunner().invoke(app, [*given, *out, "--method", "shouts"])
    assert json.loads(again.stdout)["sounds"] == told["sounds"]
    kept = Captioner.load(tmp_path / "m")
    assert isinstance(kept.method, Shouts)
    found = saved_model(tmp_path / "m")
    assert found is not None
    assert found[0].opened is not None
    assert found[0].read is not None
    heard = found[0].read(str(place / "sounds" / "hum.wav")).x
    assert found[0].opened(found[1])(heard, 3)[0][0]["answer"] == row["caption"]
    assert lines(job.caption(place / "sounds" / "hum.wav", kept), 1)[1].startswith("  nearest caption: ")
    with pytest.raises(ValueError, match="method: the captioner is there and was made with 'shouts', not 'audio-capt"):
        job.refuse_others(kept, {"method": "audio-captioning"})
    for change, why in (
        ({"decoder": "smollm2"}, "decoder: shouts reads none; leave out 'smollm2'"),
        ({"labels": place / "events.txt"}, "labels: shouts reads none"),
        ({"settings": {"epochs": 1}}, "shouts has no parameter 'epochs'; it has random_state, marks"),
    ):
        with pytest.raises(ValueError, match=why):
            job.learn(place / "captions.txt", method="shouts", **change)


def test_a_method_that_knows_no_events_is_graded_without_keywords(place: Path, captioner: Captioner) -> None:
    pytest.importorskip("pycocoevalcap", reason='no pycocoevalcap; pip install "unseen[captioning]"')
    texts = [str(text) for text in captioner.method.captions_]
    method = Shouts().fit(corpus=Domain(x=np.array(texts), kind="text"), encoder=captioner.space)
    found = job.caption(place / "sounds" / "graded.csv", Captioner(method, captioner.space, captioner.facts))
    assert set(found.figures) == {"captioner", "nearest caption"}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"encoder": "clip"}, "encoder must be small or clap:"),
        ({"encoder": "clap:x", "pairs": "y"}, "pairs are for the small space"),
        ({"decoder": "bert"}, "decoder must be small"),
        ({"most": 1}, "most must be an integer of at least 2"),
        ({"settings": {"epoch": 1}}, "audio-captioning has no parameter 'epoch'"),
        ({"settings": {"random_state": 1}}, "settings must not hold random_state"),
        ({"method": "coral"}, "^method must be one of audio-captioning; got 'coral'$"),
        ({"method": "duqgen"}, "^method must be one of audio-captioning; got 'duqgen'$"),
        ({"captions": "nowhere.txt"}, "^captions: there is no file or folder 'nowhere.txt'$"),
        ({"labels": "nowhere"}, "^labels: there is no file or folder 'nowhere'$"),
        ({"column": "nosuch"}, "^column: 'nosuch' can be one of a table alone"),
    ],
)
def test_what_cannot_be_is_named_before_work(place: Path, changes: dict[str, Any], told: str) -> None:
    given: dict[str, Any] = {"captions": place / "captions.txt", **changes}
    with pytest.raises((ValueError, OSError), match=told):
        job.learn(given.pop("captions"), **given)


def test_a_table_without_sounds_or_with_paths_that_lead_out_is_refused(place: Path, tmp_path: Path) -> None:
    pd.DataFrame({"a": ["x", "y"]}).to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(ValueError, match="has no column of sounds"):
        job.sounds_of(tmp_path / "t.csv")
    pd.DataFrame({"sound": ["../x.wav"]}).to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(ValueError, match="leads out of its folder: put the table into a folder above"):
        job.sounds_of(tmp_path / "t.csv")
    with pytest.raises(ValueError, match="no file or folder"):
        job.sounds_of(tmp_path / "nowhere")
