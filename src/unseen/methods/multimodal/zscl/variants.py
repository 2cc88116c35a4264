"""The methods that ZSCL is compared with, as settings of the same code, and its own parts left out one by one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_PLAIN = {"distillation": 0.0, "consolidation": 0.0, "average_every": 0}
_LWF = {"teacher": "previous", "pictures": "task", "texts": "task", "consolidation": 0.0, "average_every": 0}

VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "zero-shot": {"iterations": 0},
    "fine-tuning": _PLAIN,
    "wise-ft": {**_PLAIN, "wise": 0.8},
    "lwf": _LWF,
    "lwf-vr": {**_LWF, "texts": "noise"},
    "icarl": {**_LWF, "exemplars": 4},
    "distillation alone": {"consolidation": 0.0, "average_every": 0},
    "zscl*": {"consolidation": 0.0},
    "without averaging": {"average_every": 0},
    "without distillation": {"distillation": 0.0},
    "previous teacher": {"teacher": "previous"},
    "wise teacher": {"teacher": "wise"},
    "student texts": {"text_side": "student"},
    "zscl": {},
}
"""Hyperparameters of `ZSCL` by what the literature calls them; "zscl*" is the paper's name for no consolidation."""
