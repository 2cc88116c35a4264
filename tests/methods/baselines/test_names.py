"""What is learnt from class names and an unlabeled pool."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.methods.baselines._names import assigned, moved
from unseen.methods.baselines.consensus import OPINIONS, Consensus
from unseen.methods.baselines.describe import Describe
from unseen.methods.baselines.describe_centred import DescribeCentred, estimated_shares
from unseen.methods.baselines.propagate_names import PropagateNames
from unseen.methods.baselines.self_train_names import SelfTrainNames


def pool(n=60, classes=4, seed=0):
    rng = np.random.default_rng(seed)
    names = rng.normal(size=(classes, 12))
    x = names[np.arange(n) % classes] + 0.8 * rng.normal(size=(n, 12)) + rng.normal(size=12)
    space = ClassSpace(names=tuple("abcdefgh"[:classes]), embeddings=names.astype(np.float32))
    return Domain(x=x.astype(np.float32), kind="features", name="pool"), space


def cosines(x, names):
    unit = lambda a: a / np.linalg.norm(a, axis=1, keepdims=True)
    return unit(x) @ unit(names).T


def test_centred_scores_are_cosines_less_their_means():
    target, classes = pool()
    s = cosines(target.x, classes.embeddings)
    found = DescribeCentred(scale=1.0).fit(classes=classes, target=target).decision_function(target)
    assert np.allclose(found.numpy(), s - s.mean(axis=0), atol=1e-5)
    assert np.allclose(found.numpy().mean(axis=0), 0, atol=1e-5)


def test_no_centring_is_describe():
    target, classes = pool()
    none = DescribeCentred(strength=0.0).fit(classes=classes, target=target)
    plain = Describe().fit(classes=classes)
    assert torch.allclose(none.decision_function(target), plain.decision_function(target), atol=1e-4)


def test_a_style_that_all_samples_share_is_centred_away():
    target, classes = pool()
    hub = classes.embeddings.copy()
    hub[0] += 3 * target.x.mean(axis=0)  # a name near to everything
    classes = classes.replace(embeddings=hub)
    plain = Describe().fit(classes=classes).predict(target)
    centred = DescribeCentred().fit(classes=classes, target=target).predict(target)
    y = np.arange(len(target)) % 4
    assert (centred == y).mean() > (plain == y).mean()


def test_estimated_shares_are_bounded_and_follow_sure_samples():
    p = torch.tensor([[0.999, 0.001]] * 9 + [[0.001, 0.999]])
    assert estimated_shares(p, 10.0)[0] == pytest.approx(0.9, abs=0.01)
    one = torch.tensor([[1.0, 0.0, 0.0]] * 10)
    shares = estimated_shares(one, 2.0)
    assert shares.sum() == pytest.approx(1)
    assert shares[0] / shares[1] == pytest.approx(4, rel=1e-3)


def test_without_neighbours_and_balance_the_graph_says_what_the_names_say():
    target, classes = pool()
    found = PropagateNames(alpha=0.0, balance=0.0).fit(classes=classes, target=target)
    assert (found.transduction_ == cosines(target.x, classes.embeddings).argmax(axis=1)).all()


def test_anchored_at_the_names_prediction_is_describe():
    target, classes = pool()
    plain = Describe().fit(classes=classes).decision_function(target)
    for method in (PropagateNames(anchor=1.0), SelfTrainNames(anchor=1.0)):
        fitted = method.fit(classes=classes, target=target)
        assert torch.allclose(fitted.decision_function(target), plain, atol=1e-4)


def test_neighbours_mend_what_names_alone_get_wrong():
    rng = np.random.default_rng(3)
    centres = np.eye(3, 20) * 4
    y = np.arange(150) % 3
    x = centres[y] + 0.5 * rng.normal(size=(150, 20))
    names = centres + 2.4 * rng.normal(size=centres.shape)
    classes = ClassSpace(names=("a", "b", "c"), embeddings=names.astype(np.float32))
    target = Domain(x=x.astype(np.float32), kind="features", name="pool")
    plain = (Describe().fit(classes=classes).predict(target) == y).mean()
    assert plain < 0.95
    for method in (PropagateNames(), SelfTrainNames()):
        assert (method.fit(classes=classes, target=target).predict(target) == y).mean() > plain


def test_a_class_without_samples_stays_at_its_name():
    names = torch.nn.functional.normalize(torch.tensor([[1.0, 0.0], [0.0, 1.0]]), dim=1)
    x = torch.tensor([[0.6, 0.8], [0.8, 0.6]])
    found = moved(names, x, torch.tensor([[1.0, 0.0], [1.0, 0.0]]), 0.5)
    assert torch.equal(found[1], names[1])
    half = (names[0] + torch.nn.functional.normalize(x.sum(dim=0), dim=0)) / 2
    assert torch.allclose(found[0], half / half.norm())


@settings(max_examples=20, deadline=None)
@given(st.floats(0.01, 100.0), st.integers(0, 5))
def test_assignment_does_not_depend_on_the_scale_of_scores(scale, seed):
    scores = torch.as_tensor(np.random.default_rng(seed).normal(size=(9, 3))).float()
    assert torch.allclose(assigned(scores, 3.0), assigned(scale * scores, 3.0), atol=1e-4)


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("method", [DescribeCentred, PropagateNames, SelfTrainNames])
def test_tiny_pools_are_predicted(method, n):
    target, classes = pool()
    small = target.take(np.arange(n))
    assert method().fit(classes=classes, target=small).predict(small).shape == (n,)


def test_the_consensus_of_names_lies_between_names_and_what_is_agreed():
    target, classes = pool(n=8, classes=2)
    agreed = np.eye(2)[[0, 0, 0, 0, 1, 1, 1, 1]].astype(np.float32)
    fitted = Consensus().fit(classes=classes, target=target.replace(columns={OPINIONS: agreed}))
    unit = lambda a: a / np.linalg.norm(a, axis=-1, keepdims=True)
    means = np.stack([unit(unit(target.x)[part].sum(axis=0)) for part in (slice(0, 4), slice(4, 8))])
    expected = unit(0.5 * unit(classes.embeddings) + 0.5 * means)
    assert np.allclose(fitted.network_.weight.numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("method", [DescribeCentred, PropagateNames, SelfTrainNames])
def test_names_without_embeddings_are_refused(method):
    target, classes = pool()
    with pytest.raises(ValueError, match="classes must have embeddings"):
        method().fit(classes=ClassSpace(names=classes.names), target=target)
