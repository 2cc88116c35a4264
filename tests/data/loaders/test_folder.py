"""Real folders: hidden files, splits, odd names, links, broken pictures, archives, URLs."""

import io
import logging
import unicodedata
import zipfile
from pathlib import Path

import fsspec
import numpy as np
import pytest
from PIL import Image

from unseen.data import loaders
from unseen.data.domain import Lazy
from unseen.data.labels import case_variants
from unseen.data.loaders import load
from unseen.data.reading import natural_key


def picture(path, colour="red"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 4), colour).save(path)


@pytest.fixture
def pets(tmp_path):
    for name in ("dog/2.png", "dog/10.png", "cat/a b.png", "кот/снимок.png"):
        picture(tmp_path / "pets" / name)
    return tmp_path / "pets"


def test_class_folders_become_labels_in_natural_order(pets):
    domain = load(pets)
    assert domain.kind == "image"
    assert domain.name == "pets"
    assert domain.classes.names == ("cat", "dog", "кот")
    assert domain.ids.tolist() == ["cat/a b.png", "dog/2.png", "dog/10.png", "кот/снимок.png"]
    assert domain.y.tolist() == [0, 1, 1, 2]
    assert isinstance(domain.x, Lazy)
    assert domain.x[0].size == (4, 4)


@pytest.mark.parametrize(("pictures", "masks"), [("images", "masks"), ("JPEGImages", "SegmentationClass")])
def test_pictures_with_their_masks_are_no_classes(pictures, masks, tmp_path):
    for folder in (pictures, masks):
        picture(tmp_path / "lab" / folder / "1.png")
    with pytest.raises(ValueError, match=rf"lab: '{pictures}' and '{masks}' hold pictures and their masks.*segment"):
        load(tmp_path / "lab")
    assert load(tmp_path / "lab", classes=[pictures, masks]).classes.names == (pictures, masks)
    picture(tmp_path / "lab" / "other" / "1.png")
    assert len(load(tmp_path / "lab").classes) == 3


def test_a_flat_folder_has_no_labels(tmp_path):
    picture(tmp_path / "b.jpg")
    picture(tmp_path / "a.JPG".replace("JPG", "jpeg"))
    domain = load(tmp_path)
    assert domain.y is None
    assert domain.classes is None
    assert domain.ids.tolist() == ["a.jpeg", "b.jpg"]


def test_pictures_beside_class_folders_are_unlabelled(pets):
    picture(pets / "stray.png")
    domain = load(pets)
    assert domain.y.tolist() == [0, 1, 1, -1, 2]


def test_splits_become_a_column_and_their_folders_classes(tmp_path):
    for name in ("train/cat/1.png", "train/dog/2.png", "Test/cat/3.png", "val/dog/4.png"):
        picture(tmp_path / name)
    domain = load(tmp_path)
    assert domain.classes.names == ("cat", "dog")
    assert dict(zip(domain.ids.tolist(), domain.columns["split"].tolist()))["Test/cat/3.png"] == "Test"
    assert sorted(set(domain.columns["split"].tolist())) == ["Test", "train", "val"]


def test_a_class_called_test_beside_others_is_a_class(tmp_path):
    for name in ("test/1.png", "plane/2.png"):
        picture(tmp_path / name)
    assert load(tmp_path).classes.names == ("plane", "test")


def test_hidden_files_are_passed_over(pets):
    for name in (".DS_Store", "dog/._2.png", "dog/Thumbs.db", ".cache/x.png", "__MACOSX/dog/2.png"):
        (pets / name).parent.mkdir(exist_ok=True, parents=True)
        (pets / name).write_bytes(b"noise")
    domain = load(pets, on_error="fail")
    assert len(domain) == 4
    assert domain.skipped == ()


def test_unreadable_pictures_are_counted_and_named_or_refused(pets, caplog):
    (pets / "dog" / "broken.jpg").write_bytes(b"\xff\xd8\xff no jpeg")
    whole = (pets / "dog" / "2.png").read_bytes()
    (pets / "dog" / "cut.png").write_bytes(whole[: len(whole) - 20])
    with caplog.at_level(logging.WARNING, "unseen.data"):
        domain = load(pets)
    assert len(domain) == 4
    assert [entry.where for entry in domain.skipped] == ["dog/broken.jpg", "dog/cut.png"]
    assert "skipped 2 unreadable" in caplog.text
    with pytest.raises(ValueError, match=r"2 unreadable, the first 'dog/broken\.jpg'"):
        load(pets, on_error="fail")
    assert len(load(pets, check=False)) == 6


def test_a_folder_of_links_is_read_and_each_folder_once(pets, tmp_path):
    picture(tmp_path / "store.png")
    (tmp_path / "store.png").rename(tmp_path / "a1b2")
    (pets / "dog" / "link.png").symlink_to(tmp_path / "a1b2")
    (pets / "dog" / "alias.png").symlink_to("2.png")
    picture(tmp_path / "elsewhere" / "lynx" / "1.png")
    (tmp_path / "elsewhere" / "back").symlink_to(pets)
    (pets / "wild").symlink_to(tmp_path / "elsewhere" / "lynx")
    (pets / "again").symlink_to(pets / "dog")
    (pets / "round").symlink_to(".")
    (pets / "up").symlink_to("..")
    (pets / "dog" / "gone.png").symlink_to("nothing.png")
    domain = load(pets)
    assert {"dog/alias.png", "dog/link.png", "wild/1.png"} <= set(domain.ids)
    assert len(domain) == 4 + 3
    assert {entry.where: entry.why for entry in domain.skipped} == {
        "again": "it links to a folder that is read as 'dog'",
        "up": "it links to a folder that this one lies in",
        "dog/gone.png": "it links to nothing",
    }
    with pytest.raises(ValueError, match="3 unreadable"):
        load(pets, on_error="fail")


def test_links_that_lead_to_each_other_end_and_every_order_of_the_disk_gives_the_same(tmp_path):
    picture(tmp_path / "a" / "cats" / "1.png")
    picture(tmp_path / "b" / "dogs" / "1.png")
    (tmp_path / "a" / "b").symlink_to(tmp_path / "b")
    (tmp_path / "b" / "a").symlink_to(tmp_path / "a")
    assert load(tmp_path / "a").ids.tolist() == ["b/dogs/1.png", "cats/1.png"]
    (tmp_path / "c").mkdir()
    for name in ("x", "y"):  # the second is made first
        (tmp_path / "c" / {"x": "y", "y": "x"}[name]).symlink_to(tmp_path / "b" / "dogs")
    assert load(tmp_path / "c").ids.tolist() == ["x/1.png"]


def test_names_are_nfc_and_composed_and_decomposed_classes_are_one(tmp_path):
    for form, name in (("NFC", "1.png"), ("NFD", "2.png")):
        picture(tmp_path / unicodedata.normalize(form, "café") / name)
    domain = load(tmp_path)
    assert domain.classes.names == (unicodedata.normalize("NFC", "café"),)
    assert len(domain) == 2
    assert domain.x[1].size == (4, 4)


def test_classes_that_differ_in_case_only_are_listed(tmp_path, caplog):
    for name in ("Cat/1.png", "cat/2.png", "dog/3.png"):
        picture(tmp_path / name)
    with caplog.at_level(logging.WARNING, "unseen.data"):
        domain = load(tmp_path)
    assert len(domain.classes) == 3
    assert "Cat, cat" in caplog.text
    assert case_variants(domain.classes.names) == (("Cat", "cat"),)


def test_given_classes_are_indexed_and_unknown_ones_named(pets):
    assert load(pets, classes=["кот", "dog", "cat", "owl"]).y.tolist() == [2, 1, 1, 0]
    with pytest.raises(ValueError, match="classes lacks 1 of the labels in the data, such as 'кот'"):
        load(pets, classes=["dog", "cat"])


def test_texts_in_class_folders(tmp_path):
    for name, text in (("good/1.txt", "a fine day"), ("bad/1.txt", "ärger"), ("bad/2.txt", "x")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "bad/2.txt").write_bytes(b"\xff\xfe\xfa")
    domain = load(tmp_path)
    assert domain.kind == "text"
    assert list(domain.x) == ["ärger", "a fine day"]
    assert domain.skipped[0].where == "bad/2.txt"
    assert domain.skipped[0].why.endswith("; save it as UTF-8")


def test_texts_that_say_nothing_are_left_out(tmp_path):
    for name, text in (("1.txt", "a fine day"), ("2.txt", ""), ("3.txt", " \n")):
        (tmp_path / name).write_text(text)
    domain = load(tmp_path)
    assert list(domain.x) == ["a fine day"]
    assert [one.why for one in domain.skipped] == ["it has no text: it is empty", "it has no text: it is blank"]
    with pytest.raises(ValueError, match="it has no text: it is empty"):
        load(tmp_path / "2.txt")


def test_one_picture_is_a_domain(pets):
    domain = load(pets / "dog" / "2.png")
    assert (len(domain), domain.kind, domain.ids.tolist()) == (1, "image", ["2.png"])


def test_zip_archives_memory_and_file_urls(pets, tmp_path):
    with zipfile.ZipFile(tmp_path / "pets.zip", "w") as archive:
        for path in sorted(pets.rglob("*.png")):
            archive.write(path, path.relative_to(pets).as_posix())
    memory = fsspec.filesystem("memory")
    memory.put(str(pets) + "/", "/loads/pets/", recursive=True)
    expected = load(pets)
    for url in (
        tmp_path / "pets.zip",
        f"zip://::{tmp_path / 'pets.zip'}",
        "memory://loads/pets",
        f"file://{pets}",
    ):
        domain = load(url)
        assert domain.ids.tolist() == expected.ids.tolist()
        assert domain.y.tolist() == expected.y.tolist()
        assert domain.fingerprint() == expected.fingerprint()
        assert domain.x[0].size == (4, 4)


def test_errors_name_the_path_and_what_to_do(pets, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"did you mean '.*pets'"):
        load(tmp_path / "pest")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"is empty; expected pictures, videos, sounds or \.txt files"):
        load(tmp_path / "empty")
    (tmp_path / "empty" / "rows.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match=r"to load 'rows\.csv', give its path"):
        load(tmp_path / "empty")
    (tmp_path / "notes.docx").write_text("x")
    with pytest.raises(ValueError, match="no type that can be loaded"):
        load(tmp_path / "notes.docx")
    with pytest.raises(ValueError, match="on_error must be 'skip' or 'fail'; got 'ignore'"):
        load(pets, on_error="ignore")
    with pytest.raises(ValueError, match="labels_column does not apply"):
        load(pets, labels_column="label")
    with pytest.raises(TypeError, match="path must be"):
        load(3)


def test_reading_order_does_not_depend_on_the_file_system(pets, monkeypatch):
    expected = load(pets).ids.tolist()
    walk = loaders.folder.walk
    monkeypatch.setattr(
        loaders.folder, "walk", lambda *args, **more: (walk(*args, **more).files[::-1], walk(*args, **more).refused)
    )
    assert load(pets).ids.tolist() == expected


def test_natural_keys_order_numbers_by_value():
    names = ["b", "a10", "a2", "A3", "10", "9"]
    assert sorted(names, key=natural_key) == ["9", "10", "a2", "A3", "a10", "b"]
    assert len({natural_key(name) for name in ("a1", "a01", "A1")}) == 3


def test_taking_and_splitting_stay_lazy(pets):
    domain = load(pets)
    part = domain.take(np.array([3, 0]))
    assert part.ids.tolist() == ["кот/снимок.png", "cat/a b.png"]
    assert isinstance(part.x, Lazy)


def test_a_zip_of_one_folder_stands_for_that_folder(pets, tmp_path):
    with zipfile.ZipFile(tmp_path / "zipped.zip", "w") as archive:
        for file in pets.rglob("*"):
            archive.write(file, f"pets/{file.relative_to(pets)}")
        archive.writestr("__MACOSX/pets/._cat", b"x")
    found, plain = load(tmp_path / "zipped.zip"), load(pets)
    assert found.classes.names == plain.classes.names
    assert found.ids.tolist() == plain.ids.tolist()


def test_a_class_whose_name_begins_with_a_dot_is_told(tmp_path):
    for path in ("loose.png", "train/cat/a.png", "train/..dog/b.png", "train/..dog/c.png", ".git/x", "val/cat/d.png"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4)).save(tmp_path / path, format="png")
    read = load(tmp_path)
    assert len(read) == 3
    assert read.notes == ("not read, as names that begin with a dot are hidden: train/..dog (2 files)",)


@pytest.mark.parametrize("written", ["utf-8", "cp437"])
def test_names_in_a_zip_that_does_not_say_how_they_are_written(written: str, tmp_path: Path) -> None:
    """`zip` of Linux and macOS write UTF-8 without the flag for it, old Windows code page 437."""
    picture = io.BytesIO()
    Image.new("RGB", (8, 8)).save(picture, "PNG")
    named = "Früchte/süß.png".encode(written)
    stands = "".join("#" if byte > 127 else chr(byte) for byte in named)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(f"data/{stands}", picture.getvalue())
        archive.writestr("data/tea/b.png", picture.getvalue() + b" ")
    packed = (tmp_path / "a.zip").read_bytes()
    assert packed.count(stands.encode()) == 2
    (tmp_path / "a.zip").write_bytes(packed.replace(stands.encode(), named))
    domain = load(tmp_path / "a.zip")
    assert domain.classes is not None
    assert domain.classes.names == ("Früchte", "tea")
    assert domain.ids is not None
    assert domain.ids.tolist() == ["Früchte/süß.png", "tea/b.png"]
    assert domain.x[0].size == (8, 8)
