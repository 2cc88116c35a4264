"""`unseen curate` and `unseen head`, through a real process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from unseen.claims.laion_site import misses
from unseen.cli import main
from unseen.curation import Collection
from unseen.curation.accounting import Accounting
from unseen.data.simulate.web import BLOCKED_HOST, LARGEST, Thing, crawl, jpeg, rendered, serve, small_web


def things(n: int) -> list[Thing]:
    rng = np.random.default_rng(0)
    found = []
    for i in range(n):
        image = Image.fromarray(rng.integers(0, 255, (6, 6, 3), dtype=np.uint8)).resize(
            (96, 96), Image.Resampling.NEAREST
        )
        found.append(Thing(f"t{i}", image, {"en": f"a quilt of coloured squares, number {i}"}))
    return found


def command(folder: Path, *args: Any) -> subprocess.Popen[str]:
    env = {**os.environ, "OMP_NUM_THREADS": "1", "NO_COLOR": "1"}
    order = [sys.executable, "-m", "unseen.cli", *map(str, args)]
    return subprocess.Popen(order, cwd=folder, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def curating(address: str, out: str, *more: Any) -> tuple[Any, ...]:
    given = ("curate", "crawl.warc.gz", "--out", out, "--threshold", "-1", "--shard-size", "10")
    hosts = ("--allow-host", address[len("http://") :], "--block-host", BLOCKED_HOST, "--max-bytes", LARGEST)
    return (*given, *hosts, *more)


def test_a_site_is_curated_and_the_books_are_exact(tmp_path: Path) -> None:
    web = small_web(things(24), n_pages=60, each_fault=1)
    with serve(web) as address:
        crawl(address, web, tmp_path / "crawl.warc.gz")
        done = command(tmp_path, *curating(address, "pairs"))
        out, err = done.communicate()
    assert done.returncode == 0, err[-2000:]
    accounting = Accounting.load(tmp_path / "pairs" / "accounting.json")
    # a Bloom filter of one error in a thousand may take a new URL for an old one: not among so few
    assert misses(accounting, web) == 0
    assert out.splitlines()[-1].split() == ["kept", "24"]
    assert "report.html" in err
    assert "it finds 100.0 % asked by images" in err
    assert {f.name for f in (tmp_path / "pairs" / "index").iterdir()} >= {"image.faiss", "text.faiss", "map.json"}
    page = (tmp_path / "pairs" / "report.html").read_text()
    assert f"24 of {accounting.parsed} image links were kept" in page


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_files(tmp_path: Path) -> None:
    web = small_web(things(60), n_pages=30, each_fault=1)
    with serve(web) as address:
        crawl(address, web, tmp_path / "crawl.warc.gz")
        killed = command(tmp_path, *curating(address, "killed", "--delay", "0.03"))
        place = tmp_path / "killed/work/fetched/shards"
        deadline = time.monotonic() + 120
        while killed.poll() is None and time.monotonic() < deadline:
            if place.exists() and len(list(place.glob("[0-9]*"))) >= 2:
                break
            time.sleep(0.01)
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        assert killed.returncode == -signal.SIGKILL
        assert not (tmp_path / "killed" / "shards").exists()
        for out in ("killed", "whole"):
            done = command(tmp_path, *curating(address, out, "--delay", "0.03"))
            assert done.wait() == 0, done.stderr.read()  # type: ignore[union-attr]
    files = [
        {f.relative_to(tmp_path / out): f.read_bytes() for f in (tmp_path / out / "shards").rglob("*") if f.is_file()}
        for out in ("killed", "whole")
    ]
    assert files[0] == files[1]
    assert len(files[0]) > 12


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """The command line in this process, which is quicker."""

    def run(*args: Any, code: int = 0) -> str:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["unseen", *map(str, args)])
        with pytest.raises(SystemExit) as left:
            main()
        told = capsys.readouterr()
        assert left.value.code in (code, None if code == 0 else code), told.err
        return told.out + told.err

    return run


@pytest.mark.parametrize("how", ["beside", "csv", "jsonl", "links"])
def test_an_ordinary_folder_of_small_sketches_works_without_options(tmp_path: Path, call: Any, how: str) -> None:
    """70 sketches of 1 kB, with captions as people have them: half are kept, none is lost to a limit of the web."""
    folder = tmp_path / "sketches"
    folder.mkdir()
    captions = {}
    for i, thing in enumerate(things(70)):
        thing.picture.convert("L").point(lambda value: 255 * (value > 120)).save(folder / f"{i}.png")
        captions[f"{i}.png"] = f"cat {i}"
        assert (folder / f"{i}.png").stat().st_size < 5000
    if how in ("beside", "links"):
        for name, text in captions.items():
            (folder / name).with_suffix(".txt").write_text(text)
    elif how == "csv":
        pd.DataFrame({"file": captions.keys(), "caption": captions.values()}).to_csv(
            folder / "captions.csv", index=False
        )
    else:
        lines = (json.dumps({"image": name, "caption": text}) for name, text in captions.items())
        (folder / "captions.jsonl").write_text("\n".join(lines))
    if how == "links":
        (tmp_path / "linked").mkdir()
        (tmp_path / "linked" / "mine").symlink_to(folder)
        (tmp_path / "linked" / "round").symlink_to(".")
        folder = tmp_path / "linked"
    said = call("curate", folder.name)
    told = Accounting.load(tmp_path / "pairs" / "accounting.json")
    assert (told.what, told.parsed, told.kept) == ("pictures", 70, 35)
    assert told.dropped == {("filter", "picture and caption less alike than in the share to keep"): 35}
    assert "35 of 70 pairs are those whose picture and caption are most alike" in said
    assert "input: 70 pictures, each with a caption\nof the pairs, 50% are kept" in said
    page = (tmp_path / "pairs" / "report.html").read_text().partition("<body")[2]
    assert "35 of 70 pictures were kept" in page
    assert "link" not in page.replace("round", "") or how == "links"
    assert "round" not in said  # a loop leads to nothing that is not read


@pytest.mark.slow
def test_a_head_is_proposed_for_trained_and_used(tmp_path: Path, call: Any) -> None:
    rng = np.random.default_rng(0)
    for name, colour in (("plain", (250, 250, 250)), ("marked", (20, 120, 30))):
        (tmp_path / "labels" / name).mkdir(parents=True)
        for i in range(12):
            image = rendered(Image.new("RGB", (200, 200), colour), rng)
            (tmp_path / "labels" / name / f"{i}.jpg").write_bytes(jpeg(image))
    (tmp_path / "photos").mkdir()
    for i, thing in enumerate(things(6)):
        (tmp_path / "photos" / f"{i}.jpg").write_bytes(jpeg(rendered(thing.picture, rng)))
        (tmp_path / "photos" / f"{i}.txt").write_text(thing.captions["en"])
    told = call("head", "train", "labels", "--out", "head", "--name", "watermark", "--flagged", "marked")
    assert "flagged: marked, from a score of 0.8" in told
    assert "AUC" in told
    told = call("curate", "photos", "--out", "pairs", "--target-keep", "1", "--head", "watermark=head", "--json")
    assert json.loads(told[: told.rindex("}") + 1])["kept"] == 6
    scores = Collection.open(tmp_path / "pairs").table(["pwatermark"])["pwatermark"].to_pylist()
    assert all(0 <= score <= 1 for score in scores)
    call("head", "propose", "pairs", "--prompt", "a quilt", "--out", "label.csv", "--each", "3", "--others", "2")
    table = pd.read_csv(tmp_path / "label.csv")
    assert len(table) == 5
    assert all((tmp_path / file).is_file() for file in table["file"])
    table["label"] = ["good", "bad", "good", "bad", "good"]
    table.to_csv(tmp_path / "label.csv", index=False)
    assert "from 5 labels" in call("head", "train", "label.csv", "--out", "own", "--name", "mine")


def test_what_is_wrong_is_said_in_a_line(tmp_path: Path, call: Any) -> None:
    (tmp_path / "links.csv").write_text("url,text\nhttp://x.org/a.jpg,a caption\n")
    assert "does not exist" in call("curate", "nowhere", "--out", "pairs", "--target-keep", "0.5", code=1)
    assert "name=FOLDER" in call("curate", "links.csv", "--out", "p", "--target-keep", "0.5", "--head", "x", code=1)
    assert "stages" in call("curate", "links.csv", "--out", "pairs", "--target-keep", "0.5", "--stages", "x", code=1)
    assert "memory" in call("curate", "links.csv", "--out", "pairs", "--target-keep", "0.5", "--memory", "x", code=1)
    assert not (tmp_path / "pairs").exists()


def test_a_file_of_blocked_hosts_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    from unseen.cli.curate import _hosts

    (tmp_path / "hosts.txt").write_bytes("\ufeffbad.example\r\n# why\r\nWorse.example\r\n".encode())
    assert _hosts(["other.example", str(tmp_path / "hosts.txt")]) == ["other.example", "bad.example", "worse.example"]
