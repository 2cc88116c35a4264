"""What can be refused is refused before anything is encoded, and what is plainly wrong before anything is imported."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from unseen import cli
from unseen.compare.asked import PROTOCOLS
from unseen.console import asked, in_flags
from unseen.files import SourceUnavailable

BOTH = ("--source", "photos", "--target", "sketches")

AT_ONCE = [
    (["compare", "--source", "nowhere", "--target", "sketches"], "--source: path 'nowhere' does not exist"),
    (["compare", "--source", "photo", "--target", "sketches"], "did you mean"),
    (["compare", "--source", "photos", "--target", "nowhere"], "--target: path 'nowhere' does not exist"),
    (["compare", *BOTH, "--methods", "corall"], "did you mean 'coral'"),
    (["compare", *BOTH, "--methods", ","], "--methods must be"),
    (["compare", *BOTH, "--protocol", "opened"], "--protocol must be auto, closed"),
    (["compare", *BOTH, "--labels", "exams"], "--labels must be exam"),
    (["compare", *BOTH, "--labels", "split:2"], "--labels must be exam"),
    (["compare", *BOTH, "--encoder", "efficient"], "'efficient' is no encoder"),
    (["compare", *BOTH, "--encoder", "mell"], "'mell' is no encoder; did you mean 'mel'?"),
    (["compare", *BOTH, "--prompt", "hello"], "--prompt must have one place {} for the name of the class; got 'hello'"),
    (["adapt", "--method", "glc", *BOTH, "--prompt", "hello", "--out", "m"], "--prompt must have one place {}"),
    (["recommend", *BOTH, "--prompt", "hello"], "--prompt must have one place {}"),
    (["compare", *BOTH, "--budget", "soon"], "--budget must be seconds"),
    (["compare", *BOTH, "--budget", "0"], "--budget must be more than no time; got '0'"),
    (["compare", *BOTH, "--on-error", "ignore"], "--on-error must be skip or fail"),
    (["compare", *BOTH, "--precision", "fp8"], "--precision must be auto"),
    (["compare", *BOTH, "--engine", "spark"], "--engine must be one of process, ray"),
    (["compare", *BOTH, "--out", "other"], "--out: other exists and is not a run"),
    (["compare", *BOTH, "--out", "file.txt"], "--out must be a folder"),
    (["compare", *BOTH, "--model", "other"], "other is not a saved model"),
    (["compare", *BOTH, "--teachers", "nowhere"], "--teachers: path 'nowhere'"),
    (["compare", "--target", "flat", "--classes", "nowhere.csv"], "--classes: path 'nowhere.csv' does not exist"),
    (["compare", "--target", "flat", "--classes", "cup"], "names with commas between them; got 'cup' alone"),
    (["compare", "--target", "flat", "--classes", "cup,desk,cup"], "--classes must be different; 'cup' stands twice"),
    (["serve", "nowhere"], "nowhere is not a saved model"),
    (["compare", "--target", "photos", "--ontology", "nowhere.ttl"], "--ontology: path 'nowhere.ttl'"),
    (["adapt", "--method", "gcl", "--source", "photos", "--out", "m"], "did you mean 'glc'"),
    (["adapt", "--method", "glc", "--source", "nowhere", "--out", "m"], "--source: path 'nowhere'"),
    (["recommend", "--source", "nowhere"], "--source: path 'nowhere'"),
    (["diagnose", "--source", "photos", "--target", "nowhere"], "--target: path 'nowhere'"),
    (["predict", "nowhere", "photos"], "nowhere is not a saved model: there is no such folder"),
    (["predict", "other", "photos"], "other is not a saved model: it holds no bundle.json"),
    (["predict", "saved", "nowhere.png"], "path 'nowhere.png' does not exist"),
    (["predict", "saved", "file.txt"], "file.txt holds texts; the model in saved reads pictures"),
    (["predict", "numbers", "file.txt"], "file.txt holds texts; the model in numbers reads tables of numbers"),
    (["predict", "saved", "a.mp4", "--stride", "1", "--window", "-3"], "--window must be a positive number of seconds"),
    (["predict", "saved", "photos", "--stride", "1"], "inputs must be videos on this machine where --stride 1"),
    (["predict", "saved", "empty"], "is empty; expected pictures"),
    (["verify", "nowhere", "photos"], "nowhere is not a saved model"),
    (["verify", "nowhere", "sketch"], "'sketch' does not exist; did you mean"),
    (["explain", "nowhere", "photos"], "nowhere is not a saved model"),
    (["export", "nowhere", "--out", "m.onnx"], "nowhere is not a saved model"),
    (["export", "nowhere"], "name --out FILE.onnx"),
    (["export", "saved", "--out", "photos"], "--out must end in .onnx; got 'photos'"),
    (["export", "saved", "--web", "photos"], "--web must end in .html; got 'photos'"),
    (["label", "nowhere"], "'nowhere' does not exist"),
    (["label", "photos", "--out", "x.txt"], "--out must end in .csv"),
    (["embed", "nowhere", "--out", "x.npz"], "'nowhere' does not exist"),
    (["embed", "photos", "--encoder", "lite", "--out", "x.npz"], "'lite' is no encoder"),
    (["embed", "photos", "--out", "x.txt"], "--out must end in .parquet, .csv or .npz; got 'x.txt'"),
    (["shift", "photos", "nowhere"], "'nowhere' does not exist"),
    (["episodes", "photos", "--shot", "0"], "--shot must be different whole numbers from 1 on with commas"),
    (["episodes", "photos", "--shot", "1,1"], "--shot must be different whole numbers from 1 on with commas"),
    (["compare"], "--source or --support must be given, or --classes"),
    (["compare", "--target", "flat"], "--source or --support must be given, or --classes"),
    (["recommend", "--target", "flat"], "--source or --support must be given, or --classes"),
    (["words", "quark"], "no word is called 'quark'; `unseen words` alone lists all"),
    (["words", "temprature"], "no word is called 'temprature'; did you mean 'temperature'"),
    (["data", "info", "[x]"], "no data source is called '[x]'. There are: digits:printed"),
]  # fmt: skip

BEFORE_ENCODING = [
    (["compare", "--source", "one", "--target", "sketches"], "at least two classes; all 3 are of 'cup'"),
    (["compare", "--source", "photos", "--target", "others"], "no class in common with the labelled data: it has"),
    (["compare", "--source", "photos", "--target", "photos"], "are they the same folder?"),
    (["compare", "--source", "flat", "--target", "sketches"], "--source must have labels: class folders"),
    (["compare", "--source", "empty", "--target", "sketches"], "is empty; expected pictures"),
    (["compare", "--source", "photos", "--target", "texts.csv"], "source holds pictures, target holds texts"),
    (["compare", *BOTH, "--methods", "glc:nothing"], "glc has the presets"),
    (["compare", *BOTH, "--methods", "linear-probe"], "it needs support"),
    (["compare", "--target", "flat", "--classes", "a,b", "--encoder", "efficientnet-lite0"], "names into one space"),
    (["compare", *BOTH, "--classes", "one.csv"], "--classes must hold all of the labelled data, and lacks 'cup'"),
    (["compare", *BOTH, "--classes", "Cup,desk"], "lacks 'cup'; 'cup' and 'Cup' differ in upper and lower case only"),
    (["recommend", "--source", "photos", "--target", "photos"], "are they the same folder?"),
    (["episodes", "photos", "--way", "2", "--queries", "1", "--shot", "1", "--source", "nowhere"], "--source: path '"),
    (["adapt", "--method", "glc", *BOTH, "--set", "rho=7", "--out", "m"], "rho must"),
    (["adapt", "--method", "glc", *BOTH, "--set", "rhoo=.7", "--out", "m"], "glc has no 'rhoo'; did you mean 'rho'?"),
    (["adapt", "--method", "source-only", *BOTH, "--set", "epochs=1", "--out", "m"],
     "source-only has no 'epochs'. It has random_state, C"),
    (["adapt", "--method", "linear-probe", *BOTH, "--out", "m"], "it needs support"),
    (["adapt", *BOTH, "--out", "m"], "name a --method to fit"),
    # What the words tell comes before what the data tell: `one` has a single class.
    (["adapt", "--method", "source-only", "--source", "one", "--set", "nosuch=1", "--out", "m"], "has no 'nosuch'"),
    (["adapt", "--method", "source-only", "--source", "one", "--out", "file.txt"], "--out must be a folder"),
    (["adapt", "--method", "consensus", "--source", "one", "--out", "m"], "--method: consensus is made of several"),
    (["adapt", "--method", "glc:nothing", "--source", "one", "--out", "m"], "--method: glc has the presets"),
    (["recommend", "--source", "one", "--runs", "empty"], "--runs must hold runs"),
    (["compare", "--source", "one", "--labels", "split:.5"], "--target must be given"),
    (["label", "photos"], "all 6 of photos have one (class folders are labels)"),
    (["embed", "sizes.csv", "--out", "x.npz"], "sizes.csv holds features already: `compare` and `adapt` take it"),
]  # fmt: skip


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    rng = np.random.default_rng(0)
    for folder, names in (
        ("photos", ("cup", "desk")),
        ("sketches", ("cup", "desk")),
        ("others", ("cat", "dog")),
        ("one", ("cup",)),
        ("flat", ("",)),
    ):
        for name in names:
            (tmp_path / folder / name).mkdir(parents=True, exist_ok=True)
            for i in range(3):
                pixels = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / folder / name / f"{i}.png")
    for folder in ("empty", "other", "saved", "numbers"):
        (tmp_path / folder).mkdir()
    (tmp_path / "saved" / "bundle.json").write_text('{"format": 1, "encoder": {"name": "x", "kinds": ["image"]}}')
    (tmp_path / "numbers" / "bundle.json").write_text('{"format": 1, "encoder": null, "feature_names": ["a", "b"]}')
    (tmp_path / "other" / "x.txt").write_text("x")
    (tmp_path / "file.txt").write_text("x")
    (tmp_path / "a.mp4").write_bytes(b"no video")
    (tmp_path / "texts.csv").write_text("text,label\nred,cup\nblue,desk\n")
    (tmp_path / "sizes.csv").write_text("high,wide,label\n1,2,cup\n3,4,desk\n")
    (tmp_path / "one.csv").write_text("name\nlamp\nsofa\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UNSEEN_DATA", str(tmp_path / ".data"))
    return tmp_path


def told(arguments: list[str]) -> str:
    """What the command says of its error, in one line of its own flags."""
    done = CliRunner().invoke(cli.app, arguments)
    assert done.exit_code != 0
    return in_flags(str(done.exception), asked(tuple(arguments)), error=True)


@pytest.mark.parametrize(
    ("command", "patched", "said"),
    [
        (["compare", *BOTH], "unseen.compare.asked.check_asked", "stopped; the same command goes on from here\n"),
        (["nas", "table", "cells", "--data", "letters", "--out", "t.parquet"],
         "unseen.jobs.architectures.job.make_table", "stopped; the same command goes on from here\n"),
        (["report", "photos"], "unseen.report.render", "stopped\n"),
    ],
)  # fmt: skip
def test_a_command_that_is_interrupted_says_so(
    here: Path, monkeypatch: pytest.MonkeyPatch, command: list[str], patched: str, said: str
) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(patched, interrupted)
    done = CliRunner().invoke(cli.app, command)
    assert (done.exit_code, done.stderr) == (130, said)


def test_what_is_plainly_wrong_is_told_before_anything_heavy_is_imported(here: Path) -> None:
    script = (
        "import json, sys\nfrom typer import testing\nfrom unseen import cli\n"
        "from unseen.console import asked, in_flags\nsaid, made = [], testing._get_command(cli.app)\n"
        "testing._get_command = lambda app: made\n"  # all commands, made once and not for each
        "for one in json.load(sys.stdin):\n"
        "    done = testing.CliRunner().invoke(cli.app, one)\n"
        "    heavy = [name for name in ('torch', 'sklearn', 'pandas') if name in sys.modules]\n"
        "    said.append([done.exit_code, in_flags(str(done.exception), asked(tuple(one)), error=True), heavy])\n"
        "print(json.dumps(said))"
    )
    asked_for = json.dumps([one for one, _ in AT_ONCE])
    done = subprocess.run([sys.executable, "-c", script], input=asked_for, capture_output=True, text=True, check=True)
    for (one, expected), (code, said, heavy) in zip(AT_ONCE, json.loads(done.stdout), strict=True):
        assert code != 0, one
        assert expected in said, (one, said)
        assert heavy == [], (one, heavy)


@pytest.mark.parametrize(("one", "expected"), BEFORE_ENCODING, ids=[" ".join(one) for one, _ in BEFORE_ENCODING])
def test_what_the_data_tell_is_told_before_anything_is_encoded(
    here: Path, monkeypatch: pytest.MonkeyPatch, one: list[str], expected: str
) -> None:
    from unseen.encoders import base, frames, registry  # noqa: F401 - frames takes `build` when it is imported

    def never(*_: Any, **__: Any) -> Any:
        raise AssertionError("an encoder was loaded or used")

    monkeypatch.setattr(registry, "build", never)
    monkeypatch.setattr(base.Encoder, "encode", never)
    said = told(one)
    assert expected in said, said
    assert not (here / "runs").exists()


def test_a_folder_of_another_run_is_refused_before_encoding(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from unseen.encoders import frames, registry  # noqa: F401 - frames takes `build` when it is imported

    run = here / "run"
    run.mkdir()
    (run / "config.json").write_text(json.dumps({"id": "0", "seeds": 1, "protocol": "auto", "labels": "exam"}))

    def never(*_: Any, **__: Any) -> Any:
        raise AssertionError("an encoder was loaded")

    monkeypatch.setattr(registry, "build", never)
    said = told(["compare", *BOTH, "--out", "run", "--seeds", "2"])
    assert said.startswith("--out: run holds another run (of other seeds)"), said


def test_protocols_are_those_that_grade() -> None:
    from unseen.evaluation import protocols

    assert set(PROTOCOLS) == set(protocols.names())


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (FileNotFoundError(2, "No such file or directory", "x.txt"), "unseen: No such file or directory: 'x.txt'\n"),
        (SourceUnavailable("it is not here: " + "get it. " * 60), "unseen: it is not here: " + "get it. " * 60 + "\n"),
        (RuntimeError("letter " * 90), "unseen: RuntimeError: " + "letter " * 42 + "...\n"),
        (RuntimeError("Symlink loop from 'a/b'"), "unseen: 'a/b' is a link that leads to itself\n"),
    ],
    ids=["system", "source", "long", "loop"],
)
def test_errors_are_told_whole_and_without_numbers_of_the_system(
    error: Exception, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(type(cli.app), "__call__", fail)
    monkeypatch.setattr("sys.argv", ["unseen"])
    with pytest.raises(SystemExit):
        cli.main()
    assert capsys.readouterr().err.startswith(said)


@pytest.mark.parametrize(
    ("given", "said", "code"),
    [
        (["predict", "nowhere", "a.png"], "unseen: nowhere is not a saved model", 1),
        (["predict", "--nope"], "No such option", 2),
    ],
)
def test_what_is_wrong_with_a_command_is_told_by_the_first_process_of_a_launcher(
    given: list[str], said: str, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused() -> tuple[Any, str]:
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        return stopped.value.code, " ".join(capsys.readouterr().err.split())

    def ended(seconds: float) -> None:
        raise SystemExit(-15)  # by the launcher, when the first process is gone

    monkeypatch.setattr("sys.argv", ["unseen", *given])
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setattr("time.sleep", ended)
    first = refused()
    assert first[0] == code
    assert said in first[1]
    monkeypatch.setenv("RANK", "1")
    assert refused() == (-15, "")
    waited: list[float] = []
    monkeypatch.setattr("time.sleep", waited.append)
    alone = refused()
    assert (alone[0], waited) == (code, [cli.WAIT])
    assert said in alone[1]  # it is alone with it


def test_another_process_of_a_launcher_ends_as_the_command_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    for given, code in ((["words", "temperature"], 0), (["data", "list"], 0)):
        monkeypatch.setattr("sys.argv", ["unseen", *given])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        assert stopped.value.code == code


def test_tags_that_are_left_out_are_told_by_their_flag() -> None:
    said = in_flags("without_tags: no pair is tagged 'x'", asked(("prune", "pairs", "--without-tag", "x")), error=True)
    assert said == "--without-tag: no pair is tagged 'x'"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["compare", "--edges", "x.csv"], "No such option: --edges; `unseen nodes` has it"),
        (["compare", "--nowhere", "x.csv"], "No such option: --nowhere"),
        (["nodes", "x.csv", "--source", "x"], "No such option: --source"),  # of many commands: none is told
        (["nodes", "x.csv", "--edges"], "Option '--edges' requires an argument"),
    ],
)
def test_an_option_of_another_command_names_that_command(
    given: list[str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["unseen", *given])
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit):
        cli.main()
    told = capsys.readouterr().err.replace("option '--", "option: --").replace("'", "")  # as click words it, typer 0.16
    assert said.replace("'", "") in told
    assert said.endswith("`unseen nodes` has it") or " it (" not in told
