"""Damaged and hostile files: one sentence that names the file, and no memory that a header alone asks for."""

import io
import os
import struct
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

import processes
import unseen
from unseen.data.class_file import read_classes
from unseen.files import sentence

HUGE = 10**13


def npy_header(shape: str, type: str = "<f4") -> bytes:
    text = f"{{'descr': '{type}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    text += b" " * (63 - (len(text) + 10) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


def npz(**members: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return out.getvalue()


def mat(**arrays: object) -> bytes:
    out = io.BytesIO()
    savemat(out, arrays)
    return out.getvalue()


def with_sides(content: bytes, *sides: int) -> bytes:
    """A MATLAB file whose first matrix says that it has these sides."""
    return content[:160] + struct.pack("<2i", *sides) + content[168:]


def packed(content: bytes, announced: int | None = None) -> bytes:
    """A MATLAB file with its first element packed, perhaps with another length in its head."""
    body = bytearray(content[128:])
    if announced is not None:
        body[4:8] = struct.pack("<I", announced)
    small = zlib.compress(bytes(body))
    return content[:128] + struct.pack("<2I", 15, len(small)) + small


FEATURES = mat(x=np.ones((6, 3)))

DAMAGED = {
    "zip.zip": b"PK\x03\x04 not a zip",
    "empty.zip": b"",
    "zip.npz": b"PK\x03\x04 not a zip",
    "empty.npy": b"",
    "token.npy": npy_header("(3, (3"),
    "word.npy": npy_header("banana"),
    "negative.npy": npy_header("(-3, 4)") + bytes(48),
    "lies.npy": npy_header(f"({HUGE}, 3)") + bytes(48),
    "overflows.npy": npy_header(f"({10**30}, 3)") + bytes(48),
    "lies.npz": npz(x=npy_header(f"({HUGE}, 3)") + bytes(48)),
    "lies a little.npz": npz(x=npy_header("(1000, 3)") + bytes(48)),
    "other.npz": npz(x=b"no array at all"),
    "lies.mat": with_sides(FEATURES, 2**30, 2**10),
    "less than none.mat": with_sides(FEATURES, -1, 3),
    "lies packed.mat": packed(with_sides(FEATURES, 2**30, 2**10)),
    "announces.mat": packed(FEATURES, 2**31 - 8),
    "cut.mat": FEATURES[:-40],
    "head only.mat": FEATURES[:128],
    "word.mat": b"no MATLAB",
    "cut.parquet": b"PAR1" + bytes(40),
    "quotes.csv": b'a,b\n"x' + b"y" * 100,
    "bytes.csv": bytes(range(256)),
    "deep.jsonl": b"[" * 100_000,
    "bytes.tar": bytes(range(256)) * 8,
    "bytes.png": bytes(range(256)),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_file_is_told_in_a_sentence_that_names_it(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(DAMAGED[name])
    with pytest.raises(ValueError, match=name.partition(".")[0]) as found:
        unseen.load(tmp_path / name)
    assert type(found.value) is ValueError
    assert len(str(found.value)) < 1000


@pytest.mark.parametrize("name", ["lies.npz", "lies.mat", "lies packed.mat", "announces.mat"])
def test_no_memory_is_asked_for_by_a_header_alone(name: str, tmp_path: Path) -> None:
    """A header of 120 TB, or of 2 GB, is refused by what it says, not by what the machine has."""
    (tmp_path / name).write_bytes(DAMAGED[name])
    code = (
        "import pathlib, re, sys, unseen\n"
        "unseen.load\n"
        "import scipy.io, numpy\n"
        "try: unseen.load(sys.argv[1])\n"
        "except ValueError as error: print(error)\n"
        "told = pathlib.Path('/proc/self/status').read_text()\n"  # getrusage would tell the peak of the parent
        "print(re.search(r'VmHWM:\\s+(\\d+)', told)[1])"
    )
    found = subprocess.run([sys.executable, "-c", code, tmp_path / name], capture_output=True, text=True)
    told, used = found.stdout.splitlines()
    assert any(word in told for word in ("header tells", "announces", "unpacks to"))
    assert int(used) < 1_500_000


def test_a_matrix_of_zeros_that_is_packed_by_matlab_is_read(tmp_path: Path) -> None:
    savemat(tmp_path / "zeros.mat", {"x": np.zeros((2000, 50)), "y": np.arange(2000) % 2}, do_compression=True)
    assert unseen.load(tmp_path / "zeros.mat").x.shape == (2000, 50)
    np.savez_compressed(tmp_path / "zeros.npz", x=np.zeros((20_000, 50), dtype=np.float32))
    assert unseen.load(tmp_path / "zeros.npz").x.shape == (20_000, 50)


def test_deep_json_is_told(tmp_path: Path) -> None:
    (tmp_path / "classes.json").write_text("[" * 100_000)
    with pytest.raises(ValueError, match=r"classes\.json .*nested too deeply"):
        read_classes(tmp_path / "classes.json")


def test_a_path_with_a_zero_byte_is_told() -> None:
    with pytest.raises(ValueError, match=r"'a\\x00b' is no path"):
        unseen.load("a\0b")


def test_links_in_a_circle_are_left_out_and_told(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "fine.png")
    (tmp_path / "round.png").symlink_to(tmp_path / "round.png")
    (tmp_path / "there.png").symlink_to(tmp_path / "back.png")
    (tmp_path / "back.png").symlink_to(tmp_path / "there.png")
    found = unseen.load(tmp_path)
    assert list(found.ids) == ["fine.png"]
    assert {skipped.where for skipped in found.skipped} == {"round.png", "there.png", "back.png"}


def test_links_in_a_circle_that_a_table_names_are_left_out_and_told(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "fine.png")
    (tmp_path / "round.png").symlink_to(tmp_path / "round.png")
    (tmp_path / "table.csv").write_text("path,label\nfine.png,a\nround.png,b\n")
    found = unseen.load(tmp_path / "table.csv")
    assert [skipped.where for skipped in found.skipped] == ["round.png"]


def test_hours_of_business_days_are_a_step() -> None:
    from unseen.data.time_grid import seconds_of

    assert seconds_of("bh") == 3600
    assert seconds_of("2bh") == 7200


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (KeyError("x"), "a part called 'x' is missing"),
        (IndexError("list index"), "ends before a part"),
        (MemoryError(), "more memory than there is"),
        (RecursionError("maximum"), "nested too deeply"),
        (EOFError(), "ends too early"),
        (RuntimeError("a\n  b"), "a b"),
        (RuntimeError(), "a RuntimeError"),
    ],
)
def test_an_error_becomes_a_sentence(error: Exception, told: str) -> None:
    assert told in sentence(error)


def test_a_full_disk_keeps_its_type_and_gets_the_name(tmp_path: Path) -> None:
    from unseen.files import named

    with pytest.raises(OSError, match=r"No space left.*big\.npz") as found, named(tmp_path / "big.npz", "an archive"):
        raise OSError(28, os.strerror(28))
    assert found.value.errno == 28


def test_a_folder_whose_name_looks_like_markup_is_printed(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name in ("s.csv", "s2.csv"):
        rows = [f"{a:.3f},{b:.3f},{i % 2}" for i, (a, b) in enumerate(rng.normal(size=(24, 2)))]
        (tmp_path / name).write_text("\n".join(["f0,f1,label", *rows]))
    env = os.environ | {"PYTHONPATH": str(Path(unseen.__file__).parents[1]), "UNSEEN_DATA": str(tmp_path / "data")}
    asked = ["compare", "--source", "s.csv", "--target", "s2.csv", "--methods", "source-only", "--seeds", "1"]
    run = [sys.executable, "-m", "unseen.cli", *asked, "--out", "run [/b]"]
    found = processes.run(run, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr[-2000:]
    assert "report: run [/b]/report.html" in found.stdout


@pytest.mark.parametrize("error", [KeyError("x"), IndexError("y"), MemoryError(), RecursionError("deep")])
def test_the_command_line_tells_any_error_in_one_line(error, monkeypatch, capsys) -> None:
    from unseen import cli

    def fails() -> None:
        raise error

    fails.registered_commands, fails.registered_groups = [], []  # type: ignore[attr-defined]
    monkeypatch.setattr(cli, "app", fails)
    monkeypatch.delenv("UNSEEN_TRACEBACK", raising=False)
    with pytest.raises(SystemExit):
        cli.main()
    said = capsys.readouterr().err.splitlines()
    assert said[0] == f"unseen: {type(error).__name__}: {sentence(error)}"
