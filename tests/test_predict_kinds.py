"""`unseen predict` takes every saved model: what names no classes answers in its own way, or tells its command."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from saved_kinds import Kind, captioner, composer, mapper, matcher, quantized, ranker, segmenter, tagger
from unseen import jobs
from unseen.cli import app

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


@pytest.mark.parametrize(
    ("make", "samples", "rows", "told"),
    [
        pytest.param(ranker, texts("cat 1"), 2, {"query", "document", "score"}, id="ranker"),
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
    written = asked(folder, file, "--csv", tmp_path / "rows.csv")
    assert written.exit_code == 0, written.output
    assert (tmp_path / "rows.csv").read_text().startswith("id,answer")


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


@pytest.mark.parametrize("command", [("export", "--out", "x.onnx"), ("serve",)])
def test_commands_of_classifiers_say_what_the_folder_holds_instead(command: tuple[str, ...], home: Path) -> None:
    folder, _ = segmenter(home)
    error = CliRunner().invoke(app, [command[0], str(folder), *command[1:]]).exception
    assert isinstance(error, ValueError)
    assert (
        f"holds a network that segments, which names no classes: unseen segment --target PICTURES --model {folder}"
        in str(error)
    )
