"""Objects that a Debian package carries: its pin, archives that are other than they should be, upright clouds."""

from __future__ import annotations

import copy
import hashlib
import importlib
import io
import subprocess
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unseen.data.sources import SourceUnavailable, debian, downloads, get, info
from unseen.data.sources import furniture as read
from unseen.data.sources import furniture_makers as makers

source: Any = importlib.import_module("unseen.data.sources.furniture")

BOX = b"""
v 0 0 0
v 2 0 0
v 2 1 0
v 0 1 0
v 0 0 4
v 2 0 4
v 2 1 4
v 0 1 4
f 1 2 3 4
f 5/1/1 8/1/1 7/1/1 6/1/1
f 1 5 6 2
f 4 3 7 8
f 1 4 8 5
f 2 6 7 3
"""
NAMES = (("Oak chair", "Office"), ("Chair", "Kitchen"), ("Desk lamp", "Lights"), ("Bill 10\\u20ac", "Office"))


def catalogue(maker: str, **more: str) -> bytes:
    """A zip with four boxes, as the catalogues are: sides 20 x 40 x 10 cm; `more` is said of the first."""
    lines = ["id=x", "name=catalogue"]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as content:
        for i, (name, category) in enumerate(NAMES, 1):
            said = {"id": f"{maker}#m{i}", "name": name, "tags": "", "category": category, "model": f"/a/{i}.obj"}
            said |= {"width": "20", "depth": "40", "height": "10", "creator": "nobody"} | (more if i == 1 else {})
            lines += [f"{key}#{i}={value}" for key, value in said.items()]
            content.writestr(f"a/{i}.obj", BOX)
        content.writestr("PluginFurnitureCatalog.properties", "\n".join(lines).encode("latin-1"))
    return buffer.getvalue()


def deb(files: dict[str, bytes | None]) -> bytes:
    """A Debian package with these files; None makes a link."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:xz") as content:
        for name, body in files.items():
            entry = tarfile.TarInfo(f"./{name}")
            if body is None:
                entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
            entry.size = len(body or b"")
            content.addfile(entry, io.BytesIO(body or b""))
    out = b"!<arch>\n"
    for name, body in (("debian-binary", b"2.0\n"), ("control.tar.xz", b"odd"), ("data.tar.xz", data.getvalue())):
        out += f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(body):<10}`\n".encode() + body + b"\n" * (len(body) % 2)
    return out


@pytest.fixture
def pinned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """Small catalogues in the place of the real ones, nothing installed, an empty cache."""
    monkeypatch.setenv("UNSEEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(source, "INSTALLED", tmp_path / "installed")
    turned = "0 1 0 -1 0 0 0 0 1"  # a quarter about the axis of depth
    made = {maker: catalogue(maker, **({"modelRotation": turned} if maker == "scopia" else {})) for maker in makers()}
    pins = copy.deepcopy(source._pins())
    files = {}
    for maker, about in pins["makers"].items():
        about["sha256"] = hashlib.sha256(made[maker]).hexdigest()
        files[f"usr/share/sweethome3d/furniture/{about['file']}"] = made[maker]
    package = deb({"usr/share/doc/passwd": None, **files})
    pins["pin"] |= {"sha256": hashlib.sha256(package).hexdigest()}
    monkeypatch.setattr(source, "_pins", lambda: pins)
    return {**{about["file"]: made[maker] for maker, about in pins["makers"].items()}, "deb": package}


def apt_that_writes(content: bytes | None, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    orders: list[list[str]] = []

    def run(order: list[str], **options: Any) -> Any:
        orders.append(order)
        if content is not None:
            (Path(options["cwd"]) / source._pins()["pin"]["file"]).write_bytes(content)
        return subprocess.CompletedProcess(order, 0 if content is not None else 100, "", "E: Version was not found")

    monkeypatch.setattr(downloads.subprocess, "run", run)
    monkeypatch.setattr(debian.shutil, "which", lambda name: f"/usr/bin/{name}")
    return orders


def test_apt_fetches_the_pinned_version_once(pinned: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    orders = apt_that_writes(pinned["deb"], monkeypatch)
    assert source.furniture_download() > 10**8
    one = read(n_points=64)
    assert source.furniture_download() == 0
    debian.deb_path(source._pins()["pin"]).unlink()  # the points are kept
    other = read(n_points=64)
    assert [order[1:] for order in orders] == [["--quiet", "download", "sweethome3d-furniture=1.8-1"]]
    assert np.array_equal(one.x, other.x)
    assert one.digests().tolist() == other.digests().tolist()


def test_an_installed_package_is_read_where_it_is(
    pinned: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    orders = apt_that_writes(None, monkeypatch)
    (tmp_path / "installed").mkdir()
    for name, content in pinned.items():
        (tmp_path / "installed" / name).write_bytes(content)
    assert len(read()) == 15
    assert not orders
    assert not list((tmp_path / "installed").glob(".*"))


def test_another_version_installed_is_not_read(
    pinned: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    orders = apt_that_writes(pinned["deb"], monkeypatch)
    (tmp_path / "installed").mkdir()
    for name in pinned:
        (tmp_path / "installed" / name).write_bytes(catalogue("other"))
    assert len(read()) == 15
    assert len(orders) == 1


def test_clouds_are_upright_centred_and_of_real_proportions(
    pinned: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    apt_that_writes(pinned["deb"], monkeypatch)
    domain = read("kator-legaz", n_points=2048)
    assert domain.kind == "points"
    assert domain.x.shape == (3, 2048, 3)
    np.testing.assert_allclose(domain.x.mean(axis=1), 0, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(domain.x, axis=2).max(axis=1), 1, rtol=1e-6)
    sides = np.ptp(domain.x[0], axis=0)
    np.testing.assert_allclose(sides / sides[2], [2, 4, 1], rtol=0.02)  # width, depth, height; 2,048 points reach far
    assert domain.columns["size"].tolist() == [[20, 40, 10]] * 3
    laid = np.ptp(read("scopia", n_points=2048).x[0], axis=0)  # turned first, then given the sides that are told
    np.testing.assert_allclose(laid / laid[2], [2, 4, 1], rtol=0.02)


def test_shapes_come_from_names_and_categories(pinned: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    apt_that_writes(pinned["deb"], monkeypatch)
    domain = read(["scopia", "reallusion"], n_points=8)
    assert domain.classes is not None
    assert domain.classes.names == ("lamp", "seat")
    assert np.bincount(domain.labels).tolist() == [2, 4]
    assert sorted(set(domain.columns["maker"].tolist())) == ["reallusion", "scopia"]
    assert "CC BY" in domain.credits[0]
    rooms = read("scopia", classes="category", n_points=8)
    assert rooms.classes is not None
    assert rooms.classes.names == ("Kitchen", "Lights", "Office")
    assert "Bill 10€" in rooms.columns["name"].tolist()
    assert read("scopia", classes="category", n_points=8, smallest=2).classes.names == ("Office",)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("name", "category", "shape"),
    [
        ("Desk lamp", "Office", "lamp"),
        ("Glass table", "Living room", "table"),
        ("Garage door", "Exterior", "opening"),
        ("Child seat", "Vehicles", "vehicle"),
        ("Sitting girl", "Characters", "figure"),
        ("Doormat", "Exterior", ""),
    ],
)
def test_the_last_word_that_tells_a_shape_decides_unless_the_category_does(
    name: str, category: str, shape: str
) -> None:
    assert source.shape_of(name, category) == shape


def test_a_cloud_depends_on_its_model_and_the_seed_only(
    pinned: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    apt_that_writes(pinned["deb"], monkeypatch)
    every, own = read(n_points=32), read("scopia", n_points=32)
    assert every.ids is not None
    assert np.array_equal(every.x[np.isin(every.ids, own.ids)], own.x)
    assert not np.array_equal(read("scopia", n_points=32, random_state=1).x, own.x)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"makers": "ikea"}, "makers must be of .*got 'ikea'"),
        ({"makers": ()}, "makers must be of .*got none"),
        ({"classes": "colour"}, "classes must be"),
        ({"n_points": 0}, "n_points must lie in"),
        ({"n_points": 2049}, "n_points must lie in"),
        ({"smallest": 0}, "smallest must be at least 1"),
    ],
)
def test_bad_arguments_are_named_before_any_work(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read(**options)


def test_what_is_not_as_pinned_or_not_there_is_told_with_a_fix(
    pinned: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    apt_that_writes(deb({"x": b""}), monkeypatch)
    with pytest.raises(SourceUnavailable, match="not what was pinned"):
        read()
    apt_that_writes(None, monkeypatch)
    with pytest.raises(SourceUnavailable, match=r"Version was not found.*apt-get update.*packages\.debian\.org"):
        read()
    monkeypatch.setattr(debian.shutil, "which", lambda name: None)
    with pytest.raises(SourceUnavailable, match=r"needs apt-get .*put sweethome3d-furniture_1\.8-1_all\.deb"):
        read()
    path = debian.deb_path(source._pins()["pin"])
    assert not path.exists()
    path.write_bytes(b"!<arch>\n, cut off")
    with pytest.raises(SourceUnavailable, match="or remove"):
        read()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"PK", "does not begin as one"),
        (b"!<arch>\n", "holds no data.tar"),
        (b"!<arch>\n" + b"x" * 60, "a header in it is damaged"),
        (deb({"a": b"1"})[:-40], "is cut off"),
        (deb({"a": None}), "a is no plain file"),
        (deb({"../a": b"1"}), "is no plain file"),
    ],
)
def test_damaged_packages_are_refused(content: bytes, message: str, tmp_path: Path) -> None:
    file = tmp_path / "x.deb"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        debian.read_deb(file, lambda name: name.endswith("a"))


def test_links_are_left_out_where_that_is_asked_for(tmp_path):
    file = tmp_path / "x.deb"
    file.write_bytes(deb({"a": None, "b": b"1"}))
    assert debian.read_deb(file, lambda name: True, skip_links=True) == {"b": b"1"}


def test_a_damaged_cache_is_named(pinned: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    apt_that_writes(pinned["deb"], monkeypatch)
    read(n_points=4)
    file = source._kept(makers())
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(SourceUnavailable, match="delete it and try again"):
        read(n_points=4)


def test_the_registry_knows_them() -> None:
    about = info("furniture:kator-legaz")
    assert (about.needs, about.kind) == ("apt-get", "points")
    assert "CC BY 3.0" in about.credit


@pytest.mark.slow
def test_the_package_of_the_users_mirror() -> None:
    try:
        domain = get("furniture:scopia", n_points=16)
    except SourceUnavailable as why:
        pytest.skip(str(why))
    assert len(domain) > 150
    assert {"seat", "table", "lamp"} <= set(domain.classes.names)  # type: ignore[union-attr]
    assert len(read(n_points=1, classes="category")) == 820
