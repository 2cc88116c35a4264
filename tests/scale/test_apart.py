"""What strangers wrote is read in a copy of this process: it ends when it takes too much, and the next one works."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from multiprocessing.process import BaseProcess

import pytest

from unseen.scale.apart import Apart, TooMuch


def work(content: bytes, how: str = "") -> list[object]:
    if how == "wrong":
        raise KeyError("there is no such thing")
    if how == "endless":
        while True:
            pass
    if how == "asleep":
        time.sleep(60)
    if how == "large":
        return [len(bytearray(2**30))]
    if how == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    return [os.getpid(), len(content)]


@pytest.fixture
def apart() -> Iterator[Apart]:
    apart = Apart(work, seconds=0.2, memory=2**28)
    yield apart
    apart.close()


def test_pieces_of_work_are_done_in_one_other_process(apart: Apart) -> None:
    first, second = apart(b"abc"), apart(b"x" * 10**6)
    assert [first[1], second[1]] == [3, 10**6]
    assert first[0] == second[0] != os.getpid()


@pytest.mark.parametrize("how", ["endless", "large", "killed"])
def test_what_takes_too_much_or_dies_is_told_and_the_next_piece_is_done(apart: Apart, how: str) -> None:
    before = apart(b"")[0]
    with pytest.raises(TooMuch, match=r"more than 0\.2 s or 0\.25 GiB"):
        apart(b"", how)
    assert apart(b"abc")[0] not in (before, os.getpid())


def test_what_hangs_without_taking_time_of_a_processor_is_told(apart: Apart, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unseen.scale.apart.PATIENCE", 1)
    with pytest.raises(TooMuch):
        apart(b"", "asleep")
    assert apart(b"abc")[1] == 3


def test_where_no_process_can_begin_nothing_hangs_and_the_next_piece_is_done(
    apart: Apart, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    with monkeypatch.context() as patched:
        patched.setattr(BaseProcess, "start", _no_process)
        with pytest.raises(BlockingIOError):
            apart(b"abc")
        apart.close()
    assert len(os.listdir("/proc/self/fd")) == files  # noqa: PTH208
    assert apart(b"abc")[1] == 3


def _no_process(_: BaseProcess) -> None:
    raise BlockingIOError("Resource temporarily unavailable")


def test_what_the_work_raises_is_a_sentence_and_the_process_stays(apart: Apart) -> None:
    before = apart(b"")[0]
    with pytest.raises(ValueError, match="KeyError: 'there is no such thing'"):
        apart(b"", "wrong")
    assert apart(b"")[0] == before


def test_seconds_are_of_each_piece_not_of_all(apart: Apart) -> None:
    before = apart(b"")[0]
    began = time.process_time()
    while time.process_time() - began < 0.3:
        assert apart(b"x" * 2**20)[0] == before


def test_a_closed_one_leaves_no_process_and_begins_again_when_asked() -> None:
    apart = Apart(work)
    process = apart(b"")[0]
    apart.close()
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)
    assert apart(b"")[0] != process
    apart.close()
    apart.close()
