"""The settings of the paper's ten experiments."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any


def _settings(*values: float) -> Mapping[str, float]:
    names = ("classification", "class_souls", "sample_souls", "ratio", "learning_rate", "epochs", "synthetic")
    return MappingProxyType({"hidden": 4096, "balanced": False, **dict(zip(names, values, strict=True))})


PAPER: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "cub-zsl": _settings(0.01, 1e-2, 1e-3, 0.6, 1e-4, 70, 300),
        "flo-zsl": _settings(0.1, 1e-4, 1e-3, 0.6, 1e-4, 97, 300),
        "sun-zsl": {**_settings(0.01, 3e-1, 3e-4, 0.5, 2e-4, 54, 100), "classifier_learning_rate": 5e-4},
        "awa1-zsl": _settings(0.01, 3e-2, 3e-5, 0.1, 1e-5, 30, 300),
        "apy-zsl": _settings(0.01, 1.0, 3e-5, 0.7, 1e-5, 40, 300),
        "cub-gzsl": _settings(0.01, 1e-2, 1e-3, 0.2, 1e-4, 56, 300),
        "flo-gzsl": _settings(0.1, 1e-1, 3e-2, 0.4, 1e-4, 80, 1200),
        "sun-gzsl": _settings(0.01, 3e-1, 3e-5, 0.1, 2e-4, 40, 400),
        "awa1-gzsl": _settings(0.01, 1e-3, 3e-5, 0.1, 1e-5, 30, 1800),
        "apy-gzsl": _settings(0.01, 3e-1, 3e-4, 0.2, 1e-5, 50, 1800),
    }
)
"""The paper's settings, for `LisGAN(generalized=True, **PAPER["cub-gzsl"])` on ResNet-101 features."""
