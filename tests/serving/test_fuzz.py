"""The application against its own OpenAPI: what schemathesis can think of must not break its word."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from unseen.bundle import Bundle
from unseen.serving.limits import Limits
from unseen.serving.rows import ServedRows
from unseen.serving.server import Server, serve

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("schemathesis") is None, reason="fuzzing needs: pip install schemathesis"),
]

TOKEN = "a-token-of-the-tests"


@contextlib.contextmanager
def served(bundle: Bundle | ServedRows, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a server in a thread; it stops with the block."""
    found: list[Any] = []
    original = Server.startup

    async def startup(self: Server, sockets: Any = None) -> None:
        found.append(self)
        await original(self, sockets)

    monkeypatch.setattr(Server, "startup", startup)
    thread = threading.Thread(
        target=serve,
        args=(bundle,),
        kwargs={"port": 0, "token": TOKEN, "limits": Limits(seconds=5), "ready": found.append},
    )
    thread.start()
    while len(found) < 2:
        assert thread.is_alive()
        time.sleep(0.05)
    try:
        yield found[1]
    finally:
        found[0].should_exit = True
        thread.join()


@pytest.fixture
def fuzz(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs schemathesis against a served model."""

    def run(bundle: Bundle | ServedRows, *options: str) -> subprocess.CompletedProcess[str]:
        with served(bundle, monkeypatch) as url:
            order = [str(Path(sys.executable).with_name("schemathesis")), "run", f"{url}/openapi.json"]
            order += ["--header", f"Authorization: Bearer {TOKEN}", "--max-examples", "60", "--seed", "0", "--no-color"]
            return subprocess.run([*order, *options], cwd=tmp_path, capture_output=True, text=True)

    return run


def test_a_model_of_vectors_keeps_its_word(fuzz: Any, vectors: Bundle) -> None:
    done = fuzz(vectors)
    assert done.returncode == 0, done.stdout[-6000:]


def test_a_model_of_pictures_keeps_its_word(fuzz: Any, pictures: Bundle) -> None:
    """A schema cannot say which bytes are a picture, so that made-up ones may be refused."""
    done = fuzz(pictures, "--exclude-checks", "positive_data_acceptance")
    assert done.returncode == 0, done.stdout[-6000:]


def test_a_model_of_series_keeps_its_word(fuzz: Any, tmp_path: Path) -> None:
    """Nor which texts are a table of its columns."""
    from saved_kinds import forecaster
    from unseen.jobs import saved_model

    kind, place = saved_model(forecaster(tmp_path)[0]) or pytest.fail("it is not known")
    done = fuzz(ServedRows.of(kind, place, max_pixels=10**6), "--exclude-checks", "positive_data_acceptance")
    assert done.returncode == 0, done.stdout[-6000:]
