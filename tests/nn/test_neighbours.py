"""Neighbours by cosine and the memory bank."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from unseen.nn.neighbours import MemoryBank, nearest


@given(st.integers(2, 12), st.integers(1, 6), st.integers(0, 1000))
def test_neighbours_are_those_of_a_full_sort(n: int, k: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    bank = rng.normal(size=(n, 3))
    bank /= np.linalg.norm(bank, axis=1, keepdims=True)
    queries = rng.normal(size=(4, 3))
    expected = np.argsort(-(queries @ bank.T), axis=1)[:, : min(k, n)]
    np.testing.assert_array_equal(nearest(torch.tensor(queries), torch.tensor(bank), k).numpy(), expected)


def filled(n: int = 6) -> tuple[MemoryBank, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    z, p = torch.randn(n, 4, generator=generator), torch.rand(n, 3, generator=generator)
    bank = MemoryBank(n, 4, 3)
    bank.write(slice(None), z, p)
    return bank, z, p


def test_the_first_neighbour_is_dropped() -> None:
    bank, z, p = filled()
    cosine = torch.nn.functional.cosine_similarity(z[2][None], z)
    first, second, third = cosine.argsort(descending=True)[:3].tolist()
    assert first == 2
    torch.testing.assert_close(bank.consensus(z[2:3] * 5, 2), p[[second, third]].mean(dim=0, keepdim=True))


def test_entries_of_samples_outside_the_batch_stay() -> None:
    bank, z, p = filled()
    before = bank.features.clone(), bank.scores.clone()
    bank.write(torch.tensor([1, 4]), -z[[1, 4]], p[[4, 1]])
    rest = [0, 2, 3, 5]
    assert torch.equal(bank.features[rest], before[0][rest])
    assert torch.equal(bank.scores[rest], before[1][rest])
    torch.testing.assert_close(bank.features[[1, 4]], -before[0][[1, 4]])
    assert torch.equal(bank.scores[[1, 4]], before[1][[4, 1]])


def test_more_neighbours_than_entries_are_all_the_others() -> None:
    bank, z, p = filled(3)
    others = p[[1, 2]].mean(dim=0, keepdim=True)
    torch.testing.assert_close(bank.consensus(z[:1], 10), others)


def test_nothing_carries_a_gradient() -> None:
    bank, z, p = filled()
    z.requires_grad_()
    bank.write(slice(0, 2), z[:2], p[:2])
    assert not bank.features.requires_grad
    assert not bank.consensus(z, 2).requires_grad
