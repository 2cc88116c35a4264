"""Run the blocks of README.md (or of the pages named) that stand behind `<!-- ci -->`, as a reader would.

They run in one empty folder with small stand-ins for what a reader brings: photos/, sketches/, few.csv, new.png.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BLOCK = re.compile(r"^<!-- ci -->\n```(sh|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(text: str) -> list[tuple[str, str]]:
    """The (language, code) of every marked block, in order."""
    return BLOCK.findall(text)


def stand_ins(folder: Path) -> None:
    """What a reader has: labelled photos, sketches of classes that match in part, a few labels, a new file."""
    import numpy as np

    sys.path.insert(0, str(ROOT / "tests" / "whole"))
    import drawings

    _, sketches = drawings.make_folders(folder)
    drawings.few_labels(sketches, folder / "few.csv", 3)
    drawings.sketch("star", np.random.default_rng(9)).save(folder / "new.png")


def run(language: str, code: str, folder: Path) -> None:
    """Run one block; `CalledProcessError` if it fails."""
    interpreter = Path(sys.executable).parent
    path = f"{interpreter}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "UNSEEN_DATA": str(folder / ".data")}
    module = re.match(r'"""(\w+): ', code)  # a file that a later block imports
    if module:
        (folder / f"{module[1].lower()}.py").write_text(code, encoding="utf-8")
    order = ["bash", "-euc", code] if language == "sh" else [sys.executable, "-c", code]
    subprocess.run(order, cwd=folder, env=environment, check=True)


def main(files: list[str]) -> int:
    """Run all marked blocks of the files, in one folder; 1 at the first that fails."""
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as name:
        stand_ins(Path(name))
        for file in files:
            found = blocks(Path(file).read_text(encoding="utf-8"))
            for language, code in found:
                print(f"\n-- {Path(file).name}, {time.perf_counter() - started:.0f} s\n{code}", flush=True)
                try:
                    run(language, code, Path(name))
                except subprocess.CalledProcessError as error:
                    print(f"{file}: this block fails with exit code {error.returncode}:\n{code}")
                    return 1
            print(f"{file}: {len(found)} blocks run, {time.perf_counter() - started:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or [str(ROOT / "README.md")]))
