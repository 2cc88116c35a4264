"""The types that the data layer shares."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Kind = Literal["image", "text", "audio", "clip", "series", "node", "points", "features", "probabilities"]

FloatArray = NDArray[np.floating[Any]]
IntArray = NDArray[np.integer[Any]]
