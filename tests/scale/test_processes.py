"""Processes beside this one: order, equal results, errors, and programs without a guard."""

import logging
import os
import subprocess
import sys
import time

import pytest

from unseen.runtime import current, runtime
from unseen.scale import Engine, each, processes


def doubled(shared, item):
    return shared + 2 * item, os.getpid()


def settings(shared, item):
    return current().threads, current().precision


def failing(shared, item):
    if item == 3:
        raise ValueError("item 3 is bad")
    return item


def test_results_come_in_order_and_all_processes_take_part():
    found = list(each(slow, range(14), 100, engine=Engine(workers=2)))
    assert [value for value, _ in found] == [100 + 2 * i for i in range(14)]
    assert len({pid for _, pid in found}) == 2
    assert os.getpid() in {pid for _, pid in found}


def slow(shared, item):
    time.sleep(0.7)  # a helper takes a second or two to start
    return doubled(shared, item)


@pytest.fixture
def at_once(monkeypatch):
    monkeypatch.setattr(processes, "ALONE", -1.0)


def test_quick_work_starts_no_process():
    assert {pid for _, pid in each(doubled, range(50), 0, engine=Engine(workers=2))} == {os.getpid()}


@pytest.mark.usefixtures("at_once")
def test_settings_travel():
    with runtime(threads=3, precision="bf16"):
        assert set(each(settings, range(6), None, engine=Engine(workers=2))) == {(3, "bf16")}


def warning(shared, item):
    logging.getLogger("unseen.test").warning("item %d in %s", item, os.getpid())
    time.sleep(0.7)
    return os.getpid()


@pytest.mark.usefixtures("at_once")
def test_what_is_logged_elsewhere_is_logged_here(caplog):
    pids = list(each(warning, range(8), None, engine=Engine(workers=2)))
    assert len(set(pids)) == 2
    assert sorted(record.getMessage() for record in caplog.records) == sorted(
        f"item {item} in {pid}" for item, pid in enumerate(pids)
    )


@pytest.mark.usefixtures("at_once")
def test_an_error_of_the_work_is_raised():
    with pytest.raises(ValueError, match="item 3 is bad"):
        list(each(failing, range(6), None, engine=Engine(workers=2)))


def test_one_item_or_one_worker_starts_no_process():
    assert list(each(doubled, [1], 0, engine=Engine(workers=4))) == [(2, os.getpid())]
    assert {pid for _, pid in each(doubled, range(5), 0)} == {os.getpid()}
    with pytest.raises(ValueError, match="workers must be at least 0; got -1"):
        Engine(workers=-1)


def test_a_program_without_a_guard_is_run_once(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(
        "import operator\nfrom unseen.scale import Engine, each, processes\nprocesses.ALONE = -1.0\n"
        "print('begun')\nprint(list(each(operator.add, range(4), 10, engine=Engine(workers=2))))\n"
    )
    done = subprocess.run([sys.executable, program], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["begun", "[10, 11, 12, 13]"]


@pytest.mark.parametrize(
    ("machine", "most", "taken", "helpers"),
    [(None, None, None, 7), (10, None, None, 7), (2, None, None, 2), (10, 8, 5, 3), (10, "max", 9, 7), (10, 4, 6, 0)],
)
def test_there_are_no_more_processes_than_there_is_memory(tmp_path, monkeypatch, machine, most, taken, helpers):
    mine = processes.resource.getrusage(processes.resource.RUSAGE_SELF).ru_maxrss
    kilobytes = mine * (1 if sys.platform != "darwin" else 1 / 1024) * 1.2  # it may grow while this runs
    if machine is not None:
        (tmp_path / "meminfo").write_text(f"MemTotal: 1 kB\nMemAvailable:   {int(machine * kilobytes)} kB\n")
    for name, told in (("memory.max", most), ("memory.current", taken)):
        if told is not None:
            (tmp_path / name).write_text(told if told == "max" else f"{int(told * kilobytes * 1024)}\n")
    monkeypatch.setattr(processes, "MEMORY", tmp_path / "meminfo")
    monkeypatch.setattr(processes, "GROUP", tmp_path)
    assert processes._affordable(7) == helpers


@pytest.mark.usefixtures("at_once")
def test_where_memory_is_short_this_process_does_all(monkeypatch):
    monkeypatch.setattr(processes, "_memory_left", lambda: 0)
    assert {pid for _, pid in each(doubled, range(5), 0, engine=Engine(workers=2))} == {os.getpid()}
