"""`unseen predict` takes every saved model: what names no classes answers in its own way, or tells its command."""

from __future__ import annotations

import base64
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from starlette.testclient import TestClient
from typer.testing import CliRunner, Result

import unseen
from saved_kinds import Kind, captioner, composer, forecaster, mapper, matcher, quantized, ranker, segmenter, tagger
from unseen import jobs
from unseen.cli import app
from unseen.cli.answers import Inputs
from unseen.cli.models import told_by_run
from unseen.serving.app import create_app
from unseen.serving.rows import ServedRows

Make = Callable[[Path], Kind]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kinds")


def asked(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["predict", *map(str, arguments)])


def picture(folder: Path) -> Path:
    Image.fromarray(np.full((32, 32, 3), 90, dtype=np.uint8)).save(folder / "sky.png")
    return folder / "sky.png"


def sound(folder: Path) -> Path:
    from scipy.io import wavfile

    wavfile.write(folder / "hum.wav", 16_000, (np.sin(np.arange(16_000) / 9) * 0.5).astype(np.float32))
    return folder / "hum.wav"


def texts(*lines: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        (folder / "lines.txt").write_text("\n".join(lines) + "\n")
        return folder / "lines.txt"

    return write


def series(folder: Path) -> Path:
    times = pd.date_range("2024-02-01", periods=80, freq="h")
    pd.DataFrame({"time": times, "y0": np.sin(np.arange(80) / 4).round(4)}).to_csv(folder / "tide.csv", index=False)
    return folder / "tide.csv"


@pytest.mark.parametrize(
    ("make", "samples", "rows", "told"),
    [
        pytest.param(forecaster, series, 4, {"time", "series", "channel", "forecast", "low", "high"}, id="forecaster"),
        pytest.param(ranker, texts("cat 1"), 2, {"rank", "document", "score"}, id="ranker"),
        pytest.param(mapper, texts("a white owl"), 2, {"node", "score", "path"}, id="mapper"),
        pytest.param(tagger, texts("because the risk rises ."), 1, {"spans"}, id="tagger"),
        pytest.param(segmenter, picture, 1, {"shares", "probability"}, id="segmenter"),
        pytest.param(captioner, sound, 1, {"events", "seconds"}, id="captioner", marks=pytest.mark.slow),
    ],
)
def test_what_names_no_classes_answers_a_row_or_more_for_each_sample(
    make: Make, samples: Callable[[Path], Path], rows: int, told: set[str], home: Path, tmp_path: Path
) -> None:
    folder, _ = make(home)
    file = samples(tmp_path)
    found = json.loads(asked(folder, file, "--top", "2", "--json").output)
    assert len(found) == rows
    assert all({"id", "answer"} | told <= row.keys() for row in found)
    lines = asked(folder, file, "--top", "2").output.splitlines()
    assert lines == [f"{row['id']}  {row['answer']}" for row in found]
    written = asked(folder, file, "--top", "2", "--csv", tmp_path / "rows.csv")
    assert written.exit_code == 0, written.output
    table = pd.read_csv(tmp_path / "rows.csv", dtype=str, keep_default_na=False)
    nested = [key for key, value in found[0].items() if isinstance(value, (list, dict))]
    assert list(table) == list(found[0])
    assert [json.loads(table[key][0]) for key in nested] == [found[0][key] for key in nested]
    in_python = unseen.load_model(folder).predict(file, top=2)
    assert list(in_python) == list(found[0])
    assert in_python["answer"].tolist() == [row["answer"] for row in found]


def some_pictures(folder: Path, good: int, bad: int) -> list[Path]:
    """Pictures, and files that are called as some and are none."""
    folder.mkdir()
    for i in range(good):
        Image.fromarray(np.full((32, 32, 3), 60 * i, dtype=np.uint8)).save(folder / f"good{i}.png")
    for i in range(bad):
        (folder / f"bad{i}.png").write_bytes(b"no picture")
    return sorted(folder.iterdir())


def test_of_several_named_files_the_good_ones_are_answered_and_each_bad_one_is_named(
    home: Path, tmp_path: Path
) -> None:
    model, file = quantized(home)[0], tmp_path / "rows.csv"
    *bad, first, second = some_pictures(tmp_path / "in", good=2, bad=1)
    table = tmp_path / "numbers.csv"
    table.write_text("a,b\n1,2\n3,4\n")
    done = asked(model, first, *bad, table, second, "--csv", file)
    assert done.exit_code == 3, done.output
    assert f"2 predictions are in {file}, and 2 left out with the reason" in done.output
    assert f"left out: {bad[0]}" in done.output
    assert f"left out: {table} holds vectors of numbers; the model in" in done.output
    rows = pd.read_csv(file)
    assert rows["id"].tolist() == [str(one) for one in (first, second, *bad, table)]
    assert rows["left out"].notna().tolist() == [False, False, True, True]
    assert rows["class"].notna().tolist() == [True, True, False, False]
    assert rows["probability"].dtype == float
    assert rows["unknown"].dtype == bool  # as a reader of the table without rows that are left out expects
    assert rows["unknown"].tolist()[2:] == [True, True]
    lines = asked(model, first, *bad, second)
    assert (lines.exit_code, len(lines.stdout.splitlines())) == (3, 2)
    assert list(pd.read_csv(file)) == ["id", "class", "probability", "unknown", "left out"]
    assert asked(model, first, second, "--csv", file).exit_code == 0
    assert list(pd.read_csv(file)) == ["id", "class", "probability", "unknown"]


def test_where_no_named_file_can_be_read_it_is_an_error_that_names_them(home: Path, tmp_path: Path) -> None:
    model, file = quantized(home)[0], tmp_path / "rows.csv"
    bad = some_pictures(tmp_path / "in", good=0, bad=2)
    done = asked(model, *bad, "--csv", file)
    assert done.exit_code == 1
    assert "inputs: none of 2 has an answer: " in str(done.exception)
    assert all(str(one) in str(done.exception) for one in bad)
    assert asked(model, bad[0]).exit_code == 1
    assert not file.exists()


def test_what_a_folder_leaves_out_has_a_row_with_the_reason_each(home: Path, tmp_path: Path) -> None:
    model, file = quantized(home)[0], tmp_path / "rows.csv"
    some_pictures(tmp_path / "in", good=2, bad=3)
    done = asked(model, tmp_path / "in", "--csv", file)
    assert done.exit_code == 3, done.output
    rows = pd.read_csv(file)
    assert rows["id"].tolist() == ["good0.png", "good1.png", "bad0.png", "bad1.png", "bad2.png"]
    assert rows["left out"].notna().tolist() == [False, False, True, True, True]
    records = json.loads(asked(model, tmp_path / "in", "--json").stdout)
    assert [bool(row["left out"]) for row in records] == [False, False, True, True, True]
    done = asked(model, tmp_path / "in")
    assert (done.exit_code, len(done.stdout.splitlines())) == (3, 2)
    assert all(f"left out: bad{i}.png" in done.stderr for i in range(3))


def test_of_many_files_that_a_folder_leaves_out_ten_are_named_and_the_others_counted(
    home: Path, tmp_path: Path
) -> None:
    model = quantized(home)[0]
    some_pictures(tmp_path / "in", good=1, bad=13)
    for more in ((), ("--json",), ("--csv", tmp_path / "rows.csv")):
        told = asked(model, tmp_path / "in", *more).stderr
        assert told.count("left out: bad") == 10
        assert "and 3 more are left out" in told


def test_samples_of_several_inputs_are_called_by_their_paths(home: Path, tmp_path: Path) -> None:
    model, file = quantized(home)[0], tmp_path / "rows.csv"
    for i in range(2):
        some_pictures(tmp_path / f"cam{i}", good=1, bad=1)
    one, other = (tmp_path / f"cam{i}" for i in range(2))
    names = [str(place / "good0.png") for place in (one, other)]
    assert [row["id"] for row in json.loads(asked(model, *names, "--json").stdout)] == names
    assert [line.split("  ")[0] for line in asked(model, *names).stdout.splitlines()] == names
    done = asked(model, one, f"{other}/", "--csv", file)
    assert done.exit_code == 3, done.output
    assert pd.read_csv(file)["id"].tolist() == [*names, str(one / "bad0.png"), str(other / "bad0.png")]
    alone = json.loads(asked(model, one, "--json").stdout)
    assert [row["id"] for row in alone] == ["good0.png", "bad0.png"]


def test_a_pattern_in_quotes_stands_for_the_files_that_it_matches(home: Path, tmp_path: Path) -> None:
    model = quantized(home)[0]
    some_pictures(tmp_path / "a.png", good=2, bad=0)  # a folder that is called as a picture
    found = json.loads(asked(model, tmp_path / "**" / "*.png", "--json").stdout)
    assert [row["id"] for row in found] == [str(tmp_path / "a.png" / f"good{i}.png") for i in range(2)]
    done = asked(model, tmp_path / "*.jpg")
    assert done.exit_code == 1
    assert f"no file is called like '{tmp_path}/*.jpg'" in str(done.exception)


@pytest.mark.parametrize(
    ("path", "identity", "called"),
    [
        pytest.param("a/x.csv", "000003", "a/x.csv:000003", id="row"),
        pytest.param("a/x.mp4", "x.mp4#0.00-2.00", "a/x.mp4#0.00-2.00", id="window"),
        pytest.param("a/x.txt", "x.txt:4", "a/x.txt:4", id="line"),
        pytest.param("a/tide.csv", "tide", "a/tide.csv", id="series"),
        pytest.param("a/x.zip", "b/c.png", "a/x.zip:b/c.png", id="archive"),
    ],
)
def test_what_lies_in_one_of_several_files_is_called_by_both(path: str, identity: str, called: str) -> None:
    assert Inputs([path, "other"]).called(path, identity) == called
    assert Inputs([path]).called(path, identity) == identity


def test_what_a_folder_leaves_out_is_told_of_models_without_classes(home: Path, tmp_path: Path) -> None:
    model, _ = segmenter(home)
    some_pictures(tmp_path / "in", good=1, bad=2)
    done = asked(model, tmp_path / "in", "--csv", tmp_path / "rows.csv")
    assert done.exit_code == 3, done.output
    rows = pd.read_csv(tmp_path / "rows.csv", keep_default_na=False)
    assert rows["id"].tolist() == ["good0.png", "bad0.png", "bad1.png"]
    assert [bool(why) for why in rows["left out"]] == [False, True, True]


def test_a_bad_file_among_those_that_are_named_stops_no_model_without_classes(home: Path, tmp_path: Path) -> None:
    model, _ = tagger(home)
    (tmp_path / "good.txt").write_text("because the risk rises .\n")
    (tmp_path / "bad.png").write_bytes(b"no text")
    done = asked(model, tmp_path / "good.txt", tmp_path / "bad.png", "--csv", tmp_path / "rows.csv")
    assert done.exit_code == 3, done.output
    rows = pd.read_csv(tmp_path / "rows.csv", keep_default_na=False)
    assert [bool(why) for why in rows["left out"]] == [False, True]


def test_an_input_that_fails_when_it_is_answered_is_named_too() -> None:
    inputs = Inputs(["a", "b", "c"])
    inputs.each(str.upper)

    def answer(path: str) -> int:
        if path == "b":
            raise OSError("it ends early")
        return ord(path)

    assert inputs.each(answer) == [("a", 97), ("c", 99)]
    assert [(one.where, one.why) for one in inputs.failed] == [("b", "it ends early")]
    with pytest.raises(KeyError):  # a mistake of this library is no bad file
        inputs.each({}.__getitem__)


def test_predict_says_what_the_run_found_of_a_model_that_names_one_class_for_nearly_all(
    home: Path, tmp_path: Path
) -> None:
    shutil.copytree(quantized(home)[0], tmp_path / "run" / "model")
    told = {"schema": 1, "classes": ["up", "down", "left", "right"], "most_named": {"class": "right", "share": 0.9}}
    results = tmp_path / "run" / "results.json"
    results.write_text(json.dumps(told))
    file = picture(tmp_path)
    for model in (tmp_path / "run", tmp_path / "run" / "model"):
        done = asked(model, file)
        assert "note: in the run of this model 90.0 % of the samples are called 'right', of 4 classes" in done.stderr
        assert len(done.stdout.splitlines()) == 1
    for other in ({**told, "most_named": {"class": "right", "share": 0.3}}, {"schema": 1}, {"schema": 9}, []):
        results.write_text(json.dumps(other))
        assert "in the run" not in asked(tmp_path / "run", file).stderr


@pytest.mark.parametrize("make", [matcher, pytest.param(composer, marks=pytest.mark.slow)])
def test_what_takes_two_things_at_once_is_told_with_its_command(make: Make, home: Path, tmp_path: Path) -> None:
    folder, _ = make(home)
    error = asked(folder, picture(tmp_path)).exception
    assert isinstance(error, ValueError)
    assert "more than one thing at once: unseen" in str(error)
    assert str(folder) in str(error)


def test_options_for_classes_are_refused_and_a_classifier_is_not_taken_for_another_kind(
    home: Path, tmp_path: Path
) -> None:
    folder, _ = segmenter(home)
    error = asked(folder, picture(tmp_path), "--abstain").exception
    assert isinstance(error, ValueError)
    assert "--abstain is for models that name classes" in str(error)
    assert jobs.saved_model(quantized(home)[0]) is None
    assert jobs.saved_model(tmp_path) is None


def test_a_command_of_classifiers_says_what_the_folder_holds_instead(home: Path) -> None:
    folder, _ = tagger(home)
    error = CliRunner().invoke(app, ["export", str(folder), "--out", "x.onnx"]).exception
    assert isinstance(error, ValueError)
    assert f"holds a tagger, which names no classes: unseen tag run TEXTS --model {folder}" in str(error)


def test_what_is_not_written_as_onnx_says_what_uses_it(home: Path, tmp_path: Path) -> None:
    folder, _ = tagger(home)
    with pytest.raises(ValueError, match="a tagger is not written as ONNX: unseen tag run"):
        unseen.load_model(folder).export(tmp_path / "tags.onnx")
    assert not (tmp_path / "tags.onnx").exists()


def test_what_takes_two_things_at_once_is_not_served(home: Path) -> None:
    folder, _ = matcher(home)
    error = CliRunner().invoke(app, ["serve", str(folder)]).exception
    assert isinstance(error, ValueError)
    assert f"more than one thing at once: unseen match FIRST SECOND --matcher {folder}" in str(error)


@pytest.mark.parametrize(
    ("make", "body", "told"),
    [
        pytest.param(forecaster, "csv", {"time", "channel", "forecast"}, id="forecaster"),
        pytest.param(ranker, {"samples": ["cat 1", "dog 2"]}, {"rank", "document", "score"}, id="ranker"),
        pytest.param(mapper, {"samples": ["a white owl", ""]}, {"node", "score", "path"}, id="mapper"),
        pytest.param(tagger, {"samples": ["because the risk rises .", ""]}, {"spans"}, id="tagger"),
        pytest.param(segmenter, "png", {"shares", "colours", "mask"}, id="segmenter"),
        pytest.param(captioner, "wav", {"events", "seconds"}, id="captioner", marks=pytest.mark.slow),
    ],
)
def test_what_names_no_classes_is_served_and_answers_what_predict_answers(
    make: Make, body: dict[str, list[str]] | str, told: set[str], home: Path, tmp_path: Path
) -> None:
    folder, _ = make(home)
    found = jobs.saved_model(folder)
    assert found is not None
    kind, place = found
    assert kind.opened is not None
    ask = kind.opened(place)
    served = ServedRows.of(kind, place, max_pixels=10**6)
    served.warm()
    with TestClient(create_app(served), base_url="http://localhost") as client:
        assert kind.what in client.get("/").text
        assert client.get("/model").json()["kind"] == kind.reads
        if isinstance(body, str):
            file = {"png": picture, "wav": sound, "csv": series}[body](tmp_path)
            answer = client.post("/predict?top=2", files={"samples": file.read_bytes()})
            samples = [served.prepare(file.read_bytes())]
        else:
            answer, samples = client.post("/predict?top=2", json=body), body["samples"]
        assert answer.status_code == 200, answer.text
        rows = answer.json()["answers"]
        assert rows == json.loads(json.dumps(ask(samples, 2)))
        assert len(rows) == len(samples)
        assert all({"answer"} | told <= row.keys() for answers in rows for row in answers)
        damaged = client.post("/predict", content=b"{", headers={"content-type": "application/json"})
        assert damaged.status_code == 422


def test_a_sound_is_captioned_as_the_captioner_captions_its_file(home: Path, tmp_path: Path) -> None:
    folder, load = captioner(home)
    file = sound(tmp_path)
    kept = load(folder)
    (row,) = json.loads(asked(folder, file, "--json").output)
    assert row["caption"] == kept.caption([file])[0]  # type: ignore[attr-defined]
    assert row["answer"] == row["nearest"] != ""  # of the small decoder a search is the better answer


def test_a_mask_is_a_png_whose_values_number_the_classes_in_the_colours_that_are_told(
    home: Path, tmp_path: Path
) -> None:
    folder, load = segmenter(home)
    (row,) = json.loads(asked(folder, picture(tmp_path), "--json").output)
    mask = Image.open(io.BytesIO(base64.b64decode(row["mask"])))
    saved = load(folder)
    _, masks, _ = saved.predict(picture(tmp_path))  # type: ignore[attr-defined]
    assert np.array_equal(np.asarray(mask), masks[0])
    names = saved.classes.names  # type: ignore[attr-defined]
    colour = np.asarray(mask.convert("RGB"))[0, 0].tolist()
    assert row["colours"][names[int(masks[0][0, 0])]] == "#{:02x}{:02x}{:02x}".format(*colour)


def test_a_mask_of_more_classes_than_a_palette_holds_keeps_their_numbers() -> None:
    from unseen.jobs.segmentation.saved import _png

    mask = np.array([[0, 255], [256, 700]])
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(base64.b64decode(_png(mask))))), mask)


def test_what_a_model_does_not_read_is_refused_before_it_is_loaded(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _ = segmenter(home)
    monkeypatch.setattr("unseen.jobs.segmentation.model.SegmentModel.load", lambda *_: pytest.fail("it was loaded"))
    error = asked(folder, texts("a text")(tmp_path)).exception
    assert isinstance(error, ValueError)
    assert "must hold pictures; it holds text" in str(error)


@pytest.mark.slow
def test_silence_is_left_out_and_told(home: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    from scipy.io import wavfile

    folder, _ = captioner(home)
    sound(tmp_path)
    wavfile.write(tmp_path / "none.wav", 16_000, np.zeros(16_000, dtype=np.float32))
    rows = json.loads(asked(folder, tmp_path, "--json").stdout)
    assert [(row["id"], bool(row["left out"])) for row in rows] == [("hum.wav", False), ("none.wav", True)]
    assert "none.wav" in caplog.text


def test_a_request_of_long_texts_or_large_pictures_is_answered_in_several_batches(home: Path) -> None:
    texts = ServedRows(lambda samples, top: [], "text", "a tagger", "spans", max_pixels=100)
    assert texts.weigh("a" * 5000) == 0.25
    kind, place = jobs.saved_model(segmenter(home)[0]) or pytest.fail("it is not known")
    served = ServedRows.of(kind, place, max_pixels=10_000)
    assert served.prepared is not None
    small = [served.prepared(Image.new("RGB", size)) for size in ((40, 25), (100, 50))]
    assert [served.weigh(sample) for sample in small] == [0.1, 0.5]  # the masks are as large as what was sent


def test_the_example_of_a_model_names_its_columns_to_those_alone_who_may_ask_it(home: Path) -> None:
    kind, place = jobs.saved_model(forecaster(home)[0]) or pytest.fail("it is not known")
    token = "a-token-of-the-tests"
    app = create_app(ServedRows.of(kind, place, max_pixels=10**6), token=token)
    with TestClient(app, base_url="http://localhost") as client:
        assert client.get("/example.csv").status_code == 401
        assert "y0" not in client.get("/").text
        told = client.get("/example.csv", headers={"authorization": f"Bearer {token}"})
        assert told.text.startswith("time,y0")
        assert "$UNSEEN_TOKEN" in client.get("/").text.split("example.csv")[0]


def test_a_run_says_of_which_samples_its_model_was_made(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    given = {"target": {"kind": "clip"}}
    results = {"schema": 1, "classes": ["a", "b"], "given": given, "most_named": None}
    (tmp_path / "results.json").write_text(json.dumps(results))
    assert told_by_run(tmp_path / "model", {"clip"}) == []
    assert told_by_run(tmp_path / "model", {"clip", "text"}) == [
        "all samples were videos, and here are texts: nothing tells how often it is right on them"
    ]
    assert told_by_run(tmp_path, {"text"}) == []
