"""The explorer against its own OpenAPI: what schemathesis can think of breaks nothing, and answers are as described."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("schemathesis") is None, reason="fuzzing needs: pip install schemathesis"),
]
pytest.importorskip("faiss", reason="an index needs `pip install unseen[curate]`")
pytest.importorskip("fastapi", reason="the explorer needs `pip install unseen[curate]`")

from unseen.curation.retrieval import RetrievalService
from unseen.explorer.server import serve
from unseen.serving.server import Server

CHECKS = "not_a_server_error,response_schema_conformance"
"""Not `negative_data_rejection`: 0 is taken for false, and false for the row 0, as pydantic does it."""


def test_the_explorer_keeps_its_word(
    service: RetrievalService, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found: list[Any] = []
    startup = Server.startup

    async def kept(self: Server, sockets: Any = None) -> None:
        found.append(self)
        await startup(self, sockets)

    monkeypatch.setattr(Server, "startup", kept)
    given = {"port": 0, "ready": found.append}
    thread = threading.Thread(target=serve, args=(service,), kwargs=given)
    thread.start()
    try:
        while len(found) < 2:
            assert thread.is_alive()
            time.sleep(0.05)
        order = [str(Path(sys.executable).with_name("schemathesis")), "run", f"{found[1]}/openapi.json"]
        order += ["--max-examples", "40", "--seed", "0", "--no-color", "--checks", CHECKS]
        done = subprocess.run(order, cwd=tmp_path, capture_output=True, text=True)
    finally:
        if found:
            found[0].should_exit = True
        thread.join()
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-1000:]
