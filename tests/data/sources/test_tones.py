"""Emoji in skin tones."""

import numpy as np
import pytest

from unseen.data.compositions import primitives
from unseen.data.sources import SourceUnavailable, emoji_tones, get, info


def test_pairs_are_of_a_tone_and_an_object_alike_in_all_styles():
    try:
        noto, old = emoji_tones("noto", size=24), get("tones:noto-v1", size=24)
    except SourceUnavailable as error:
        pytest.skip(str(error))
    assert noto.classes.names == old.classes.names
    assert (len(noto), len(old)) == (1650, 890)
    known = primitives(noto.classes)
    assert (len(known.attributes), len(known.objects)) == (5, 330)
    shown = np.array(known.attributes)[known.attribute[noto.labels]]
    np.testing.assert_array_equal(shown, noto.columns["attribute"])
    dark, light = (
        np.mean([np.asarray(noto.x[int(i)]).mean() for i in np.flatnonzero(shown == tone)[:50]])
        for tone in ("dark skin tone", "light skin tone")
    )
    assert dark < light


def test_a_style_without_tones_is_named():
    with pytest.raises(ValueError, match="style must be one of noto"):
        emoji_tones("fxemoji")
    assert "1,650 pairs" in info("tones:noto").summary
