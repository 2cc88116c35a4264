"""Whenever a process that writes is killed, the old or the new is there, whole, and the next sweeps what is left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from unseen import files
from unseen.files import exchange, recovered, sweep
from unseen.runtime import replacing, replacing_files, replacing_folder

WRITER = """
import os, signal, sys
from pathlib import Path
from unseen import files, runtime

what, place, at, swaps = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == "exchange"
if not swaps:
    files.exchange = lambda one, other: False
seen = 0

def count(event, arguments):
    global seen
    if event.startswith(("os.", "open", "shutil.")) and any(str(place.parent) in str(a) for a in arguments):
        seen += 1
        if seen == at:
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(count)

def fill(part):
    for name in ("a", "b", "c"):
        (part / name).write_text("new")

if what == "file":
    with runtime.replacing(place) as part:
        part.write_text("new")
elif what == "folder":
    with runtime.replacing_folder(place) as part:
        fill(part)
else:
    with runtime.replacing_files(place, ("a", "b", "c", "d")) as part:
        fill(part)
print(seen)
"""


def write(what: str, place: Path, at: int, swap: str) -> subprocess.CompletedProcess[str]:
    run = [sys.executable, "-c", WRITER, what, str(place), str(at), swap]
    return subprocess.run(run, capture_output=True, text=True)


def begin(what: str, place: Path) -> dict[str, str]:
    if what == "file":
        place.write_text("old")
        return {".": "old"}
    place.mkdir()
    names = ("a", "b", "c", "d", "notes.txt")[: 5 if what == "files" else 4]
    for name in names:
        (place / name).write_text("old")
    return dict.fromkeys(names, "old")


def state(place: Path) -> dict[str, str]:
    if place.is_file():
        return {".": place.read_text()}
    return {file.name: file.read_text() for file in place.iterdir()}


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


NEW = {
    "file": {".": "new"},
    "folder": dict.fromkeys("abc", "new"),
    "files": {**dict.fromkeys("abc", "new"), "notes.txt": "old"},
}


@pytest.mark.parametrize("swap", ["exchange", "two renames"])
@pytest.mark.parametrize("what", ["file", "folder", "files"])
def test_a_kill_at_any_point_leaves_the_old_or_the_new_and_no_litter(what: str, swap: str, tmp_path: Path) -> None:
    first = tmp_path / "whole" / "place"
    first.parent.mkdir()
    begin(what, first)
    points = int(write(what, first, 0, swap).stdout)
    assert points >= 5
    both = set()
    for at in range(1, points + 1):
        place = tmp_path / f"at {at}" / "place"
        place.parent.mkdir()
        old = begin(what, place)
        killed = write(what, place, at, swap)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        if swap == "exchange":
            assert place.exists(), f"nothing is there after a kill at {at}"
        found = state(recovered(place))
        assert found in (old, NEW[what]), at
        both.add(json.dumps(found))
        assert write(what, place, 0, swap).returncode == 0
        assert state(place) == NEW[what]
        assert names(place.parent) == ["place"], at
    assert len(both) == 2


def test_what_another_process_is_writing_is_not_swept(tmp_path: Path) -> None:
    code = (
        "import sys, time; from unseen.runtime import replacing_folder\n"
        "with replacing_folder(sys.argv[1]) as part:\n"
        "    (part / 'a').write_text('half'); print('there', flush=True); sys.stdin.read()"
    )
    run = [sys.executable, "-c", code, str(tmp_path / "place")]
    with subprocess.Popen(run, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "there\n"
        sweep(tmp_path)
        with replacing_folder(tmp_path / "other") as part:
            (part / "x").write_text("x")
        (half,) = [name for name in names(tmp_path) if "partial" in name]
        writer.kill()
        writer.wait()
    assert (tmp_path / half).exists()
    sweep(tmp_path)
    assert names(tmp_path) == ["other"]


def test_a_folder_that_was_moved_aside_is_put_back_once_nobody_holds_it(tmp_path: Path) -> None:
    aside = tmp_path / ".place.old-0123abcd"
    aside.mkdir()
    (aside / "a").write_text("old")
    descriptor = files._hold(aside, wait=True)
    assert not recovered(tmp_path / "place").exists()
    files._let_go(descriptor)
    assert state(recovered(tmp_path / "place")) == {"a": "old"}


def test_only_folders_that_are_called_like_litter_are_swept(tmp_path: Path) -> None:
    for name in (".place.old-2024", ".partial-0123abcd", "place.partial-0123abcd", ".place.partial-0123ABCD"):
        (tmp_path / name).mkdir()
    sweep(tmp_path)
    assert len(names(tmp_path)) == 4


def test_folders_change_places_at_once_here(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
        (tmp_path / name / name).write_text(name)
    if not exchange(tmp_path / "a", tmp_path / "b"):
        pytest.skip("this disk cannot exchange folders")
    assert state(tmp_path / "a") == {"b": "b"}
    with pytest.raises(FileNotFoundError):
        exchange(tmp_path / "a", tmp_path / "none")


def test_a_folder_with_folders_of_others_in_it_keeps_them(tmp_path: Path) -> None:
    place = tmp_path / "place"
    begin("files", place)
    (place / "mine").mkdir()
    (place / "mine" / "x").write_text("mine")
    place.chmod(0o750)
    with replacing_files(place, ("a", "b", "c", "d")) as part:
        (part / "a").write_text("new")
    assert {file.name for file in place.iterdir()} == {"a", "notes.txt", "mine"}
    assert (place / "mine" / "x").read_text() == "mine"
    with replacing_files(place, ("a",)) as part:
        (part / "a").write_text("newer")
    assert (place.stat().st_mode & 0o777, (place / "a").read_text()) == (0o750, "newer")


@pytest.mark.parametrize("of_others", [False, True])
def test_a_folder_among_what_is_replaced_takes_the_place_of_the_one_before(of_others: bool, tmp_path: Path) -> None:
    place = tmp_path / "place"
    (place / "model").mkdir(parents=True)
    (place / "model" / "old").write_text("old")
    (place / "notes.txt").write_text("mine")
    if of_others:
        (place / "mine").mkdir()
    with replacing_files(place, ("a", "model")) as part:
        (part / "model").mkdir()
        (part / "model" / "new").write_text("new")
        (part / "a").write_text("a")
    assert [file.name for file in (place / "model").iterdir()] == ["new"]
    there = {entry.name for entry in place.iterdir()}
    assert there == {"a", "model", "notes.txt", *(["mine"] if of_others else [])}
    assert [entry.name for entry in tmp_path.iterdir()] == ["place"]


def test_a_full_disk_is_told_with_the_name_of_the_file(tmp_path: Path) -> None:
    def write() -> None:
        with replacing(tmp_path / "report.html") as part:
            part.write_text("half")
            raise OSError(28, os.strerror(28))

    with pytest.raises(OSError, match=r"No space left.*report\.html"):
        write()
    assert names(tmp_path) == []


LOOP = """
import sys
from unseen.nn.state import save_state
import torch
for n in range(10_000):
    save_state(sys.argv[1], {"n": n, "x": torch.full((2000,), float(n))})
    if n == 0:
        print("there", flush=True)
"""


@pytest.mark.slow
def test_a_saved_state_that_is_overwritten_survives_kills_at_random_moments(tmp_path: Path) -> None:
    import random

    from unseen.nn.state import load_state

    moment = random.Random(0)
    for _ in range(12):
        with subprocess.Popen([sys.executable, "-c", LOOP, str(tmp_path / "state")], stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            writer.stdout.readline()
            time.sleep(moment.uniform(0, 0.2))
            writer.kill()
            writer.wait()
        found = load_state(tmp_path / "state")
        assert (found["x"] == found["n"]).all()
    with replacing(tmp_path / "x") as part:
        part.write_text("x")
    sweep(tmp_path)
    assert sorted(names(tmp_path)) == ["state", "x"]
