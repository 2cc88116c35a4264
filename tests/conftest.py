"""What every test shares: shape checks, one thread per worker, the slowest fits of the contract, and the clock.

`make test` takes what needs at most `SHORT` seconds of a processor. What needs more is named in `long.txt` (a test, or
a whole file where a fixture needs it) and left to `make test-full`; ``pytest --write-long`` writes that file.
"""

from __future__ import annotations

import functools
import gc
import importlib.metadata
import math
import os
import re
import sys
import time
import types
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import jaxtyping
import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for `contract` and `shapes`

import processes
import shapes  # noqa: F401 - before `typing.overload` is used

jaxtyping.install_import_hook(["unseen.nn", "unseen.methods"], "shapes.check")

import torch
import typer.testing

import unseen.nn.train as training

torch.set_num_threads(1)
training.SELDOM = 0.0  # every epoch leaves a checkpoint: tests train for milliseconds, and what they ask is resuming

hypothesis.settings.register_profile(  # a machine that is busy is no fault of a test
    "busy", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("busy")

_commands: dict[Any, Any] = {}


def _made_once(app: typer.Typer) -> Any:
    """The commands of an app for `CliRunner`, made again where others are registered: a sixth of a second each time."""
    kept = app, *map(id, app.registered_commands), *map(id, app.registered_groups)
    if kept not in _commands:
        _commands[kept] = typer.main.get_command(app)
    return _commands[kept]


typer.testing._get_command = _made_once

CHROMIUM = Path("/usr/bin/chromium")
QUIET = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Debian's chromium, headless and without requests of its own. It ends with its module: while Playwright's loop
    runs in this thread, no test can run one of its own."""
    if not CHROMIUM.exists():
        pytest.skip(f"no {CHROMIUM}; apt-get install chromium")
    sync = pytest.importorskip("playwright.sync_api", reason="no playwright; pip install playwright")
    with sync.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=str(CHROMIUM), args=list(QUIET))
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def lite_clip_kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that holds the vectors of lite-clip's thousand classes, ten seconds of work; it is for copying."""
    from unseen import encoders

    place = tmp_path_factory.mktemp("lite-clip")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UNSEEN_CACHE", str(place))
        encoders.get("lite-clip", precision="fp32")
    return place


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Make entry points of a package that exists for this test only: `install("methods", slug=Class)`."""
    from unseen import catalogue, plugins

    module = types.ModuleType("other_package")
    monkeypatch.setitem(sys.modules, "other_package", module)

    def add(group: str, **objects: Any) -> None:
        entries, real = {}, plugins.found
        for name, thing in objects.items():
            setattr(module, name, thing)
            entries[name] = importlib.metadata.EntryPoint(name, f"other_package:{name}", f"unseen.{group}")
        monkeypatch.setattr(plugins, "found", lambda asked: entries if asked == group else real(asked))
        catalogue.entries.cache_clear()

    yield add
    catalogue.entries.cache_clear()


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """Give every test the same random numbers, whatever ran before it."""
    torch.manual_seed(0)


LONG = Path(__file__).with_name("long.txt")
SHORT = 0.4
"""Seconds of a processor, children included: what a test of `make test` may take. Three times that is told; it fails no
run, as the first one on a new machine compiles what it imports. The test that happens to import a library first is not
judged."""
MODULES = 20
"""Modules of a library that is imported for the first time, at least."""


def pytest_addoption(parser: Any) -> None:
    """Add what takes some of the tests, or the time of them."""
    parser.addoption("--write-long", action="store_true", help="write tests/long.txt from this run")
    parser.addoption(
        "--part", default="1/1", help="the tests of one part only, such as 3/12: a test is in the same part always"
    )
    parser.addoption("--until", type=float, default=math.inf, help="begin no test after this time, in seconds of 1970")
    parser.addoption(
        "--short", action="store_true", help="import no file that is long as a whole; tell which tests take too long"
    )


@functools.cache
def _long() -> set[str]:
    """The tests and files that `long.txt` names."""
    return set(LONG.read_text(encoding="utf-8").splitlines()) if LONG.exists() else set()


def pytest_ignore_collect(collection_path: Path, config: Any) -> bool | None:
    """Leave files unread that no short test stands in."""
    if config.getoption("--short") and collection_path.relative_to(config.rootpath).as_posix() in _long():
        return True
    return None


gc.disable()  # thousands of modules are about to be imported, and none of them will go away


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop() -> None:
    """Let the collector look at what tests make, not at every module again."""
    gc.freeze()
    gc.enable()


def pytest_collection_modifyitems(config: Any, items: list[Any]) -> None:
    """Mark what `long.txt` names; leave the other parts out."""
    named = _long()
    for item in items:
        if named & {item.nodeid.partition("[")[0], item.nodeid.partition("::")[0]}:
            item.add_marker(pytest.mark.full)
    told = config.getoption("--part")
    if not re.fullmatch(r"[1-9]\d*/[1-9]\d*", told):
        raise pytest.UsageError(f"--part must be such as 3/12; got {told!r}")
    part, parts = map(int, told.split("/"))
    if parts > 1:
        own = [zlib.crc32(item.nodeid.encode()) % parts == part - 1 for item in items]
        config.hook.pytest_deselected(items=[item for item, mine in zip(items, own) if not mine])
        items[:] = [item for item, mine in zip(items, own) if mine]


def _processor() -> float:
    return sum(os.times()[:4]) + processes.spent


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_setup(item: Any) -> Iterator[None]:
    """Measure the fixtures of a test; skip it where no time is left."""
    if time.time() > item.config.getoption("--until"):
        pytest.skip("no time is left")
    before = _processor()
    yield
    item.user_properties.append(("setup", _processor() - before))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call(item: Any) -> Iterator[None]:
    """Measure a test, and count what it is the first to import."""
    before, known = _processor(), len(sys.modules)
    yield
    item.user_properties.append(("call", _processor() - before))
    item.user_properties.append(("new", len(sys.modules) - known))


def _measured(terminalreporter: Any) -> dict[str, dict[str, float]]:
    """Seconds of setup and call by test."""
    reports = [report for word in ("passed", "failed") for report in terminalreporter.getreports(word)]
    return {
        report.nodeid: {k: v for k, v in report.user_properties if k in ("setup", "call", "new")} for report in reports
    }


def pytest_sessionfinish(session: Any) -> None:
    """Write `long.txt`, or find the tests that belong there; only where all workers report."""
    if hasattr(session.config, "workerinput"):
        return
    took = _measured(session.config.pluginmanager.get_plugin("terminalreporter"))
    if session.config.getoption("--write-long"):
        calls = {name: of["call"] for name, of in took.items() if of.get("new", MODULES) < MODULES}
        long = {name.partition("[")[0] for name, seconds in calls.items() if seconds > SHORT}
        long |= {name.partition("::")[0] for name, of in took.items() if of.get("setup", 0) > 2 * SHORT}
        run = {name.partition("[")[0] for name in took} | {name.partition("::")[0] for name in took}
        long |= _long() - run  # a run of some tests says nothing of the others
        LONG.write_text("".join(f"{name}\n" for name in sorted(long)), encoding="utf-8")
    if session.config.getoption("--short"):
        over = {name: of["call"] for name, of in took.items() if of.get("call", 0) > 3 * SHORT and of["new"] < MODULES}
        session.config.stash[OVER] = over


OVER = pytest.StashKey[dict[str, float]]()


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the ten slowest fits of the contract test, and what takes too long for `make test`."""
    over = terminalreporter.config.stash.get(OVER, {})
    if over:
        terminalreporter.section(f"more than {3 * SHORT:.1f} seconds of a processor: name them in tests/long.txt")
        for name, seconds in sorted(over.items(), key=lambda one: -one[1]):
            terminalreporter.write_line(f"{seconds:7.1f} s  {name}")
    reports = terminalreporter.getreports("passed") + terminalreporter.getreports("failed")
    fits = [value for report in reports for key, value in report.user_properties if key == "fit"]
    if fits:
        terminalreporter.section("slowest fits, 0.5 s are meant")
        for case, seconds in sorted(fits, key=lambda fit: -fit[1])[:10]:
            terminalreporter.write_line(f"{seconds:7.3f} s  {case}")
