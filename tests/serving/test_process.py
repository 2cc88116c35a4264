"""`unseen serve` as a real process on a real socket."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from unseen.bundle import Bundle

Start = Callable[..., tuple[subprocess.Popen[str], int]]


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "unseen.cli", "serve", *arguments]


def environment(**more: str) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if key != "UNSEEN_TOKEN"}
    return kept | {"OMP_NUM_THREADS": "1"} | more


@pytest.fixture(scope="module")
def model(vectors: Bundle, tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(vectors.save(tmp_path_factory.mktemp("served") / "model"))


@pytest.fixture
def start(model: str) -> Iterator[Start]:
    running: list[subprocess.Popen[str]] = []

    def begin(*arguments: str, **more: str) -> tuple[subprocess.Popen[str], int]:
        order = command(model, "--port", "0", *arguments)
        process = subprocess.Popen(order, stderr=subprocess.PIPE, text=True, env=environment(**more))
        running.append(process)
        assert process.stderr is not None
        for line in process.stderr:
            if found := re.search(r"listening on http://[^ ]*:(\d+),", line):
                return process, int(found[1])
        raise AssertionError("it ended before it listened")

    yield begin
    for process in running:
        process.kill()
        process.communicate()


def ask(port: int, verb: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        sent = {"content-type": "application/json"} | headers
        connection.request(verb, path, None if body is None else json.dumps(body), sent)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


@pytest.mark.slow
def test_it_answers_and_ends_with_0_after_the_last_answer(start: Start) -> None:
    process, port = start("--wait", "1000")
    found: list[Any] = []
    body = {"samples": [[4, 0, 0, 0]]}
    asking = threading.Thread(target=lambda: found.append(ask(port, "POST", "/predict", body)))
    asking.start()
    time.sleep(0.4)
    process.send_signal(signal.SIGTERM)
    asking.join()
    ((status, answer),) = found
    assert status == 200
    assert answer["predictions"][0]["class"] == "ant"
    assert process.wait(10) == 0
    with pytest.raises(OSError, match=r"refused|reset"):
        ask(port, "GET", "/health")


@pytest.mark.slow
def test_on_all_addresses_it_asks_for_the_token(start: Start) -> None:
    token = "a-token-of-the-tests"
    process, port = start("--host", "0.0.0.0", UNSEEN_TOKEN=token)
    assert ask(port, "GET", "/health") == (200, {"status": "ok"})
    assert ask(port, "GET", "/model")[0] == 401
    assert ask(port, "GET", "/model", authorization=f"Bearer {token}")[0] == 200
    assert token not in Path(f"/proc/{process.pid}/cmdline").read_text()


@pytest.mark.slow
def test_an_address_that_is_taken_is_one_line(start: Start, model: str) -> None:
    _, port = start()
    done = subprocess.run(command(model, "--port", str(port)), capture_output=True, text=True, env=environment())
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == f"unseen: cannot listen on 127.0.0.1:{port}; is it in use?"
    assert "Traceback" not in done.stderr


def test_an_address_that_is_taken_and_a_folder_that_is_no_model_are_refused_before_one_is_opened(
    tmp_path: Path, model: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from unseen.cli import carry

    opened: list[Any] = []
    monkeypatch.setattr(carry, "open_bundle", lambda *given: opened.append(given))
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1:{port}; is it in use"):
            carry.serve(Path(model), port=port)
    with pytest.raises(ValueError, match="is not a saved model"):
        carry.serve(tmp_path, port=0)
    assert opened == []
    assert "opening" not in "".join(capsys.readouterr())


def test_other_addresses_without_a_token_are_refused_in_one_line(model: str) -> None:
    done = subprocess.run(command(model, "--host", "0.0.0.0"), capture_output=True, text=True, env=environment())
    assert done.returncode == 1
    assert done.stderr.startswith("unseen: host '0.0.0.0' can be reached from other machines, so a token is needed")
    assert len(done.stderr.splitlines()) == 1
