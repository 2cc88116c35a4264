"""Emoji without a background."""

from __future__ import annotations

import numpy as np
import pytest

from unseen.data.sources import SourceUnavailable
from unseen.data.sources.cutouts import GROUPS, emoji_cutouts


def test_what_cannot_be_is_named() -> None:
    with pytest.raises(ValueError, match=r"groups must be among face, animal"):
        emoji_cutouts("noto", groups=("cheese",))
    with pytest.raises(ValueError, match="size must lie in"):
        emoji_cutouts("noto", size=2)


def test_cut_outs_have_an_alpha_channel_and_the_classes_of_their_groups() -> None:
    try:
        made = emoji_cutouts("noto", groups=("face", "fruit"), size=24)
    except SourceUnavailable as error:
        pytest.skip(str(error))
    assert made.x.shape[1:] == (4, 24, 24)
    assert made.classes is not None
    assert made.classes.names == ("face", "fruit")
    alpha = made.x[:, 3]
    assert (alpha[:, 0, 0] == 0).mean() > 0.9  # corners are empty
    assert (alpha[:, 12, 12] == 255).mean() > 0.9  # the middle is not
    assert "grapes" in set(made.columns["name"][made.labels == 1].tolist())
    assert set(GROUPS) > {"face", "fruit"}
    assert np.array_equal(made.x, emoji_cutouts("noto", groups=("face", "fruit"), size=24).x)
