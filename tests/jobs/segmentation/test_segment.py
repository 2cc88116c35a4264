"""`unseen segment`: masks are checked, arms compared, one chosen without labels of the target, all of it written."""

from __future__ import annotations

import base64
import dataclasses
import io
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest
from PIL import Image
from torch import nn
from typer.testing import CliRunner

import processes
from unseen.cli import app
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.tasks.base import objects
from unseen.evaluation.tasks import grades_of
from unseen.jobs.segmentation.job import Segmentation, Training, choose, segment, segmenters, write
from unseen.jobs.segmentation.model import SegmentModel, Unadapted
from unseen.jobs.segmentation.page import page
from unseen.jobs.segmentation.writing import write_masks
from unseen.methods.base import Method
from unseen.methods.segmenting import SegmentingMethod
from unseen.nn.segmenters import segformer, small_unet, torchvision_segmenter

QUICK = {"training": Training(steps=12, batch_size=8), "steps": 4, "size": 32}
NAMES = ("ground", "disk", "bar")


def scenes(n: int, seed: int, dark: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Disks and bars, darker perhaps, as bytes, and their masks."""
    rng = np.random.default_rng(seed)
    rows, columns = np.indices((32, 32))
    x, y = np.empty((n, 32, 32, 3), dtype=np.uint8), np.zeros((n, 32, 32), dtype=np.uint8)
    for i in range(n):
        top, left = rng.integers(6, 24, 2)
        y[i][np.hypot(rows - top, columns - left) < 7] = 1
        y[i][:, int(rng.integers(0, 26)) :][:, :6] = 2
        colours = np.array([[128, 128, 128], [230, 80, 50], [50, 100, 230]])
        x[i] = np.clip((1 - dark) * (colours[y[i]] + rng.normal(0, 10, (32, 32, 3))), 0, 255)
    return x, y


def folder(place: Path, n: int, seed: int, dark: float = 0.0, masks: bool = True) -> Path:
    x, y = scenes(n, seed, dark)
    for sub in ("images", "masks") if masks else ("images",):
        (place / sub).mkdir(parents=True)
    for i in range(n):
        Image.fromarray(x[i]).save(place / "images" / f"{i}.png")
        if masks:
            Image.fromarray(y[i]).save(place / "masks" / f"{i}.png")
    (place / "classes.txt").write_text("\n".join(NAMES))
    return place


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    place = tmp_path_factory.mktemp("data")
    return {"source": folder(place / "source", 20, 0), "target": folder(place / "target", 5, 1, dark=0.6)}


@pytest.fixture(scope="module")
def result(data: dict[str, Path]) -> Segmentation:
    return segment(data["source"], data["target"], **QUICK)


def test_all_arms_are_tried_and_graded_when_all_is_chosen(result: Segmentation) -> None:
    assert [row["method"] for row in result.table] == [
        "source-only", "tent:statistics", "fda", "fda:colours", "classmix", "idm",
    ]  # fmt: skip
    assert all(0 <= row["graded"]["mIoU"] <= 1 for row in result.table)
    assert [row["steps"] for row in result.table][2:5] == [4, 4, 4]
    assert result.classes.names == NAMES
    assert [mask.shape for mask in result.masks] == [(32, 32)] * 5
    assert 0 <= result.agreement <= 1
    assert all((sure >= 0).all() and (sure <= 1).all() for sure in result.sure)


def test_the_choice_reads_no_mask_of_the_target(data: dict[str, Path], result: Segmentation, tmp_path: Path) -> None:
    blind = folder(tmp_path / "blind", 5, 1, dark=0.6, masks=False)
    other = segment(data["source"], blind, **QUICK)
    assert other.chosen == result.chosen
    assert [row["look"] for row in other.table] == [row["look"] for row in result.table]
    assert all(np.array_equal(a, b) for a, b in zip(other.masks, result.masks))
    assert not any("graded" in row for row in other.table)
    assert "no mask of the target was given" in other.why[-1]


def test_doing_nothing_stays_where_nothing_is_better() -> None:
    rows = [{"method": "source-only", "look": 0.5}, {"method": "idm", "look": 0.505}, {"method": "fda", "look": 0.4}]
    assert choose(rows) == "source-only"
    assert choose([*rows, {"method": "classmix", "look": 0.52}]) == "classmix"
    assert choose(rows[1:]) == "idm"


def test_it_says_how_little_the_score_is_worth(result: Segmentation) -> None:
    said = " ".join(result.why)
    assert "no estimate of how good the masks are" in said
    assert "opened afterwards" in said


def test_the_picture_that_was_adapted_to_is_not_graded(
    data: dict[str, Path], result: Segmentation, tmp_path: Path
) -> None:
    assert "masks of the pictures that were not adapted to, opened afterwards" in " ".join(result.why)
    other = folder(tmp_path / "target", 5, 1, dark=0.6)
    Image.fromarray(np.full((32, 32), 2, dtype=np.uint8)).save(other / "masks" / "0.png")
    again = segment(data["source"], other, methods=("source-only",), **QUICK)
    assert again.table[0]["graded"] == next(row for row in result.table if row["method"] == "source-only")["graded"]


def test_masks_from_1_in_the_target_alone_say_how_those_of_the_source_are_meant(tmp_path: Path) -> None:
    source, target = folder(tmp_path / "source", 12, 0), folder(tmp_path / "target", 2, 1)
    for place in (source, target):
        for file in (place / "masks").iterdir():
            mask = np.asarray(Image.open(file))
            Image.fromarray(mask + 1 if place == target else np.minimum(mask, 1) + 1).save(file)
    made = segment(source, target, methods=("source-only",), **QUICK)
    assert sorted({int(value) for mask in made.source.labels for value in np.unique(mask)}) == [0, 1]
    assert made.classes.names == NAMES


def permuted(place: Path) -> Path:
    """The same pictures and masks, in another order of the classes that their file tells."""
    for file in (place / "masks").iterdir():
        Image.fromarray(np.array([2, 0, 1], dtype=np.uint8)[np.asarray(Image.open(file))]).save(file)
    (place / "classes.txt").write_text("\n".join((NAMES[1], NAMES[2], NAMES[0])))
    return place


def test_masks_of_the_target_grade_by_the_names_of_their_classes(
    data: dict[str, Path], result: Segmentation, tmp_path: Path
) -> None:
    target = permuted(folder(tmp_path / "target", 5, 1, dark=0.6))
    for classes in (None, ("a", "b", "c")):  # names of one's own for the source, whose file calls them as the target's
        made = segment(data["source"], target, classes=classes, methods=("source-only",), **QUICK)
        figures = made.table[0]["graded"]
        before = next(row for row in result.table if row["method"] == "source-only")["graded"]
        assert [*figures.values()] == [*before.values()]
    (target / "classes.txt").write_text("Boden\nScheibe\nBalken")
    with pytest.raises(ValueError, match="none of the classes Boden, Scheibe, Balken is called as one of ground, disk"):
        segment(data["source"], target, methods=("source-only",), **QUICK)


def test_classes_of_a_labelled_domain_that_are_others_than_those_of_the_source_are_refused(
    data: dict[str, Path], result: Segmentation
) -> None:
    other = result.target.replace(classes=ClassSpace(names=("disk", "bar", "ground")))
    with pytest.raises(ValueError, match="has the classes disk, bar, ground, and masks are read by ground, disk, bar"):
        segment(data["source"], other, **QUICK)


@pytest.mark.parametrize(
    ("n", "model", "words"),
    [
        (3, False, "the labelled pictures that it was trained on, too few to hold out"),
        (12, False, "held-out labelled pictures"),
        (12, True, "labelled pictures that it may have been trained on"),
    ],
)
def test_scores_are_said_to_be_on_the_pictures_that_they_are_on(
    n: int, model: bool, words: str, data: dict[str, Path], tmp_path: Path
) -> None:
    lines: list[str] = []
    found = segment(
        folder(tmp_path / "few", n, 0), data["target"], methods=("source-only",), say=lines.append,
        model=small_unet(3, width=4, depth=2) if model else None, **QUICK,
    )  # fmt: skip
    score = f"{found.table[0]['look']:.3f}"
    assert found.why[0] == f"source-only has {score} mIoU on {words}, given the look of the target"
    (line,) = (line for line in lines if line.startswith("source-only: "))
    assert line.startswith(f"source-only: {score} on {words}, in the look of the target, ")
    assert f"are of {words}, with and without" in page(found).decode()


def test_what_is_taken_for_what_in_the_target_is_said(data: dict[str, Path], tmp_path: Path) -> None:
    lines: list[str] = []
    target = permuted(folder(tmp_path / "target", 5, 1, dark=0.6))
    (target / "classes.txt").write_text("disk\npole\nground")
    segment(data["source"], target, methods=("source-only",), say=lines.append, **QUICK)
    assert "note: target: pixels of pole are of no class that is given, and are not known" in lines


def test_what_masks_hold_is_said_first(data: dict[str, Path]) -> None:
    lines: list[str] = []
    segment(data["source"], data["target"], methods=("source-only",), say=lines.append, **QUICK)
    assert lines[0] == "images and masks: 20 pictures, 20 with a mask"
    assert lines[1].startswith("values in masks, with pixels: 0 (")
    assert lines[2].startswith("nothing is known of 0.0%")


def test_report_masks_figures_and_model_are_written_whole(result: Segmentation, tmp_path: Path) -> None:
    out = write(result, tmp_path / "run", "unseen segment ...")
    page = (out / "report.html").read_text()
    assert "<script" not in page
    assert page.count("data:image/png;base64,") >= 5
    assert result.chosen in page
    figures = json.loads((out / "segmentation.json").read_text())
    assert figures["chosen"] == result.chosen
    assert figures["source"]["values"].keys() == {"0", "1", "2"}
    saved = np.asarray(Image.open(out / "masks" / "0.png"))
    assert np.array_equal(saved, result.masks[0])


@pytest.mark.parametrize(
    ("names", "written"),
    [
        (["images/p.png", "images/q.jpg"], ["p.png", "q.png"]),
        (["p.png", "q.jpg"], ["p.png", "q.png"]),
        (["images/a/p.png", "images/b/p.png"], ["a/p.png", "b/p.png"]),
        (["p.png", "b/p.png"], ["b/p.png", "p.png"]),
        (["/tmp/data/images/p.png"], ["p.png"]),
    ],
)
def test_masks_lie_as_pictures_do_below_the_folder_of_them_all(
    names: list[str], written: list[str], tmp_path: Path
) -> None:
    masks = objects(np.zeros((2, 2), dtype=np.int8) for _ in names)
    domain = Domain(x=np.zeros((len(names), 2, 2, 3)), kind="image", ids=np.array(names), name="d")
    write_masks(domain, masks, tmp_path)
    assert sorted(str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*.png")) == written


def test_masks_are_as_large_as_their_pictures_and_it_is_said_what_the_network_saw(tmp_path: Path) -> None:
    source, target = folder(tmp_path / "source", 4, 0), tmp_path / "photographs"
    target.mkdir()
    for name, size in (("wide.png", (96, 60)), ("small.png", (20, 28))):
        Image.fromarray(scenes(1, 7)[0][0]).resize(size).save(target / name)
    run, out = CliRunner(), tmp_path / "run"
    order = ["segment", str(source), "--target", str(target), "--out", str(out), "--size", "32", "--train-steps", "2"]
    done = run.invoke(app, [*order, "--methods", "source-only"])
    assert done.exit_code == 0, done.output
    said = "masks are as large as their pictures; the network saw these with 32 pixels on their longest side"
    assert said in done.output
    again = run.invoke(app, ["segment", "--model", str(out), "--target", str(target), "--out", str(tmp_path / "again")])
    assert said in again.output
    _, masks, _ = SegmentModel.load(out).predict(target)
    for place in (out, tmp_path / "again"):
        wide, small = (np.asarray(Image.open(place / "masks" / name)) for name in ("wide.png", "small.png"))
        assert (wide.shape, small.shape) == ((60, 96), (28, 20))
        assert np.array_equal(small, masks[0])
        assert masks[1].shape == (20, 32)
        assert np.array_equal(wide, np.kron(masks[1], np.ones((3, 3), dtype=int)))
    row = json.loads(run.invoke(app, ["predict", str(out), str(target / "wide.png"), "--json"]).stdout)[0]
    assert Image.open(io.BytesIO(base64.b64decode(row["mask"]))).size == (96, 60)


def test_a_saved_model_predicts_a_picture_in_a_fresh_process(
    result: Segmentation, data: dict[str, Path], tmp_path: Path
) -> None:
    out = write(result, tmp_path / "run")
    picture = data["target"] / "images" / "3.png"
    code = (
        "import sys; from unseen.jobs.segmentation.model import SegmentModel; "
        "d, m, s = SegmentModel.load(sys.argv[1]).predict(sys.argv[2]); print(m[0].ravel().tolist())"
    )
    done = processes.run(
        [sys.executable, "-c", code, str(out), str(picture)],
        capture_output=True, text=True, env=os.environ, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == result.masks[3].ravel().tolist()
    with pytest.raises(ValueError, match="holds no segmentation model"):
        SegmentModel.load(tmp_path)


def test_the_command_line_segments_and_then_predicts(data: dict[str, Path], tmp_path: Path) -> None:
    run = CliRunner()
    order = [
        "segment",
        str(data["source"]),
        "--target",
        str(data["target"]),
        "--out",
        str(tmp_path / "run"),
        "--size",
        "32",
    ]
    done = run.invoke(app, [*order, "--train-steps", "8", "--steps", "2", "--methods", "source-only,idm", "--verbose"])
    assert done.exit_code == 0, done.output
    assert "target mIoU" in done.output
    new = ["segment", "--model", str(tmp_path / "run"), "--target", str(data["target"] / "images" / "0.png")]
    done = run.invoke(app, [*new, "--out", str(tmp_path / "new")])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "new" / "masks" / "0.png").exists()
    order[-3] = str(tmp_path / "again")
    again = run.invoke(app, [*order, "--model", str(tmp_path / "run"), "--steps", "2", "--methods", "idm", "--json"])
    assert json.loads(again.stdout)["chosen"] == "idm"


@pytest.fixture(scope="module")
def trained(result: Segmentation, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(result, tmp_path_factory.mktemp("trained") / "run")


def called(*words: object) -> Any:
    return CliRunner().invoke(app, ["segment", *map(str, words)])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--methods idm --steps 3 --shots 2", "--methods, --steps, --shots: without a SOURCE nothing is learnt"),
        ("--network segformer --train-steps 5 --batch-size 4", "--network, --train-steps, --batch-size: without a SO"),
        ("--crop 16 --set x=1 --seed 0", "--crop, --set, --seed: without a SOURCE"),
        ("--classes a,b,c", "--classes: the --model was made with ground, disk, bar, not a, b, c; leave it out"),
        ("--size 512", "--size: the --model was made with 32, not 512; leave it out"),
    ],
)
def test_what_a_saved_model_cannot_follow_is_refused(
    options: str, said: str, trained: Path, data: dict[str, Path], tmp_path: Path
) -> None:
    done = called("--model", trained, "--target", data["target"], "--out", tmp_path / "new", *options.split())
    assert isinstance(done.exception, ValueError)
    assert str(done.exception).startswith(said)
    assert not (tmp_path / "new").exists()


def test_a_network_that_is_there_is_not_trained(trained: Path, data: dict[str, Path], tmp_path: Path) -> None:
    order = (data["source"], "--model", trained, "--target", data["target"], "--out", tmp_path / "new")
    done = called(*order, "--network", "segformer", "--train-steps", "5")
    assert str(done.exception).startswith("--network, --train-steps: the network of --model is there and is not")


def test_masks_of_the_target_grade_a_saved_model_by_the_names_of_their_classes(
    trained: Path, result: Segmentation, data: dict[str, Path], tmp_path: Path
) -> None:
    target = permuted(folder(tmp_path / "target", 5, 1, dark=0.6))
    order = ("--model", trained, "--target", target, "--classes", "ground,disk,bar", "--size", 32)
    done = called(*order, "--out", tmp_path / "new")
    figure = grades_of("mask").grade(result.target.y, result.masks, result.classes)["mIoU"]
    assert f"the masks that 5 of the 5 pictures have give {figure:.3f} mIoU" in done.output
    told = json.loads((tmp_path / "new" / "masks.json").read_text())
    assert told["graded"]["mIoU"] == pytest.approx(figure)
    again = called(
        "--model", trained, "--target", target, "--out", tmp_path / "new", "--json"
    )  # the same: written anew
    assert json.loads(again.stdout)["graded"] == told["graded"]
    bare = called("--model", trained, "--target", data["target"] / "images" / "0.png", "--out", tmp_path / "bare")
    assert "mIoU" not in bare.output
    (target / "classes.txt").write_text("x\ny\nz")
    other = called("--model", trained, "--target", target, "--out", tmp_path / "other")
    assert "none of the classes x, y, z is called as one of ground, disk, bar" in str(other.exception)


def test_another_run_is_not_written_over(
    trained: Path, result: Segmentation, data: dict[str, Path], tmp_path: Path
) -> None:
    before = (trained / "segmentation.json").read_bytes()
    quick = {**QUICK, "methods": ("source-only",)}
    with pytest.raises(ValueError, match=r"out: .*run holds another run \(of other target, methods\); choose another"):
        segment(data["source"], data["target"] / "images" / "0.png", out=trained, **quick)
    made = segment(data["source"], data["target"], **quick)
    with pytest.raises(ValueError, match=r"holds another run \(of other methods\)"):
        write(made, trained)
    done = called(data["source"], "--target", data["target"], "--out", trained)
    assert "holds another run (of other " in str(done.exception)
    assert (trained / "segmentation.json").read_bytes() == before
    write(result, trained)  # the same run, anew
    old = json.loads(before)
    del old["asked"]
    (trained / "segmentation.json").write_text(json.dumps(old))
    with pytest.raises(ValueError, match="holds another run, which does not say what it was asked for"):
        write(result, trained)
    (trained / "segmentation.json").write_bytes(before)


def test_masks_of_other_pictures_are_not_written_over(trained: Path, data: dict[str, Path], tmp_path: Path) -> None:
    first, second = (data["target"] / "images" / name for name in ("0.png", "1.png"))
    out = tmp_path / "new"
    assert called("--model", trained, "--target", first, "--out", out).exit_code == 0
    done = called("--model", trained, "--target", second, "--out", out)
    assert str(done.exception).startswith(f"out: {out} holds another run (of other target)")
    assert [file.name for file in (out / "masks").iterdir()] == ["0.png"]
    inside = called("--model", trained, "--target", second, "--out", trained)
    assert str(inside.exception) == f"out: {trained} holds the model that is used; name another folder"


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"methods": ("glc",)}, "methods must give masks: source-only, "),
        ({"methods": ("foo",)}, "methods must give masks: source-only, .*; got 'foo'"),
        ({"methods": ("idm:banana",)}, "idm has the presets default, all samples"),
        ({"methods": ("idm", "idm")}, "named once each"),
        ({"methods": ()}, "methods must name one"),
        ({"shots": 0}, "shots must be at least 1"),
        ({"size": 8}, "size must be at least 16"),
        ({"steps": 0}, "steps must be at least 1"),
        ({"training": Training("lraspp_mobilenet_v3_large")}, "network must be one of .*; got 'lraspp_mobilenet"),
        ({"classes": ("a", "b")}, "masks hold the value 2, but there are 2 classes"),
        ({"model": small_unet(5, width=4, depth=2)}, "model scores 5 classes; the source has 3"),
    ],
)
def test_what_cannot_be_is_named(data: dict[str, Path], changes: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        segment(data["source"], data["target"], **(QUICK | changes))


def test_a_source_without_masks_is_refused(data: dict[str, Path], tmp_path: Path) -> None:
    bare = folder(tmp_path / "bare", 3, 0, masks=False)
    with pytest.raises(ValueError, match="source must hold pictures with masks"):
        segment(bare, data["target"], **QUICK)
    with pytest.raises(ValueError, match="source must hold pictures with masks; bare has none"):
        segment(bare, tmp_path / "there is no target", **QUICK)


def test_all_methods_of_the_task_are_offered() -> None:
    assert set(segmenters()) >= {"idm", "fda", "classmix", "tent"}


def test_pictures_of_unlike_sizes_are_cropped() -> None:
    rng = np.random.default_rng(0)
    sizes = [(32, 40), (48, 32), (32, 32), (40, 64)] * 4
    x = objects(rng.random((3, *size)).astype(np.float32) for size in sizes)
    y = objects(rng.integers(0, 3, size) for size in sizes)
    source = Domain(x=x, y=y, kind="image", task="mask", classes=ClassSpace(names=NAMES), name="source")
    found = segment(
        source, source.take(slice(0, 2)), **(QUICK | {"methods": ("source-only", "fda", "idm"), "size": 48})
    )
    assert [mask.shape for mask in found.masks] == sizes[:2]


def test_a_saved_network_is_written_as_onnx_that_takes_pictures_of_any_size(tmp_path: Path) -> None:
    import onnx
    import onnxruntime
    import torch

    classes = ClassSpace(names=("sky", "sea", "strand"))
    network = small_unet(3)
    torch.nn.init.normal_(network.head.weight)  # of scores that are nearly equal any graph may be right
    saved = SegmentModel(Unadapted().fit(model=network), classes, 48)
    folder, file = saved.save(tmp_path / "model"), tmp_path / "strand.onnx"
    done = CliRunner().invoke(app, ["export", str(folder), "--out", str(file)])
    assert done.exit_code == 0, done.output
    assert "largest difference from torch" in done.output
    session = onnxruntime.InferenceSession(file)
    about = {entry.key: entry.value for entry in onnx.load(file).metadata_props}
    assert (json.loads(about["classes"]), json.loads(about["size"])) == (list(classes.names), 48)
    for height, width in ((48, 31), (33, 47)):
        pixels = np.random.default_rng(height).integers(0, 256, (height, width, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "view.png")
        _, [mask], [sure] = saved.predict(tmp_path / "view.png")
        x = np.float32(pixels / 255).transpose(2, 0, 1)[None]
        [probabilities] = session.run(None, {"x": x})
        assert probabilities.shape == (1, 3, height, width)
        assert np.array_equal(probabilities[0].argmax(axis=0), mask)
        np.testing.assert_allclose(probabilities[0].max(axis=0), sure, atol=1e-4)
    refused = CliRunner().invoke(app, ["export", str(folder), "--out", str(file), "--integers"])
    assert "is written by --out FILE.onnx and --web FILE.html, in floats" in str(refused.exception)


@pytest.mark.parametrize(
    "make",
    [
        lambda: torchvision_segmenter("lraspp_mobilenet_v3_large", 3),
        lambda: torchvision_segmenter("resnet18", 3),
    ],
)
def test_networks_without_one_classifier_at_the_end_are_refused(make: Any) -> None:
    with pytest.raises(ValueError, match="network must be one of small-unet, segformer, "):
        make()


def test_a_network_that_is_none_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"network must be one of .*; got 'vgg'"):
        segment(tmp_path / "gone", tmp_path / "gone", training=Training("vgg"))


class Plain(SegmentingMethod):
    """The network as it is; it says whether it got the labelled pictures."""

    card = dataclasses.replace(Unadapted.card, slug="plain", composed=False)

    def fit(self, *, model: nn.Module, source: Domain | None = None) -> Self:
        self.network_, self.got_source_ = model, source is not None
        return self


class Supported(Plain):
    """It learns from what the job has not."""

    card = dataclasses.replace(Plain.card, slug="supported")

    def fit(self, *, model: nn.Module, support: Domain) -> Self:
        return self


class Maskless(Method):
    """It has the task on its card, and nothing of it."""

    card = dataclasses.replace(Plain.card, slug="maskless")

    def fit(self, *, model: nn.Module) -> Self:
        return self


def test_a_method_of_another_package_segments_by_its_card_alone(
    install: Callable[..., None], data: dict[str, Path], tmp_path: Path
) -> None:
    install("methods", plain=Plain, supported=Supported, maskless=Maskless)
    assert segmenters()[-1:] == ("plain",)
    made = segment(data["source"], data["target"], methods=("plain",), **QUICK)  # steps are for methods that have some
    assert isinstance(made.method, Plain)
    assert made.method.got_source_
    write(made, tmp_path / "run")
    again = SegmentModel.load(tmp_path / "run").predict(data["target"])[1]
    assert all(np.array_equal(a, b) for a, b in zip(made.masks, again))
    for slug in ("supported", "maskless"):
        with pytest.raises(ValueError, match=f"methods must give masks: .*, plain; got '{slug}'"):
            segment(data["source"], data["target"], methods=(slug,), **QUICK)


@pytest.mark.slow
@pytest.mark.parametrize(
    "make",
    [
        lambda: torchvision_segmenter("deeplabv3_mobilenet_v3_large", 3),
        lambda: segformer(3, hidden_sizes=(8, 16, 20, 32), depths=(1, 1, 1, 1), decoder=16),
    ],
)
def test_networks_of_others_are_adapted_and_saved(make: Any, data: dict[str, Path], tmp_path: Path) -> None:
    found = segment(data["source"], data["target"], model=make(), **(QUICK | {"methods": ("idm",)}))
    back = SegmentModel.load(write(found, tmp_path / "run")).predict(data["target"])[1]
    assert all(np.array_equal(a, b) for a, b in zip(back, found.masks))
