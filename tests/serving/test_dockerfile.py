"""The Dockerfile without Docker: good habits by rule, and its steps as they would run."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from unseen.bundle import Bundle

ROOT = Path(__file__).resolve().parents[2]
TOKEN = "a-token-of-the-tests"


def steps(text: str) -> list[tuple[str, str]]:
    """(instruction, arguments) of a Dockerfile, in order, without comments, lines joined."""
    joined = re.sub(r"\\\n\s*", "", re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE))
    lines = [line.strip().partition(" ") for line in joined.splitlines() if line.strip()]
    return [(word.upper(), rest.strip()) for word, _, rest in lines]


STEPS = steps((ROOT / "Dockerfile").read_text())


def last(word: str) -> str:
    return [rest for name, rest in STEPS if name == word][-1]


def copied() -> list[str]:
    return [source for word, rest in STEPS if word == "COPY" for source in shlex.split(rest)[:-1]]


def test_its_habits_are_those_that_a_linter_asks_for() -> None:
    words = [word for word, _ in STEPS]
    assert set(words) <= {
        *("FROM", "ENV", "WORKDIR", "COPY", "RUN", "USER", "EXPOSE", "STOPSIGNAL", "HEALTHCHECK", "ENTRYPOINT", "CMD")
    }
    assert re.fullmatch(r"[\w./-]+:(?!latest)[\w.-]+", last("FROM")), "the base has a version"
    assert last("WORKDIR").startswith("/")
    assert [words.count(word) for word in ("ENTRYPOINT", "CMD", "HEALTHCHECK", "USER")] == [1, 1, 1, 1]
    for word in ("ENTRYPOINT", "CMD"):
        assert all(isinstance(part, str) for part in json.loads(last(word))), "exec form gets signals"
    for word, rest in STEPS:
        if word == "RUN":
            assert not re.search(r"\b(sudo|curl|wget|apt|cd|chmod 777)\b|\|", rest), rest
        if "pip install" in rest:
            assert "PIP_NO_CACHE_DIR=1" in next(value for name, value in STEPS if name == "ENV")


def test_it_runs_as_a_user_without_rights_and_holds_no_secret() -> None:
    user = last("USER")
    assert user.isdigit(), "a number, so that Kubernetes can tell that it is not root"
    assert int(user) >= 10_000
    assert f"useradd --uid {user} " in last("RUN")
    words = [word for word, _ in STEPS]
    assert words.index("USER") < words.index("ENTRYPOINT")
    assert "RUN" not in words[words.index("USER") :]
    assert not any(re.search(r"(TOKEN|SECRET|PASSWORD)", rest) for word, rest in STEPS if word in ("ENV", "ARG"))


def test_what_it_copies_is_there_and_not_ignored() -> None:
    allowed = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    assert sorted(copied()) == sorted(allowed)
    for source in copied():
        assert (ROOT / source).exists(), source


@pytest.mark.parametrize("rest", [rest for word, rest in STEPS if word == "RUN"])
def test_its_commands_exist(rest: str) -> None:
    for part in rest.split("&&"):
        program = shlex.split(part)[0]
        assert shutil.which(program, path=f"{Path(sys.executable).parent}:/usr/sbin:/sbin:{os.environ['PATH']}"), (
            program
        )


@pytest.mark.slow
def test_what_it_copies_is_enough_to_build_the_package(tmp_path: Path) -> None:
    pytest.importorskip("setuptools", reason="building needs setuptools")
    for source in copied():
        if (ROOT / source).is_dir():
            ignore = shutil.ignore_patterns("__pycache__", "*.egg-info")
            shutil.copytree(ROOT / source, tmp_path / "app" / source, ignore=ignore)
        else:
            (tmp_path / "app").mkdir(exist_ok=True)
            shutil.copy(ROOT / source, tmp_path / "app")
    order = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--quiet", "--wheel-dir", str(tmp_path), "."]
    done = subprocess.run([*order, "--no-build-isolation"], cwd=tmp_path / "app", capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    (wheel,) = tmp_path.glob("unseen-*.whl")
    listed = subprocess.run([sys.executable, "-m", "zipfile", "-l", str(wheel)], capture_output=True, text=True).stdout
    for name in ("manual.html", "offline.html", "offline.js", "segment.js", "style.css", "runtime.json", "app.py"):
        assert f"unseen/serving/{name}" in listed, name


@pytest.mark.slow
def test_it_starts_is_healthy_and_stops(vectors: Bundle, tmp_path: Path) -> None:
    model = vectors.save(tmp_path / "model")
    bin_folder = Path(sys.executable).parent
    command = [*json.loads(last("ENTRYPOINT")), *json.loads(last("CMD"))]
    assert command[:3] == ["unseen", "serve", "/model"]
    port = "18423"
    command = [str(bin_folder / "unseen"), "serve", str(model), *command[3:]]
    command[command.index("--port") + 1] = port
    check = last("HEALTHCHECK").partition("CMD ")[2].replace("8000", port)
    set_to = dict(pair.split("=") for word, rest in STEPS if word == "ENV" for pair in rest.split())
    environment = os.environ | set_to | {"UNSEEN_TOKEN": TOKEN, "UNSEEN_CACHE": str(tmp_path), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, cwd=tmp_path)
    try:
        for _ in range(120):
            healthy = subprocess.run([sys.executable, *json.loads(check)[1:]], capture_output=True).returncode == 0
            if healthy or process.poll() is not None:
                break
            time.sleep(0.5)
        assert healthy
        process.terminate()
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.communicate()
