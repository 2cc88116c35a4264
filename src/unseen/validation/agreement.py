"""Agreement: models that were trained apart and call a sample the same are more often right (ICLR 2022)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int


def agreement(prediction: Int[np.ndarray, " n"], others: Sequence[Int[np.ndarray, " n"]]) -> float:
    """The share of samples that two models call the same, in [0, 1], averaged over `others`; larger is better.

    Between two trainings of one method it estimates their accuracy, as far as they are calibrated together.

    Parameters
    ----------
    prediction : int array (n,)
        Labels that a model predicts on the target.
    others : sequence of int arrays (n,)
        What other models predict: the same method with other seeds and other parts of the source, or other methods.

    Source: Jiang, Nagarajan, Baek, Kolter, "Assessing Generalization of SGD via Disagreement", ICLR 2022.

    Raises
    ------
    ValueError
        If there is no other model or no sample, or lengths differ.
    """
    if not others or not len(prediction):
        raise ValueError(f"agreement needs samples and other models; got {len(prediction)} and {len(others)}")
    for other in others:
        if len(other) != len(prediction):
            raise ValueError(f"others must predict {len(prediction)} samples each; got {len(other)}")
    return float(np.mean([np.mean(prediction == other) for other in others]))
