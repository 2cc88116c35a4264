"""Agreement between models, and with all of them together, by hand."""

import numpy as np
import pytest
import torch

from unseen.validation import agreement, ensemble_validation


def test_agreement_is_the_mean_share_of_equal_labels():
    own = np.array([0, 1, 2, 2])
    assert agreement(own, [np.array([0, 1, 0, 0]), own]) == pytest.approx(0.75)


def test_agreement_needs_others_of_one_length():
    with pytest.raises(ValueError, match="other models"):
        agreement(np.array([0]), [])
    with pytest.raises(ValueError, match="2 samples"):
        agreement(np.array([0, 1]), [np.array([0])])


def test_a_candidate_is_scored_by_what_all_say_together():
    a, b, c = (
        torch.tensor([[0.9, 0.1], [0.9, 0.1]]),
        torch.tensor([[0.8, 0.2], [0.2, 0.8]]),
        torch.tensor([[0.7, 0.3]] * 2),
    )
    assert ensemble_validation({"a": a, "b": b, "c": c}) == {"a": 1.0, "b": 0.5, "c": 1.0}


def test_presets_of_one_method_have_one_voice():
    yes, no = torch.tensor([[0.9, 0.1]]), torch.tensor([[0.2, 0.8]])
    p = {"x": no, "y": yes, "y:other": yes}
    assert ensemble_validation(p)["x"] == 0.0
    p = {"x": no, "z": no, "y": yes, "y:other": yes}
    assert ensemble_validation(p)["x"] == 0.0
    assert ensemble_validation(p, {"x": "x", "z": "z", "y": "y", "y:other": "y"})["x"] == 1.0


def test_the_ensemble_needs_one_shape():
    with pytest.raises(ValueError, match="one shape"):
        ensemble_validation({"a": torch.ones(2, 2), "b": torch.ones(3, 2)})
