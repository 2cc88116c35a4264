"""Stamps that a Debian package carries: captions by language, pictures on white, what is kept, what is missing."""

from __future__ import annotations

import hashlib
import importlib
import io
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from unseen.data.sources import SourceUnavailable, debian, downloads, get, info, stamps

source: Any = importlib.import_module("unseen.data.sources.stamps")

CAT = "A cat, asleep.\nde.utf8=Eine Katze.\nzh_CN.utf8=猫。\nzh_TW.utf8=貓。\nfi.utf8=Kissa.\nfr.utf8=\n"


def png(colour: tuple[int, ...], size: tuple[int, int]) -> bytes:
    stream = io.BytesIO()
    Image.new("RGBA", size, colour).save(stream, "PNG")
    return stream.getvalue()


def deb(files: dict[str, bytes]) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:xz") as content:
        for name, body in files.items():
            entry = tarfile.TarInfo(f"./usr/share/tuxpaint/stamps/{name}")
            entry.size = len(body)
            content.addfile(entry, io.BytesIO(body))
    body = data.getvalue()
    header = f"{'data.tar.xz':<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(body):<10}`\n".encode()
    return b"!<arch>\n" + header + body + b"\n" * (len(body) % 2)


FILES = {
    "animals/mammals/cat.png": png((200, 0, 0, 255), (40, 20)),
    "animals/mammals/cat.txt": CAT.encode(),
    "animals/mammals/cat_mirror.png": png((200, 0, 0, 255), (40, 20)),
    "animals/mammals/cat.ogg": b"a sound",
    "food/pear.png": png((0, 200, 0, 0), (10, 30)),
    "food/pear.txt": b"A pear.\n",
}


@pytest.fixture
def orders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """A small package in the place of the real one, fetched by an apt that counts; an empty cache."""
    package, made = deb(FILES), []
    monkeypatch.setenv("UNSEEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(source, "_PIN", {**source._PIN, "sha256": hashlib.sha256(package).hexdigest()})

    def run(order: list[str], **options: Any) -> Any:
        made.append(order[1:])
        (Path(options["cwd"]) / source._PIN["file"]).write_bytes(package)
        return subprocess.CompletedProcess(order, 0, "", "")

    monkeypatch.setattr(downloads.subprocess, "run", run)
    monkeypatch.setattr(debian.shutil, "which", lambda name: f"/usr/bin/{name}")
    return made


def test_every_captioned_stamp_has_its_folders_and_its_captions_by_language(orders: list[list[str]]) -> None:
    domain = stamps(size=32)
    assert domain.ids is not None
    assert domain.classes is not None
    assert domain.ids.tolist() == ["stamps/animals/mammals/cat", "stamps/food/pear"]
    assert domain.classes.names == ("animals", "food")
    assert domain.labels.tolist() == [0, 1]
    assert domain.columns["folder"].tolist() == ["animals/mammals", "food"]
    told = {code: domain.columns[f"caption_{code}"].tolist() for code in ("en", "de", "zh", "fr")}
    assert told == {
        "en": ["A cat, asleep.", "A pear."],
        "de": ["Eine Katze.", ""],
        "zh": ["猫。", ""],
        "fr": ["", ""],
    }


def test_pictures_lie_whole_in_the_middle_of_a_white_square(orders: list[list[str]]) -> None:
    cat, pear = (np.asarray(image) for image in stamps(size=32).x)
    assert cat.shape == pear.shape == (32, 32, 3)
    assert (cat[8:24] == [200, 0, 0]).all()
    assert (cat[:8] == 255).all()
    assert (cat[24:] == 255).all()
    assert (pear == 255).all()  # transparent


def test_apt_fetches_once_and_what_was_drawn_needs_no_package(orders: list[list[str]]) -> None:
    assert source.stamps_download() > 8 * 10**7
    stamps(size=32)
    stamps(size=16)
    assert orders == [["--quiet", "download", "tuxpaint-stamps-default=2025.03.31-1"]]
    debian.deb_path(source._PIN).unlink()
    assert source.stamps_download() == 0
    assert len(stamps(size=32)) == 2


def test_a_run_that_broke_off_is_drawn_again(orders: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    real = source._square

    def broken(content: bytes, size: int) -> Any:
        if content == FILES["food/pear.png"]:
            raise KeyboardInterrupt
        return real(content, size)

    monkeypatch.setattr(source, "_square", broken)
    with pytest.raises(KeyboardInterrupt):
        stamps(size=32)
    monkeypatch.setattr(source, "_square", real)
    assert len(list(stamps(size=32).x)) == 2


def test_what_cannot_be_had_is_told_with_a_fix(orders: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"size must lie in \[8, 1024\]"):
        stamps(size=4)
    monkeypatch.setattr(debian.shutil, "which", lambda name: None)
    with pytest.raises(SourceUnavailable, match=r"needs apt-get .*put tuxpaint-stamps-default_2025\.03\.31-1_all\.deb"):
        stamps()


def test_the_registry_knows_them(orders: list[list[str]]) -> None:
    about = info("stamps:tuxpaint")
    assert (about.needs, about.kind) == ("apt-get", "image")
    assert "GPL-2" in about.credit
    assert len(get("stamps:tuxpaint", size=16)) == 2


@pytest.mark.slow
def test_the_package_of_the_users_mirror() -> None:
    try:
        domain = stamps()
    except SourceUnavailable as why:
        pytest.skip(str(why))
    assert len(domain) == 951
    assert all((domain.columns[f"caption_{code}"] != "").sum() > 900 for code in ("en", "de", "fr", "es", "ja", "zh"))
