"""The pages of the app against a description of them: whatever is sent, no answer is an error of the server."""

from __future__ import annotations

import json
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
pytest.importorskip("starlette", reason="the app needs `pip install unseen[web]`")

from starlette.routing import Route

from unseen.serving.limits import Limits
from unseen.serving.server import Server, listen
from unseen.web.app import create_app
from unseen.web.desk import Desk
from unseen.web.guard import Guard
from unseen.web.pages import EXAMPLES, TYPED, Shown
from unseen.web.places import Places

TEXT = {"type": "string", "maxLength": 300}
ASKED = ("name", "have", "lack", "kind", "system", "method", "model", "with", "run", "q")
"""Names that pages look for behind the question mark; each may stand there twice."""


def described(routes: list[Any]) -> dict[str, Any]:
    """OpenAPI of every page: any fields behind the question mark, any form."""
    paths: dict[str, Any] = {}
    answers = {str(code): {"description": "an answer"} for code in (200, 303, 400, 403, 404, 405, 409, 413, 422)}
    fields = dict.fromkeys((*TYPED, *EXAMPLES, "name", "model", "text", "folder"), TEXT)
    form = {"schema": {"type": "object", "properties": fields}}
    upload = {"schema": {"type": "object", "properties": {**fields, "file": {"type": "string", "format": "binary"}}}}
    for route in routes:
        assert isinstance(route, Route)
        asked = [{"name": name, "in": "query", "schema": {"type": "array", "items": TEXT}} for name in ASKED]
        for verb in sorted((route.methods or set()) - {"HEAD"}):
            about: dict[str, Any] = {"responses": answers, "parameters": asked}
            if verb == "POST":
                kinds = {"application/x-www-form-urlencoded": form, "multipart/form-data": upload}
                about["requestBody"] = {"content": kinds}
            paths.setdefault(route.path, {})[verb.lower()] = about
    return {"openapi": "3.0.3", "info": {"title": "unseen web", "version": "1"}, "paths": paths}


def test_no_page_of_the_app_fails_whatever_is_sent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    desk = Desk(tmp_path / "runs", program=("true",))
    places = Places([tmp_path / "data"], tmp_path / "uploads", longest=10**5)
    shown = Shown(runs=tmp_path / "runs", models=tmp_path / "models", evidence=None, limits=Limits(), trust=False)
    app = create_app(shown, desk, places)
    (tmp_path / "pages.json").write_text(json.dumps(described(list(app.routes))))
    found: list[Any] = []
    startup = Server.startup

    async def kept(self: Server, sockets: Any = None) -> None:
        found.append(self)
        await startup(self, sockets)

    monkeypatch.setattr(Server, "startup", kept)
    whole = Guard(app, token=None, longest={"/upload": 10**5, "/try": 10**6})
    thread = threading.Thread(target=listen, args=(whole, "127.0.0.1", 0, found.append, 1))
    thread.start()
    try:
        while len(found) < 2:
            assert thread.is_alive()
            time.sleep(0.05)
        order = [str(Path(sys.executable).with_name("schemathesis")), "run", str(tmp_path / "pages.json")]
        order += ["--url", found[1], "--max-examples", "40", "--seed", "0", "--no-color"]
        done = subprocess.run([*order, "--checks", "not_a_server_error"], cwd=tmp_path, capture_output=True, text=True)
    finally:
        if found:
            found[0].should_exit = True
        thread.join()
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-1000:]
    assert not list((tmp_path / "runs").glob("*/results.json"))
