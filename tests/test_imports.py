"""What a command need not import it does not: seconds before the first word."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unseen.bundle import Bundle
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.encoders import get
from unseen.methods import get as method

HEAVY = (
    "torch",
    "torch._dynamo",
    "pandas",
    "sklearn",
    "scipy",
    "timm",
    "torchvision",
    "onnxruntime",
    "matplotlib",
    "transformers",
)
PROGRAM = """
import sys
from unseen.cli import main
sys.argv = ["unseen", *sys.argv[1:]]
try:
    main()
except SystemExit as end:
    print("ended with", end.code)
print("imported:", *(name for name in {heavy} if name in sys.modules))
"""


def told(*arguments: str, cwd: Path | None = None) -> tuple[str, set[str]]:
    """What a command prints in a process of its own, and which heavy packages it has imported."""
    program = PROGRAM.format(heavy=HEAVY)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        env=environment,
        check=True,
    )
    said, _, imported = done.stdout.rpartition("imported:")
    return said + done.stderr, set(imported.split())


@pytest.mark.parametrize(
    ("order", "word"),
    [
        ("--help", "compare"),
        ("predict --help", "new.jpg"),
        ("recommend --help", "Nothing is trained"),
        ("methods", "source-only"),
        ("methods --search prompt", "AD-CLIP"),
        ("predict nowhere here", "there is no such folder"),
        ("predict nowhere .", "is not a saved model"),
        ("compare --source nowhere --target here", "'nowhere' does not exist"),
        ("recommend --source nowhere", "'nowhere' does not exist"),
        ("adapt --method coral --source nowhere --out x", "'nowhere' does not exist"),
        ("compare --source alone --target own", "at least two classes; all 2 are of 'cat'"),
        ("adapt --method coral --source alone --target own --out x", "at least two classes; all 2 are of 'cat'"),
        ("recommend --source alone --target own", "at least two classes; all 2 are of 'cat'"),
        ("diagnose --source own --target alone", "--source must have labels"),
        ("compare --source alone/cat --target own --classes cat,dog", "--source must have labels"),
        ("compare --target own --classes cat,dog --encoder efficientnet-lite0", "into one space"),
        ("compare --source alone --target own --methods glc:nothing", "--methods: glc has the presets default"),
        ("adapt --method glc --preset nothing --source alone --out x", "--preset: glc has the presets default"),
    ],
)
def test_help_lists_and_what_is_refused_import_nothing_heavy(order: str, word: str, tmp_path: Path) -> None:
    for folder in ("alone/cat", "own"):
        (tmp_path / folder).mkdir(parents=True)
        for text in ("a mouse", "some milk"):
            (tmp_path / folder / f"{text}.txt").write_text(f"{text} in {folder}")
    said, imported = told(*order.split(), cwd=tmp_path)
    assert word.lower() in " ".join(said.split()).lower()
    assert not imported


def test_predict_imports_torch_and_nothing_that_the_model_does_not_need(tmp_path: Path) -> None:
    encoder = get("efficientnet-lite0?size=64")
    x = np.random.default_rng(0).normal(size=(20, encoder.dim)).astype(np.float32)
    source = Domain(x=x, y=np.arange(20) % 2, classes=ClassSpace(names=("a", "b")))
    fitted = method("source-only")().fit(source=source)
    Bundle(method=fitted, classes=source.classes, encoder=encoder).save(tmp_path / "model")  # type: ignore[arg-type]
    Image.fromarray(np.zeros((70, 80, 3), dtype=np.uint8)).save(tmp_path / "x.png")
    said, imported = told("predict", "model", "x.png", cwd=tmp_path)
    assert "x.png" in said
    assert imported - {"onnxruntime"} == {"torch"}  # which runs the encoder, where features are not at hand


def test_a_picture_is_predicted_by_names_alone_without_the_tower_of_texts(tmp_path: Path) -> None:
    encoder = get("lite-clip")
    classes = encoder.embed(ClassSpace(names=("cat", "dog")))  # type: ignore[attr-defined]
    fitted = method("describe")().fit(classes=classes)
    Bundle(method=fitted, classes=classes, encoder=encoder).save(tmp_path / "model")
    Image.fromarray(np.zeros((70, 80, 3), dtype=np.uint8)).save(tmp_path / "x.png")
    said, imported = told("predict", "model", "x.png", cwd=tmp_path)
    assert "x.png" in said
    assert imported - {"onnxruntime"} == {"torch"}


def test_the_systems_that_fit_are_listed_without_what_few_of_them_need() -> None:
    program = """
import sys
from unseen import methods
for slug in methods.slugs():
    methods.get(slug)
print(*(name for name in ("timm", "torchvision", "torch._dynamo", "transformers", "open_clip") if name in sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
