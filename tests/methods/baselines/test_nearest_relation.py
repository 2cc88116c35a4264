"""`nearest-relation`: the formula by hand, and what it says of tails and relations."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.words import WordVectors
from unseen.methods.base import NotFittedError
from unseen.methods.baselines.nearest_relation import NearestRelation

TRIPLES = np.array([(0, 0, 3), (1, 0, 3), (0, 1, 4), (2, 1, 3), (0, 2, 5)])
"""Head, relation, tail."""
WORDS = {"treats": (1.0, 0.0), "cures": (0.8, 0.6), "lives": (0.0, 1.0), "heals": (1.0, 0.2)}


def relations() -> ClassSpace:
    return ClassSpace(names=tuple(WORDS), seen=[0, 1, 2])


def words() -> WordVectors:
    return WordVectors(tuple(WORDS), np.array(list(WORDS.values()), dtype=np.float32))


def fitted(**changes: object) -> NearestRelation:
    source = Domain(x=TRIPLES[:, [0, 2]], y=TRIPLES[:, 1], kind="node", classes=relations())
    return NearestRelation(**changes).fit(source=source, classes=relations(), encoder=words())


def test_scores_are_the_formula_of_the_docstring() -> None:
    v = np.array([np.array(value) / np.linalg.norm(value) for value in WORDS.values()])
    v = v - v[:3].mean(axis=0)
    v /= np.linalg.norm(v, axis=1, keepdims=True)
    w = np.exp(v @ v[:3].T / 0.1)
    w /= w.sum(axis=1, keepdims=True)
    method = fitted()
    np.testing.assert_allclose(method.weights_.numpy(), w, atol=1e-5)
    for head, relation in ((0, 3), (2, 3), (1, 2)):
        wanted = np.zeros(6)
        for s in range(3):
            own = TRIPLES[TRIPLES[:, 1] == s]
            for tail in range(6):
                holds = ((own[:, 0] == head) & (own[:, 2] == tail)).any()
                wanted[tail] += w[relation, s] * (holds + (own[:, 2] == tail).mean())
        np.testing.assert_allclose(method.score_tails([[head, relation]]).numpy()[0], wanted, atol=1e-5)


def test_a_pair_has_the_score_that_its_tail_has() -> None:
    method = fitted(generalized=True)
    pairs = torch.tensor([[head, tail] for head in range(3) for tail in range(6)])
    by_pair = method.decision_function(pairs).reshape(3, 6, 4)
    for head in range(3):
        for relation in range(4):
            tails = method.score_tails([[head, relation]])[0]
            torch.testing.assert_close(by_pair[head, :, relation], tails)


def test_the_nearest_relation_alone_answers_where_the_temperature_is_low() -> None:
    found = fitted(temperature=0.001).rank([[0, 3]], k=2)
    assert found.tails.tolist() == [[3, 0]]  # of `treats`: (0, 3) is known, and all its triples end in 3
    assert found.scores[0].tolist() == pytest.approx([2.0, 0.0])


def test_a_relation_of_unknown_words_is_answered_by_all_alike() -> None:
    classes = ClassSpace(names=("treats", "cures", "lives", "xyzzy"), seen=[0, 1, 2])
    source = Domain(x=TRIPLES[:, [0, 2]], y=TRIPLES[:, 1], kind="node", classes=classes)
    method = NearestRelation().fit(source=source, classes=classes, encoder=words())
    np.testing.assert_allclose(method.weights_[3].numpy(), np.full(3, 1 / 3), rtol=1e-6)


def test_a_triple_that_stands_twice_is_known_once() -> None:
    twice = np.concatenate([TRIPLES, TRIPLES[:1], TRIPLES[:1]])
    source = Domain(x=twice[:, [0, 2]], y=twice[:, 1], kind="node", classes=relations())
    method = NearestRelation().fit(source=source, classes=relations(), encoder=words())
    torch.testing.assert_close(method.score_tails([[0, 3]]), fitted().score_tails([[0, 3]]))


def test_what_is_wrong_is_named() -> None:
    with pytest.raises(ValueError, match=r"x must name relations in \[0, 4\)"):
        fitted().score_tails([[0, 4]])
    with pytest.raises(ValueError, match="x must hold pairs of a head and a relation, as integers"):
        fitted().score_tails([[0.5, 1]])
    with pytest.raises(NotFittedError):
        NearestRelation().score_tails([[0, 1]])
    with pytest.raises(ValueError, match=r"within must be of shape \(1, 6\) or \(6,\); got \(5,\)"):
        fitted().rank([[0, 3]], within=np.ones(5, dtype=bool))
    source = Domain(x=TRIPLES[:, [0, 2]], y=TRIPLES[:, 1], kind="node", classes=relations())
    with pytest.raises(ValueError, match="must have unseen classes"):
        NearestRelation().fit(source=source, classes=relations().replace(seen=range(4)), encoder=words())
