"""PBadv: the analytic checks of its description, and what must hold of any fit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from unseen.data.compositions import compositions
from unseen.data.domain import Domain
from unseen.methods.base import NotFittedError
from unseen.methods.zero_shot.pbadv import PBAdv, primitive_attack
from unseen.methods.zero_shot.pbadv.attack import consistency, semi_positive
from unseen.methods.zero_shot.pbadv.branches import branches
from unseen.methods.zero_shot.pbadv.method import _Known
from unseen.methods.zero_shot.pbadv.oversampling import Accuracy, Recombination, hardness, object_similarity
from unseen.nn.train import Run

PAIRS = torch.tensor([[0, 0], [0, 1], [1, 0], [2, 2]])  # wet dog, wet cat, old dog, dry car
SMOKE = dict(PBAdv.card.smoke)


def problem(n: int = 40, unseen: tuple[int, ...] = (1, 6), seed: int = 0):
    """Three attributes times three objects: features add a vector of each. Source of seen pairs, all, classes."""
    rng = np.random.default_rng(seed)
    pairs = [(f"a{i}", f"o{j}") for i in range(3) for j in range(3)]
    y = np.arange(9 * n) % 9
    parts = rng.normal(size=(2, 3, 12)) * 2
    x = parts[0][y // 3] + parts[1][y % 3] + 0.5 * rng.normal(size=(len(y), 12))
    seen = [k for k in range(9) if k not in unseen]
    whole = Domain(x=x.astype(np.float32), y=y, classes=compositions(pairs, seen=seen))
    return whole.take(np.isin(y, seen)), whole, whole.classes


def network(**changes):
    settings = dict(
        n_features=12, n_attributes=3, n_objects=3, n_pairs=4, embedding=6, hidden=8, words=5, dropout=0.5,
        pairs=True, primitives=True,
    )  # fmt: skip
    made = branches(**(settings | changes))
    made.of_pairs.copy_(PAIRS)
    return made


# -- the attack ------------------------------------------------------------------------------------------------


def test_without_size_and_noise_nothing_changes_and_the_consistency_is_0():
    net = network().eval()
    seen = net.outputs(torch.randn(5, 12))
    y = torch.tensor([0, 1, 2, 0, 1])
    f = primitive_attack(net.attribute_head, seen.f_attribute, y, size=0.0, noise=torch.zeros(5, 12))
    torch.testing.assert_close(f, seen.f_attribute)
    assert consistency(seen.composed, net.composed(f, seen.f_object)).item() == pytest.approx(0, abs=1e-6)
    torch.testing.assert_close(net.attribute_head(f), seen.attribute)


def test_a_step_follows_the_sign_of_the_gradient():
    gradient = torch.tensor([-1.0, 0.0, 2.0])
    f = primitive_attack(
        lambda z: z, torch.tensor([[0.1, -0.2, 0.3]]), torch.tensor([0]), size=0.05, noise=torch.zeros(1, 3),
        direction=gradient.sign()[None],
    )  # fmt: skip
    torch.testing.assert_close(f, torch.tensor([[0.05, -0.2, 0.35]]))


def test_a_small_step_raises_the_loss():
    net = network().eval()
    f, y = net.outputs(torch.randn(8, 12)).f_attribute, torch.arange(8) % 3
    head = lambda z: 20 * net.attribute_head(z)
    attacked = primitive_attack(head, f, y, size=1e-3, noise=torch.zeros_like(f))
    assert F.cross_entropy(head(attacked), y) > F.cross_entropy(head(f), y)


def attacked(method, net, x, y):
    """The attacked loss of a batch, and the clean outputs that it is compared with."""
    a, o = PAIRS[y].T
    out = net.outputs(x, PAIRS)
    return method._attacked(net, x, out, y, a, o, _Known(PAIRS, semi_positive(PAIRS, 0.1)), Run("t", {}, {}, 1, None))


def test_no_gradient_of_the_attacked_losses_reaches_a_disentangler():
    method, net = PBAdv(**SMOKE, base="primitives"), network(pairs=False)
    x, y = torch.randn(6, 12), torch.tensor([0, 1, 2, 3, 0, 1])
    inner = list(net.attribute.parameters()) + list(net.object.parameters())
    grads = torch.autograd.grad(attacked(method, net, x, y), inner, allow_unused=True)
    assert all(grad is None for grad in grads)
    heads = torch.autograd.grad(attacked(method, net, x, y), list(net.phi_attribute.parameters()))
    assert all(grad.any() for grad in heads)


def test_what_is_attacked_are_the_features_without_dropout(monkeypatch):
    from unseen.methods.zero_shot.pbadv import method as module

    met = []
    monkeypatch.setattr(module, "primitive_attack", lambda head, f, y, **more: met.append(f) or f)
    net = network().train()
    x, y = torch.randn(6, 12), torch.tensor([0, 1, 2, 3, 0, 1])
    attacked(PBAdv(**SMOKE), net, x, y)
    assert net.phi_composed.training
    net.eval()
    torch.testing.assert_close(met[0], net.attribute(x))
    torch.testing.assert_close(met[1], net.object(x))


def test_the_attacked_loss_is_the_sum_of_its_four_parts():
    method, net = PBAdv(**SMOKE, sizes=(0.0,), start=0.0), network().eval()
    x, y = torch.randn(6, 12), torch.tensor([0, 1, 2, 3, 0, 1])
    out, targets = net.outputs(x, PAIRS), semi_positive(PAIRS, 0.1)
    a, o = PAIRS[y].T
    naive = F.cross_entropy(40 * out.attribute, a) + F.cross_entropy(40 * out.object, o)
    naive = naive - (targets[y] * torch.log_softmax(20 * out.composed, dim=1)).sum(dim=1).mean()
    torch.testing.assert_close(attacked(method, net, x, y), naive)


def test_the_plain_loss_is_the_sum_of_four_cross_entropies():
    method, net = PBAdv(**SMOKE), network().eval()
    x, y = torch.randn(6, 12), torch.tensor([0, 1, 2, 3, 0, 1])
    out, targets = net.outputs(x, PAIRS), semi_positive(PAIRS, 0.1)
    a, o = PAIRS[y].T
    naive = F.cross_entropy(40 * out.attribute, a) + F.cross_entropy(40 * out.object, o)
    for part in (out.pair, out.composed):
        naive = naive - (targets[y] * torch.log_softmax(20 * part, dim=1)).sum(dim=1).mean()
    torch.testing.assert_close(method._clean(out, y, a, o, _Known(PAIRS, targets)), naive)


@pytest.mark.parametrize("detach", [True, False])
def test_a_detached_composition_trains_the_words_alone(detach):
    net, y = network(), torch.arange(4)
    method = PBAdv(**SMOKE, detach=detach)
    known = _Known(PAIRS, semi_positive(PAIRS, 0.1))
    run = Run("t", {}, {}, 1, None)
    loss = method._recombined(net, torch.randn(4, 12), known, Recombination(PAIRS, y, None), Accuracy(4), 6, run)
    inner = torch.autograd.grad(loss, list(net.attribute.parameters()), allow_unused=True, retain_graph=True)
    assert all(grad is None for grad in inner) == detach
    assert torch.autograd.grad(loss, [net.object_words])[0].any()


# -- targets ---------------------------------------------------------------------------------------------------


def test_semi_positive_targets_by_hand():
    targets = semi_positive(PAIRS, 0.1)
    assert F.cross_entropy(torch.tensor([[2.0, 1, 0, -1]]), targets[[0]]).item() == pytest.approx(0.59019, abs=1e-5)
    assert F.cross_entropy(torch.tensor([[0.0, 1, 2, -1]]), targets[[2]]).item() == pytest.approx(0.64019, abs=1e-5)
    assert targets[0, 3] == 0
    assert targets[3].tolist() == [0, 0, 0, 1]


@given(st.integers(0, 10**6), st.floats(0, 1))
def test_targets_sum_to_1_and_go_to_relatives_alone(seed: int, share: float):
    pairs = torch.unique(torch.as_tensor(np.random.default_rng(seed).integers(0, 4, (9, 2))), dim=0)
    targets = semi_positive(pairs, share)
    torch.testing.assert_close(targets.sum(dim=1), torch.ones(len(pairs)))
    related = (pairs[:, None] == pairs[None]).any(dim=2)
    assert not targets[~related].any()


def test_consistency_by_hand():
    scores = torch.tensor([[2.0, 1, 0, -1], [0, 1, 2, -1]])
    assert consistency(scores, scores.flip(0)).item() == pytest.approx(1.11354, abs=1e-5)
    assert consistency(scores, scores).item() == pytest.approx(0)


# -- oversampling ----------------------------------------------------------------------------------------------


def test_hard_pairs_are_drawn_more_often_by_hand():
    expected = torch.tensor([0.50648, 0.30720, 0.18632])
    torch.testing.assert_close(hardness(torch.tensor([0.0, 0.5, 1.0])), expected, atol=1e-5, rtol=0)


def test_accuracy_is_that_of_the_last_epoch():
    accuracy = Accuracy(3)
    accuracy.note(torch.eye(3)[[0, 1, 1, 2]], torch.tensor([0, 0, 1, 2]))
    assert not accuracy.last.any()
    accuracy.close()
    assert accuracy.last.tolist() == [0.5, 1, 1]
    accuracy.note(torch.eye(3)[[1]], torch.tensor([0]))
    accuracy.close()
    assert accuracy.last.tolist() == [0, 1, 1]  # a pair without a sample in the epoch keeps what it had


@pytest.mark.parametrize("guided", [True, False])
def test_pictures_show_the_attribute_and_the_object_of_the_pair(guided):
    y = torch.tensor([0, 0, 0, 1, 2, 2, 3, 3])
    similarity = object_similarity(torch.randn(3, 4)) if guided else None
    drawn = Recombination(PAIRS, y, similarity).draw(torch.zeros(4), 400, torch.Generator().manual_seed(0))
    assert (PAIRS[y[drawn.of_attribute], 0] == PAIRS[drawn.pair, 0]).all()
    assert (PAIRS[y[drawn.of_object], 1] == PAIRS[drawn.pair, 1]).all()
    assert set(drawn.pair.tolist()) == {0, 1, 2, 3}
    assert set(drawn.of_object.tolist()) == set(range(8))


def test_attributes_come_from_similar_objects_as_softmax_says():
    y = torch.arange(4)
    similarity = torch.tensor([[1.0, 0.5, 0], [0.5, 1, 0], [0, 0, 1]])
    drawn = Recombination(PAIRS, y, similarity).draw(torch.zeros(4), 40_000, torch.Generator().manual_seed(0))
    of_dog = PAIRS[y[drawn.of_attribute[drawn.pair == 0]], 1]
    own, other = np.exp([1, 0.5])
    assert (of_dog == 0).double().mean().item() == pytest.approx(own / (own + other), abs=0.02)


# -- the method ------------------------------------------------------------------------------------------------


def test_pairs_that_were_never_seen_are_recognized():
    source, whole, classes = problem()
    method = PBAdv(epochs=15, hidden=64, embedding=32).fit(source=source, classes=classes)
    new = whole.take(np.isin(whole.labels, classes.unseen))
    among = method.decision_function(new)[:, classes.unseen].argmax(dim=1).numpy()
    assert (classes.unseen[among] == new.labels).mean() > 0.8
    assert (method.attribute_scores(source).argmax(dim=1).numpy() == source.labels // 3).mean() > 0.8
    assert (method.object_scores(source).argmax(dim=1).numpy() == source.labels % 3).mean() > 0.8
    best = method.retrieve(new, 5)
    assert (new.labels[best[classes.unseen]] == classes.unseen[:, None]).mean() > 0.8


def test_without_attack_and_oversampling_it_is_the_model_of_four_branches():
    source, _, classes = problem()
    plain, unused = (
        PBAdv(**SMOKE, attack=0.0, oversampling=False, **more).fit(source=source, classes=classes)
        for more in ({}, {"sizes": (3.0,), "start": 2.0, "guidance": "uniform", "begin": 0.0})
    )
    for key, value in plain.network_.state_dict().items():
        torch.testing.assert_close(value, unused.network_.state_dict()[key], rtol=0, atol=0)


@pytest.mark.parametrize("base", ["branches", "primitives", "pair"])
def test_every_base_model_learns(base):
    source, whole, classes = problem()
    method = PBAdv(epochs=15, hidden=64, embedding=32, base=base).fit(source=source, classes=classes)
    seen = whole.take(np.isin(whole.labels, classes.seen))
    assert (method.predict(seen) == seen.labels).mean() > 0.8


def test_the_score_is_the_sum_of_four_cosines():
    net = network().eval()
    x = torch.randn(3, 12)
    seen = net.outputs(x)
    a, o = PAIRS.T
    torch.testing.assert_close(net(x), seen.pair + seen.composed + seen.attribute[:, a] + seen.object[:, o])
    assert net(x).abs().max() <= 4


def test_a_bias_reaches_seen_and_unseen_pairs_alone():
    source, whole, classes = problem()
    method = PBAdv(**SMOKE).fit(source=source, classes=classes)
    assert set(method.set_params(bias=1e6).predict(whole)) <= set(classes.unseen)
    assert set(method.set_params(bias=-1e6).predict(whole)) <= set(classes.seen)


def test_classes_that_are_no_pairs_and_primitives_without_samples_are_named():
    source, whole, classes = problem()
    with pytest.raises(ValueError, match="pairs of an attribute and an object"):
        PBAdv().fit(source=source, classes=classes.replace(attributes=None, attribute_names=None))
    with pytest.raises(ValueError, match="samples of every attribute of classes; 'a0' has none"):
        PBAdv().fit(source=whole.take(whole.labels > 2), classes=classes)
    with pytest.raises(ValueError, match="sizes must hold"):
        PBAdv(sizes=()).fit(source=source, classes=classes)
    with pytest.raises(ValueError, match="batch_size"):
        PBAdv(batch_size=1)
    with pytest.raises(NotFittedError):
        PBAdv().attribute_scores(whole.x)
    fitted = PBAdv(**SMOKE, base="pair").fit(source=source, classes=classes)
    with pytest.raises(ValueError, match="primitives to score"):
        fitted.object_scores(whole.x)
    with pytest.raises(ValueError, match="k must be at least 1"):
        fitted.retrieve(whole, 0)
