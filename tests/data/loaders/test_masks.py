"""Pictures with masks in the layouts that people have, and what is said of wrong ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from unseen.data.images import decode_indices
from unseen.data.loaders import masks as module
from unseen.data.loaders.coco import CocoMask, coco_masks, polygons
from unseen.data.loaders.mask_layouts import CITYSCAPES, VOC, _by_name
from unseen.data.loaders.masks import load_masks

RNG = np.random.default_rng(0)


def picture(file: Path, size: tuple[int, int] = (30, 20)) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(RNG.integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)).save(file)


def mask(file: Path, values: Any) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(values, dtype=np.uint8)).save(file)


def plain(folder: Path, *values: Any, names: str = "sky\nroad\ncar\n") -> Path:
    for i, value in enumerate(values):
        picture(folder / "images" / f"{i}.jpg")
        if value is not None:
            mask(folder / "masks" / f"{i}.png", value)
    if names:
        (folder / "classes.txt").write_text(names)
    return folder


def filled(value: int, shape: tuple[int, int] = (20, 30)) -> np.ndarray:
    return np.full(shape, value, dtype=np.uint8)


def test_images_beside_masks_with_equal_names(tmp_path: Path) -> None:
    part = filled(0)
    part[5:] = 1
    part[0] = 255
    domain, found = load_masks(plain(tmp_path / "d", part, filled(1), None))
    assert (domain.kind, domain.task, domain.name) == ("image", "mask", "d")
    assert domain.classes is not None
    assert domain.classes.names == ("sky", "road", "car")
    assert domain.labeled.tolist() == [True, True, False]  # a picture without a mask is unlabelled
    assert np.unique(domain.y[0]).tolist() == [-1, 0, 1]
    assert domain.y[0].dtype == np.int8
    assert found.values == {0: 120, 1: 450 + 600, 255: 30}
    assert found.ignored == pytest.approx(30 / 1200)
    assert (found.pictures, found.masks, found.absent) == (3, 2, ("car",))
    assert "no pixel is of class car" in found.warnings


def test_masks_of_another_size_are_left_out_and_told(tmp_path: Path) -> None:
    folder = plain(tmp_path, filled(0), filled(1, (30, 20)), filled(2))
    domain, found = load_masks(folder)
    assert found.mismatched == ("images/1.jpg",)
    assert [skipped.where for skipped in domain.skipped] == ["images/1.jpg"]
    assert "20 x 30 pixels, the picture 30 x 20" in domain.skipped[0].why
    with pytest.raises(ValueError, match="1 unreadable"):
        load_masks(folder, on_error="fail")


def test_pictures_and_masks_are_made_smaller_together(tmp_path: Path) -> None:
    value = filled(0)
    value[:, 15:] = 2
    domain, _ = load_masks(plain(tmp_path, value), size=15)
    assert domain.x[0].size == (15, 10)
    assert domain.y[0].shape == (10, 15)
    assert set(np.unique(domain.y[0])) == {0, 2}  # no value between two classes
    with pytest.raises(ValueError, match="size must lie in"):
        load_masks(tmp_path, size=3)


def test_masks_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_PIXELS", 1000)
    folder = plain(tmp_path, filled(0), filled(1))
    with pytest.raises(ValueError, match="more than 1,000 pixels are not held in memory; give a smaller size"):
        load_masks(folder)
    assert len(load_masks(folder, size=15)[0]) == 2


def test_0_and_255_alone_are_a_foreground(tmp_path: Path) -> None:
    value = filled(0)
    value[:10] = 255
    domain, found = load_masks(plain(tmp_path, value, names=""))
    assert domain.classes is not None
    assert domain.classes.names == ("background", "foreground")
    assert np.unique(domain.y[0]).tolist() == [0, 1]
    assert "255 is taken for the class foreground" in found.warnings[0]


def test_values_from_1_for_named_classes_are_shifted_and_told(tmp_path: Path) -> None:
    value = filled(1)
    value[:10] = 3
    domain, found = load_masks(plain(tmp_path, value))
    assert np.unique(domain.y[0]).tolist() == [0, 2]
    assert "1 is taken for the first of them" in found.warnings[0]


def test_a_value_that_no_class_has_is_named(tmp_path: Path) -> None:
    value = filled(0)
    value[:10] = 7
    with pytest.raises(ValueError, match="masks hold the value 7, but there are 3 classes"):
        load_masks(plain(tmp_path, value))


def test_cityscapes_ids_become_the_19_graded_classes(tmp_path: Path) -> None:
    name = "aachen_000000_000019"
    picture(tmp_path / "leftImg8bit" / "train" / "aachen" / f"{name}_leftImg8bit.png")
    value = filled(7)  # road
    value[:5], value[5:10] = 3, 26  # out of what is graded; car
    mask(tmp_path / "gtFine" / "train" / "aachen" / f"{name}_gtFine_labelIds.png", value)
    domain, found = load_masks(tmp_path)
    assert found.layout == "Cityscapes"
    assert domain.classes is not None
    assert domain.classes.names == CITYSCAPES
    assert np.unique(domain.y[0]).tolist() == [-1, 0, CITYSCAPES.index("car")]
    assert domain.columns["split"].tolist() == ["train"]
    trained = filled(13)
    trained[:5] = 255
    mask(tmp_path / "gtFine" / "train" / "aachen" / f"{name}_gtFine_labelTrainIds.png", trained)


def test_train_ids_of_cityscapes_go_before_ids(tmp_path: Path) -> None:
    picture(tmp_path / "leftImg8bit" / "val" / "a_leftImg8bit.png")
    mask(tmp_path / "gtFine" / "val" / "a_gtFine_labelIds.png", filled(26))
    mask(tmp_path / "gtFine" / "val" / "a_gtFine_labelTrainIds.png", filled(13))
    domain, _ = load_masks(tmp_path)
    assert np.unique(domain.y[0]).tolist() == [13]


def test_palettes_of_voc_are_read_as_indices(tmp_path: Path) -> None:
    picture(tmp_path / "JPEGImages" / "a.jpg")
    value = filled(0)
    value[:10], value[10] = 15, 255
    image = Image.fromarray(value, "P")
    image.putpalette([i for k in range(256) for i in (k, 255 - k, 0)])
    (tmp_path / "Annotations").mkdir()  # boxes, as a real download has them beside
    (tmp_path / "Annotations" / "a.xml").write_text("<annotation/>")
    (tmp_path / "SegmentationClass").mkdir()
    image.save(tmp_path / "SegmentationClass" / "a.png")
    domain, found = load_masks(tmp_path)
    assert found.layout == "VOC"
    assert domain.classes is not None
    assert domain.classes.names == VOC
    assert np.unique(domain.y[0]).tolist() == [-1, 0, VOC.index("person")]


def test_the_one_mask_in_colour_among_grey_ones_is_named(tmp_path: Path) -> None:
    folder = plain(tmp_path / "d", filled(0), filled(1), np.full((20, 30, 3), 1))
    with pytest.raises(ValueError, match=r"in 3 colours in 1 of 3 files, such as '.*/masks/2\.png' \(the others may"):
        load_masks(folder)


def test_coloured_masks_need_their_colours(tmp_path: Path) -> None:
    colours = np.zeros((20, 30, 3), dtype=np.uint8)
    colours[:10], colours[10:15], colours[15:] = (128, 64, 0), (0, 0, 200), (1, 2, 3)
    plain(tmp_path, None, names="")
    (tmp_path / "masks").mkdir()
    Image.fromarray(colours).save(tmp_path / "masks" / "0.png")
    with pytest.raises(ValueError, match=r"masks are in 3 colours; classes.csv in the folder must tell"):
        load_masks(tmp_path)
    (tmp_path / "classes.csv").write_text("name,r,g,b\nroad,128,64,0\ncar,0,0,200\n")
    domain, found = load_masks(tmp_path)
    assert domain.y[0][0, 0] == 0
    assert domain.y[0][12, 0] == 1
    assert domain.y[0][19, 0] == -1
    assert "1 colours of masks are of no class and are not known: (1, 2, 3)" in found.warnings


def coco(folder: Path, segmentation: Any) -> Path:
    picture(folder / "a.jpg")
    picture(folder / "b.jpg")
    data = {
        "images": [
            {"id": i, "file_name": name, "height": 20, "width": 30} for i, name in enumerate(("a.jpg", "b.jpg"))
        ],
        "categories": [{"id": 90, "name": "dog"}, {"id": 3, "name": "cat"}],
        "annotations": [
            {"image_id": 0, "category_id": 3, "area": 200, "segmentation": segmentation},
            {"image_id": 0, "category_id": 90, "area": 16, "segmentation": [[4, 4, 8, 4, 8, 8, 4, 8]]},
        ],
    }
    file = folder / "instances.json"
    file.write_text(json.dumps(data))
    return file


def test_coco_polygons_lie_over_each_other_the_smaller_in_front(tmp_path: Path) -> None:
    domain, found = load_masks(coco(tmp_path, [[2, 2, 22, 2, 22, 12, 2, 12]]))
    assert found.layout == "COCO"
    assert domain.classes is not None
    assert domain.classes.names == ("background", "cat", "dog")
    assert domain.labeled.tolist() == [True, False]
    assert domain.y[0][3, 3] == 1
    assert domain.y[0][6, 6] == 2
    assert domain.y[0][15, 25] == 0


def test_coco_run_lengths_plain_and_packed_are_those_of_pycocotools(tmp_path: Path) -> None:
    inside = np.zeros((20, 30), dtype=bool)
    inside[3:9, 5:25] = True
    flat = inside.T.ravel()
    edges = np.flatnonzero(np.diff(flat)) + 1
    runs = np.diff(np.r_[0, edges, flat.size]).tolist()
    for counts in (runs, packed(runs)):
        drawn = CocoMask(20, 30, ((4, {"size": [20, 30], "counts": counts}),))(20, 30)
        assert np.array_equal(drawn == 4, inside)
    with pytest.raises(ValueError, match="must add up to 600 pixels"):
        CocoMask(20, 30, ((1, {"size": [20, 30], "counts": [5, 6]}),))(20, 30)


def packed(runs: list[int]) -> str:
    """COCO's compressed text, the naive way round."""
    text = ""
    for i, value in enumerate(runs):
        value -= runs[i - 2] if i > 2 else 0
        more = True
        while more:
            byte, value = value & 0x1F, value >> 5
            more = value != (-1 if byte & 0x10 else 0)
            text += chr((byte | (0x20 if more else 0)) + 48)
    return text


def test_a_polygon_covers_what_its_corners_span() -> None:
    inside = polygons([[0, 0, 10, 0, 10, 5, 0, 5]], 20, 30)
    assert inside.sum() == 50
    assert inside[:5, :10].all()
    triangle = polygons([[0, 0, 8, 0, 0, 8]], 8, 8)
    rows, columns = np.indices((8, 8)) + 0.5
    assert np.array_equal(triangle, rows + columns < 8)
    with pytest.raises(ValueError, match="three points"):
        polygons([[0, 0, 1, 1]], 4, 4)


def test_a_file_that_is_no_coco_is_named() -> None:
    with pytest.raises(ValueError, match="lists of images, annotations and categories"):
        coco_masks([1])
    with pytest.raises(ValueError, match="'height'"):
        coco_masks({"images": [{"id": 0, "file_name": "a"}], "annotations": [{"image_id": 0, "category_id": 0, "segmentation": [[1] * 6]}], "categories": [{"id": 0, "name": "x"}]})  # fmt: skip # noqa: E501


def test_jpeg_masks_are_refused(tmp_path: Path) -> None:
    plain(tmp_path, None)
    mask(tmp_path / "masks" / "0.jpg", filled(1))
    with pytest.raises(ValueError, match="none of 1 pictures can be read with its mask"):
        load_masks(tmp_path)


def test_a_folder_or_a_picture_without_masks_is_unlabelled(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    for path in (tmp_path, tmp_path / "a.png"):
        domain, found = load_masks(path, classes=("sky", "road"))
        assert domain.y is None
        assert domain.task == "mask"
        assert (len(domain), found.masks) == (1, 0)


def test_masks_that_belong_to_no_picture_are_told(tmp_path: Path) -> None:
    plain(tmp_path, None)
    mask(tmp_path / "masks" / "other.png", filled(0))
    with pytest.raises(ValueError, match="no mask is called as a picture; there is a mask 'other' and a picture '0'"):
        load_masks(tmp_path)


def test_a_folder_of_masks_without_a_picture_is_told(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    Image.new("L", (8, 8)).save(tmp_path / "masks" / "0.png")
    with pytest.raises(ValueError, match=r"images' holds no pictures; there are masks in .*masks'"):
        load_masks(tmp_path)


def test_values_are_read_as_they_are_stored(tmp_path: Path) -> None:
    values = np.array([[0, 700], [65535, 3]], dtype=np.uint16)
    Image.fromarray(values).save(tmp_path / "m.png")
    assert decode_indices((tmp_path / "m.png").read_bytes()).tolist() == values.tolist()
    with pytest.raises(ValueError, match="at most 3 are read"):
        decode_indices((tmp_path / "m.png").read_bytes(), max_pixels=3)
    with pytest.raises(ValueError, match="which keep every value"):
        decode_indices(b"nothing")


def halved(folder: Path, categories: list[tuple[int, str]], label: int) -> Path:
    """A picture whose left half is of one category."""
    picture(folder / "a.jpg")
    told = {
        "images": [{"id": 1, "file_name": "a.jpg", "height": 20, "width": 30}],
        "annotations": [{"image_id": 1, "category_id": label, "segmentation": [[0, 0, 15, 0, 15, 20, 0, 20]]}],
        "categories": [{"id": number, "name": name} for number, name in categories],
    }
    (folder / "marks.json").write_text(json.dumps(told))
    return folder / "marks.json"


def test_coco_categories_are_those_of_their_names_whatever_their_order(tmp_path: Path) -> None:
    names = ("background", "cat", "dog")
    file = halved(tmp_path / "a", [(4, "Dog"), (9, "cat"), (10, "owl")], 4)
    domain, found = load_masks(file, classes=names)
    assert np.unique(domain.y[0]).tolist() == [0, 2]
    assert found.warnings[0] == "pixels of owl are of no class that is given, and are not known"
    assert np.unique(
        load_masks(halved(tmp_path / "b", [(4, "dog"), (9, "owl")], 9), classes=names)[0].y[0]
    ).tolist() == [-1, 0]
    renamed, found = load_masks(halved(tmp_path / "c", [(1, "chat"), (2, "chien")], 1), classes=names)
    assert np.unique(renamed.y[0]).tolist() == [0, 1]
    assert "in the order of their numbers" in found.warnings[0]
    with pytest.raises(ValueError, match="none of the classes background, table is called as one of background, cat"):
        load_masks(halved(tmp_path / "d", [(1, "table")], 1), classes=names)


def test_where_classes_begin_is_decided_over_all_masks_of_the_data(tmp_path: Path) -> None:
    names = ("sky", "road", "car")
    _, found = load_masks(plain(tmp_path / "a", filled(1), filled(3)), classes=names)
    assert found.first == 1
    part = plain(tmp_path / "b", filled(1), filled(2))
    alone, of_alone = load_masks(part, classes=names)
    assert ([int(mask.max()) for mask in alone.y], of_alone.first) == ([1, 2], 0)
    beside, _ = load_masks(part, classes=names, others=found.values)
    assert [int(mask.max()) for mask in beside.y] == [0, 1]


def test_pure_blue_is_a_colour_like_any_other(tmp_path: Path) -> None:
    colours = np.zeros((20, 30, 3), dtype=np.uint8)
    colours[:10] = (255, 0, 0)
    colours[10:15] = (0, 0, 255)  # as a number 255, which in grey masks means that nothing is known
    picture(tmp_path / "images" / "0.jpg")
    (tmp_path / "masks").mkdir()
    Image.fromarray(colours).save(tmp_path / "masks" / "0.png")
    (tmp_path / "classes.csv").write_text("name,r,g,b\nnothing,0,0,0\ndisc,255,0,0\nbox,0,0,255\n")
    domain, found = load_masks(tmp_path)
    assert np.unique(domain.y[0], return_counts=True)[1].tolist() == [150, 300, 150]
    assert (found.ignored, found.absent, found.warnings) == (0, (), ())
    assert found.lines()[1:] == [
        "colours (red, green, blue) in masks, with pixels: (0, 0, 0) (150), (0, 0, 255) (150), (255, 0, 0) (300)",
        "nothing is known of 0.0% of the pixels",
    ]
    dark, _ = load_masks(tmp_path, ignore=0)  # another colour can still be told to mean nothing
    assert np.unique(dark.y[0]).tolist() == [-1, 1, 2]


def test_a_mask_that_is_left_out_decides_nothing(tmp_path: Path) -> None:
    folder = plain(tmp_path, filled(1), filled(0), filled(40, (5, 7)), names="")
    domain, found = load_masks(folder)
    assert domain.classes is not None
    assert domain.classes.names == ("class 0", "class 1")
    assert found.values == {0: 600, 1: 600}
    assert (found.mismatched, found.absent, found.warnings) == (("images/2.jpg",), (), ())


def test_absent_classes_are_counted_where_they_are_too_many_to_name(tmp_path: Path) -> None:
    part = filled(0)
    part[:10] = 20
    _, found = load_masks(plain(tmp_path, part, names=""))
    named = ", ".join(["1", *(f"class {i}" for i in range(2, 9))])
    assert found.warnings == (
        f"no pixel is of class {named} and 11 more",
        "19 of 21 classes have no pixel: are these the values, or names, of classes?",
    )


# -- where the pictures of a COCO file are -----------------------------------------------------------------------


def told_of(*names: str) -> str:
    """A COCO file of pictures of 30 x 20, each with a square of class cat."""
    square = [[2, 2, 12, 2, 12, 12, 2, 12]]
    return json.dumps(
        {
            "images": [{"id": i, "file_name": name, "height": 20, "width": 30} for i, name in enumerate(names)],
            "annotations": [{"image_id": i, "category_id": 1, "segmentation": square} for i in range(len(names))],
            "categories": [{"id": 1, "name": "cat"}],
        }
    )


def pictures(*files: Path) -> None:
    for file in files:
        picture(file)


def test_pictures_of_a_coco_file_lie_below_its_folder_and_not_in_another_beside_it(tmp_path: Path) -> None:
    here, other = tmp_path / "here", tmp_path / "another"
    pictures(*(folder / name for folder in (here / "pics", other) for name in ("0.png", "1.png")))
    (here / "instances.json").write_text(told_of("0.png", "1.png"))
    for given in (here, here / "instances.json"):
        assert load_masks(given)[0].ids.tolist() == ["pics/0.png", "pics/1.png"]
    for name in ("0.png", "1.png"):
        (here / "pics" / name).unlink()
    with pytest.raises(ValueError, match=r"none of its 2 pictures lies in '.*/here', the first: '0\.png'; the"):
        load_masks(here / "instances.json")


def test_pictures_of_a_coco_file_that_are_not_there_are_counted_and_the_first_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pictures(tmp_path / "d" / "1.png", tmp_path / "d" / "masks" / "0.png", tmp_path / "e" / "0.png")
    (tmp_path / "d" / "c.json").write_text(told_of("0.png", "1.png", "2.png"))
    domain, found = load_masks(tmp_path / "d" / "c.json")
    assert domain.ids.tolist() == ["1.png"]
    assert [(one.where, one.why) for one in domain.skipped] == [
        (name, f"no picture in {str(tmp_path / 'd')!r} is called so") for name in ("0.png", "2.png")
    ]
    assert "skipped 2 unreadable, the first 0.png: no picture in" in caplog.text
    assert "note: 2 of the 3 pictures of c.json are not there, the first: 0.png" in found.lines()
    with pytest.raises(ValueError, match=r"2 unreadable, the first '0\.png'"):
        load_masks(tmp_path / "d" / "c.json", on_error="fail")


def test_a_picture_of_a_coco_file_in_two_places_is_refused_with_both(tmp_path: Path) -> None:
    pictures(tmp_path / "day" / "0.png", tmp_path / "night" / "0.png", tmp_path / "day" / "1.png")
    (tmp_path / "c.json").write_text(told_of("0.png", "1.png"))
    with pytest.raises(ValueError, match=r"'0\.png' is in more than one place, '.*/day/0\.png' and '.*/night/0\.png'"):
        load_masks(tmp_path)
    (tmp_path / "c.json").write_text(told_of("night/0.png", "day/1.png"))
    assert load_masks(tmp_path)[0].ids.tolist() == ["day/1.png", "night/0.png"]


@pytest.mark.parametrize("name", ["0.png", "images/0.png", "images/train/0.png", "coco/images/train/0.png"])
def test_beside_annotations_the_pictures_lie_in_other_folders_in_images_if_there_is_one(
    name: str, tmp_path: Path
) -> None:
    place = tmp_path / "images" / ("train" if "train" in name else "") / "0.png"
    pictures(place, tmp_path / "other" / "0.png", tmp_path / "annotations" / "0.png")
    (tmp_path / "annotations" / "c.json").write_text(told_of(name))
    assert load_masks(tmp_path / "annotations" / "c.json")[0].ids.tolist() == [str(place.relative_to(tmp_path))]


def test_a_file_beside_annotations_takes_pictures_of_whatever_folder_if_none_is_called_images(tmp_path: Path) -> None:
    pictures(tmp_path / "train2017" / "0.png", tmp_path / "val2017" / "1.png")
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "c.json").write_text(told_of("0.png"))
    assert load_masks(tmp_path / "annotations" / "c.json")[0].ids.tolist() == ["train2017/0.png"]


def test_a_picture_is_not_taken_from_a_folder_of_another_name_than_the_files(tmp_path: Path) -> None:
    pictures(tmp_path / "train" / "0.png")
    (tmp_path / "c.json").write_text(told_of("val/0.png"))
    with pytest.raises(ValueError, match="none of its 1 pictures lies in"):
        load_masks(tmp_path)
    pictures(tmp_path / "images" / "0.png")  # the folder of pictures, whatever it was called elsewhere
    assert load_masks(tmp_path)[0].ids.tolist() == ["images/0.png"]
    (tmp_path / "train" / "0.png").unlink()
    (tmp_path / "c.json").write_text(told_of("val/0.png", "train/0.png"))
    with pytest.raises(ValueError, match=r"'val/0\.png' and 'train/0\.png' would both be '.*/images/0\.png'"):
        load_masks(tmp_path)


def test_a_coco_file_in_a_zip_finds_its_pictures(tmp_path: Path) -> None:
    import zipfile

    picture(tmp_path / "0.png")
    with zipfile.ZipFile(tmp_path / "d.zip", "w") as archive:
        archive.write(tmp_path / "0.png", "pics/0.png")
        archive.writestr("c.json", told_of("0.png", "1.png"))
    domain, _ = load_masks(tmp_path / "d.zip")
    assert domain.ids.tolist() == ["pics/0.png"]
    assert "no picture in 'the archive'" in domain.skipped[0].why


def test_class_255_of_a_coco_file_is_a_class(tmp_path: Path) -> None:
    picture(tmp_path / "a.jpg")
    squares = {254: [0, 0, 6, 0, 6, 6, 0, 6], 255: [10, 0, 16, 0, 16, 6, 10, 6], 256: [20, 0, 26, 0, 26, 6, 20, 6]}
    told = {
        "images": [{"id": 1, "file_name": "a.jpg", "height": 20, "width": 30}],
        "annotations": [{"image_id": 1, "category_id": i, "segmentation": [at]} for i, at in squares.items()],
        "categories": [{"id": i, "name": f"c{i}"} for i in range(1, 301)],
    }
    (tmp_path / "c.json").write_text(json.dumps(told))
    domain, found = load_masks(tmp_path / "c.json")
    assert domain.y[0][3, 3::10].tolist() == [254, 255, 256]
    assert (found.ignored, found.lines()[2]) == (0, "nothing is known of 0.0% of the pixels")
    assert np.unique(load_masks(tmp_path / "c.json", ignore=0)[0].y[0]).tolist() == [-1, 254, 255, 256]


def test_a_class_of_grey_masks_that_is_called_as_what_is_not_known_is_told(tmp_path: Path) -> None:
    names = "\n".join(f"c{i}" for i in range(300))
    _, found = load_masks(plain(tmp_path, filled(255), filled(0), names=names))
    assert "value 255 is taken for unknown pixels, not for class c255: another ignore, or none, must be told" in (
        found.warnings
    )


# -- classes that both sides name --------------------------------------------------------------------------------

NAMES = ("sky", "road", "car")


def test_classes_of_a_file_go_by_name_where_they_have_to_be_alike(tmp_path: Path) -> None:
    folder = plain(tmp_path, filled(0), filled(1), filled(2), names="Car\nsky \nROAD\n")
    domain, found = load_masks(folder, classes=NAMES, alike=())
    assert domain.classes is not None
    assert domain.classes.names == NAMES
    assert [int(value[0, 0]) for value in domain.y] == [2, 0, 1]
    assert (found.own, found.notes) == (("Car", "sky", "ROAD"), ())
    told, _ = load_masks(folder, classes=NAMES)  # as they are told
    assert [int(value[0, 0]) for value in told.y] == [0, 1, 2]


def test_classes_of_a_file_may_be_called_as_in_the_file_of_the_other_masks(tmp_path: Path) -> None:
    folder = plain(tmp_path, filled(0), filled(1), filled(2), names="Auto\nHimmel\nroad\n")
    domain, _ = load_masks(folder, classes=NAMES, alike=("Himmel", "Weg", "Auto"))
    assert [int(value[0, 0]) for value in domain.y] == [2, 0, 1]


def test_what_is_of_no_class_that_is_given_is_not_known_and_told_and_where_none_is_it_is_refused(
    tmp_path: Path,
) -> None:
    folder = plain(tmp_path, filled(0), filled(1), filled(3), names="tree\nroad\nhouse\nsky\n")
    domain, found = load_masks(folder, classes=NAMES, alike=())
    assert [int(value[0, 0]) for value in domain.y] == [-1, 1, 0]
    assert found.notes == ("pixels of tree, house are of no class that is given, and are not known",)
    (folder / "classes.txt").write_text("a\nb\nc\nd")
    with pytest.raises(ValueError, match="none of the classes a, b, c, d is called as one of sky, road, car, by which"):
        load_masks(folder, classes=NAMES, alike=())


def test_colours_and_values_from_1_go_by_the_names_of_their_own_file(tmp_path: Path) -> None:
    folder = plain(tmp_path / "a", filled(1), filled(4), names="tree\nroad\nhouse\nsky\n")
    domain, found = load_masks(folder, classes=NAMES, alike=(), others={0: 1})  # values of three classes say nothing
    assert [int(value[0, 0]) for value in domain.y] == [-1, 0]
    assert found.first is None
    picture(tmp_path / "b" / "images" / "0.jpg")
    mask(tmp_path / "b" / "masks" / "0.png", np.full((20, 30, 3), 9))
    (tmp_path / "b" / "classes.csv").write_text("name,r,g,b\ncar,9,9,9\nsky,0,0,0\n")
    domain, _ = load_masks(tmp_path / "b", classes=NAMES, alike=())
    assert np.unique(domain.y[0]).tolist() == [2]


def test_why_values_count_from_0_is_said_where_all_would_be_classes_from_1(tmp_path: Path) -> None:
    folder = plain(tmp_path, filled(1), filled(2), filled(3))
    with pytest.raises(ValueError, match="they begin at 1 here, but other masks of the data hold 0: name the class"):
        load_masks(folder, others={0, 1, 2})
    assert load_masks(folder, others={0, 1, 2}, ignore=0)[1].first == 1
    mask(folder / "masks" / "0.png", filled(0))
    with pytest.raises(ValueError, match="because masks hold 0, too: name the class of 0, too, or say ignore=0 if"):
        load_masks(folder)


def test_classes_that_differ_in_case_only_stay_two() -> None:
    own = ("background", "Car", "car")
    assert _by_name(own, own, ()) == (None, ())
    assert _by_name(own, ("background", "car", "Car"), ())[0] == {0: 0, 1: 2, 2: 1}
    assert _by_name(("CAR", "bus"), ("bus", "car"), ())[0] == {0: 1, 1: 0}
