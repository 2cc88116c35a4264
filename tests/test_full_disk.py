"""A disk that is full is told with the name of the file that was to be written."""

from __future__ import annotations

import errno
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from unseen.console import write_csv
from unseen.data.domain import Domain
from unseen.data.loaders.save import save_features
from unseen.encoders.cache import written
from unseen.nn.state import save_state
from unseen.runtime import replacing

LARGE = Domain(x=np.random.default_rng(0).normal(size=(4000, 8)).astype("float32"))


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=32k", "tmpfs", str(place)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a small disk can be mounted by root only")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)  # an older NumPy leaves the file open


def ledger(file: Path) -> None:
    with replacing(file) as temporary:
        temporary.write_text(json.dumps(["x" * 100_000]))


def feature_file(file: Path) -> None:
    with written(file) as temporary:
        temporary.write_bytes(bytes(100_000))


WRITERS: dict[str, Callable[[Path], object]] = {
    "f.csv": lambda file: save_features(LARGE, file),
    "f.npz": lambda file: save_features(LARGE, file),
    "f.parquet": lambda file: save_features(LARGE, file),
    "t.csv": lambda file: write_csv(file, pd.DataFrame({"a": ["x" * 100] * 2000})),
    "saved": lambda file: save_state(file, {"x": np.zeros(100_000)}),
    "exams.json": ledger,
    "shard.safetensors": feature_file,
}


def test_a_file_behind_the_scenes_is_called_as_the_one_that_was_asked_for(tmp_path: Path) -> None:
    with (
        pytest.raises(OSError, match=r"File too large: '.*/e\.onnx'$") as raised,
        replacing(tmp_path / "e.onnx") as place,
    ):
        raise OSError(errno.EFBIG, "File too large", str(place.with_name("graph.onnx")))
    assert raised.value.filename == str(tmp_path / "e.onnx")


@pytest.mark.parametrize("name", WRITERS)
def test_a_full_disk_is_told_with_the_name_of_the_file_and_nothing_is_left(name: str, disk: Path) -> None:
    with pytest.raises(OSError, match=rf"(?s)(?i)({name}.*no space left|no space left.*{name})") as found:
        WRITERS[name](disk / name)
    assert found.value.errno == errno.ENOSPC
    assert list(disk.iterdir()) == []
