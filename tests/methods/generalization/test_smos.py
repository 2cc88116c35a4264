"""SMOS: the analytic checks of its terms, the teacher, and what is left when terms are taken away."""

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn

from unseen.data.augment import jittered_crop
from unseen.data.domain import Domain
from unseen.data.samplers import joint_batches
from unseen.methods.generalization.smos import (
    SMOS,
    VarianceEncoder,
    released_js,
    squares,
    train_precursor,
    variational_term,
)
from unseen.nn.averaging import DenseAverage
from unseen.nn.classifier import Classifier, feature_classifier
from unseen.nn.convnet import small_convnet
from unseen.nn.state import digest

MODULE = "unseen.methods.generalization.smos"

G = torch.Generator().manual_seed(0)
P, Q = torch.tensor([[0.2, 0.8, 0.0], [1.0, 0.5, 2.0]]), torch.tensor([[0.4, 0.1, 0.5], [1.0, 0.5, 2.0]])


def other(seed=1):
    """A precursor."""
    return {"precursor": network(seed)}


def network(seed=0):
    torch.manual_seed(seed)
    backbone = nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.ReLU())
    return Classifier(backbone, nn.Identity(), nn.Linear(5, 3))


def source(n=90, domains=3, seed=0):
    rng = np.random.default_rng(seed)
    y = np.arange(n) // domains % 3
    x = (np.eye(6)[y] * 3 + rng.normal(size=(n, 6))).astype(np.float32)
    return Domain(x=x, y=y, columns={"domain": np.array([f"d{i % domains}" for i in range(n)])})


def pictures(seed=0, n=40):
    rng = np.random.default_rng(seed)
    y = np.arange(n) // 2 % 2
    x = (rng.random((n, 3, 8, 8)) + y[:, None, None, None]).astype(np.float32)
    return Domain(x=x, y=y, kind="image", columns={"domain": np.array(["a", "b"] * (n // 2))})


def learnt(method):
    return digest(dict(method.network_.state_dict()))


# -- the variational term -----------------------------------------------------------------------------------


def test_the_variances_begin_at_a_tenth():
    encoder = VarianceEncoder(torch.zeros(4))
    torch.testing.assert_close(encoder(), torch.full((4,), 0.1))
    torch.testing.assert_close(encoder.b.detach(), torch.full((4,), -2.25227), atol=1e-4, rtol=0)


def test_features_one_apart_with_variance_a_tenth_give_the_worked_value():
    var = VarianceEncoder(torch.zeros(2))()
    for shape in ((3, 2), (3, 2, 4, 4), (3, 5, 2)):
        t = torch.randn(shape, generator=G)
        assert variational_term(t + 1, t, var).item() == pytest.approx(3.848707, abs=1e-4)


def test_student_equal_to_teacher_leaves_log_var_and_no_gradient_on_features():
    encoder, t = VarianceEncoder(torch.zeros(2)), torch.randn(3, 2, 4, 4, generator=G)
    f = t.clone().requires_grad_()
    reg = variational_term(f, t, encoder())
    assert reg.item() == pytest.approx(0.5 * math.log(0.1), abs=1e-5)
    reg.backward()
    assert not f.grad.any()
    assert encoder.b.grad.abs().min() > 0


def test_the_gradient_of_a_variance_is_0_where_it_is_the_mean_square_of_its_channel():
    f, t = torch.randn(8, 3, 4, 4, generator=G), torch.randn(8, 3, 4, 4, generator=G)
    best = (f - t).square().mean(dim=(0, 2, 3))
    encoder = VarianceEncoder(best)
    variational_term(f, t, encoder()).backward()
    torch.testing.assert_close(encoder.b.grad, torch.zeros(3), atol=1e-6, rtol=0)


def test_the_variance_is_of_the_channel_it_stands_for():
    f, t = torch.zeros(2, 2, 3, 3), torch.zeros(2, 2, 3, 3)
    f[:, 1] = 1
    found = variational_term(f, t, torch.tensor([1.0, 0.5]))
    assert float(found) == pytest.approx((0 + 2 + math.log(0.5)) / 4)


def test_variances_begin_at_the_mean_square_of_their_channel_or_at_the_papers():
    model, teacher, domain = network(), network(1), source()
    with torch.no_grad():
        apart = model.eval().embed(torch.as_tensor(domain.x)) - teacher.eval().embed(torch.as_tensor(domain.x))
    name = "backbone.2"
    found = squares(model, teacher, (name,), domain)[name]
    torch.testing.assert_close(found, apart.square().mean(dim=0))
    torch.testing.assert_close(VarianceEncoder(found)().detach(), found.clamp(min=0.1))
    assert found.max() > 0.1
    torch.testing.assert_close(VarianceEncoder(torch.tensor([200.0]))().detach(), torch.tensor([200.0]))
    still = {"epochs": 1, "learning_rate": 1e-12, "swad": False}
    fits = {
        start: SMOS(variance_start=start, **still).fit(source=domain, model=model, teachers={"precursor": teacher})
        for start in ("measured", "paper")
    }
    torch.testing.assert_close(fits["paper"].variances_[name], torch.full((5,), 0.1))
    assert fits["measured"].variances_[name].max() > 0.1
    assert SMOS.card.presets["paper"]["variance_start"] == "paper"


def test_channels_of_maps_and_of_tokens_are_told_apart():
    model, teacher = (small_convnet(2, width=4) for _ in range(2))
    with torch.no_grad():
        x = torch.as_tensor(pictures().x)
        f, t = (one.eval().backbone[:8](x) for one in (model, teacher))
    found = squares(model, teacher, ("backbone.7",), pictures())["backbone.7"]
    torch.testing.assert_close(found, (f - t).square().mean(dim=(0, 2, 3)))
    a, b = (Classifier(nn.Linear(6, 5), nn.Flatten(), nn.Linear(15, 2)) for _ in range(2))
    tokens = Domain(x=np.random.default_rng(0).normal(size=(300, 3, 6)).astype(np.float32), y=np.zeros(300, dtype=int))
    with torch.no_grad():
        f, t = (one.backbone(torch.as_tensor(tokens.x)) for one in (a, b))
    torch.testing.assert_close(squares(a, b, ("backbone",), tokens)["backbone"], (f - t).square().mean(dim=(0, 1)))


# -- the divergence of embeddings ---------------------------------------------------------------------------


def test_released_mode_gives_the_released_numbers():
    assert float(released_js(P, Q)) == pytest.approx(-0.938729, abs=1e-6)
    assert float(released_js(P, P)) == pytest.approx(-0.898447, abs=1e-6)


def test_released_mode_names_negative_features():
    with pytest.raises(ValueError, match="not negative"):
        released_js(P - 1, Q)
    with pytest.raises(ValueError, match="not negative"):
        SMOS(js_mode="released", epochs=2).fit(
            source=source(), model=feature_classifier(6, 3, 8), teachers={"precursor": feature_classifier(6, 3, 8)}
        )


def test_student_equal_to_teacher_has_no_divergence():
    fitted = SMOS(epochs=1, learning_rate=1e-12, swad=False).fit(source=source(), model=network())
    assert fitted.history_["divergence"][0] == pytest.approx(0, abs=1e-6)
    expected = len(fitted.taps_) * 0.5 * math.log(0.1)
    assert fitted.history_["variational"][0] == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("kind", ["kl", "js"])
def test_divergence_by_hand(kind):
    # softmax of these is (1/2, 1/2) and (1/4, 3/4); the mixture (3/8, 5/8)
    student, teacher = torch.tensor([[1.0, 1.0]]), torch.tensor([[0.0, math.log(3.0)]])
    kl = 0.5 * math.log(0.5 / 0.25) + 0.5 * math.log(0.5 / 0.75)
    halves = 0.5 * math.log(0.5 / 0.375) + 0.5 * math.log(0.5 / 0.625)
    quarters = 0.25 * math.log(0.25 / 0.375) + 0.75 * math.log(0.75 / 0.625)
    found = float(SMOS(divergence=kind)._divergence(student, teacher))
    assert found == pytest.approx({"kl": kl, "js": (halves + quarters) / 2}[kind], abs=1e-6)


# -- the training -------------------------------------------------------------------------------------------


def test_the_loss_is_cross_entropy_and_both_terms_with_their_weights():
    fitted = SMOS(epochs=2, ld=0.3, lr_mult=4.0).fit(source=source(), model=network(), teachers=other())
    had = fitted.history_
    expected = had["ce"] + 0.3 / 4 * had["variational"] + 0.3 * had["divergence"]
    np.testing.assert_allclose(had["loss"], expected, rtol=1e-5)
    assert had["variational"].all()
    assert had["divergence"].all()


def test_the_network_is_the_average_of_the_weights_after_each_step(monkeypatch):
    weights = []

    class Spy(DenseAverage):
        def add(self, network):
            weights.append({name: p.detach().clone() for name, p in network.named_parameters()})
            super().add(network)

    monkeypatch.setattr(f"{MODULE}.DenseAverage", Spy)
    valley = {"n_converge": 1, "tolerance_ratio": 1e3}
    fitted = SMOS(epochs=4, learning_rate=1e-2, batch_size=8, **valley).fit(source=source(), model=network())
    assert fitted.averaged_ == len(weights) == 4 * (72 // 24)
    for name, p in fitted.network_.named_parameters():
        torch.testing.assert_close(p.detach(), torch.stack([one[name] for one in weights]).mean(0))
        assert not torch.equal(p, weights[-1][name])


def test_what_is_held_out_is_not_learnt(monkeypatch):
    learnt_from, kept = [], []

    def spy(domain, *args, **kwargs):
        stream = joint_batches(domain, *args, **kwargs)

        def watched(run):
            for batch in stream(run):
                learnt_from.append(batch.x.clone())
                yield batch

        return watched

    monkeypatch.setattr(f"{MODULE}.joint_batches", spy)
    monkeypatch.setattr(f"{MODULE}._held_out_loss", lambda network, domain: float(kept.append(domain.x) or 1.0))
    domain = source()
    SMOS(epochs=8).fit(source=domain, model=network())
    read, held = ({tuple(row) for row in np.concatenate(parts).tolist()} for parts in (learnt_from, kept))
    assert not read & held
    assert len(held) == 18
    assert read | held == {tuple(row) for row in domain.x.tolist()}


def test_pictures_are_jittered_if_asked(monkeypatch):
    seen = []

    def spy(x, generator):
        seen.append(x.shape)
        return jittered_crop(x, generator)

    monkeypatch.setattr(f"{MODULE}.jittered_crop", spy)
    for augment in ("none", "jittered-crop"):
        SMOS(epochs=1, batch_size=4, augment=augment).fit(source=pictures(), model=small_convnet(2, width=4))
        assert bool(seen) == (augment == "jittered-crop")
    steps = len(seen)
    train_precursor(small_convnet(2, width=4), pictures(), epochs=1, batch_size=4, augment="jittered-crop")
    assert len(seen) > steps


def test_variances_do_not_decay(monkeypatch):
    seen = {}
    original = torch.optim.Adam.step

    def step(self, *args, **kwargs):
        seen["decay"] = [group["weight_decay"] for group in self.param_groups]
        return original(self, *args, **kwargs)

    monkeypatch.setattr(torch.optim.Adam, "step", step)
    SMOS(weight_decay=0.1, epochs=1).fit(source=source(), model=network(), teachers=other())
    assert seen["decay"] == [0.1, 0]


def test_ld_0_is_plain_training():
    settings = {"epochs": 3}
    plain = SMOS(teacher="none", **settings).fit(source=source(), model=network())
    assert learnt(SMOS(ld=0.0, **settings).fit(source=source(), model=network(), teachers=other())) == learnt(plain)
    grounded = SMOS(ld=1e-30, **settings).fit(source=source(), model=network(), teachers=other())
    for a, b in zip(grounded.network_.parameters(), plain.network_.parameters()):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
    assert learnt(SMOS(**settings).fit(source=source(), model=network(), teachers=other())) != learnt(plain)


@pytest.mark.parametrize("kind", ["features", "image"])
def test_the_teacher_and_its_statistics_stay_and_the_student_keeps_its_statistics(kind):
    domain = source() if kind == "features" else pictures()
    model, teacher = (network(i) if kind == "features" else small_convnet(2, width=4) for i in (0, 1))
    before, start = digest(dict(teacher.state_dict())), copy.deepcopy(model.state_dict())
    fitted = SMOS(epochs=2, batch_size=4).fit(source=domain, model=model, teachers={"precursor": teacher})
    assert digest(dict(teacher.state_dict())) == before
    assert all(p.requires_grad for p in teacher.parameters())
    for name, buffer in fitted.network_.named_buffers():
        assert torch.equal(buffer, start[name]), name
    for name, p in fitted.network_.named_parameters():
        assert not torch.equal(p, start[name]), name


def test_variances_learn_ten_times_faster(monkeypatch):
    seen = {}

    def step(self, *args, **kwargs):
        seen["rates"] = [group["lr"] for group in self.param_groups]
        seen["sizes"] = [sum(p.numel() for p in group["params"]) for group in self.param_groups]

    monkeypatch.setattr(torch.optim.Adam, "step", step)
    SMOS(epochs=1, learning_rate=0.01, swad=False).fit(source=source(), model=network())
    assert seen["rates"] == [0.01, pytest.approx(0.1)]
    assert seen["sizes"] == [sum(p.numel() for p in network().parameters()), 5]  # one tap, of five channels


def test_terms_can_be_taken_away_one_by_one():
    one = {"epochs": 2, "learning_rate": 1e-2}
    fits = {
        name: SMOS(**one, **settings).fit(source=source(), model=network(), teachers=other())
        for name, settings in {
            "all": {},
            "no divergence": {"divergence": "none"},
            "kl": {"divergence": "kl"},
            "no variational term": {"variational": False},
            "miro": {"teacher": "start", "divergence": "none"},
            "random": {"teacher": "random"},
            "released": {"js_mode": "released"},
            "warm": {"feature_temperature": 3.0},
        }.items()
    }
    assert len({learnt(fitted) for fitted in fits.values()}) == len(fits)
    assert not fits["no divergence"].history_["divergence"].any()
    assert not fits["no variational term"].history_["variational"].any()
    assert fits["no variational term"].taps_ == ()


def test_grounding_keeps_the_student_nearer_to_the_precursor():
    settings = {"epochs": 15, "learning_rate": 1e-2, "swad": False}
    weak, strong = (
        SMOS(ld=ld, **settings).fit(source=source(), model=network(), teachers=other()) for ld in (1e-9, 5.0)
    )
    assert strong.history_["divergence"][-1] < 0.5 * weak.history_["divergence"][-1]


def test_without_teachers_the_start_is_the_teacher():
    settings = {"epochs": 2}
    given = SMOS(**settings).fit(source=source(), model=network(), teachers=other(0))
    assert learnt(SMOS(**settings).fit(source=source(), model=network())) == learnt(given)
    assert learnt(
        SMOS(teacher="start").set_params(**settings).fit(source=source(), model=network(), teachers=other())
    ) == learnt(given)


def test_a_precursor_may_have_other_classes():
    teacher = network(1)
    teacher.head = nn.Linear(5, 40)
    fitted = SMOS(epochs=1, swad=False).fit(source=source(), model=network(), teachers={"precursor": teacher})
    assert fitted.decision_function(source().x).shape == (90, 3)


def test_averaging_counts_steps_and_without_it_the_best_epoch_stays():
    fitted = SMOS(epochs=12, learning_rate=1e-2).fit(source=source(), model=network())
    per_epoch = 72 // 48
    assert 0 < fitted.averaged_ <= 12 * per_epoch
    assert fitted.history_["held_out"].shape == (12,)
    plain = SMOS(epochs=3, swad=False).fit(source=source(), model=network())
    assert plain.averaged_ == 0
    assert "score" in plain.history_


def test_layers_by_name():
    model = small_convnet(2, width=4)
    fitted = SMOS(epochs=1, batch_size=4, swad=False, taps=("backbone.7",)).fit(source=pictures(), model=model)
    assert fitted.taps_ == ("backbone.7",)
    assert fitted.variances_["backbone.7"].shape == (8,)


def test_bad_teachers_and_settings_are_named():
    wide = Classifier(nn.Sequential(nn.Linear(6, 7), nn.BatchNorm1d(7), nn.ReLU()), nn.Identity(), nn.Linear(7, 3))
    with pytest.raises(ValueError, match=r"teachers must give the shapes.*backbone.2 has \(7,\)"):
        SMOS().fit(source=source(), model=network(), teachers={"precursor": wide})
    with pytest.raises(ValueError, match="teachers must have the layers of the model"):
        SMOS().fit(
            source=source(),
            model=network(),
            teachers={"precursor": Classifier(nn.Linear(6, 5), nn.Identity(), nn.Linear(5, 3))},
        )
    with pytest.raises(ValueError, match="teachers must hold one network to stay near; got 2: a, b"):
        SMOS().fit(source=source(), model=network(), teachers={"a": network(), "b": network()})
    with pytest.raises(ValueError, match="it has no 'nowhere'"):
        SMOS(taps=("nowhere",)).fit(source=source(), model=network())
    with pytest.raises(ValueError, match="raise aside, or set swad=False"):
        SMOS(aside=0.0).fit(source=source(), model=network())
    with pytest.raises(ValueError, match="needs pictures"):
        SMOS(augment="jittered-crop").fit(source=source(), model=network())


# -- the precursor ------------------------------------------------------------------------------------------


def test_a_precursor_learns_all_styles_together_and_leaves_its_start():
    start = network()
    before = digest(dict(start.state_dict()))
    styles = [source(seed=i, domains=1).replace(columns={}, name=f"style {i}") for i in range(2)]
    precursor = train_precursor(start, styles, epochs=15, learning_rate=1e-2)
    assert digest(dict(start.state_dict())) == before
    assert not precursor.training
    for style in styles:
        with torch.no_grad():
            assert (precursor(torch.as_tensor(style.x)).argmax(dim=1).numpy() == style.y).mean() > 0.8
    again = train_precursor(start, styles, epochs=15, learning_rate=1e-2)
    assert digest(dict(again.state_dict())) == digest(dict(precursor.state_dict()))


def test_statistics_of_a_precursor_rest_if_asked():
    start, styles = network(), source()
    rested = train_precursor(start, styles, epochs=1, rest=True)
    assert torch.equal(rested.backbone[1].running_mean, start.backbone[1].running_mean)
    moved = train_precursor(start, styles, epochs=1)
    assert not torch.equal(moved.backbone[1].running_mean, start.backbone[1].running_mean)


def test_a_label_that_the_precursor_has_no_output_for_is_named():
    with pytest.raises(ValueError, match="label 3"):
        train_precursor(network(), source().replace(y=source().y + 1))
