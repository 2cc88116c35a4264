"""What zero-shot methods ask of their inputs, and the classes that are held out."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.nn.semantic_network import normalized, semantic_network
from unseen.nn.softmax import NEVER
from unseen.nn.unseen_classes import (
    candidates,
    class_vectors,
    described,
    mean_of_classes,
    positions,
    seen_classes,
    split_classes,
)

CLASSES = ClassSpace(names=("a", "b", "c", "d"), embeddings=[[3, 4], [1, 0], [0, 2], [1, 1]], seen=[0, 1])
SOURCE = Domain(x=np.eye(4, 3), y=np.array([0, 1, 0, 1]))


def test_vectors_are_attributes_else_embeddings_at_unit_length() -> None:
    assert class_vectors(CLASSES)[0].tolist() == pytest.approx([0.6, 0.8])
    both = CLASSES.replace(attributes=np.full((4, 3), 2.0))
    assert described(both).tolist() == [[2.0] * 3] * 4


def test_a_class_of_which_nothing_is_said_is_named() -> None:
    with pytest.raises(ValueError, match="1 of 4 vectors are 0, such as that of 'b'"):
        class_vectors(CLASSES.replace(embeddings=[[3, 4], [0, 0], [0, 2], [1, 1]]))
    with pytest.raises(ValueError, match="classes must have attributes or embeddings"):
        class_vectors(ClassSpace(names=("a",)))


def test_the_classes_in_question_are_the_unseen_ones_or_all_that_may_occur() -> None:
    assert candidates(SOURCE, CLASSES, False).tolist() == [2, 3]
    assert candidates(SOURCE, CLASSES, True).tolist() == [0, 1, 2, 3]
    assert candidates(SOURCE, CLASSES.replace(seen=[0, 1, 2]), True).tolist() == [0, 1, 3]
    with pytest.raises(ValueError, match="'b' is not in classes"):
        candidates(SOURCE, CLASSES.replace(seen=[0]), False)
    with pytest.raises(ValueError, match="classes must have unseen classes"):
        candidates(SOURCE, CLASSES.replace(seen=range(4)), True)


def test_every_class_has_the_same_say() -> None:
    y, predicted = torch.tensor([5, 5, 5, 9]), torch.tensor([5, 5, 0, 9])
    assert mean_of_classes(y, predicted) == pytest.approx((2 / 3 + 1) / 2)


def test_the_network_scores_scaled_cosines_lowers_seen_classes_and_never_gives_others() -> None:
    network = semantic_network(2, 2, 3, power=0.5, scale=10.0)
    network.set_map(torch.tensor([0.1, 0.0]), torch.tensor([[0.0, 1.0], [2.0, 0.0]]), torch.eye(3)[:, :2] + 0.5)
    network.allow(torch.tensor([True, True, False]), torch.tensor([True, False, False]), 0.3)
    x = np.array([[4.0, -9.0]])
    unit = np.array([2.0, -3.0]) / 13**0.5
    code = np.array([[0.0, 1.0], [2.0, 0.0]]) @ (unit - [0.1, 0.0])
    prototypes = np.eye(3)[:, :2] + 0.5
    cosine = prototypes @ code / np.linalg.norm(prototypes, axis=1) / np.linalg.norm(code)
    scores = network(torch.as_tensor(x).float())[0].numpy()
    np.testing.assert_allclose(scores[:2], 10 * (cosine[:2] - [0.3, 0.0]), rtol=1e-5)
    assert scores[2] < 10 * NEVER + 11
    np.testing.assert_allclose(normalized(torch.as_tensor(x), 0.5)[0], unit)


def test_classes_to_learn_and_to_generate_are_ordered_by_their_vectors() -> None:
    vectors = torch.tensor([[3.0, 4], [1, 0], [0, 2], [0, 1]])
    seen, made = split_classes(SOURCE, CLASSES, vectors, False)
    assert seen.tolist() == [1, 0]
    assert made.tolist() == [3, 2]
    one = SOURCE.take([1, 3])
    seen, made = split_classes(one, CLASSES, vectors, True)
    assert seen.tolist() == [1]
    assert made.tolist() == [3, 2, 0]  # a seen class without samples is generated, too
    assert split_classes(SOURCE, CLASSES.replace(seen=range(4)), vectors, True)[1].tolist() == [3, 2]
    with pytest.raises(ValueError, match="must have unseen classes"):
        split_classes(SOURCE, CLASSES.replace(seen=range(4)), vectors, False)
    with pytest.raises(ValueError, match=r"'b' is not in classes\.seen"):
        seen_classes(SOURCE, CLASSES.replace(seen=[0]))


def test_positions_are_places_among_some_classes() -> None:
    assert positions(np.array([2, 0, 2]), np.array([0, 2]), 3).tolist() == [1, 0, 1]
    assert positions(np.array([1]), np.array([0, 2]), 3).tolist() == [-1]
