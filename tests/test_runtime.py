"""Where and how work runs."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

import unseen
from unseen.runtime import (
    Runtime,
    current,
    identified,
    replacing_files,
    replacing_folder,
    reproducible,
    runtime,
    track,
    without_checkpoints,
)


def test_settings_hold_inside_the_block_only_and_nest() -> None:
    assert current() == Runtime()
    with runtime(threads=3, folder="a") as outer:
        assert (outer.threads, outer.folder) == (3, Path("a"))
        with runtime(threads=2):
            assert (current().threads, current().folder) == (2, Path("a"))
            with without_checkpoints():
                assert (current().threads, current().folder) == (2, None)
        assert current() == outer
    assert current() == Runtime()


def test_settings_are_put_back_after_an_error() -> None:
    with pytest.raises(KeyError), runtime(threads=3):
        raise KeyError
    assert current() == Runtime()


def test_the_module_can_be_called_as_the_front_door_does() -> None:
    import unseen

    with unseen.runtime(threads=2) as settings:
        assert settings.threads == 2


@pytest.mark.parametrize(
    ("settings", "match"),
    [({"threads": 0}, "threads"), ({"precision": "fp16"}, "precision"), ({"device": "toaster"}, "device")],
)
def test_bad_settings_are_named(settings: dict, match: str) -> None:
    with pytest.raises(ValueError, match=match), runtime(**settings):
        pass


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_device_that_is_not_there_is_told_at_once() -> None:
    with pytest.raises(ValueError, match=r"device must be one of this machine.*'cuda'"), runtime(device="cuda"):
        pass


def test_work_is_named_within_what_surrounds_it() -> None:
    with identified("a"), identified("b"):
        assert current().work == "/a/b"
    assert current().work == ""


def _draw() -> list[float]:
    return [random.random(), float(np.random.rand()), float(torch.rand(()))]


def test_random_numbers_and_threads_are_fixed_inside_and_put_back_outside() -> None:
    torch.manual_seed(4)
    np.random.seed(4)
    random.seed(4)
    expected = _draw()
    torch.manual_seed(4)
    np.random.seed(4)
    random.seed(4)
    threads = torch.get_num_threads()
    with runtime(threads=2), reproducible(0):
        first = _draw()
        assert torch.get_num_threads() == 2
    again = []
    with pytest.raises(IndexError), reproducible(0):
        again.append(_draw()) or again[1]
    assert again == [first]
    with reproducible(1):
        assert _draw() != first
    assert torch.get_num_threads() == threads
    assert _draw() == expected


def test_a_bar_is_silent_unless_asked_for_on_a_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    assert list(track(range(3), "work")) == [0, 1, 2]
    with runtime(progress=True):
        assert list(track(range(3), "work")) == [0, 1, 2]  # standard error is no terminal here
    assert tuple(capfd.readouterr()) == ("", "")


def test_a_folder_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    place = tmp_path / "deep" / "place"
    for said in ("first", "second"):
        with replacing_folder(place) as part:
            assert list(part.iterdir()) == []
            (part / said).write_text(said)
        assert [file.name for file in place.iterdir()] == [said]
    with pytest.raises(FileNotFoundError), replacing_folder(place) as part:
        (part / "half").rename(part / "nothing")
    assert [file.name for file in place.iterdir()] == ["second"]
    assert [file.name for file in place.parent.iterdir()] == ["place"]


def test_a_folder_that_cannot_be_moved_into_its_place_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "place").mkdir()
    (tmp_path / "place" / "old").write_text("old")
    rename = Path.rename

    def refuse(self: Path, target: Path) -> Path:
        if target.name == "place" and target.parent == tmp_path and not (self / "old").exists():
            raise OSError("no room")
        return rename(self, target)

    monkeypatch.setattr("unseen.files.exchange", lambda one, other: False)
    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(OSError, match="no room"), replacing_folder(tmp_path / "place") as part:
        (part / "new").write_text("new")
    assert [file.relative_to(tmp_path).as_posix() for file in sorted(tmp_path.rglob("*"))] == ["place", "place/old"]


def test_into_a_pipe_progress_is_a_line_every_few_seconds(monkeypatch, capsys):
    now = [0.0]
    monkeypatch.setattr(unseen.runtime.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(unseen.runtime, "_last_line", -100.0)
    with runtime(progress=True):
        for _ in track(range(4), "fitting"):
            for _ in track(range(10), "shot"):
                now[0] += 0.5
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "fitting: 0 of 4, 2 s; shot: 4 of 10"  # the first after two seconds, and what it is doing
    assert lines[1] == "fitting: 1 of 4, 7 s, about 21 s left"
    assert len(lines) == 4
    assert unseen.runtime._at_work == []
    for _ in track(range(3), "quiet"):
        now[0] += 10
    assert capsys.readouterr().err == ""


def test_a_folder_of_files_is_never_written_in_the_place_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("mine")
    refused = pytest.raises(FileExistsError, match=r"table\.csv is a file; a folder is written there")
    with refused, replacing_files(tmp_path / "table.csv", ("a.csv",)):
        raise AssertionError("it is refused before anything is written")
    assert (tmp_path / "table.csv").read_text() == "mine"


def test_of_several_threads_one_at_a_time_seeds_and_blocks_may_stand_in_each_other() -> None:
    drawn: dict[int, float] = {}

    def draw(seed: int) -> None:
        with reproducible(seed), reproducible(seed + 10):
            time.sleep(0.01)
            drawn[seed] = float(torch.rand(1))

    threads = [threading.Thread(target=draw, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for seed in range(4):
        assert drawn[seed] == float(torch.rand(1, generator=torch.Generator().manual_seed(seed + 10)))


def test_a_fork_made_while_another_thread_seeds_can_seed() -> None:
    begun, end = threading.Event(), threading.Event()

    def hold() -> None:
        with reproducible(0):
            begun.set()
            end.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    begun.wait(10)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python's own word on forks of threads
        child = os.fork()
    if child == 0:
        signal.alarm(5)  # in place of hanging
        with reproducible(1):
            os._exit(0)
    _, status = os.waitpid(child, 0)
    end.set()
    thread.join()
    assert status == 0
