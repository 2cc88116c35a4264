"""TRAM as a method; its optimizer has tests of its own in tests/nn/test_sharpness.py."""

import numpy as np
import pytest
import torch
from torch import nn

from unseen.data.domain import Domain
from unseen.methods.generalization.tram import TRAM
from unseen.nn.classifier import Classifier, feature_classifier


def source(n=90, seed=0):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 3
    return Domain(x=(np.eye(6)[y] * 3 + rng.normal(size=(n, 6))).astype(np.float32), y=y)


def model(seed=0):
    torch.manual_seed(seed)
    return Classifier(nn.Sequential(nn.Linear(6, 8), nn.Tanh()), nn.Identity(), nn.Linear(8, 3))


def weights(method):
    return nn.utils.parameters_to_vector(method.network_.parameters()).detach()


def fitted(**settings):
    return TRAM(epochs=3, batch_size=30, learning_rate=0.01, **settings).fit(source=source(), model=model())


def test_the_first_step_is_that_of_plain_fine_tuning_and_later_ones_are_not():
    one = dict(epochs=1, batch_size=90, learning_rate=0.01)
    for reference in ("previous", "pretrained", "average"):
        tram = TRAM(reference=reference, **one).fit(source=source(), model=model())
        plain = TRAM(ascent="none", **one).fit(source=source(), model=model())
        assert torch.equal(weights(tram), weights(plain))
    assert not torch.equal(weights(fitted()), weights(fitted(ascent="none")))


@pytest.mark.parametrize("reference", ["previous", "pretrained", "average", "noise"])
def test_the_radius_is_what_the_function_moved(reference):
    method = fitted(reference=reference)
    assert (method.history_["radius"] > 0).all()
    assert (method.history_["cut"] == 0).all()
    assert (method.history_["sharpness"] >= -1e-3).all()


def test_from_the_pretrained_function_the_distance_grows():
    radius = fitted(reference="pretrained").history_["radius"]
    assert radius[0] < radius[1] < radius[2]


def test_the_penalty_holds_the_function():
    """MESA, R3F and the previous step's penalty: the further reference moves less the more it weighs."""
    free, held = (fitted(ascent="none", reference="pretrained", penalty=w) for w in (0.0, 50.0))
    start = torch.softmax(model()(torch.as_tensor(source().x)), dim=1)
    moved = [float((m.predict_proba(source()) - start).abs().mean()) for m in (free, held)]
    assert moved[1] < 0.5 * moved[0]


def test_constant_ascent_is_sam_with_its_radius():
    method = fitted(ascent="constant", rho=0.07)
    np.testing.assert_allclose(method.history_["radius"], 0.07)
    assert not torch.equal(weights(method), weights(fitted(ascent="constant", rho=0.0)))
    torch.testing.assert_close(
        weights(fitted(ascent="constant", rho=0.0)), weights(fitted(ascent="none")), atol=1e-6, rtol=1e-5
    )


@pytest.mark.parametrize("geometry", ["adaptive", "fisher"])
def test_other_geometries_are_other_trainings(geometry):
    assert not torch.equal(weights(fitted(geometry=geometry, scale=20.0)), weights(fitted(scale=20.0)))


def test_the_released_ascent_differs():
    assert not torch.equal(weights(fitted(released=True, scale=20.0)), weights(fitted(scale=20.0)))


def test_a_network_with_batch_statistics_is_compared_without_them():
    torch.manual_seed(0)
    method = TRAM(epochs=1, batch_size=90).fit(source=source(), model=feature_classifier(6, 3, 8))
    assert method.history_["radius"][0] == pytest.approx(0, abs=1e-9)


def test_a_label_without_output_is_named():
    with pytest.raises(ValueError, match="source has label 3; the network has outputs for 3"):
        TRAM().fit(source=source().replace(y=source().y + 1), model=model())


def test_a_penalty_is_0_where_nothing_has_moved_whatever_the_statistics_of_the_batch():
    torch.manual_seed(0)
    start = feature_classifier(6, 3, 8)
    one = dict(epochs=1, batch_size=90, ascent="none", reference="pretrained")
    losses = [TRAM(penalty=w, **one).fit(source=source(), model=start).history_["loss"][0] for w in (0.0, 1e4)]
    assert losses[1] == pytest.approx(losses[0], abs=1e-4)


def test_batch_statistics_move_once_in_a_step():
    torch.manual_seed(0)
    start = feature_classifier(6, 3, 8)
    one = dict(epochs=1, batch_size=90)
    sharp = TRAM(ascent="constant", rho=0.5, **one).fit(source=source(), model=start).network_
    plain = TRAM(ascent="none", **one).fit(source=source(), model=start).network_
    torch.testing.assert_close(sharp.bottleneck[1].running_mean, plain.bottleneck[1].running_mean)


def test_kind_scale_and_decay_reach_the_trust_region():
    base = fitted(reference="average").history_["radius"]
    assert not np.allclose(fitted(reference="average", kind="l2").history_["radius"], base)
    assert not np.allclose(fitted(reference="average", decay=0.5).history_["radius"], base)
    first = dict(epochs=1, batch_size=30, learning_rate=0.01)
    one, two = (TRAM(scale=s, **first).fit(source=source(), model=model()).history_["radius"][0] for s in (1.0, 2.0))
    assert two == pytest.approx(2 * one, rel=0.2)


def test_a_form_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="released=True is a form of ascent='divergence'"):
        TRAM(released=True, ascent="constant").fit(source=source(), model=model())
    with pytest.raises(ValueError, match="no ascent of the geometry 'fisher'"):
        TRAM(released=True, geometry="fisher").fit(source=source(), model=model())


def test_uniform_noise_is_another_training_than_normal_noise():
    method = fitted(reference="noise", uniform=True, scale=20.0)
    assert (method.history_["radius"] > 0).all()
    assert not torch.equal(weights(method), weights(fitted(reference="noise", scale=20.0)))


def test_the_length_of_the_gradient_is_told():
    """A step of the whole source from the start: the mean over one epoch of one batch is ||g|| itself."""
    net, domain = model(), source()
    loss = nn.functional.cross_entropy(net(torch.as_tensor(domain.x)), torch.as_tensor(domain.y))
    g = torch.cat([part.flatten() for part in torch.autograd.grad(loss, net.parameters())])
    for settings in ({}, {"ascent": "constant"}, {"released": True}):
        method = TRAM(epochs=1, batch_size=90, **settings).fit(source=domain, model=net)
        assert method.history_["length"][0] == pytest.approx(float(g.norm()), rel=1e-5)


def test_the_published_eta_is_all_but_sam_and_a_large_one_is_not():
    constant = dict(ascent="constant", rho=0.05)
    plain, published, bent = (
        weights(fitted(**constant, **more))
        for more in ({}, {"geometry": "fisher", "eta": 1.0}, {"geometry": "fisher", "eta": 1e5})
    )
    moved = (plain - nn.utils.parameters_to_vector(model().parameters()).detach()).norm()
    assert (published - plain).norm() < 0.02 * moved
    assert (bent - plain).norm() > 0.05 * moved
