"""How precisely an encoder computes in a comparison."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from unseen.encoders import Encoder


def as_it_is_saved(tower: Encoder | None) -> Encoder | None:
    """An encoder that may get a second view computes in float32, as the saved model of both does."""
    from unseen.encoders.views import has_second_view

    return tower.exactly() if tower is not None and has_second_view(tower) else tower
