"""`unseen prune`: what it reads, what it writes, what it refuses; through a real process and in this one."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import io
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

import processes
from unseen.cli import main
from unseen.curation.collection import write_record, write_shard
from unseen.curation.uids import UidSet, read_uids
from unseen.jobs.pruning.embeddings import read_embeddings
from unseen.jobs.pruning.job import check_out, prune, pruners, write
from unseen.jobs.pruning.page import LABELS
from unseen.methods.base import Card
from unseen.methods.pruners import Pruner
from unseen.nn.concepts import Concepts, Selection, find_concepts
from unseen.nn.rows import Stack

N, D = 300, 12


def rows(n: int = N) -> np.ndarray:
    rng = np.random.default_rng(0)
    centres = np.linalg.qr(rng.normal(size=(D, D)))[0]
    x = centres[rng.integers(0, 6, n)] + 0.1 * rng.normal(size=(n, D))
    x[-20:] = x[:20]  # equal ones
    return x.astype(np.float32)


def uid(i: int) -> str:
    return hashlib.md5(str(i).encode()).hexdigest()


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """The same vectors as arrays and as a table."""
    x, uids = rows(), np.array([uid(i) for i in range(N)])
    similarity, text = np.linspace(0, 1, N), np.array([f"<script>alert({i})</script>" for i in range(N)])
    np.save(tmp_path / "x.npy", x.astype(np.float16))
    np.savez(tmp_path / "x.npz", embeddings=x, uid=uids, similarity=similarity, text=text)
    np.savez(tmp_path / "two.npz", l14_img=x, b32_img=-x, other=np.zeros((N, 2, 2)))
    columns = {"uid": pa.array(uids), "clip_l14_similarity_score": pa.array(similarity), "text": pa.array(text)}
    pq.write_table(pa.table(columns), tmp_path / "two.parquet")
    pq.write_table(pa.table({**columns, "embedding": pa.array(list(x))}), tmp_path / "table.parquet", row_group_size=64)
    return tmp_path


def test_a_process_writes_everything_and_every_sample_once(files: Path) -> None:
    env = {**os.environ, "OMP_NUM_THREADS": "1", "NO_COLOR": "1"}
    order = [sys.executable, "-m", "unseen.cli", "prune", "x.npz", "--keep", "0.2", "--quality", "0.9", "--out", "out"]
    done = processes.run(order, capture_output=True, text=True, cwd=files, env=env)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stderr.startswith("data: 300 embeddings of ")
    assert ", with ids and similarities and texts\n" in done.stderr
    told = json.loads((files / "out" / "pruning.json").read_text())
    assert told["counts"]["kept"] == 60
    assert told["counts"]["similarity"] == 30
    assert sum(told["counts"].values()) == told["samples"] == N
    assert told["command"] == "unseen prune x.npz --keep 0.2 --quality 0.9 --out out"
    kept, dropped = (pq.read_table(files / "out" / f"{name}.parquet").to_pandas() for name in ("kept", "dropped"))
    assert sorted([*kept.id, *dropped.id]) == sorted(uid(i) for i in range(N))
    assert dropped.reason.value_counts().to_dict() == {k: v for k, v in told["counts"].items() if v and k != "kept"}
    concepts = pq.read_table(files / "out" / "concepts.parquet").to_pandas()
    assert concepts.kept.sum() == 60
    assert (concepts.kept <= concepts.members).all()
    assert concepts[["members", "duplicates", "unlike"]].to_numpy().sum() == N
    assert len(read_uids(files / "out" / "uids.npy")) == 60
    assert UidSet(files / "out" / "uids.npy").contains(kept.id.tolist()).all()
    page = (files / "out" / "report.html").read_text()
    assert "60 of 300 samples" in page
    assert "<script" not in page
    assert "&lt;script&gt;alert(" in page
    assert not list((files / "out").glob(".*"))


def test_all_forms_of_the_same_vectors_give_the_same_choice(files: Path) -> None:
    chosen = [
        prune(files / name, keep=50, **more).selection.indices.tolist()  # type: ignore[arg-type]
        for name, more in {"x.npz": {}, "table.parquet": {}, "two.npz": {"column": "l14_img"}}.items()
    ]
    assert chosen[0] == chosen[1] == chosen[2]


def test_what_was_read_is_said_before_it_is_encoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pictures").mkdir()
    for i in range(3):
        Image.new("RGB", (9, 7), (i, 0, 0)).save(tmp_path / "pictures" / f"{i}.png")
    said: list[str] = []

    def encoder(*_: object) -> None:
        assert said == ["data: 3 pictures"]
        raise ValueError("far enough")

    monkeypatch.setattr("unseen.jobs.pruning.embeddings.encoder_of", encoder)
    with pytest.raises(ValueError, match="far enough"):
        prune(tmp_path / "pictures", say=said.append)


def test_a_table_beside_an_array_says_who_is_who(files: Path) -> None:
    found = read_embeddings(files / "two.npz")
    assert found.x[:1][0].tolist() == rows()[0].tolist()  # the first of the usual names
    assert found.ids[5] == uid(5)
    assert found.has_uids
    assert found.similarity is not None
    assert found.similarity[-1] == 1
    assert found.texts is not None
    plain = read_embeddings(files / "x.npy")
    assert isinstance(plain.x, np.memmap)
    assert plain.x.dtype == np.float16
    assert plain.ids.tolist() == list(range(N))
    assert (plain.has_uids, plain.similarity) == (False, None)


def test_copies_are_dropped_first_and_a_fraction_beyond_the_rest_keeps_the_rest(
    files: Path, caplog: pytest.LogCaptureFixture
) -> None:
    result = prune(files / "x.npz", keep=0.99)
    assert result.counts() == {"kept": 280, "no embedding": 0, "similarity": 0, "duplicate": 20, "budget": 0}
    assert "fewer than keep= asks for" in caplog.text
    assert prune(files / "x.npz", keep=0.99, dedup=None).counts()["kept"] == 297
    with pytest.raises(ValueError, match="more than the 280 samples"):
        prune(files / "x.npz", keep=290)


def test_a_collection_is_read_with_its_pictures(tmp_path: Path) -> None:
    from PIL import Image

    x = rows(40)
    pictures = []
    for i in range(40):
        buffer = io.BytesIO()
        Image.new("RGB", (20, 10), (6 * i, 0, 0)).save(buffer, "PNG")
        pictures.append(buffer.getvalue())
    write_record(tmp_path / "c")
    for number, part in enumerate((slice(0, 25), slice(25, 40))):
        ids = [uid(i) for i in range(40)][part]
        table = pa.table({"uid": ids, "text": [f"picture {i}" for i in ids], "similarity": [0.3] * len(ids)})
        write_shard(tmp_path / "c", number, table, pictures[part], {"image": x[part]})
    result = prune(tmp_path / "c", keep=10)
    told = write(result, tmp_path / "out")
    assert told["counts"]["kept"] == 10
    assert (tmp_path / "out" / "report.html").read_text().count("data:image/jpeg") > 5
    assert np.asarray(result.samples.picture(30))[0, 0].tolist() == [180, 0, 0]
    assert "data:image/jpeg" not in _page(result, tmp_path / "bare")
    _leave_out_tagged(tmp_path)


def test_by_lite_clip_a_duplicate_has_the_same_pixels(tmp_path: Path, capsys: Any) -> None:
    """Its vectors of two drawings can be equal: a quarter and a half note were one."""
    from PIL import Image

    from unseen.curation.collection import EncoderRecord

    rng = np.random.default_rng(0)
    pictures = [Image.fromarray(rng.integers(0, 256, (4, 4, 3), np.uint8)).resize((64, 64)) for _ in range(38)]
    pictures += [pictures[0], pictures[1].resize((32, 32))]  # a copy, and one of half the size
    coded = []
    for picture in pictures:
        picture.save(buffer := io.BytesIO(), "PNG")
        coded.append(buffer.getvalue())
    x = np.repeat(rows(10), 4, axis=0)  # fours of the same vector
    x[38:] = x[:2]
    ids = [uid(i) for i in range(40)]
    table = pa.table({"uid": ids, "text": ids})
    for name, gone in (("lite-clip", 2), ("open_clip:x", 30)):
        write_record(tmp_path / name, EncoderRecord(name, "ab" * 32, D))
        write_shard(tmp_path / name, 0, table, coded, {"image": x, "text": x})
        found = prune(tmp_path / name, keep=5)
        assert found.counts()["duplicate"] == gone
        assert prune(tmp_path / name, keep=5, dedup=0.0).counts()["duplicate"] == gone
        assert prune(tmp_path / name, keep=5, column="text").counts()["duplicate"] == 30  # captions have no pixels
        assert ("the same by their pixels" in _page(found, tmp_path / f"out {name}")) == (gone == 2)


def _leave_out_tagged(folder: Path) -> None:
    """Pairs that were tagged are no samples; a tag that nobody has, and data that has no tags, are refused."""
    lines = [json.dumps({"uid": uid(i), "tags": ["wrong"]}) for i in range(5)]
    (folder / "c" / "tags.jsonl").write_text("\n".join(lines) + "\n")
    result = prune(folder / "c", keep=1.0, dedup=None, without_tags=["wrong"])
    assert sorted(result.samples.ids.tolist()) == sorted(uid(i) for i in range(5, 40))
    assert write(result, folder / "untagged")["samples"] == 35
    assert np.asarray(result.samples.picture(25))[0, 0].tolist() == [180, 0, 0]
    with pytest.raises(ValueError, match="no pair is tagged 'other'; there are: wrong"):
        prune(folder / "c", without_tags=["other"])
    np.save(folder / "x.npy", rows(9))
    with pytest.raises(ValueError, match="without_tags is for a collection"):
        prune(folder / "x.npy", without_tags=["wrong"])


def _page(result: Any, out: Path) -> str:
    write(result, out, pictures=False)
    return (out / "report.html").read_text()


def test_every_rule_writes_a_report(files: Path) -> None:
    for method in ("concept-pruning", "dbp", "simple-pruning", "ssp", "random", "uniform", "similarity"):
        told = write(prune(files / "x.npz", keep=30, method=method), files / method)
        assert told["counts"]["kept"] == 30
        simple = method not in ("concept-pruning", "dbp")
        assert told["settings"]["method"] == ("simple-pruning" if simple else "concept-pruning")
        assert told["settings"].get("rule", method) == ("uniform" if method == "simple-pruning" else method)
        assert (files / method / "report.html").stat().st_size > 10_000


class Longest(Pruner):
    """Keeps what lies nearest to its concept: another package's rule, with nothing but a card and `choose`."""

    card = Card(
        slug="longest", title="Longest", venue="", summary="Keep the most typical samples.", unseen={"data"},
        modalities={"features"}, protocols={"curation"},
    )  # fmt: skip

    least: float = 0.0

    def choose(self, concepts: Concepts, n: int) -> Selection:
        members = concepts.members
        return concepts.chosen(members[np.argsort(concepts.distances[members], kind="stable")[:n]])


def test_a_method_of_another_package_chooses_by_its_card_alone(files: Path, install: Callable[..., None]) -> None:
    install("methods", longest=Longest)
    assert pruners() == ("simple-pruning", "concept-pruning", "longest")
    result = prune(files / "x.npz", keep=30, method="longest", settings={"least": 0.5})
    kept = result.selection.indices
    assert result.concepts.distances[kept].max() <= np.delete(result.concepts.distances, kept).max()
    told = write(result, files / "out", pictures=False)
    assert (told["settings"]["method"], told["settings"]["least"]) == ("longest", 0.5)
    assert told["counts"] == {"kept": 30, "no embedding": 0, "similarity": 0, "duplicate": 20, "not chosen": 250}
    assert set(pq.read_table(files / "out" / "kept.parquet")["reason"].to_pylist()) == {"chosen by longest"}
    page = (files / "out" / "report.html").read_text()
    assert "Keep the most typical samples." in page
    assert "not chosen" in page


@pytest.mark.parametrize("at", [[0, 0], [-1], [300], [280]])
def test_what_is_chosen_are_members_each_once(at: list[int]) -> None:
    found = find_concepts(rows(), dedup=0.0, n_clusters=6, restarts=1)
    with pytest.raises(ValueError, match="indices must"):
        found.chosen(np.array(at))


def test_the_same_command_gives_the_same_files(files: Path) -> None:
    for name in ("a", "b"):
        write(prune(files / "x.npz", keep=30, seed=3), files / name)
    for name in ("kept.parquet", "concepts.parquet", "uids.npy"):
        assert (files / "a" / name).read_bytes() == (files / "b" / name).read_bytes()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("nothing.npy",), "there is nothing at nothing.npy"),
        (("x.npy", "--keep", "0"), "--keep must be a fraction"),
        (("x.npy", "--keep", "301"), "at most 300"),
        (("x.npy", "--method", "best"), "--method must be one of simple-pruning, concept-pruning, uniform, ssp"),
        (("x.npy", "--clusters", "many"), "--clusters must be auto or a whole number"),
        (("x.npy", "--clusters", "301"), "--clusters must be at most 300"),
        (("x.npy", "--temperature", "0"), "--temperature must be in (0, inf]"),
        (("x.npy", "--method", "similarity"), "has no similarity"),
        (("x.npy", "--quality", "0.5"), "has no similarity"),
        (("x.npy", "--encoder", "minilm"), "--encoder is for pictures"),
        (("x.npy", "--column", "x"), "holds one array"),
        (("two.npz", "--column", "other"), "--column must name vectors in two.npz: l14_img, b32_img"),
        (("nan.npy",), "row 7, counted from 0, holds NaN"),
        (("flat.npy",), "must hold float vectors of shape"),
        (("twice.npz",), "ids must be unique; 'a' stands 3 times"),
        (("ragged.parquet",), "row 1 has 2, row 2 has 4"),
        (("late.parquet",), "row 1 has 2, row 1501 has 1"),
        (("noid.parquet",), "uid is missing in 2 rows, first in row 4"),
        (("case.parquet",), "ids must be unique; 'abcdef00000000000000000000000000' stands 2 times"),
        (("gaps.npz", "--quality", "0.5"), "the similarity is missing for 2 of 300 samples, first for row 5"),
        (
            ("x.npz", "--method", "random", "--floor", "0.5"),
            "--floor has no effect with rule='random', only with ssp",
        ),
        (
            ("x.npz", "--method", "ssp", "--temperature", "1"),
            "--temperature: ssp takes none; what can be set of it is iterations, ",
        ),
        (("x.npy", "--set", "keep=0.5"), "--set does not take keep; say --keep"),
        (("x.npy", "--method", "uniform", "--set", "rule=ssp"), "must not hold rule, which another argument says"),
        (("x.npy", "--method", "ssp", "--pick", "random"), "--pick must be hardest or easiest with rule='ssp'"),
        (("x.npy", "--method", "source-only"), "--method must be one of"),
        (("x.npy", "--dedup", "none"), "--dedup must be off or a number"),
        (("x.npy", "--dedup", "3"), "--dedup must be in [0, 2], or off"),
        (("x.npy", "--trust"), "--trust is for pictures"),
        (("zero.npy",), "none of the 3 embeddings has a direction"),
        (("broken.npz",), "broken.npz is no .npz file"),
        (("wine.csv",), "wine.csv is a table of numbers, of which the largest column would decide alone"),
        (("captions.txt",), "there is nothing to prune: captions.txt is one sample, as a text file is one text"),
        (("single.npy",), "there is nothing to prune: single.npy holds one sample"),
    ],
)
def test_what_is_wrong_is_one_line_and_writes_nothing(
    arguments: tuple[str, ...], told: str, files: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    broken = rows()
    broken[7, 1] = np.nan
    np.save(files / "nan.npy", broken)
    np.save(files / "flat.npy", np.zeros(5))
    np.savez(files / "twice.npz", x=np.ones((3, 2)), uid=np.array(["a"] * 3))
    pq.write_table(pa.table({"x": [[1.0, 2.0], [1.0, 2.0, 3.0, 4.0]]}), files / "ragged.parquet")
    late = [[1.0, 2.0]] * 3000
    late[1500], late[1501] = [1.0], [1.0, 2.0, 3.0]
    pq.write_table(pa.table({"x": late}), files / "late.parquet")
    names = [uid(i) if i not in (3, 5) else None for i in range(8)]
    pq.write_table(pa.table({"x": [[1.0, 2.0]] * 8, "uid": names}), files / "noid.parquet")
    twice = ["abcdef" + "0" * 26, "ABCDEF" + "0" * 26]
    pq.write_table(pa.table({"x": [[1.0, 2.0]] * 2, "uid": twice}), files / "case.parquet")
    similarity = np.where(np.isin(np.arange(N), [4, 9]), np.nan, 0.5)
    np.savez(files / "gaps.npz", x=rows(), similarity=similarity)
    np.save(files / "zero.npy", np.zeros((3, 4)))
    (files / "broken.npz").write_bytes(b"PK broken")
    (files / "wine.csv").write_text("acid,proline,label\n" + "".join(f"1.{i},{700 + i},{i % 3}\n" for i in range(9)))
    (files / "captions.txt").write_text("a dog\na cat\na red car\n")
    np.save(files / "single.npy", rows(21)[:1])
    monkeypatch.chdir(files)
    monkeypatch.setattr(sys, "argv", ["unseen", "prune", *arguments, "--out", "out"])
    with pytest.raises(SystemExit) as left:
        main()
    said = capsys.readouterr().err
    assert left.value.code == 1
    assert told in said
    assert len([line for line in said.strip().splitlines() if not line.startswith("data: ")]) == 1  # and what was read
    assert not (files / "out").exists()


def test_a_folder_that_was_used_before_holds_one_result_and_what_else_was_there(
    files: Path, caplog: pytest.LogCaptureFixture
) -> None:
    out = files / "out"
    write(prune(files / "x.npz", keep=30), out)
    (out / "notes.txt").write_text("mine")
    assert (out / "uids.npy").exists()
    write(prune(files / "x.npy", keep=20), out)
    assert "uids.npy is left out: nothing names the samples" in caplog.text
    assert sorted(f.name for f in out.iterdir()) == sorted(
        ["kept.parquet", "dropped.parquet", "concepts.parquet", "report.html", "pruning.json", "notes.txt"]
    )
    assert json.loads((out / "pruning.json").read_text())["counts"]["kept"] == 20


def test_results_of_another_command_are_not_written_over(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = files / "out"
    out.mkdir()
    (out / "report.html").write_text("mine")
    result = prune(files / "x.npy", keep=20)
    monkeypatch.setattr("unseen.jobs.pruning.job.prune", lambda *_, **__: pytest.fail("worked first"))
    told = "holds other files, such as 'report.html', which would be lost"
    monkeypatch.setattr(sys, "argv", ["unseen", "prune", str(files / "x.npy"), "--out", str(out)])
    with pytest.raises(SystemExit):
        main()
    with pytest.raises(FileExistsError, match=told):
        write(result, out)
    assert [file.name for file in out.iterdir()] == ["report.html"]
    assert (out / "report.html").read_text() == "mine"


def test_a_full_disk_leaves_an_earlier_result_and_no_rest(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(prune(files / "x.npz", keep=30), files / "out")
    before = {f.name: f.read_bytes() for f in (files / "out").iterdir()}
    result = prune(files / "x.npz", keep=20)

    def full(table: Any, file: Path) -> None:
        Path(file).write_bytes(b"half")
        if Path(file).name == "concepts.parquet":
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("unseen.jobs.pruning.job.pq.write_table", full)
    for out in ("out", "new"):
        with pytest.raises(OSError, match="No space left"):
            write(result, files / out)
    assert {f.name: f.read_bytes() for f in (files / "out").iterdir()} == before
    assert not (files / "new").exists()


def test_names_that_are_no_text_and_a_command_that_is_not_ascii_are_written(files: Path) -> None:
    result = prune(files / "x.npz", keep=20)
    ids = result.samples.ids.astype(object)
    ids[int(result.selection.indices[0])] = "bad\udcff"
    odd = dataclasses.replace(result, samples=dataclasses.replace(result.samples, ids=ids))
    write(odd, files / "odd", command="unseen prune Bücher\udcff.npz")
    told = (files / "odd" / "pruning.json").read_bytes()
    assert told.isascii()
    assert json.loads(told)["command"] == "unseen prune Bücher\udcff.npz"
    assert "bad\\udcff" in pq.read_table(files / "odd" / "kept.parquet")["id"].to_pylist()


def test_a_file_in_place_of_the_folder_is_named_before_any_work(files: Path) -> None:
    (files / "taken").write_text("")
    with pytest.raises(ValueError, match="taken is a file"):
        check_out(files / "taken")


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_a_folder_of_shards_is_one_array_and_its_cut_and_order_do_not_matter(files: Path, save: Any) -> None:
    """DataComp's layout; another cut of shuffled samples keeps the same uids."""
    x, similarity = rows(), np.linspace(0, 1, N)
    order = np.random.default_rng(1).permutation(N)
    for name, at, cuts in (("a", np.arange(N), (100, 250)), ("b", order, (7, 8, 200))):
        (files / name).mkdir()
        for k, part in enumerate(np.split(at, cuts)):
            save(files / name / f"{k:04d}.npz", l14_img=x[part].astype(np.float16), b32_img=x[part])
            table = {"uid": [uid(i).upper() for i in part], "clip_l14_similarity_score": similarity[part]}
            pq.write_table(pa.table(table), files / name / f"{k:04d}.parquet")
    found = read_embeddings(files / "a", column="l14_img")
    assert isinstance(found.x, Stack)
    assert all(isinstance(part, np.memmap) for part in found.x.parts)
    np.testing.assert_array_equal(found.x[:], x.astype(np.float16))
    kept = {}
    for name in "ab":
        result = prune(files / name, column="l14_img", keep=40, quality=0.9, method="concept-pruning")
        kept[name] = sorted(result.samples.ids[result.selection.indices].tolist())
        np.testing.assert_array_equal(result.concepts.labels, result.selection.clusters)
    assert kept["a"] == kept["b"]
    (files / "a" / "0001.parquet").unlink()
    with pytest.raises(ValueError, match=r"0000\.npz has ids, 0001\.npz has none"):
        read_embeddings(files / "a", column="l14_img")


def test_similarities_that_nothing_needs_may_be_missing(files: Path) -> None:
    similarity = np.where(np.arange(N) == 4, np.nan, 0.5)
    np.savez(files / "gaps.npz", x=rows(), similarity=similarity)
    assert prune(files / "gaps.npz", keep=20).counts()["kept"] == 20


def test_samples_without_an_embedding_are_dropped_counted_and_said(
    files: Path, caplog: pytest.LogCaptureFixture
) -> None:
    x = rows()
    x[[0, 9]] = 0
    x[17] = 1e30
    np.savez(files / "blank.npz", x=x, uid=np.array([uid(i) for i in range(N)]))
    result = prune(files / "blank.npz", keep=1.0, dedup=None)
    assert result.counts() == {"kept": 297, "no embedding": 3, "similarity": 0, "duplicate": 0, "budget": 0}
    assert np.flatnonzero(result.reasons == "no embedding").tolist() == [0, 9, 17]
    assert "3 samples are dropped for their embeddings" in caplog.text
    told = write(result, files / "out")
    assert told["counts"]["no embedding"] == 3
    assert "no embedding: zero, or too long" in (files / "out" / "report.html").read_text()


@pytest.mark.parametrize(
    ("method", "settings", "kept", "dropped", "said"),
    [
        (
            "concept-pruning",
            {"pick": "random"},
            "random of its concept",
            "budget",
            "Inside a concept samples are kept at random",
        ),
        ("uniform", {"pick": "easiest"}, "easiest of its concept", "budget", "All concepts may keep the same number"),
        (
            "ssp",
            {"pick": "hardest"},
            "hardest of all",
            "prototypical",
            "farthest from the middle of their group are kept",
        ),
        ("ssp", {"pick": "easiest"}, "easiest of all", "hard", "nearest to the middle of their group are kept"),
        ("random", {}, "drawn at random", "not drawn", "Samples are kept at random"),
        ("similarity", {}, "most similar caption", "less similar", "by the similarity of caption and picture"),
    ],
)
def test_reasons_and_the_page_say_what_the_rule_did(
    method: str, settings: dict[str, Any], kept: str, dropped: str, said: str, files: Path
) -> None:
    result = prune(files / "x.npz", keep=30, method=method, settings=settings)
    told = write(result, files / "out", pictures=False)
    assert set(pq.read_table(files / "out" / "kept.parquet")["reason"].to_pylist()) == {kept}
    assert told["counts"][dropped] == 250
    page = (files / "out" / "report.html").read_text()
    assert said in page
    assert LABELS[dropped] in page


def test_dedup_at_zero_takes_exact_copies_in_both_and_off_takes_none(
    files: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    assert prune(files / "x.npz", keep=30, dedup=0.0).counts()["duplicate"] == 20
    monkeypatch.chdir(files)
    for word, n in (("0", 20), ("off", 0)):
        monkeypatch.setattr(sys, "argv", ["unseen", "prune", "x.npz", "--dedup", word, "--out", word, "--json"])
        with pytest.raises(SystemExit) as left:
            main()
        assert left.value.code in (0, None)
        assert json.loads(capsys.readouterr().out)["counts"]["duplicate"] == n


@pytest.mark.browser
@pytest.mark.parametrize(("width", "scheme"), [(1200, "light"), (390, "dark")])
def test_the_report_opens_offline_without_a_word_and_fits(browser: Any, files: Path, width: int, scheme: str) -> None:
    write(prune(files / "x.npz", keep=60), files / "out")
    context = browser.new_context(viewport={"width": width, "height": 844}, color_scheme=scheme, offline=True)
    said: list[str] = []
    try:
        page = context.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("dialog", lambda dialog: (said.append(dialog.message), dialog.dismiss()))
        page.goto((files / "out" / "report.html").as_uri())
        assert said == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate("[...document.images].every(image => image.naturalWidth > 0)")
    finally:
        context.close()


def test_arrays_of_several_kinds_are_named_behind_the_flag(tmp_path: Path) -> None:
    from unseen.console import asked, in_flags

    np.savez(tmp_path / "x.npz", c0=np.ones((3, 2)), c1=np.ones((3, 2)))
    with pytest.raises(ValueError, match="several kinds of vectors") as raised:
        read_embeddings(tmp_path / "x.npz")
    assert in_flags(str(raised.value), asked(("prune",)), error=True).endswith("name one with --column: c0, c1")


def test_the_folder_of_the_data_is_not_written_to(tmp_path: Path) -> None:
    from unseen.jobs.pruning.job import check_out

    with pytest.raises(ValueError, match="out must be another folder than that of the data"):
        check_out(tmp_path / "a" / "..", tmp_path)
