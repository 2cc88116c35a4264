"""`unseen shrink`: the job on small towers without any download, and the command through a real process."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import processes
from unseen import encoders
from unseen.data.domain import Domain
from unseen.data.pairs import Pairs
from unseen.encoders.prunable import prunable_towers
from unseen.encoders.towers import save_towers
from unseen.evaluation.exam import ledger_file
from unseen.jobs.shrinking.job import ABOUT, PAGE, _parted, shrink, shrinkers
from unseen.jobs.shrinking.page import facts
from unseen.methods.baselines.low_rank import LowRank
from unseen.methods.tower_shrinkers import towers_of_a_moment

FEW: dict[str, Any] = {"steps": 4, "warm_up": 1, "batch_size": 16}
GATES: dict[str, Any] = {"prune_steps": 4, "sparsity_warm_up": 2}
COLOURS = {"red": (220, 30, 30), "blue": (30, 40, 220), "green": (20, 160, 60), "grey": (120, 120, 120)}
PREPROCESS = {"size": [16, 16], "crop": 1.0, "mode": "squash", "mean": [0.5] * 3, "std": [0.25] * 3}


def table_of(where: Path, n: int = 40, texts: Any = None) -> Path:
    """Coloured pictures and what is said of them."""
    rng = np.random.default_rng(3)
    lines = ["image,caption"]
    for i in range(n):
        name, colour = list(COLOURS.items())[i % 4]
        noisy = np.clip(np.array(colour) + rng.normal(0, 20, (16, 16, 3)), 0, 255).astype(np.uint8)
        Image.fromarray(noisy).save(where / f"{i}.png")
        lines.append(f"{i}.png,{f'a {name} thing {i // 4}' if texts is None else texts(i)}")
    (where / "pairs.csv").write_text("\n".join(lines))
    return where / "pairs.csv"


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Towers of the house, with caches of their own."""
    monkeypatch.setenv("UNSEEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("UNSEEN_DATA", str(tmp_path / "data"))
    save_towers(tmp_path / "large", towers_of_a_moment(16), PREPROCESS)
    return f"towers:{tmp_path / 'large'}"


class Thin(LowRank):
    """Thin layers, of another package."""

    card = dataclasses.replace(LowRank.card, slug="thin")


def test_a_method_of_another_package_shrinks_by_its_card_alone(
    install: Callable[..., None], model: str, tmp_path: Path
) -> None:
    install("methods", thin=Thin)
    assert shrinkers()[-1] == "thin"
    about = shrink(model, table_of(tmp_path), out=tmp_path / "small", size=0.5, method="thin", settings=FEW)
    assert (about["slug"], about["size"] <= 0.5) == ("thin", True)
    assert "thin" in (tmp_path / "small" / PAGE).read_text()


@pytest.mark.parametrize(
    ("own", "settings"),
    [({"method": "low-rank"}, FEW), ({}, FEW), ({"inherit": "auto"}, FEW | GATES)],
    ids=["low-rank", "tinyclip", "gates"],
)
def test_a_model_is_made_small_saved_exported_and_measured(
    model: str, tmp_path: Path, own: dict[str, str], settings: dict[str, Any]
) -> None:
    import onnxruntime

    out = tmp_path / "small"
    lines: list[str] = []
    about = shrink(model, table_of(tmp_path), out=out, size=0.5, **own, settings=settings, say=lines.append)
    beforehand = next(line for line in lines if line.startswith("learning takes about "))
    assert re.search(r"about \S+.(s|min \d\d.s): \d+ steps of \d+ pairs", beforehand), beforehand
    assert about["size"] <= 0.5
    assert about["slug"] == own.get("method", "tinyclip")
    assert about["slug"] in (out / PAGE).read_text()
    assert about["student"]["parameters"] == round(about["size"] * about["teacher"]["parameters"])
    assert json.loads((out / ABOUT).read_text())["size"] == about["size"]
    assert "a share" not in (out / PAGE).read_text()
    assert f"{100 * about['size']:.1f}&nbsp;%" in (out / PAGE).read_text()
    assert set(about["student"]["milliseconds"]) == {"picture", "text"}
    assert 0 <= about["student"]["recall"]["mean"] <= 1
    encoder: Any = encoders.get(f"towers:{out}", precision="fp32")
    picture = Image.open(tmp_path / "0.png")
    vector = encoder.encode_image([picture], cache=False)
    session = onnxruntime.InferenceSession(str(out / "image.onnx"), providers=["CPUExecutionProvider"])
    x = encoder.preprocess([picture])
    np.testing.assert_allclose(session.run(None, {"x": x.numpy()})[0], vector, atol=1e-4)
    towers = prunable_towers(encoder)
    tokens = towers.tokenize(["a red thing"])
    session = onnxruntime.InferenceSession(str(out / "text.onnx"), providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(
        session.run(None, {"x": tokens.numpy()})[0], encoder.encode_text(["a red thing"], cache=False), atol=1e-4
    )
    assert facts(about)["encoder"] == f"towers:{out}"


def test_texts_beyond_the_context_are_counted_and_told(model: str, tmp_path: Path) -> None:
    table = table_of(tmp_path, texts=lambda i: f"{i} a thing of a colour" + " and so on and on" * (i < 3))
    said: list[str] = []
    about = shrink(model, table, out=tmp_path / "small", settings=FEW, onnx=False, say=said.append)
    note = "3 of 40 texts are longer than the context of towers:large; what is behind is not read"
    assert about["notes"] == [note]
    assert note in said
    assert f"{note}." in (tmp_path / "small" / PAGE).read_text()


def test_a_small_model_is_made_smaller_and_stands_where_an_encoder_stands(model: str, tmp_path: Path) -> None:
    shrink(model, table_of(tmp_path), out=tmp_path / "small", size=0.6, settings=FEW, onnx=False)
    about = shrink(
        f"towers:{tmp_path / 'small'}", tmp_path / "pairs.csv", out=tmp_path / "less", size=0.6, settings=FEW
    )
    assert about["student"]["parameters"] < about["teacher"]["parameters"]
    assert not (tmp_path / "small" / "image.onnx").exists()
    from unseen.data.classes import ClassSpace

    encoder: Any = encoders.get(f"towers:{tmp_path / 'less'}", precision="fp32")
    x = Domain(x=[Image.open(tmp_path / "1.png")], kind="image", name="one")
    found = encoder.classify(encoder.encode(x, cache=False), ClassSpace(names=("red", "blue")), cache=False)
    assert found.shape == (1, 2)


@pytest.mark.slow  # two models of 49,408 words: 17 seconds
def test_an_open_clip_model_from_a_file_is_made_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    open_clip = pytest.importorskip("open_clip")
    monkeypatch.setenv("UNSEEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("UNSEEN_DATA", str(tmp_path / "data"))
    text = {"context_length": 20, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2}
    for name, vision in {
        "shrink-vit": {"image_size": 32, "layers": 2, "width": 64, "head_width": 32, "patch_size": 16},
        "shrink-resnet": {"image_size": 32, "layers": [1, 1, 1, 1], "width": 16, "head_width": 64},
    }.items():
        config = {"embed_dim": 16, "vision_cfg": vision, "text_cfg": text, "quick_gelu": True}
        (tmp_path / f"{name}.json").write_text(json.dumps(config))
        open_clip.add_model_config(tmp_path / f"{name}.json")
        torch.manual_seed(0)
        torch.save(open_clip.create_model(name).state_dict(), tmp_path / "weights.pt")
        about = shrink(f"open_clip:{name}/{tmp_path / 'weights.pt'}", table_of(tmp_path), out=tmp_path / name, size=0.7,
                       settings=FEW)  # fmt: skip
        assert about["size"] <= 0.7
        assert encoders.get(f"towers:{tmp_path / name}").dim == 16


def test_labelled_pictures_give_zero_shot_accuracy_and_rows_without_a_text_are_counted(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNSEEN_DATA", str(tmp_path / "user"))
    for i, (name, colour) in enumerate(COLOURS.items()):
        (tmp_path / "classes" / name).mkdir(parents=True)
        for k in range(2):
            Image.new("RGB", (16, 16), colour).save(tmp_path / "classes" / name / f"{i}{k}.png")
    pairs = table_of(tmp_path, texts=lambda i: "" if i % 10 == 0 else f"a thing {i}")
    about = shrink(model, pairs, out=tmp_path / "small", classes=tmp_path / "classes", settings=FEW, onnx=False)
    assert about["pairs"]["left out"] == 4
    assert {"teacher", "student"} <= set(about)
    assert 0 <= about["student"]["accuracy"] <= 1
    assert list(json.loads(ledger_file().read_text()).values()) == [1]  # opened once, for both


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"size": 0.001}, "smallest student"),
        ({"size": 1.5}, "size must be a share"),
        ({"inherit": "none of it"}, "inherit must be one of"),
        ({"method": "zscl"}, "method must be one of low-rank, tinyclip; got 'zscl'"),
        ({"method": "low-rank", "inherit": "auto"}, "inherit is of method=tinyclip; low-rank has no such thing"),
        ({"method": "low-rank", "preset": "cpu"}, "preset must be one of default, those of low-rank"),
        ({"method": "low-rank", "settings": {"gate_rate": 0.1}}, "no parameter 'gate_rate'.*method=tinyclip has it"),
        ({"held_out": 0.0}, "held_out must lie"),
        ({"preset": "fast"}, "preset must be one of"),
        ({"settings": {"size": 0.2}}, "size says it already"),
        ({"settings": {"colour": 1}}, "no parameter 'colour'"),
        ({"text": "words"}, "words"),
        ({"prompts": ["a photo"]}, "one place"),
    ],
)
def test_what_cannot_be_is_named_before_work(model: str, tmp_path: Path, change: Any, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        shrink(model, table_of(tmp_path), out=tmp_path / "small", **{"settings": FEW, **change})
    assert not (tmp_path / "small").exists()


def test_pairs_that_lack_a_side_and_foreign_folders_are_refused(model: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least 8"):
        shrink(model, table_of(tmp_path, texts=lambda i: ""), out=tmp_path / "small")
    with pytest.raises(ValueError, match="at least four unlike texts"):
        shrink(model, table_of(tmp_path, texts=lambda i: "a thing"), out=tmp_path / "small")
    (tmp_path / "pairs.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="image: no column is called"):
        shrink(model, tmp_path / "pairs.csv", out=tmp_path / "small")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(FileExistsError):
        shrink(model, table_of(tmp_path), out=tmp_path / "mine")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("lite-clip", "ARCH/FILE.* lite-clip has no towers from which parts can be taken"),
        ("minilm", "open_clip:ARCH/TAG or towers:FOLDER; got 'minilm', from which nothing can be taken"),
        ("aligned", "small layers on encoders that stay as they are.*`unseen quantize aligned`"),
        ("towers:aligned", "holds the model that a command saved, not two towers"),
        ("large", "name it towers:large"),
    ],
)
def test_what_has_no_towers_is_told_what_has_and_what_to_do_instead(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "aligned").mkdir()
    (tmp_path / "aligned" / "bundle.json").write_text("{}")
    with pytest.raises(ValueError, match=told):
        shrink(name, "no-such-pairs.csv", out="small")


def test_a_size_below_the_smallest_student_is_refused_before_the_large_model_is_timed(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unseen.jobs.shrinking.job._beforehand", None)
    with pytest.raises(ValueError, match="smallest student"):
        shrink(model, table_of(tmp_path), out=tmp_path / "small", size=0.01)


def test_an_open_clip_model_is_asked_for_its_sizes_before_its_weights_are_there(tmp_path: Path) -> None:
    pytest.importorskip("open_clip")
    with pytest.raises(ValueError, match=r"size must be at least 0\.006, the smallest student"):
        shrink("open_clip:ViT-B-32/nobody-has-this-tag", "no-such-pairs.csv", out=tmp_path / "small", size=0.005)


def test_neither_a_picture_nor_a_text_is_on_both_sides_and_a_whole_group_is_right() -> None:
    # twelve pictures with five captions each; the third caption of two pictures says the same
    x = np.repeat(np.arange(12, dtype=np.float32), 5)[:, None, None, None] * np.ones((1, 3, 2, 2), np.float32)
    texts = [f"caption {k} of {i}" if k != 2 else f"a thing {i // 2}" for i in range(12) for k in range(5)]
    pairs = Pairs(Domain(x=x, kind="image", name="x"), Domain(x=np.array(texts), kind="text", name="t"))
    learnt, asked, groups = _parted(pairs, 0.4)
    pictures, said = ([set(part.left.digests()) for part in (learnt, asked)],
                      [set(part.right.x.tolist()) for part in (learnt, asked)])  # fmt: skip
    assert not pictures[0] & pictures[1]
    assert not said[0] & said[1]
    assert len(learnt) + len(asked) == 60
    assert len(asked) == 20
    assert np.unique(groups, return_counts=True)[1].tolist() == [10, 10]


def test_one_large_group_is_learnt_from() -> None:
    x = np.arange(30, dtype=np.float32)[:, None, None, None] * np.ones((1, 3, 2, 2), np.float32)
    texts = np.array(["a photo"] * 24 + [f"a thing {i}" for i in range(6)])
    pairs = Pairs(Domain(x=x, kind="image", name="x"), Domain(x=texts, kind="text", name="t"))
    learnt, asked, _ = _parted(pairs, 0.1)
    assert (len(learnt), len(asked)) == (27, 3)
    assert "a photo" not in asked.right.x


def test_the_command_in_a_real_process(model: str, tmp_path: Path) -> None:
    table_of(tmp_path)
    few = [f"--set={key}={value}" for key, value in FEW.items()]
    command = [sys.executable, "-m", "unseen.cli", "shrink", model, "--pairs", "pairs.csv", "--size", "0.5"]
    here: dict[str, Any] = {"cwd": tmp_path, "capture_output": True, "text": True, "env": os.environ}
    done = processes.run([*command, "--out", "small", *few], check=False, **here)
    assert done.returncode == 0, done.stderr
    assert "parameters:" in done.stdout
    assert (tmp_path / "small" / PAGE).exists()
    wrong = processes.run([*command[:-1], "0.0001", "--out", "less"], check=False, **here)
    assert wrong.returncode == 1
    assert "smallest student" in wrong.stderr
    assert not (tmp_path / "less").exists()


def test_towers_of_another_make_become_thin_where_nothing_can_be_cut(model: str, tmp_path: Path) -> None:
    from unseen.nn.build import joined
    from unseen.nn.convnet import small_convnet
    from unseen.nn.dual_encoder import Letters, dual_encoder, perceptron
    from unseen.nn.towers import text_tower

    torch.manual_seed(0)
    image = joined(small_convnet(12), perceptron((12, 8)))
    text = text_tower(32, 30, width=16, head=4, heads=(4, 4), mlp=(32, 32), dim=8)
    save_towers(tmp_path / "other", dual_encoder(image, text, Letters().to_json(), 20.0).eval(), PREPROCESS)
    table_of(tmp_path)
    with pytest.raises(ValueError, match=r"tinyclip can take nothing"):
        shrink(f"towers:{tmp_path / 'other'}", tmp_path / "pairs.csv", out=tmp_path / "cut", settings=FEW)
    about = shrink(
        f"towers:{tmp_path / 'other'}", tmp_path / "pairs.csv", out=tmp_path / "thin", method="low-rank", size=0.7,
        settings=FEW, onnx=False,
    )  # fmt: skip
    assert about["size"] <= 0.7
    assert encoders.get(f"towers:{tmp_path / 'thin'}").dim == 8
