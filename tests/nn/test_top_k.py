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


@pytest.mark.parametrize(("n", "k"), [(640, 4), (200, 7), (5000, 40)])
def test_of_equal_products_the_lower_index_comes_first(n: int, k: int) -> None:
    """Small whole numbers have exact products, and many equal ones."""
    queries, bank = torch.randint(-1, 2, (50, 4)).float(), torch.randint(-1, 2, (n, 4)).float()
    expected = (queries @ bank.T).sort(dim=1, descending=True, stable=True)
    assert torch.equal(top_k(queries, bank, k)[0], expected.indices[:, :k])


@pytest.mark.parametrize("n", [10, 5000])
def test_no_query_has_no_rows(n: int) -> None:
    index, score = top_k(torch.zeros(0, 8), torch.randn(n, 8), 3)
    assert index.shape == score.shape == (0, 3)
