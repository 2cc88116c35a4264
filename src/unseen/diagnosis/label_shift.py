"""How far the class shares of the target are from those of the source, and how far chance alone would put them."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from unseen.data.typing import FloatArray, IntArray
from unseen.diagnosis.bbse import bbse
from unseen.diagnosis.calibration import bias_corrected
from unseen.diagnosis.components import reduced
from unseen.diagnosis.domain_classifier import domain_auc
from unseen.diagnosis.held_out import held_out_scores
from unseen.nn.mlls import mlls

_DRAWS = 20


@dataclasses.dataclass(frozen=True, eq=False)
class LabelShift:
    """Class shares: of the source, and of the target by two estimators, each (c,).

    Attributes
    ----------
    chance : float
        The total variation that the MLLS estimate shows in 19 of 20 samples of the source itself, of the target's size.
    remaining : float
        AUC of a domain classifier after the source is drawn anew with the MLLS shares: about 0.5 if other shares are
        all that differs, as both estimators take for granted.
    """

    source: FloatArray
    bbse: FloatArray
    mlls: FloatArray
    chance: float
    remaining: float

    @property
    def distance(self) -> float:
        """Total variation between the source's shares and the MLLS estimate, in [0, 1]."""
        return total_variation(self.source, self.mlls)

    def to_json(self, names: tuple[str, ...]) -> dict[str, Any]:
        """Everything in plain numbers; classes by name."""
        return {
            "total_variation": {"bbse": total_variation(self.source, self.bbse), "mlls": self.distance},
            "chance": self.chance,
            "remaining_auc": self.remaining,
            "classes": [
                {"name": name, "source": float(s), "bbse": float(b), "mlls": float(m)}
                for name, s, b, m in zip(names, self.source, self.bbse, self.mlls)
            ],
        }


def total_variation(p: FloatArray, q: FloatArray) -> float:
    """Half the sum of absolute differences of two distributions, in [0, 1]."""
    return float(np.abs(p - q).sum() / 2)


def label_shift(
    source: FloatArray,
    y: IntArray,
    target: FloatArray,
    n_classes: int,
    *,
    seed: int = 0,
    components: tuple[FloatArray, FloatArray] | None = None,
) -> LabelShift | None:
    """Estimate the class shares of the target by BBSE and by MLLS on bias-corrected probabilities.

    Both take for granted that each class looks the same in both domains. Where it does not, the estimate mixes the
    shift of domains into the shares; `remaining` tells.

    Parameters
    ----------
    source, target : array (n, d) and (m, d)
    y : int array (n,)
        Classes of the source.
    components : pair of arrays (n, k) and (m, k), optional
        What `reduced` makes of both with this seed, where it is known already.

    Returns
    -------
    LabelShift or None
        None if the source has fewer than two classes with two samples each.
    """
    counts = np.bincount(y, minlength=n_classes)
    if (counts >= 2).sum() < 2:
        return None
    small, other = reduced(source, target, seed=seed) if components is None else components
    scores = held_out_scores(small, y, other, n_classes, seed=seed)
    p_source, p_target = bias_corrected(scores.source, y, scores.target)
    prior = p_source.mean(axis=0)
    shares = counts / counts.sum()
    rng = np.random.default_rng(seed)
    draws = [mlls(p_source[rng.integers(len(y), size=len(target))], prior, tolerance=1e-4) for _ in range(_DRAWS)]
    chance = float(np.quantile([total_variation(shares, drawn) for drawn in draws], 0.95))
    estimate = mlls(p_target, prior)
    return LabelShift(
        shares, bbse(p_source, y, p_target), estimate, chance, _remaining(source, y, target, estimate, seed)
    )


def _remaining(source: FloatArray, y: IntArray, target: FloatArray, shares: FloatArray, seed: int) -> float:
    """AUC of a domain classifier on the target and a source with these class shares."""
    weight = (shares / np.maximum(np.bincount(y, minlength=len(shares)), 1))[y]
    drawn = np.random.default_rng(seed).choice(len(y), size=len(y), p=weight / weight.sum())
    return domain_auc(source[drawn], target, seed=seed).auc
