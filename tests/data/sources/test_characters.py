"""Printed characters: the digits among them are those of `digits`."""

import numpy as np
import pytest

from unseen.data.sources import characters, digits
from unseen.data.sources.digits import FONTS


def test_the_ten_digits_are_those_of_digits():
    ours, theirs = characters("0123456789", size=16, copies=1), digits("printed", size=16, copies=1, flat=True)
    np.testing.assert_array_equal(ours.x, theirs.x)
    assert ours.y.tolist() == theirs.y.tolist()
    assert ours.ids.tolist() == theirs.ids.tolist()


def test_letters_are_classes_in_their_order_in_every_font():
    domain = characters("bA", size=12, copies=2)
    assert domain.classes.names == ("b", "A")
    assert len(domain) == 2 * 2 * len(np.unique(domain.columns["font"]))
    assert 0 <= domain.x.min() < domain.x.max() <= 1
    assert (domain.x.max(axis=1) > 0.5).all()


@pytest.mark.parametrize("text", ["", "aa", "a b"])
def test_what_is_no_class_is_refused(text):
    with pytest.raises(ValueError, match="text must be different letters"):
        characters(text)


def test_other_scripts_are_drawn_in_the_fonts_that_have_them():
    fonts = {text: set(characters(text, size=12, copies=1).columns["font"]) for text in ("ab", "жш", "ԱԲ")}
    assert fonts["ԱԲ"] < fonts["жш"] < fonts["ab"] == set(FONTS)
    assert all(font.startswith("DejaVu") for font in fonts["ԱԲ"])
    with pytest.raises(ValueError, match=r"that a font of matplotlib has, all of them; got 'a漢'"):
        characters("a漢")
