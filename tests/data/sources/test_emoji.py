"""Emoji: aligned by code point or name, drawn once, checked, and clear when they cannot be had."""

import collections
import hashlib
import importlib
import io
import json
import os
import shutil
import subprocess
import tarfile

import numpy as np
import pytest
from PIL import Image

from unseen.data.sources import SourceUnavailable, download_size, emoji, emoji_styles, in_common, npm
from unseen.data.sources.emoji import _bare, _plain, _svg
from unseen.data.sources.undrawn import NotDrawnError, undrawn

CODES = {
    "1F436": ("dog face", 3, 34),
    "1F431": ("cat face", 3, 34),
    "2764": ("red heart", 0, 14),
    "1F1E9": ("flag: Nowhere", 9, 97),
}


def pack(path, files):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as archive:
        for name, value in files.items():
            body = json.dumps(value).encode()
            entry = tarfile.TarInfo(f"package/{name}")
            entry.size = len(body)
            archive.addfile(entry, io.BytesIO(body))


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A cache with three emoji in two styles: one with code points, one with names and currentColor."""
    monkeypatch.setenv("UNSEEN_CACHE", str(tmp_path))
    two = {**npm.pins(), "subgroups": ["animal-mammal", "heart"]}
    monkeypatch.setattr(importlib.import_module("unseen.data.sources.emoji"), "pins", lambda: two)
    data = [
        {
            "hexcode": code,
            "label": label,
            "tags": ["tag", label],
            "group": group,
            "subgroup": subgroup,
            "order": i,
        }
        for i, (code, (label, group, subgroup)) in enumerate(CODES.items())
    ]
    messages = {
        "groups": [{"key": key, "message": key.upper()} for key in ("animals", "smileys", "flags")],
        "subgroups": [{"key": key, "message": f"{key}s"} for key in ("animal-mammal", "heart", "flag")],
    }
    groups = {
        "groups": {"3": "animals", "0": "smileys", "9": "flags"},
        "subgroups": {"34": "animal-mammal", "14": "heart", "97": "flag"},
    }
    pack(
        npm.archive_path("emojibase-data"),
        {"en/data.json": data, "en/messages.json": messages, "meta/groups.json": groups},
    )
    half = '<path fill="{}" d="M0 0h8v16H0z"/>'
    pack(
        npm.archive_path("@iconify-json/noto"),
        {
            "icons.json": {
                "width": 16,
                "height": 16,
                "icons": {
                    "dog": {"body": half.format("#f00")},
                    "cat": {"body": half.format("#0f0")},
                    "love": {"body": half.format("#00f"), "height": 32},
                },
            },
            "chars.json": {"1f436": "dog", "1f431": "cat", "2764-fe0f": "love"},
        },
    )
    pack(
        npm.archive_path("@iconify-json/emojione-monotone"),
        {
            "icons.json": {
                "width": 16,
                "height": 16,
                "icons": {"dog-face": {"body": half.format("currentColor")}},
                "aliases": {"red-heart": {"parent": "dog-face", "hFlip": True}},
            },
            "chars.json": {},
        },
    )
    return tmp_path


def test_emoji_are_aligned_drawn_on_white_and_kept(small):
    domain = emoji("noto", size=16)
    assert domain.classes.names == ("animal-mammal", "heart")
    assert domain.classes.descriptions[0] == "animal-mammals (ANIMALS): dog face, cat face"
    assert domain.columns["emoji"].tolist() == ["1F436", "1F431", "2764"]
    assert domain.columns["keywords"].tolist()[0] == "tag, dog face"
    assert domain.y.tolist() == [0, 0, 1]
    assert domain.x[0].size == (16, 16)
    assert domain.x[0].getpixel((2, 8)) == (255, 0, 0)
    assert domain.x[0].getpixel((13, 8)) == (255, 255, 255)
    assert domain.x[2].getpixel((1, 4)) == (255, 255, 255)
    assert any("Apache-2.0" in credit for credit in domain.credits)
    before = {path: path.stat().st_mtime_ns for path in small.rglob("*.png")}
    assert len(before) == 3
    assert emoji("noto", size=16).fingerprint() == domain.fingerprint()
    assert {path: path.stat().st_mtime_ns for path in small.rglob("*.png")} == before
    assert not list(small.rglob("*.part"))


def test_an_interrupted_drawing_is_finished(small):
    whole = emoji("noto", size=16).fingerprint()
    next(small.rglob("1F431.png")).unlink()
    assert emoji("noto", size=16).fingerprint() == whole


def test_names_serve_where_there_are_no_code_points_and_monotone_is_black(small):
    domain = emoji("emojione-monotone", size=16)
    assert domain.columns["emoji"].tolist() == ["1F436", "2764"]
    assert domain.x[0].getpixel((2, 8)) == (0, 0, 0)
    assert domain.x[1].getpixel((2, 8)) == (255, 255, 255)
    assert domain.x[1].getpixel((13, 8)) == (0, 0, 0)


def test_styles_are_brought_to_the_emoji_they_share(small):
    a, b = in_common(emoji("noto", size=16), emoji("emojione-monotone", size=16))
    assert a.columns["emoji"].tolist() == b.columns["emoji"].tolist() == ["1F436", "2764"]
    np.testing.assert_array_equal(a.y, b.y)


def test_every_emoji_can_be_a_class(small):
    domain = emoji("noto", level="emoji", size=16)
    assert domain.classes.names == ("dog face", "cat face", "red heart")
    assert domain.classes.descriptions[1] == "tag, cat face"
    assert domain.y.tolist() == [0, 1, 2]


def test_a_missing_npm_is_one_line_that_names_the_fix(tmp_path, monkeypatch):
    monkeypatch.setenv("UNSEEN_CACHE", str(tmp_path))
    monkeypatch.setattr(npm.shutil, "which", lambda _: None)
    with pytest.raises(SourceUnavailable, match="install it, or use data=digits") as caught:
        emoji("noto")
    assert "\n" not in str(caught.value)


def fake_npm(folder, monkeypatch, script):
    folder.mkdir()
    (folder / "npm").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "npm").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def test_a_failing_network_is_one_line_that_names_the_fix(tmp_path, monkeypatch):
    monkeypatch.setenv("UNSEEN_CACHE", str(tmp_path / "cache"))
    fake_npm(tmp_path / "bin", monkeypatch, "echo 'npm error network unreachable' >&2; exit 1")
    with pytest.raises(SourceUnavailable, match=r"network unreachable\): check the network or proxy"):
        npm.fetch("emojibase-data")


def test_an_archive_that_is_not_the_pinned_one_is_refused_and_not_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("UNSEEN_CACHE", str(tmp_path / "cache"))
    fake_npm(tmp_path / "bin", monkeypatch, "echo other > other.tgz")
    with pytest.raises(SourceUnavailable, match="is not what was pinned"):
        npm.fetch("emojibase-data")
    assert list((tmp_path / "cache" / "npm").iterdir()) == []


def test_the_pinned_archive_is_asked_for_and_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("UNSEEN_CACHE", str(tmp_path / "cache"))
    pin = {"version": "1.2.3", "sha256": hashlib.sha256(b"good\n").hexdigest(), "bytes": 5, "credit": ""}
    monkeypatch.setattr(npm, "pins", lambda: {"packages": {"@scope/name": pin}})
    fake_npm(tmp_path / "bin", monkeypatch, 'echo "$@" > "$UNSEEN_CACHE/asked"; echo good > name.tgz')
    assert npm.missing_bytes(["@scope/name"]) == 5
    assert npm.fetch("@scope/name").read_bytes() == b"good\n"
    assert (tmp_path / "cache" / "asked").read_text().split()[:2] == ["pack", "@scope/name@1.2.3"]
    assert npm.missing_bytes(["@scope/name"]) == 0


def test_members_that_are_no_plain_files_are_refused(tmp_path):
    with tarfile.open(tmp_path / "a.tgz", "w:gz") as archive:
        link = tarfile.TarInfo("package/icons.json")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    with pytest.raises(ValueError, match="no plain file"):
        npm.read_members(tmp_path / "a.tgz", ["icons.json"])
    pack(tmp_path / "b.tgz", {"../../icons.json": 1})
    with pytest.raises(SourceUnavailable, match=r"lacks icons\.json"):
        npm.read_members(tmp_path / "b.tgz", ["icons.json"])


def test_download_sizes_are_known_before(tmp_path, monkeypatch):
    monkeypatch.setenv("UNSEEN_CACHE", str(tmp_path))
    sizes = {name: entry["bytes"] for name, entry in npm.pins()["packages"].items()}
    assert download_size(["noto"]) == sizes["emojibase-data"] + sizes["@iconify-json/noto"]
    assert len(emoji_styles()) == 11


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="style must be one of noto"):
        emoji("comic")
    with pytest.raises(ValueError, match="level must be"):
        emoji("noto", level="group")
    with pytest.raises(ValueError, match="size must lie"):
        emoji("noto", size=2)


def test_names_and_code_points_are_compared_in_plain_form():
    assert _plain("piñata") == "pinata"
    assert _plain("A button (blood type)") == _plain("a-button-blood-type")
    assert _bare("2764-FE0F") == _bare("2764")
    assert _bare("0023-FE0F-20E3") == "23-20e3"


def test_drawings_are_made_square():
    svg = _svg({"icons": {"a": {"body": "<g/>", "width": 10, "height": 30}}}, "a")
    assert 'viewBox="-10.0 0.0 30 30"' in svg
    assert "\n" not in svg


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed")
def test_the_real_sets_share_29_classes_of_at_least_20_emoji(tmp_path, monkeypatch):
    monkeypatch.setenv("UNSEEN_CACHE", os.environ.get("UNSEEN_CACHE", str(tmp_path)))
    try:
        subprocess.run(["npm", "ping"], check=True, capture_output=True, timeout=60)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        pytest.skip("the npm registry cannot be reached")
    from unseen.data.sources.emoji import _icons, _texts

    styles = ["noto", "twemoji", "openmoji", "fluent-emoji-flat", "fluent-emoji-high-contrast"]
    table = _texts()
    shared = set(table).intersection(*(_icons(style, table) for style in styles))
    counts = collections.Counter(table[code]["subgroup"] for code in shared)
    assert {name for name, count in counts.items() if count >= 20} == set(npm.pins()["subgroups"])
    domain = emoji("openmoji", size=32)
    assert len(domain) == 978
    assert isinstance(domain.x[0], Image.Image)


def test_drawings_that_are_put_off_are_the_same_and_only_what_is_looked_at_is_drawn(small):
    with undrawn():
        later = emoji("noto", size=16)
        assert not list(small.rglob("*.png"))
        assert later.x[1].size == (16, 16)
        assert [path.name for path in small.rglob("*.png")] == ["1F431.png"]
        with undrawn("refuse"), pytest.raises(NotDrawnError, match="1F436"):
            later.digests()
        with undrawn("cause") as asked:
            causes = later.take([0, 2]).digests()
        assert len(set(causes.tolist())) == 2
        assert asked[0].size == 16
        assert [path.name for path in small.rglob("*.png")] == ["1F431.png"]
        there = later.digests().tolist()
        pixels = [np.asarray(picture) for picture in later.x]
    assert not set(causes.tolist()) & set(there)
    shutil.rmtree(next(small.rglob("1F431.png")).parent)
    now = emoji("noto", size=16)
    assert now.digests().tolist() == there
    assert all((np.asarray(picture) == before).all() for picture, before in zip(now.x, pixels))
    assert not list(small.rglob("*.part"))
