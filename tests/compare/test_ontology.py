"""An ontology beside the class file: classes get their concepts, and what needs some says so without."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from unseen import catalogue
from unseen.catalogue import Given
from unseen.compare import adapt
from unseen.compare.inputs import prepare
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.ontologies import build
from unseen.methods import get
from unseen.methods.zero_shot.ontozsl import OntoZSL

NAMES = ("owl", "carp", "eagle", "shark")
ROWS = [(name, "subClassOf", kind) for name, kind in zip(NAMES, ("bird", "fish", "bird", "fish"))]
CLASSES = ClassSpace(names=NAMES, descriptions=[f"a {name}" for name in NAMES])


def source() -> Domain:
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1, 2], 12)
    x = rng.normal(size=(3, 6))[y] + 0.3 * rng.normal(size=(36, 6))
    return Domain(x=x.astype(np.float32), y=y, classes=CLASSES.take(range(3)))


def test_classes_of_the_file_get_their_concepts_from_an_ontology_or_its_file(tmp_path: Path) -> None:
    (tmp_path / "zoo.tsv").write_text("".join("\t".join(row) + "\n" for row in ROWS))
    for ontology in (tmp_path / "zoo.tsv", build(ROWS)):
        ready = prepare(source=source(), classes=CLASSES, ontology=ontology)
        found = ready.classes.ontology
        assert found is not None
        assert tuple(found.concepts[i] for i in found.nodes) == NAMES
        assert ready.classes.unseen.tolist() == [3]
        assert ready.source is not None
        assert ready.source.classes is ready.classes


def test_classes_of_the_labels_get_them_too() -> None:
    ready = prepare(source=source(), ontology=build(ROWS))
    assert ready.described
    assert ready.classes.names == NAMES[:3]
    assert ready.classes.ontology is not None


def test_a_class_that_is_no_concept_is_named() -> None:
    with pytest.raises(ValueError, match="class 'shark' is no concept of the ontology"):
        prepare(source=source(), classes=CLASSES, ontology=build(ROWS[:3]))


def test_adapt_learns_from_the_ontology_and_the_saved_model_predicts(tmp_path: Path) -> None:
    settings = dict(OntoZSL.card.smoke)
    given = {"source": source(), "classes": CLASSES, "ontology": build(ROWS)}
    saved = adapt(method="ontozsl", settings=settings, out=tmp_path / "m", **given)
    assert set(saved.method.predict(source()).tolist()) == {3}
    assert "bird" in saved.method.concepts_  # type: ignore[attr-defined]
    assert saved.classes.ontology is not None


def test_classes_that_nothing_relates_are_told_what_would_do() -> None:
    given = Given({"source": source(), "classes": CLASSES.replace(seen=range(3))})
    assert "ontology" in (given.why_not(get("ontozsl")) or "")
    pairs, left_out = catalogue.candidates(given)
    assert "ontozsl" in left_out
    assert "ontozsl" not in {slug for slug, _ in pairs}
    related = Given({"source": source(), "classes": CLASSES.replace(seen=range(3), attributes=np.eye(4))})
    assert related.why_not(get("ontozsl")) is None
