"""Vectors of entities by pykeen."""

from __future__ import annotations

import numpy as np
import pytest
import torch

pytest.importorskip("pykeen", reason="vectors of graphs need pykeen")

from unseen.encoders.graph import entity_vectors

TRIPLES = np.array([[i, i % 2, (i + 1) % 6] for i in range(6)])


@pytest.mark.parametrize(("model", "width"), [("TransE", 8), ("DistMult", 8), ("RotatE", 16)])
def test_each_entity_has_a_vector_and_one_seed_gives_the_same(model: str, width: int) -> None:
    state = torch.get_rng_state()
    a, b = (entity_vectors(TRIPLES, model, dim=8, epochs=2, n_entities=7) for _ in range(2))
    assert a.shape == (7, width)
    assert a.dtype == np.float32
    np.testing.assert_array_equal(a, b)
    assert torch.equal(torch.get_rng_state(), state)
    assert not np.array_equal(a, entity_vectors(TRIPLES, model, dim=8, epochs=2, n_entities=7, random_state=1))


def test_bad_input_is_named() -> None:
    with pytest.raises(ValueError, match="model must be one of pykeen's"):
        entity_vectors(TRIPLES, "NoSuchModel")
    with pytest.raises(ValueError, match=r"triples must be of shape \(m, 3\)"):
        entity_vectors(TRIPLES[:, :2])
    with pytest.raises(ValueError, match=r"entities in \[0, 3\)"):
        entity_vectors(TRIPLES, n_entities=3)
