"""`unseen concepts`: from captions and concepts to predictions, tags, a page and a long-tailed test set."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

import processes
from unseen.cli import main
from unseen.curation.collection import write_record, write_shard
from unseen.encoders import get
from unseen.jobs.concepts import job as job
from unseen.jobs.concepts.captions import Captions, read_concepts
from unseen.methods.curation.concept_frequency import ConceptIndex, count_concepts, published_curves
from unseen.scale import Engine

WORDS = ("dog", "cat", "horse", "zebra", "okapi", "axolotl", "car", "bicycle", "violin", "teapot", "lamp", "stone")


@pytest.fixture(scope="module")
def captions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """2,000 captions whose concepts halve in frequency from one to the next, and accuracies of nine of them."""
    folder = tmp_path_factory.mktemp("captions")
    rng = np.random.default_rng(0)
    which = np.minimum(rng.geometric(0.5, 2000) - 1, 10)
    texts = [f'Two {WORDS[k]}s, "seen"\nin <b>the</b> park' for k in which]
    pd.DataFrame({"file": [f"{i:04d}.png" for i in range(2000)], "caption": texts}).to_csv(
        folder / "captions.csv", index=False
    )
    scores = [80.0 - 7 * i for i in range(9)]
    pd.DataFrame({"concept": WORDS, "accuracy": [*scores, None, None, None]}).to_csv(
        folder / "classes.csv", index=False
    )
    (folder / "classes.txt").write_text("\n".join(WORDS))
    return folder


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """The command in this process; what it says on both streams."""

    def run(*args: Any, code: int = 0) -> tuple[str, str]:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["unseen", "concepts", *map(str, args)])
        with pytest.raises(SystemExit) as left:
            main()
        found = capsys.readouterr()
        assert (left.value.code or 0) == code, found.err
        return found.out, found.err

    return run


def test_a_process_of_its_own_counts_and_predicts(captions: Path, tmp_path: Path) -> None:
    env = {**os.environ, "OMP_NUM_THREADS": "1", "NO_COLOR": "1"}
    given = [
        str(captions / "captions.csv"),
        "--concepts",
        str(captions / "classes.csv"),
        "--out",
        "out",
        "--processes",
        "2",
    ]
    command = [sys.executable, "-m", "unseen.cli", "concepts", *given]
    done = processes.run(command, capture_output=True, text=True, cwd=tmp_path, env=env)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stderr.startswith("concepts: 12, 9 of them with accuracy\ncaptions: 2,000\n")
    assert "ten times the data buys" in done.stdout
    table = pd.read_csv(tmp_path / "out" / "concepts.csv").set_index("concept")
    assert table.loc["stone", "text"] == 0
    assert table.loc["dog", "text"] > 2 * table.loc["horse", "text"]
    assert table.predicted.notna().all()
    assert ((table.low <= table.predicted) & (table.predicted <= table.high)).all()
    assert table.predicted["dog"] > table.predicted["stone"]
    told = "Intervals of 90 % need 19 scored concepts, there are 9: they reach over all that a score can be"
    assert f"{told}; a --level of 0.8 (80 %) has some." in done.stdout
    assert told in (tmp_path / "out" / "report.html").read_text()
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert result["captions"] == 2000
    assert result["fits"][0]["raw_r"] > 0.9
    page = (tmp_path / "out" / "report.html").read_text()
    assert "<script" not in page
    assert "Will zero-shot work" in page
    assert page.count("<source media=") == 2  # the curve and the tail have a narrow drawing for a phone
    heads = re.findall(r"<th[^>]*>([^<]+)</th>", page)
    assert {"captions", "per million", "accuracy, %", "90% interval"} <= set(heads)
    assert not {"model", "prompts", "times ten"} & set(heads)  # nothing that is empty or has no words
    assert not re.search(r">[0-9.]+e\+[0-9]+<", page)


def test_files_of_something_else_are_not_written_over(captions: Path, call: Any, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "report.html").write_text("mine")
    asked = (captions / "captions.csv", "--concepts", "dog,cat", "--out", "out")
    assert "out holds other files, such as 'report.html', which would be lost" in call(*asked, code=1)[1]
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["report.html"]
    (tmp_path / "out" / "report.html").unlink()
    call(*asked)
    call(*asked)  # an earlier result of its own is replaced


def test_nothing_is_predicted_without_accuracies(captions: Path, call: Any, tmp_path: Path) -> None:
    out, _ = call(captions / "captions.csv", "--concepts", captions / "classes.txt", "--out", "out")
    assert "No accuracy is predicted" in out
    assert "predicted" not in pd.read_csv(tmp_path / "out" / "concepts.csv")
    out, _ = call(
        captions / "captions.csv",
        "--concepts",
        captions / "classes.txt",
        "--out",
        "out",
        "--like",
        published_curves()[0],
    )
    assert "times these captions" in out
    assert pd.read_csv(tmp_path / "out" / "concepts.csv").predicted.between(0, 100).all()
    out, _ = call("--like", "list")
    assert out.split() == list(published_curves())


def test_intervals_of_a_lower_level_have_ends_and_nothing_is_said_of_them(
    captions: Path, call: Any, tmp_path: Path
) -> None:
    given = (captions / "captions.csv", "--concepts", captions / "classes.csv", "--out", "out", "--level", "0.8")
    out, _ = call(*given)
    assert "scored concepts, there are" not in out
    table = pd.read_csv(tmp_path / "out" / "concepts.csv")
    assert (table.high - table.low < 100).all()


def test_two_models_are_fitted_apart(captions: Path, call: Any, tmp_path: Path) -> None:
    one = pd.read_csv(captions / "classes.csv")
    both = pd.concat([one.assign(model="A"), one.assign(model="B", accuracy=100 - one.accuracy)])
    both.to_csv(tmp_path / "both.csv", index=False)
    call(captions / "captions.csv", "--concepts", "both.csv", "--out", "out")
    fits = pd.read_csv(tmp_path / "out" / "fits.csv").set_index("model")
    assert fits.slope_per_decade["A"] == pytest.approx(-fits.slope_per_decade["B"])
    assert len(pd.read_csv(tmp_path / "out" / "concepts.csv")) == 2 * len(WORDS)


def test_captions_of_another_encoding_are_told_or_refused(
    call: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A caf\u00e9 in Latin-1 was no caf\u00e9, without a word."""
    asked = ("captions.csv", "--concepts", "caf\u00e9,cat", "--out", "out")
    for encoding, told in (("utf-8", False), ("latin-1", True)):
        caplog.clear()
        (tmp_path / "captions.csv").write_text("caption\na caf\u00e9\na cat\n", encoding=encoding)
        call(*asked)
        assert ("captions.csv is not UTF-8 at byte 13: such letters are lost" in caplog.text) == told
    (tmp_path / "captions.csv").write_text("caption\na caf\u00e9\n", encoding="utf-16")
    assert "must be UTF-8 text; captions.csv is UTF-16: save it as UTF-8" in call(*asked, code=1)[1]


def test_tags_give_joint_counts_and_misalignment(captions: Path, call: Any, tmp_path: Path) -> None:
    texts = pd.read_csv(captions / "captions.csv")
    shown = [next(word for word in WORDS if word in text) for text in texts.caption]
    tags = pd.DataFrame({"sample": texts.file, "concept": shown, "probability": 0.9})
    tags.loc[:499, "concept"] = "lamp"
    tags.loc[500:599, "probability"] = 0.6
    tags.to_csv(tmp_path / "tags.csv", index=False)
    call(captions / "captions.csv", "--concepts", captions / "classes.csv", "--tags", "tags.csv", "--out", "out")
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert result["search"] == "joint"
    assert result["misalignment"] == {"disjoint": 500, "both": 1900, "degree": 0.25, "of_both": 500 / 1900}
    assert result["tags"] == {"0.5": 2000, "0.6": 2000, "0.7": 1900}
    table = pd.read_csv(tmp_path / "out" / "concepts.csv").set_index("concept")
    assert (table.joint <= table[["text", "image"]].min(axis=1)).all()
    assert table.image["lamp"] == 500
    page = (tmp_path / "out" / "report.html").read_text()
    assert "&lt;b&gt;the&lt;/b&gt;" in page
    assert "<b>the</b>" not in page


def every_kind(captions: Path, folder: Path) -> list[Captions]:
    """The captions in a file of every kind that is read."""
    table = pd.read_csv(captions / "captions.csv")
    table["caption"] = [text.replace("\n", " ") for text in table.caption]
    (folder / "a.txt").write_text("\n".join(table.caption))
    table.to_parquet(folder / "a.parquet", row_group_size=100)
    table.to_parquet(folder / "one_group.parquet")
    table.to_csv(folder / "a.tsv", sep="\t", index=False)
    (folder / "a.jsonl").write_text("\n".join(json.dumps({"caption": text}) for text in table.caption))
    write_record(folder / "pairs")
    uids = pa.array([f"{i}" for i in range(2000)])
    rows = pa.table({"uid": uids, "text": pa.array(table.caption.tolist())})
    for i in range(3):
        part = rows.slice(700 * i, 700)
        write_shard(folder / "pairs", i, part, [b"\xff\xd8\xff"] * len(part))
    assert pq.read_metadata(folder / "a.parquet").num_row_groups == 20
    names = ("a.txt", "a.parquet", "one_group.parquet", "a.tsv", "a.jsonl", "pairs")
    return [Captions(captions / "captions.csv"), *(Captions(folder / name) for name in names)]


def test_every_kind_of_captions_is_read_alike(captions: Path, tmp_path: Path) -> None:
    first, *others = (ConceptIndex.from_captions(source, phrases=True) for source in every_kind(captions, tmp_path))
    assert first.n == 2000
    assert all(index == first for index in others)


def test_two_processes_with_shares_of_a_file_give_the_index_of_one(
    captions: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unseen.data.spans.LEAST", 1)
    monkeypatch.setattr("unseen.jobs.concepts.captions.BATCH", 170)
    for source in every_kind(captions, tmp_path):
        assert len(list(source.shares(2))) == {"one_group.parquet": 2, "pairs": 3}.get(source.path.name, 8)
        one = ConceptIndex.from_captions(source, phrases=True)
        assert ConceptIndex.from_captions(source, phrases=True, processes=2) == one
        own = [text for share in source.shares(2) for piece in source.read(share) for text in piece.to_pylist()]
        assert own == [text for piece in source for text in piece.to_pylist()]
        for several in (1, 2):
            counted = count_concepts(source, [*WORDS, "two unicorns"], processes=several, chunk=99)
            assert counted.n == 2000
            assert counted.counts.tolist() == one.counts([*WORDS, "two unicorns"]).tolist()


@pytest.mark.slow
def test_ray_gives_the_results_of_one_process(
    captions: Path, call: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray", reason="needs pip install 'unseen[scale]'")
    monkeypatch.setattr("unseen.data.spans.LEAST", 1000)
    given = (captions / "captions.csv", "--concepts", captions / "classes.csv")
    for name, more in (("words", ()), ("phrases", ("--phrases",))):
        call(*given, *more, "--out", tmp_path / name / "here")
        call(*given, *more, "--out", tmp_path / name / "there", "--engine", "ray")
        for file in ("concepts.csv", "fits.csv", "result.json"):
            here, there = ((tmp_path / name / place / file).read_bytes() for place in ("here", "there"))
            assert here == there
    source = Captions(captions / "captions.csv")
    there = ConceptIndex.from_captions(source, phrases=True, engine=Engine(name="ray"))
    assert there == ConceptIndex.from_captions(source, phrases=True)


@pytest.mark.slow
def test_an_encoder_tags_the_pictures_of_a_collection(tmp_path: Path) -> None:
    encoder = get("lite-clip", precision="fp32")
    write_record(tmp_path / "pairs")
    rng = np.random.default_rng(0)
    pictures = []
    for _ in range(4):
        Image.fromarray(rng.integers(0, 255, (40, 40, 3)).astype(np.uint8)).save(tmp_path / "one.png")
        pictures.append((tmp_path / "one.png").read_bytes())
    table = pa.table({"uid": ["a", "b", "c", "d"], "text": ["a dog", "a cat", "cats", "a lamp"]})
    write_shard(tmp_path / "pairs", 0, table, pictures)
    (tmp_path / "classes.txt").write_text("dog\ncat\nlamp\n")
    found = job.analyse(tmp_path / "pairs", concepts=tmp_path / "classes.txt", encoder=encoder, threshold=0.4)
    assert found.search == "joint"
    assert found.table.text.tolist() == [1, 2, 1]
    assert found.misaligned is not None
    assert found.misaligned.n == 4


def test_a_long_tailed_test_set_of_rare_concepts(captions: Path, call: Any, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name in ("Okapis", "dog", "unicorn"):
        (tmp_path / "found" / name).mkdir(parents=True)
        for i in range(6):
            small = Image.fromarray(rng.integers(0, 255, (6, 6, 3)).astype(np.uint8))
            small.resize((48, 48), Image.Resampling.BICUBIC).save(tmp_path / "found" / name / f"{i}.png")
    again = Image.open(tmp_path / "found" / "Okapis" / "0.png").resize((90, 90))
    again.save(tmp_path / "found" / "Okapis" / "z.png")
    (tmp_path / "found" / "Okapis" / "broken.png").write_bytes(b"\x89PNG not")
    given = (captions / "captions.csv", "--concepts", captions / "classes.txt", "--out", "out", "--candidates", "found")
    call(*given, "--long-tail", "tail", "--rarest", 8, "--per-class", 6)
    assert sorted(path.name for path in (tmp_path / "tail").iterdir()) == ["Okapis"]
    assert len(list((tmp_path / "tail" / "Okapis").iterdir())) == 6
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert result["long_tail_set"] == {"kept": 6, "duplicate": 1, "no rare class": 12, "unreadable": 1}
    assert len(pd.read_csv(tmp_path / "out" / "long_tail.csv")) == 20
    _, err = call(*given, "--long-tail", "tail", code=1)
    assert "does not exist yet" in err


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["captions.csv"], "--concepts FILE"),
        (["nowhere.csv", "--concepts", "classes.txt"], "there is no nowhere.csv"),
        (["captions.csv", "--concepts", "nowhere.txt"], "there is no nowhere.txt"),
        (["captions.csv", "--concepts", "classes.txt", "--column", "x"], "there is no column 'x'"),
        (["captions.csv", "--concepts", "classes.txt", "--lemmas", "x"], "lemmas must be one of"),
        (["captions.csv", "--concepts", "classes.txt", "--like", "x"], "no published curve"),
        (["captions.csv", ".", "--concepts", "classes.txt"], "--encoder"),
        (["captions.csv", "--concepts", "classes.txt", "--level", "1"], "level must lie"),
        (["captions.csv", "--concepts", "classes.txt", "--long-tail", "x"], "--candidates"),
        (["captions.csv", "--concepts", "classes.txt", "--scale", "0.5"], "scale must be"),
        (["classes.csv", "--concepts", "classes.txt", "--column", "accuracy", "--score", "y"], "no column 'y'"),
        (["captions.csv", "--concepts", "classes.txt", "--engine", "dask"], "engine must be one of"),
        (["captions.csv", "--concepts", "classes.txt", "--address", "auto"], "is for engine 'ray'"),
        (["captions.csv", "--concepts", "classes.txt", "--engine", "ray", "--processes", "2"], "for engine 'process'"),
        (["--published", "."], "counts.csv.gz"),
    ],
)  # fmt: skip
def test_mistakes_are_one_line(
    captions: Path, call: Any, monkeypatch: pytest.MonkeyPatch, args: list[str], message: str
) -> None:
    placed = [str(captions / arg) if arg in ("captions.csv", "classes.txt", "classes.csv") else arg for arg in args]
    if "--score" in placed:
        placed[placed.index("--concepts") + 1] = str(captions / "classes.csv")
    _, err = call(*placed, code=1)
    assert message in err
    assert "Traceback" not in err


def test_scores_of_another_kind_have_no_bounds(tmp_path: Path) -> None:
    pd.DataFrame({"class": ["a", "b"], "clip score": [0.3, ""]}).to_csv(tmp_path / "c.csv", index=False)
    table = read_concepts(tmp_path / "c.csv", "clip score")
    assert table.score.tolist()[0] == 0.3
    assert np.isnan(table.score[1])
    assert job._bounds(table) == (-np.inf, np.inf)
    assert job._bounds(read_concepts(tmp_path / "c.csv")) == (-np.inf, np.inf)


def test_results_are_written_before_the_test_set_and_folders_are_looked_at_first(
    captions: Path, call: Any, tmp_path: Path
) -> None:
    given = (captions / "captions.csv", "--concepts", captions / "classes.txt", "--out", "out", "--long-tail", "tail")
    _, err = call(*given, "--candidates", "nowhere", code=1)
    assert "nowhere" in err
    assert not (tmp_path / "out").exists()
    (tmp_path / "flat").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "flat" / "a.png")
    _, err = call(*given, "--candidates", "flat", code=1)
    assert "class folders" in err
    assert not (tmp_path / "out").exists()
    (tmp_path / "found" / "okapi").mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(tmp_path / "found" / "okapi" / "a.png")
    _, err = call(*given, "--candidates", "found", "--outlier-below", 0.5, code=1)
    assert "needs an --encoder" in err
    _, err = call(*given, "--candidates", "found", "--per-class", 2, code=1)
    assert "--per-class" in err
    for name in ("concepts.csv", "fits.csv", "result.json", "report.html"):
        assert (tmp_path / "out" / name).is_file()
    assert not (tmp_path / "tail").exists()
    _, err = call(*given, "--candidates", "found", "--rarest", 1, code=1)
    assert "1 rarest concepts" in err  # which has no folder: a frequent one does not take its place


def test_a_threshold_is_told_before_an_encoder_is_loaded(captions: Path, call: Any) -> None:
    given = (captions / "captions.csv", "--concepts", captions / "classes.txt", "--encoder", "no-such-encoder")
    _, err = call(*given, "--threshold", 1.5, code=1)
    assert "threshold must lie in (0, 1]" in err
