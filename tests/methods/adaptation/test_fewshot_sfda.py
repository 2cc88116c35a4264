"""Few-shot fine-tuning: its protocol, what trains and what rests, and which step is kept."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.few_shot import few_shot_split, unbalanced
from unseen.methods.adaptation.fewshot_sfda import RATES, FewShotSFDA, trained_parts, validation_samples
from unseen.nn.classifier import Classifier, feature_classifier, outputs, train_source
from unseen.runtime import reproducible


def domain(n=90, shift=0.0, seed=0):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 3
    x = np.random.default_rng(7).normal(size=(3, 6))[y] * 3 + rng.normal(size=(n, 6)) + shift
    return Domain(x=x.astype(np.float32), y=y)


def model():
    with reproducible(0):
        return train_source(feature_classifier(6, 3, 8), domain(), epochs=20)


def pictures(seed=0):
    torch.manual_seed(seed)
    backbone = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten())
    bottleneck = nn.Sequential(nn.Linear(4 * 64, 8), nn.BatchNorm1d(8))
    return Classifier(backbone, bottleneck, nn.Linear(8, 3)).eval()


def drawn(n=18, seed=0):
    rng = np.random.default_rng(seed)
    return Domain(x=rng.normal(size=(n, 3, 8, 8)).astype(np.float32), y=np.arange(n) % 3, kind="image")


def changed(before, after):
    """Names of what differs in two state dicts."""
    return {name for name, value in after.items() if not torch.equal(value, before[name])}


# -- the protocol ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shots", [1, 3, 5])
def test_shots_and_validation_are_disjoint_and_outside_of_the_test(shots):
    y = np.arange(120) % 3
    split = few_shot_split(y, shots, seed=4)
    assert np.bincount(y[split.train]).tolist() == [shots] * 3
    assert np.bincount(y[split.validation]).tolist() == [1] * 3
    assert np.bincount(y[split.test]).tolist() == [8] * 3
    assert len(np.unique(np.concatenate(split))) == 3 * shots + 3 + 24


def test_the_test_depends_on_the_seed_only():
    y = np.arange(120) % 3
    assert np.array_equal(few_shot_split(y, 1, seed=4).test, few_shot_split(y, 5, seed=4).test)
    assert not np.array_equal(few_shot_split(y, 1, seed=4).test, few_shot_split(y, 1, seed=5).test)


def test_draws_differ_on_one_test():
    y = np.arange(120) % 3
    first, other = few_shot_split(y, 1, seed=4), few_shot_split(y, 1, seed=4, draw=5)
    assert np.array_equal(first.test, other.test)
    assert not np.array_equal(first.train, other.train)
    assert not np.isin(other.train, first.test).any()
    assert np.array_equal(few_shot_split(y, 1, seed=4, draw=4).train, first.train)


def test_a_class_with_too_few_samples_is_named():
    with pytest.raises(ValueError, match="the smallest has 5"):
        few_shot_split(np.repeat([0, 1, 2], [30, 30, 5]), 4, seed=0)
    with pytest.raises(ValueError, match="6 are needed"):
        few_shot_split(np.repeat([0, 1, 2], [30, 30, 7]), 5, seed=0)
    names = ClassSpace(names=("cup", "pan", "pot"))
    with pytest.raises(ValueError, match=r"the smallest \('pot'\) has 5"):
        few_shot_split(np.repeat([0, 1, 2], [30, 30, 5]), 4, seed=0, classes=names)
    with pytest.raises(ValueError, match="class 'pot' has 5 samples outside the test"):
        few_shot_split(np.repeat([0, 1, 2], [30, 30, 7]), 5, seed=0, classes=names)
    with pytest.raises(ValueError, match="a test sample of each"):
        few_shot_split(np.repeat(np.arange(30), 4), 1, seed=0)
    with pytest.raises(ValueError, match="holds -1"):
        few_shot_split([-1, 0, 1] * 10, 1, seed=0)
    with pytest.raises(ValueError, match="shots must be at least 1"):
        few_shot_split(np.arange(10) % 2, 0, seed=0)


def test_classes_shrink_by_powers_in_one_order_or_the_other():
    y = np.arange(300) % 3
    whole = Domain(x=np.zeros((300, 2), dtype=np.float32), y=y)
    assert np.bincount(unbalanced(whole, 4).labels).tolist() == [100, 50, 25]
    assert np.bincount(unbalanced(whole, 4, reverse=True).labels).tolist() == [25, 50, 100]
    with pytest.raises(ValueError, match="ratio"):
        unbalanced(whole, 0.5)


def test_one_sample_of_each_class_with_two_is_set_aside():
    support = Domain(x=np.zeros((6, 2), dtype=np.float32), y=np.array([0, 0, 0, 1, 1, 2]))
    shots, aside = validation_samples(support, 0)
    assert sorted([*shots, *aside]) == list(range(6))
    assert support.labels[aside].tolist() == [0, 1]


# -- what trains ----------------------------------------------------------------------------------------------


def test_a_linear_probe_changes_the_head_only_statistics_included():
    before = pictures()
    method = FewShotSFDA(strategy="lp", probe_steps=6, validate_every=3).fit(model=before, support=drawn())
    names = changed(before.state_dict(), method.network_.state_dict())
    assert all(name.startswith("head.") for name in names)
    # ... and the steps that were not kept did not move them either
    assert torch.equal(before.bottleneck[1].running_mean, method.network_.bottleneck[1].running_mean)


def test_bn_trains_2d_layers_and_nothing_else():
    before = pictures()
    settings = dict(strategy="bn", steps=5, validate_every=5, learning_rate=0.05)
    method = FewShotSFDA(**settings).fit(model=before, support=one_each(drawn()))
    names = changed(before.state_dict(), method.network_.state_dict())
    assert {"backbone.1.weight", "backbone.1.bias"} <= names
    assert all(name.startswith("backbone.1.") for name in names)


def one_each(support):
    """One sample per class: none is aside, so that the last step is kept."""
    return support.take(slice(0, 3))


def test_bn_and_head_and_features():
    before = pictures()
    both = FewShotSFDA(strategy="bn-head", steps=3, learning_rate=0.05).fit(model=before, support=one_each(drawn()))
    assert {n.split(".")[0] for n in changed(before.state_dict(), both.network_.state_dict())} == {"backbone", "head"}
    body = FewShotSFDA(strategy="features", steps=3, learning_rate=0.05).fit(model=before, support=one_each(drawn()))
    names = changed(before.state_dict(), body.network_.state_dict())
    assert not any(name.startswith("head.") for name in names)
    assert {name.split(".")[0] for name in names} == {"backbone", "bottleneck"}


def test_without_steps_it_is_the_source_model():
    before = model()
    method = FewShotSFDA(steps=0, probe_steps=0).fit(model=before, support=domain(9, shift=1.0))
    assert not changed(before.state_dict(), method.network_.state_dict())
    assert method.chosen_step_ == 0


def test_at_rate_0_fine_tuning_moves_statistics_only():
    before = pictures()
    method = FewShotSFDA(strategy="ft", steps=3, learning_rate=0.0).fit(model=before, support=one_each(drawn()))
    names = changed(before.state_dict(), method.network_.state_dict())
    assert names
    assert all("running" in name or "num_batches" in name for name in names)


def test_lp_ft_without_fine_tuning_is_lp():
    support = domain(12, shift=1.0, seed=3)
    settings = dict(probe_steps=40, validate_every=10)
    lp = FewShotSFDA(strategy="lp", **settings).fit(model=model(), support=support)
    both = FewShotSFDA(strategy="lp-ft", steps=0, **settings).fit(model=model(), support=support)
    assert not changed(lp.network_.state_dict(), both.network_.state_dict())


def test_sam_of_a_tiny_radius_is_adam_and_of_another_is_not():
    support, start = one_each(domain(12, shift=1.0, seed=3)), plain()
    settings = dict(strategy="ft", steps=5, learning_rate=1e-3)
    adam, none, sam = (FewShotSFDA(rho=r, **settings).fit(model=start, support=support) for r in (0.0, 1e-9, 0.5))
    a, b, c = (m.decision_function(domain()) for m in (adam, none, sam))
    torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-3)
    assert not torch.allclose(a, c, atol=1e-3)


def test_adaptive_sam_climbs_by_the_squared_weights(monkeypatch):
    """The gradient at theta + rho w^2 g / || |w| g || of one step by SGD, computed by hand."""
    monkeypatch.setattr(torch.optim, "Adam", torch.optim.SGD)
    support, start = one_each(domain(12, shift=1.0, seed=3)), plain()
    settings = dict(strategy="ft", steps=1, batch_size=64, learning_rate=0.1, rho=0.5, adaptive=True)
    seen = []
    monkeypatch.setattr(start.__class__, "forward", lambda self, x: (seen.append(x), self.head(self.embed(x)))[1])
    found = FewShotSFDA(**settings).fit(model=start, support=support).network_
    x = next(batch for batch in seen if len(batch) == 64)
    y = torch.as_tensor(support.labels)[torch.cdist(x, torch.as_tensor(support.x)).argmin(dim=1)]
    hand = copy.deepcopy(start).requires_grad_(True)
    weights = list(hand.parameters())
    g = torch.autograd.grad(nn.functional.cross_entropy(hand(x), y), weights)
    length = torch.stack([(w.abs() * d).norm() for w, d in zip(weights, g)]).norm()
    moved = [w.detach() + 0.5 * w.detach() ** 2 * d / length for w, d in zip(weights, g)]
    there = copy.deepcopy(hand)
    with torch.no_grad():
        for w, value in zip(there.parameters(), moved):
            w.copy_(value)
    climbed = torch.autograd.grad(nn.functional.cross_entropy(there(x), y), list(there.parameters()))
    for w, d, after in zip(weights, climbed, found.parameters()):
        torch.testing.assert_close(after.detach(), w.detach() - 0.1 * d, atol=1e-5, rtol=1e-4)


def plain():
    """A source model without BatchNorm."""
    with reproducible(0):
        net = Classifier(nn.Sequential(nn.Linear(6, 8), nn.Tanh()), nn.Identity(), nn.Linear(8, 3))
        return train_source(net, domain(), epochs=60)


# -- which step is kept ---------------------------------------------------------------------------------------


def test_the_kept_step_has_the_least_loss_aside():
    support = domain(15, shift=1.5, seed=3)
    method = FewShotSFDA(steps=60, probe_steps=20, validate_every=5, learning_rate=1e-3).fit(
        model=model(), support=support
    )
    losses = method.validation_loss_
    assert len(losses) == 13
    assert method.chosen_step_ == 5 * int(np.argmin(losses))
    aside = support.take(validation_samples(support, 0)[1])
    logits = outputs(method.network_, aside)[1]
    found = nn.functional.cross_entropy(logits, torch.as_tensor(aside.labels))
    assert float(found) == pytest.approx(losses.min(), rel=1e-4)


def test_training_that_only_harms_keeps_the_start(monkeypatch):
    support, before = domain(60, seed=3), plain()
    said = outputs(before, support)[1].argmax(dim=1).numpy()
    mask = np.arange(60) % 4 == 0  # aside: labels as the model has them; shots: other labels
    labels = np.where(mask, said, (said + 1) % 3)
    parts = (np.flatnonzero(~mask), np.flatnonzero(mask))
    monkeypatch.setattr("unseen.methods.adaptation.fewshot_sfda.validation_samples", lambda *_: parts)
    method = FewShotSFDA(strategy="ft", steps=40, validate_every=5)
    method.fit(model=before, support=support.replace(y=labels))
    assert method.chosen_step_ == 0
    assert not changed(before.state_dict(), method.network_.state_dict())


def test_without_samples_aside_the_last_step_is_kept():
    method = FewShotSFDA(steps=12, validate_every=5).fit(model=model(), support=one_each(domain(12)))
    assert method.chosen_step_ == 12
    assert len(method.validation_loss_) == 0


def test_a_few_labels_win_back_what_a_shift_took():
    before, target = model(), domain(300, shift=2.5, seed=5)
    few = target.take(few_shot_split(target.labels, 4, seed=0).train)
    start = float((outputs(before, target)[1].argmax(dim=1).numpy() == target.y).mean())
    method = FewShotSFDA(steps=100, probe_steps=100, learning_rate=1e-3).fit(model=before, support=few)
    assert float((method.predict(target) == target.y).mean()) > start + 0.1
    assert not changed(before.state_dict(), copy.deepcopy(before).state_dict())


def test_the_rate_is_the_one_with_the_least_loss_aside():
    support = domain(15, shift=1.5, seed=3)
    settings = dict(steps=40, probe_steps=20, validate_every=5)
    chosen = FewShotSFDA(**settings).fit(model=model(), support=support)
    losses = {r: FewShotSFDA(learning_rate=r, **settings).fit(model=model(), support=support) for r in RATES}
    least = {rate: method.validation_loss_.min() for rate, method in losses.items()}
    assert chosen.chosen_rate_ == min(least, key=least.get)
    assert chosen.validation_loss_.min() == pytest.approx(min(least.values()))
    alone = FewShotSFDA(**settings).fit(model=model(), support=one_each(support))
    assert alone.chosen_rate_ == RATES[0]


def test_random_views_on_samples_aside_are_an_option():
    found = [
        FewShotSFDA(strategy="ft", steps=4, validate_every=2, validate_as=v).fit(model=pictures(), support=drawn())
        for v in ("test", "train")
    ]
    assert found[0].validation_loss_[1] != found[1].validation_loss_[1]


def test_views_of_rand_augment_are_an_option():
    support = one_each(drawn())
    methods = [FewShotSFDA(strategy="ft", steps=4, views=v) for v in ("same", "jitter", "rand-augment", "rand-augment")]
    same, jitter, first, again = (
        method.fit(model=pictures(), support=support).decision_function(torch.as_tensor(support.x))
        for method in methods
    )
    assert not torch.equal(first, same)
    assert not torch.equal(first, jitter)
    assert torch.equal(first, again)


def test_what_does_not_fit_is_named():
    with pytest.raises(ValueError, match="2-D BatchNorm layers; the model has none"):
        FewShotSFDA(strategy="bn").fit(model=model(), support=domain(9))
    with pytest.raises(ValueError, match="support has label 3"):
        FewShotSFDA().fit(model=model(), support=domain(9).replace(y=domain(9).y + 1))
    with pytest.raises(ValueError, match="nothing to train"):
        FewShotSFDA(strategy="features").fit(
            model=Classifier(nn.Identity(), nn.Identity(), nn.Linear(6, 3)), support=domain(9)
        )
    assert trained_parts(pictures(), "ft")


def test_fine_tuning_starts_from_the_last_step_of_the_probe():
    support = domain(15, shift=1.5, seed=3)
    settings = dict(probe_steps=35, validate_every=7, learning_rate=1e-3, probe_rate=1e-2)
    both = FewShotSFDA(steps=14, **settings).fit(model=model(), support=support)
    probe = FewShotSFDA(strategy="lp", steps=0, **settings).fit(model=model(), support=support)
    assert both.validation_loss_[0] == pytest.approx(probe.validation_loss_[-1], rel=1e-5)
    assert both.validation_loss_[0] != pytest.approx(probe.validation_loss_[0], rel=1e-2)


def test_of_equal_losses_the_earlier_step_is_kept():
    method = FewShotSFDA(strategy="lp", probe_steps=20, probe_rate=0.0, learning_rate=0.0, validate_every=5)
    assert method.fit(model=model(), support=domain(15, seed=3)).chosen_step_ == 0


def test_smoothing_and_the_rate_of_the_probe_have_their_say():
    support = domain(15, shift=1.5, seed=3)
    settings = dict(strategy="lp", probe_steps=20, validate_every=5, learning_rate=1e-3)
    plain, smooth, slow, ten = (
        FewShotSFDA(**settings, **more).fit(model=model(), support=support).validation_loss_[-1]
        for more in ({}, {"smoothing": 0.5}, {"probe_rate": 1e-3}, {"probe_rate": 1e-2})
    )
    assert plain == ten  # ten times the rate of fine-tuning
    assert len({plain, smooth, slow}) == 3
