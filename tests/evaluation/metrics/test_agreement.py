"""Agreement of two predictions."""

import numpy as np
import pytest
import torch

from unseen.evaluation.metrics.agreement import top1_agreement


def test_agreement_of_labels_and_of_scores():
    scores = torch.tensor([[0.1, 0.9], [0.8, 0.2], [0.4, 0.6]])
    assert top1_agreement(scores, np.array([1, 1, 1])) == pytest.approx(2 / 3)
    assert top1_agreement(scores, 3 * scores) == 1


@pytest.mark.parametrize(
    ("a", "b"),
    [([1, 2], [1]), ([], []), ([[[1.0]]], [1]), ([[np.nan, 1.0]], [1])],
)
def test_predictions_of_other_samples_and_bad_scores_are_refused(a, b):
    with pytest.raises(ValueError, match="a "):
        top1_agreement(a, b)
