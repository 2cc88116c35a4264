"""What prefix conditioning's claim says of pictures, and how it grades captions that nobody learnt from."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from unseen.claims import prefix_conditioning as claim
from unseen.data.domain import Domain


def test_a_caption_is_the_name_and_a_few_of_its_keywords() -> None:
    said = claim.captioned("red apple", "fruit, food, red, tree, pie", np.random.default_rng(0))
    name, *keywords = said.split(", ")
    assert name == "red apple"
    assert len(set(keywords)) == claim.KEYWORDS
    assert set(keywords) <= {"fruit", "food", "red", "tree", "pie"}
    assert claim.captioned("sun", "day", np.random.default_rng(0)) == "sun, day"


@pytest.mark.parametrize(("mode", "expected"), [("caption", 1.0), ("classification", 10 / 12)])
def test_recall_is_the_share_of_captions_whose_picture_is_among_the_ten_nearest_in_a_mode(
    mode: str, expected: float
) -> None:
    """Twelve pictures; in the other mode a text is the farthest from its own, in two of them."""
    texts = torch.eye(12)
    wrong = 1 - torch.eye(12) + 0.01 * torch.arange(12)
    wrong[2:] = torch.eye(12)[2:]
    given: dict[str, Any] = {"caption": texts, "classification": wrong}
    method: Any = SimpleNamespace(
        encode_text=lambda captions, source: given[source], encode_pictures=lambda x: torch.as_tensor(x)
    )
    pictures = Domain(x=np.eye(12, dtype=np.float32))
    assert claim.recall(method, ["a"] * 12, pictures, mode) == pytest.approx(expected)


def test_arms_differ_in_what_they_are_called_for_alone() -> None:
    """A prefix and naive unification have the same samples and steps; as many captions is half a batch of captions."""
    assert claim.ARMS["naive union"] == {"condition": "none"}
    assert claim.ARMS["prefix"] == {}
    assert claim.ARMS["captions alone, as many captions"]["batch_size"] * 2 == claim.BUDGET["batch_size"]
    assert {name: {k: v for k, v in s.items() if k != "objective"} for name, s in claim.UNICL.items()} == {
        name: dict(claim.ARMS[name]) for name in claim.UNICL
    }
