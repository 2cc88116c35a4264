"""Min-max scaling and the linear softmax classifier whose training goes on."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from unseen.nn.softmax import NEVER, MinMaxScale, Softmax, over_all_classes
from unseen.runtime import reproducible


def blobs(n: int = 60) -> tuple[torch.Tensor, torch.Tensor]:
    y = torch.arange(n) % 3
    return torch.eye(3)[y] + 0.05 * torch.randn(n, 3), y


def test_scaled_training_features_fill_0_to_1_and_a_constant_feature_becomes_0() -> None:
    x = torch.tensor([[1.0, 5.0, -2.0], [3.0, 5.0, 0.0], [2.0, 5.0, 2.0]])
    scale = MinMaxScale(3).measure(x)
    torch.testing.assert_close(scale(x), torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.0, 0.5], [0.5, 0.0, 1.0]]))
    assert float(scale(torch.tensor([[5.0, 5.0, 0.0]]))[0, 0]) == 2.0


@given(st.integers(0, 2**31), st.integers(1, 9), st.floats(0.1, 100))
def test_inverse_undoes_the_scaling(seed: int, d: int, spread: float) -> None:
    x = spread * torch.randn(8, d, generator=torch.Generator().manual_seed(seed))
    scale = MinMaxScale(d).measure(x)
    torch.testing.assert_close(scale.inverse(scale(x)), x, atol=1e-4 * spread, rtol=1e-4)


def test_training_goes_on_where_it_stopped() -> None:
    with reproducible(0):
        x, y = blobs()
        classifier = Softmax(3, 3, learning_rate=0.05)
        first = classifier.train(x, y, name="one", epochs=5, batch_size=16).head.weight.clone()
        steps = int(classifier.adam.state[classifier.head.weight]["step"])
        classifier.train(x, y, name="two", epochs=5, batch_size=16)
    assert steps == 5 * 4
    assert int(classifier.adam.state[classifier.head.weight]["step"]) == 2 * steps
    assert not torch.equal(first, classifier.head.weight)
    assert (classifier.probabilities(x).argmax(dim=1) == y).all()
    torch.testing.assert_close(classifier.probabilities(x).sum(dim=1), torch.ones(len(x)))


def test_over_all_classes_never_predicts_the_others() -> None:
    head = torch.nn.Linear(4, 2)
    scale = MinMaxScale(4).measure(torch.randn(9, 4))
    network = over_all_classes(head, scale, torch.tensor([3, 1]), 5)
    x = torch.randn(6, 4)
    logits = network(x)
    torch.testing.assert_close(logits[:, [3, 1]], head(scale(x)))
    assert (logits[:, [0, 2, 4]] == NEVER).all()
