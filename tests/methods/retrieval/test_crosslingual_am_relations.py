"""Relations of two sentences: learnt from pairs, graded over all classes and over those that are one."""

from __future__ import annotations

import numpy as np
import pytest

from unseen.data.domain import Domain
from unseen.methods.retrieval.crosslingual_am.relations import RelationClassifier, read_relations, relation_f1

WORDS = ("dose", "drug", "risk", "pain", "group")
LABELS = {"because": "Support", "but": "Attack", "also": "noRel"}


def pairs(n: int, seed: int) -> tuple[list[tuple[str, str]], list[str]]:
    rng = np.random.default_rng(seed)
    marks = rng.choice([*LABELS], n).tolist()
    made = [(f"{mark} the {rng.choice(WORDS)} falls", f"the {rng.choice(WORDS)} rises") for mark in marks]
    return made, [LABELS[mark] for mark in marks]


class Counts:
    """An encoder that counts a few words."""

    def encode(self, domain: Domain) -> Domain:
        known = (*LABELS, *WORDS)
        return Domain(x=np.array([[text.split().count(word) for word in known] for text in domain.x], dtype=np.float32))


@pytest.mark.parametrize("encoder", [None, Counts()])
def test_relations_are_learnt_from_hashed_words_or_from_vectors(encoder: object) -> None:
    model = RelationClassifier(encoder=encoder, C=10.0).fit(*pairs(120, 0))
    asked, truth = pairs(60, 1)
    assert relation_f1(truth, model.predict(asked))["macro F1"] > 0.95
    assert model.predict([]) == []
    assert model.predict(asked[:1]) == model.predict(asked)[:1]


def test_figures_are_those_by_hand() -> None:
    found = relation_f1(["noRel", "noRel", "Support", "Attack"], ["noRel", "Support", "Support", "noRel"])
    assert found["macro F1"] == pytest.approx((2 * 1 / 4 + 2 * 1 / 3 + 0) / 3)
    assert found["macro F1 of relations"] == pytest.approx((2 * 1 / 3 + 0) / 2)
    with pytest.raises(ValueError, match="said must be a relation for each of truth, 2; got 1"):
        relation_f1(["noRel", "noRel"], ["noRel"])


def test_lines_are_read_and_those_that_are_none_are_counted() -> None:
    lines = ["__label__Support\tone.\ttwo.\n", "Support\tone\ttwo", "__label__noRel\tone\t", "", "__label__noRel\ta\tb"]
    assert read_relations(lines) == ([("one.", "two."), ("a", "b")], ["Support", "noRel"], 2)


def test_bad_input_is_named() -> None:
    with pytest.raises(ValueError, match="labels must be one for each pair"):
        RelationClassifier().fit([("a", "b")], [])
    with pytest.raises(ValueError, match="labels must be of two classes at least; all are 'noRel'"):
        RelationClassifier().fit([("a", "b")], ["noRel"])
