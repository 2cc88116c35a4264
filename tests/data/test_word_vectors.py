"""Names of classes as means of word vectors."""

import numpy as np
import pytest

from unseen.data.word_vectors import name_vectors

WORDS = {"brush": [1.0, 0], "hair": [0, 1.0], "Paris": [3, 4], "not": [1.0, 0], "so": [-1.0, 0]}


def test_a_name_is_the_unit_mean_of_its_unique_words():
    expected = np.array([1, 1]) / 2**0.5
    for name in ("brush hair", "brush_hair", "BrushHair", "brush-hair hair", "Brush, the hair"):
        np.testing.assert_allclose(name_vectors([name], WORDS)[0], expected, rtol=1e-6)
    np.testing.assert_allclose(name_vectors(["Paris"], WORDS), [[0.6, 0.8]])


def test_a_name_of_unknown_words_and_one_whose_words_cancel_are_named():
    with pytest.raises(ValueError, match="no word of 'xyz 12' has a vector"):
        name_vectors(["hair", "xyz 12"], WORDS)
    with pytest.raises(ValueError, match="'not so' have the mean 0"):
        name_vectors(["not so"], WORDS)
