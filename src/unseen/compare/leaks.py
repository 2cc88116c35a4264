"""Samples that a method learns from and that stand in the target, too."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from unseen.data.domain import Domain
from unseen.data.duplicates import Leakage, leakage

log = logging.getLogger(__name__)


def leaks(parts: Mapping[str, Domain], features: Mapping[str, Domain]) -> tuple[Leakage, ...]:
    """Samples of the labelled data that stand in the target too: by content, by look, by embedding."""
    leakages = []
    for learned in ("source", "support"):
        seen: Leakage | None = None
        for part in ("target", "held_out"):
            if learned not in parts or part not in parts:
                continue
            vectors = {}
            encoded = features[part] is not parts[part]
            if encoded and parts[part].kind != "audio":  # spectra of unlike sounds lie near each other
                vectors = {"source_features": features[learned].x, "exam_features": features[part].x}
            leak = leakage(parts[learned], parts[part], role=learned, **vectors)
            seen = leak if seen is None else seen + leak
        if seen:
            log.warning("%s", seen.summary())
            leakages.append(seen)
    return tuple(leakages)
