"""The largest inner products without all of them."""

import pytest
import torch

from unseen.nn.top_k import top_k


@pytest.mark.parametrize(("n", "k"), [(5000, 3), (640, 4), (200, 7), (5, 9), (4160, 1)])
def test_the_k_largest_products_are_those_of_a_full_sort(n: int, k: int) -> None:
    queries, bank = torch.randn(600, 8), torch.randn(n, 8)
    expected = (queries @ bank.T).sort(dim=1, descending=True)
    index, score = top_k(queries, bank, k)
    assert torch.equal(index, expected.indices[:, :k])
    torch.testing.assert_close(score, expected.values[:, :k])
