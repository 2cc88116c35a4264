"""The geometry of two views: what cannot be is named."""

from __future__ import annotations

import numpy as np
import pytest

from unseen.nn.two_view import two_view


@pytest.mark.parametrize("confidence", [0.0, 1.0, 1.5, float("nan")])
def test_a_confidence_that_cannot_be_is_named(confidence: float) -> None:
    with pytest.raises(ValueError, match=r"confidence must be in \(0, 1\); got"):
        two_view(np.zeros((20, 4)), confidence=confidence)
