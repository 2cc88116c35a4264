"""`unseen prune`: what it reads, what it writes, what it refuses; through a real process and in this one."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from unseen.cli import main
from unseen.compare.embeddings import read_embeddings
from unseen.compare.prune import prune, write
from unseen.curation.collection import write_record, write_shard
from unseen.curation.uids import UidSet, read_uids

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
    done = subprocess.run(order, capture_output=True, text=True, cwd=files, env=env)
    assert done.returncode == 0, done.stderr[-2000:]
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


def test_a_table_beside_an_array_says_who_is_who(files: Path) -> None:
    found = read_embeddings(files / "two.npz")
    assert found.x[0].tolist() == rows()[0].tolist()  # the first of the usual names
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
    assert result.counts() == {"kept": 280, "similarity": 0, "duplicate": 20, "budget": 0}
    assert "fewer than --keep asks for" in caplog.text
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
    assert np.asarray(result.samples.picture(30))[0, 0].tolist() == [180, 0, 0]  # type: ignore[misc]
    assert "data:image/jpeg" not in _page(result, tmp_path / "bare")


def _page(result: Any, out: Path) -> str:
    write(result, out, pictures=False)
    return (out / "report.html").read_text()


def test_every_rule_writes_a_report(files: Path) -> None:
    for method in ("dbp", "ssp", "random", "uniform", "similarity"):
        told = write(prune(files / "x.npz", keep=30, method=method), files / method)  # type: ignore[arg-type]
        assert told["counts"]["kept"] == 30
        assert (files / method / "report.html").stat().st_size > 10_000


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
        (("x.npy", "--method", "best"), "--method must be one of dbp, ssp"),
        (("x.npy", "--pick", "best"), "--pick must be hardest"),
        (("x.npy", "--clusters", "many"), "--clusters must be auto or a whole number"),
        (("x.npy", "--clusters", "301"), "--clusters must be at most 300"),
        (("x.npy", "--temperature", "0"), "--temperature must be auto or above 0"),
        (("x.npy", "--method", "similarity"), "has no similarity"),
        (("x.npy", "--quality", "0.5"), "has no similarity"),
        (("x.npy", "--encoder", "minilm"), "--encoder is for pictures"),
        (("x.npy", "--column", "x"), "holds one array"),
        (("two.npz", "--column", "other"), "--column must name vectors in two.npz: l14_img, b32_img"),
        (("nan.npy",), "row 7 holds NaN"),
        (("flat.npy",), "must hold float vectors of shape"),
        (("twice.npz",), "ids must be unique; 'a' stands 3 times"),
        (("ragged.parquet",), "of one length"),
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
    monkeypatch.chdir(files)
    monkeypatch.setattr(sys, "argv", ["unseen", "prune", *arguments, "--out", "out"])
    with pytest.raises(SystemExit) as left:
        main()
    said = capsys.readouterr().err
    assert left.value.code == 1
    assert told in said
    assert len(said.strip().splitlines()) == 1
    assert not (files / "out").exists()


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
