"""`Pairs`: samples of two modalities that belong together."""

from __future__ import annotations

import dataclasses

from unseen.data.domain import Domain


@dataclasses.dataclass(frozen=True, eq=False)
class Pairs:
    """Two domains of equal length whose samples belong together, row by row."""

    left: Domain
    right: Domain
