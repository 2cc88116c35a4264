"""A linear map from features of a new modality to a frozen tower's vectors: the simple alternative to `cwcl`."""

from typing import Self

import numpy as np
import torch

from unseen.data.domain import Lazy
from unseen.data.pairs import Pairs
from unseen.data.samplers import tensor
from unseen.methods.base import Card
from unseen.methods.multimodal.attached import AttachablePairs, Attached
from unseen.methods.parameters import Positive
from unseen.nn.dual_encoder import Standardized, feature_head

STRENGTHS = tuple(10.0**k for k in np.arange(-1, 6.5, 0.5))


class RidgeMap(Attached):
    """Map features of the new modality onto the frozen tower's vectors by ridge regression [1].

    The strength of the penalty is chosen by the error of each pair left out, in closed form. Several processes of a
    launcher find the same map, each of all pairs.

    Parameters
    ----------
    frozen, asked
        See `Attached`.
    scale : float, > 0
        Factor of cosines before a softmax; nothing is learnt of it.

    Attributes
    ----------
    alpha_ : float
        The strength that was chosen.

    References
    ----------
    [1] Hoerl and Kennard, "Ridge Regression: Biased Estimation for Nonorthogonal Problems", Technometrics, 1970.
    """

    card = Card(
        slug="ridge-map",
        title="Ridge Regression: Biased Estimation for Nonorthogonal Problems",
        venue="Technometrics 1970",
        summary="Map features of a new modality onto a frozen tower's vectors, linearly.",
        unseen={"modalities", "classes"},
        needs=(AttachablePairs(),),
        distributed=True,
        baseline=True,
    )

    scale: Positive = 20.0

    def fit(self, *, pairs: Pairs) -> Self:
        """Learn the map from pairs of features and vectors."""
        from sklearn.linear_model import RidgeCV

        sides = self._sides(pairs)
        if isinstance(sides.trained.x, Lazy) or sides.trained.x.ndim != 2:
            raise ValueError(f"pairs: the new side must hold features, (n, d); it holds {sides.trained.kind}")
        x = tensor(sides.trained)
        network = feature_head(x.shape[1], sides.frozen.shape[1], 0)
        standardized, linear = network
        assert isinstance(standardized, Standardized)
        standardized.measure(x)
        fitted = RidgeCV(alphas=STRENGTHS).fit(standardized(x).double().numpy(), sides.frozen.double().numpy())
        with torch.no_grad():
            linear.weight.copy_(torch.as_tensor(fitted.coef_))  # type: ignore[operator]
            linear.bias.copy_(torch.as_tensor(fitted.intercept_))  # type: ignore[operator]
        self.alpha_ = float(fitted.alpha_)
        return self._settled(sides, network, None, self.scale)
