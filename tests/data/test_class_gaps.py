"""What is missing in what is said of classes is counted and told."""

from __future__ import annotations

import numpy as np

from unseen.data.class_gaps import gaps
from unseen.data.classes import ClassSpace

NAMES = ("cat", "dog", "owl")


def test_a_complete_description_has_no_gap() -> None:
    assert gaps(ClassSpace(names=NAMES)) == ()
    assert gaps(ClassSpace(names=NAMES, descriptions=("a", "b", "c"), attributes=np.eye(3), seen=[0, 1, 2])) == ()


def test_missing_descriptions_are_counted() -> None:
    (line,) = gaps(ClassSpace(names=NAMES, descriptions=("purrs", " ", "")))
    assert line == "2 of 3 classes, such as 'dog', have no description: the name stands for it"


def test_attributes_that_are_constant_or_shown_by_no_seen_class_are_counted() -> None:
    attributes = np.array([[1, 0, 1], [1, 0, 2], [1, 1, 3.0]])
    found = gaps(ClassSpace(names=NAMES, attributes=attributes, attribute_names=("legs", "wings", "size"), seen=[0, 1]))
    assert found == (
        "1 of 3 attributes, such as 'legs', are the same for all classes: they tell none apart",
        "1 of 3 attributes, such as 'wings', are the same for all seen classes: no sample shows what they mean",
    )


def test_classes_without_any_attribute_and_alike_ones_are_counted() -> None:
    attributes = np.array([[1, 0], [0, 0], [1, 0.0]])
    found = gaps(ClassSpace(names=NAMES, attributes=attributes))
    assert "1 of 3 classes, such as 'dog', have no attribute: methods that need some refuse them" in found
    assert "1 of 3 classes, such as 'owl', are described as another one is: nothing tells them apart" in found
