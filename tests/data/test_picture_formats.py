"""Which pictures are opened at all: one list of formats, whatever a file is called, and no program is run by one."""

import ast
import io
import os
from pathlib import Path

import numpy as np
import PIL.EpsImagePlugin
import PIL.Image
import pytest

import unseen
from unseen.data.images import FORMATS, decode, open_header

SRC = Path(unseen.__file__).parent
PICTURE = PIL.Image.new("RGB", (24, 24), "red")
OPENED_ELSEWHERE = {"claims/quantized_lite0.py"}
"""An experiment on pictures of an installed package."""

PIL.Image.init()


def saved(format: str) -> bytes:
    out = io.BytesIO()
    for mode in ("RGB", "L", "1", "F"):
        try:
            PICTURE.convert(mode).save(out, format)
            return out.getvalue()
        except (OSError, KeyError, ValueError, AttributeError, RuntimeError):
            out = io.BytesIO()
    pytest.skip(f"Pillow cannot write {format} without a program or data of its own")


@pytest.mark.parametrize("format", sorted(PIL.Image.SAVE))
def test_each_format_that_pillow_writes_is_read_only_if_it_is_listed(format: str, tmp_path: Path) -> None:
    content = saved(format)
    PICTURE.save(tmp_path / "fine.png")
    (tmp_path / "x.png").write_bytes(content)
    found = unseen.load(tmp_path)
    family = {"MPO": "JPEG"}.get(format, format)  # MPO is JPEG with further pictures behind it
    assert ("x.png" in found.ids) == (family in FORMATS)
    assert [skipped.where for skipped in found.skipped] == ([] if family in FORMATS else ["x.png"])


def test_no_format_that_pillow_reads_beyond_the_list_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def watched(name: str) -> tuple:
        factory, accept = PIL.Image.OPEN[name]

        def accepted(prefix: bytes) -> bool:
            asked.append(name)
            return bool(accept(prefix)) if accept else False

        return factory, accepted

    monkeypatch.setattr(PIL.Image, "OPEN", {name: watched(name) for name in PIL.Image.OPEN})
    with pytest.raises(ValueError, match="not a picture"):
        decode(b"nothing that anybody knows" * 10)
    assert set(asked) == set(FORMATS)


def test_postscript_called_png_runs_no_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tools, mark = tmp_path / "bin", tmp_path / "ran"
    tools.mkdir()
    (tools / "gs").write_text(f"#!/bin/sh\necho ran >> {mark}\nexit 0\n")
    (tools / "gs").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(PIL.EpsImagePlugin, "gs_binary", None)
    folder = tmp_path / "data"
    folder.mkdir()
    PICTURE.save(folder / "fine.png")
    (folder / "x.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n%%EOF\n")
    found = unseen.load(folder)
    assert not mark.exists()
    assert list(found.ids) == ["fine.png"]
    assert "not a picture" in found.skipped[0].why


@pytest.mark.parametrize("error", [RuntimeError, TypeError, MemoryError, KeyError, AssertionError])
def test_a_picture_of_which_the_decoder_dies_is_skipped_and_counted(
    error: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    PICTURE.save(tmp_path / "fine.png")
    PICTURE.save(tmp_path / "deadly.bmp")

    def dies(self: object) -> None:
        raise error("boom")

    monkeypatch.setattr("PIL.BmpImagePlugin.BmpImageFile.load", dies)
    found = unseen.load(tmp_path)
    assert [(skipped.where, "boom" in skipped.why) for skipped in found.skipped] == [("deadly.bmp", True)]


def test_a_smaller_list_may_be_named_but_no_other_one() -> None:
    content = saved("GIF")
    assert open_header(content).size == (24, 24)
    with pytest.raises(PIL.UnidentifiedImageError):
        open_header(content, ("JPEG",))
    with pytest.raises(ValueError, match="formats must be among"):
        open_header(content, ("EPS",))


def opened_pictures(file: Path) -> list[int]:
    """Lines on which a module of Pillow's opens a file, by any of the names that it is imported under."""
    tree = ast.parse(file.read_text())
    names = {"PIL.Image"}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "PIL":
            names |= {alias.asname or alias.name for alias in node.names if alias.name == "Image"}
        if isinstance(node, ast.Import):
            names |= {alias.asname for alias in node.names if alias.name == "PIL.Image" and alias.asname}
    return [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "open"
        and ast.unparse(node.func.value) in names
    ]


def test_pictures_are_opened_in_one_place() -> None:
    found = {file.relative_to(SRC).as_posix() for file in SRC.rglob("*.py") if opened_pictures(file)}
    assert found == {"data/images.py"} | OPENED_ELSEWHERE


def test_the_search_for_opened_pictures_finds_them(tmp_path: Path) -> None:
    file = tmp_path / "some.py"
    file.write_text("import PIL.Image\nfrom PIL import Image as P\nPIL.Image.open(x)\nP.open(y)\nopen(z)\n")
    assert opened_pictures(file) == [3, 4]


def test_all_that_was_read_before_is_still_read() -> None:
    for format in ("JPEG", "PNG", "GIF", "BMP", "DIB", "WEBP", "TIFF", "PPM", "TGA", "ICO", "JPEG2000"):
        assert np.abs(np.asarray(decode(saved(format)), dtype=int)[12, 12] - (255, 0, 0)).max() < 16, format
