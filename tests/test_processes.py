"""A process that is forked from one with libraries is as a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import processes

TOLD = (
    "import json, os, sys\n"
    "print(json.dumps([sys.argv, os.getcwd(), dict(os.environ), sys.path[:1], sorted(globals()), __name__]))\n"
    "print('é', file=sys.stderr); print([name for name in sys.modules if name.startswith('unseen')])\n"
    "sys.exit(int(sys.argv[1]))"
)


@pytest.mark.parametrize("code", [0, 3])
def test_a_program_meets_what_it_would_meet_in_a_process_of_its_own(tmp_path: Path, code: int) -> None:
    order = [sys.executable, "-c", TOLD, str(code), "two words"]
    env = {**os.environ, "OWN": "1", "PYTHONPATH": str(tmp_path), "PYTHONIOENCODING": "utf-8"}
    own = subprocess.run(order, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    for _ in range(2):
        forked = processes.run(order, cwd=tmp_path, env=env)
        assert (forked.returncode, forked.stderr) == (own.returncode, own.stderr) == (code, "é\n")
        assert forked.stdout == own.stdout
    assert own.stdout.splitlines()[1] == "[]"
    assert json.loads(own.stdout.splitlines()[0])[0] == ["-c", str(code), "two words"]


def test_modules_errors_and_signals_are_told(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text("import sys; print(__name__, sys.argv[1:], sys.path[0])")
    found = processes.run([sys.executable, "-m", "own", "x"], cwd=tmp_path)
    assert found.stdout == f"__main__ ['x'] {tmp_path}\n"
    failed = processes.run([sys.executable, "-c", "def f(): return 1 / 0\nf()"])
    assert failed.returncode == 1
    assert "Traceback" in failed.stderr
    assert "ZeroDivisionError" in failed.stderr
    killed = processes.run([sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"])
    assert killed.returncode == -signal.SIGKILL
    with pytest.raises(subprocess.CalledProcessError):
        processes.run([sys.executable, "-c", "raise SystemExit(2)"], check=True)
    at_end = "import atexit, sys; atexit.register(print, 'the end'); sys.stdout.write('begun ')"
    assert processes.run([sys.executable, "-c", at_end]).stdout == "begun the end\n"


def test_what_a_program_changes_and_takes_is_its_own() -> None:
    busy = (
        "import json, sys, time; json.changed = 1; t = time.process_time()\nwhile time.process_time() - t < .05: pass"
    )
    before = processes.spent
    assert processes.run([sys.executable, "-c", busy]).returncode == 0
    assert processes.spent - before >= 0.05
    left = processes.run([sys.executable, "-c", "import json; print(hasattr(json, 'changed'))"])
    assert left.stdout == "False\n"


@pytest.mark.parametrize("order", [["ls", "-c", "x"], [sys.executable, "file.py"]])
def test_other_programs_are_refused(order: list[str]) -> None:
    with pytest.raises(ValueError, match="of this python, with -m or -c"):
        processes.run(order)
