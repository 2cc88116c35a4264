"""Masks as colours: the legend, mistakes, and words."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from unseen.data.classes import ClassSpace
from unseen.report.tasks import looks_of
from unseen.report.tasks.mask import MISTAKE, colour_of, overlay

LOOKS = looks_of("mask")
CLASSES = ClassSpace(names=("sky", "road"))


def test_a_picture_is_laid_over_with_colours_and_a_legend() -> None:
    sample, label = np.full((40, 60, 3), 128, np.uint8), np.zeros((40, 60), np.int8)
    label[:, 30:] = 1
    source = LOOKS.picture(sample, label, CLASSES)
    assert source is not None
    assert source.startswith("data:image/png;base64,")
    image = Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2])))
    colours = {colour for _, colour in image.getcolors(100000)}
    assert {colour_of(0), colour_of(1)} <= colours  # in the legend


def test_mistakes_are_striped_where_the_truth_is_known() -> None:
    sample, truth = np.zeros((3, 32, 32), np.float32), np.zeros((32, 32), int)
    said = truth.copy()
    said[:, 16:] = 1
    stripes = lambda right: (np.asarray(overlay(sample, said, CLASSES, right)) == MISTAKE).all(axis=2).sum()
    assert stripes(truth) > 1000
    assert stripes(said) == 0
    assert stripes(np.full_like(truth, -1)) == 0


def test_colours_differ() -> None:
    assert len({colour_of(i) for i in range(60)}) == 60


def test_words_name_the_largest_first() -> None:
    label = np.array([[0, 1, 1, 1, -1]])
    assert LOOKS.words(label, CLASSES) == "road 75%, sky 25%"
    assert LOOKS.words(label) == "class 1 75%, class 0 25%"
    assert LOOKS.words(np.full((2, 2), -1)) == "nothing is known"


def test_a_mask_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="as large as its picture"):
        overlay(np.zeros((4, 4, 3), np.uint8), np.zeros((3, 4), int))
