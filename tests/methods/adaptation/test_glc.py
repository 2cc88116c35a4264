"""GLC: the analytic checks of its specification, and what it promises to users."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from unseen.data.domain import Domain, Lazy
from unseen.methods.adaptation.glc import (
    GLC,
    PseudoLabels,
    confidence_prior,
    estimate_class_ratio,
    most_confident,
    n_positives,
    negative_similarity,
    one_vs_all,
    positive_prototypes,
    pseudo_labels,
    soft_cross_entropy,
    soft_targets,
    suppress,
)
from unseen.methods.base import UNKNOWN
from unseen.nn.classifier import Classifier, feature_classifier, train_source
from unseen.nn.information import normalized_entropy
from unseen.nn.neighbours import MemoryBank
from unseen.runtime import reproducible, runtime


def clusters(n_clusters: int, known: int, n: int = 30, d: int = 8, seed: int = 0) -> tuple[Tensor, Tensor, np.ndarray]:
    """Embeddings around orthogonal axes, confident probabilities for the first `known`, and the cluster of each."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(n_clusters).repeat(n)
    z = 4 * F.one_hot(y, d) + 0.05 * torch.randn(len(y), d, generator=generator)
    certain = 0.9 + 0.09 * torch.rand(len(y), 1, generator=generator)
    p = certain * F.one_hot(y.clamp(max=known - 1), known) + (1 - certain) / known
    p[y >= known] = 1 / known
    return z, p / p.sum(dim=1, keepdim=True), y.numpy()


# -- the checks of the specification ----------------------------------------------------------------------


def test_three_orthogonal_clusters_of_which_one_is_unknown_give_one_hot_and_uniform_rows() -> None:
    z, p, y = clusters(3, known=2)
    found = pseudo_labels(z, p, kappa=1.5)
    np.testing.assert_array_equal(found.labels.numpy(), np.where(y < 2, y, UNKNOWN))
    torch.testing.assert_close(found.targets[y < 2].max(dim=1).values, torch.full((60,), 0.9999), atol=1e-6, rtol=0)
    torch.testing.assert_close(found.targets[y == 2], torch.full((30, 2), 0.5), atol=1e-4, rtol=0)
    torch.testing.assert_close(found.targets.sum(dim=1), torch.ones(90), atol=2e-4, rtol=0)


def test_rho_one_is_a_pure_nearest_prototype_test() -> None:
    z, p, _ = clusters(4, known=2)
    z = F.normalize(z + torch.randn(z.shape, generator=torch.Generator().manual_seed(1)), dim=1)
    positives = most_confident(p, 30)
    prior = confidence_prior(p, positives, rho=1.0)
    assert torch.equal(prior, torch.ones(2))
    similarity = z @ positive_prototypes(z, positives).T
    rival = negative_similarity(z, positives, 4)
    assert torch.equal(one_vs_all(similarity, rival, prior), similarity >= rival)


def test_rho_zero_and_confidence_one_half_needs_twice_the_similarity() -> None:
    p = torch.tensor([[0.6, 0.4], [0.4, 0.6], [0.1, 0.9]])
    prior = confidence_prior(p, torch.tensor([[0, 1], [0, 1]]), rho=0.0)
    torch.testing.assert_close(prior, torch.tensor([0.5, 0.5]))
    rival = torch.tensor([[0.4, 0.4]])
    accepted = one_vs_all(torch.tensor([[0.79, 0.81]]), rival, prior)
    assert accepted.tolist() == [[False, True]]


def test_the_prior_is_the_mean_of_the_largest_confidences() -> None:
    p = torch.tensor([[0.9, 0.1], [0.3, 0.7], [0.5, 0.5], [0.8, 0.2]])
    prior = confidence_prior(p, most_confident(p, 2), rho=0.75)
    torch.testing.assert_close(prior, torch.tensor([0.25 * 0.85 + 0.75, 0.25 * 0.6 + 0.75]))


def test_a_tie_goes_to_the_positive() -> None:
    assert one_vs_all(torch.tensor([[0.5]]), torch.tensor([[0.5]]), torch.ones(1)).all()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_at_most_one_class_fires_even_with_identical_classes(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(40, 6, generator=generator)
    p = torch.softmax(torch.randn(40, 3, generator=generator), dim=1)
    p = torch.cat([p, p[:, :1]], dim=1) / (1 + p[:, :1])  # class 3 is class 0 again
    targets = pseudo_labels(z, p).targets
    fired = targets > 0.9
    uniform = torch.isclose(targets, torch.tensor(1 / 4), atol=1e-4).all(dim=1)
    assert (fired.sum(dim=1) + uniform == 1).all()


def test_accepted_by_one_class_but_nearest_to_another_that_rejects_is_unknown() -> None:
    similarity = torch.tensor([[0.8, 0.9], [0.9, 0.8]])
    accepted = torch.tensor([[True, False], [True, False]])
    assert suppress(accepted, similarity).tolist() == [[False, False], [True, False]]


def test_suppression_compares_similarities_without_their_weights() -> None:
    similarity, prior = torch.tensor([[0.8, 0.9]]), torch.tensor([1.0, 0.5])
    accepted = one_vs_all(similarity, torch.tensor([[0.3, 0.3]]), prior)
    assert accepted.all()
    assert suppress(accepted, similarity).tolist() == [[False, True]]


def test_soft_targets_divide_by_the_row_sum_plus_a_ten_thousandth() -> None:
    rows = soft_targets(torch.tensor([[False, True, False, False], [False] * 4]))
    torch.testing.assert_close(rows[0], torch.tensor([0, 1 / 1.0001, 0, 0]))
    torch.testing.assert_close(rows[1], torch.full((4,), 1 / 4.0001))


def test_the_gradient_of_the_loss_is_p_minus_q_and_zero_where_they_agree() -> None:
    logits = torch.randn(5, 4, generator=torch.Generator().manual_seed(0), requires_grad=True)
    p = torch.softmax(logits, dim=1)
    (agreeing,) = torch.autograd.grad(soft_cross_entropy(p, p.detach()), logits, retain_graph=True)
    assert agreeing.abs().max() < 1e-5
    q = torch.softmax(torch.randn(5, 4, generator=torch.Generator().manual_seed(1)), dim=1)
    (other,) = torch.autograd.grad(soft_cross_entropy(p, q), logits)
    torch.testing.assert_close(other, (p.detach() - q) / 5, atol=1e-4, rtol=0)


def test_without_global_weight_and_one_neighbour_the_loss_is_that_of_the_nearest_neighbour() -> None:
    model, target = learned(), shifted()
    fitted = GLC(global_weight=0.0, neighbours=1, epochs=1, batch_size=len(target), ratio=1.0).fit(
        model=model, target=target
    )
    x = torch.as_tensor(target.x)
    with torch.no_grad():
        z, before = F.normalize(model.embed(x), dim=1), torch.softmax(model(x), dim=1)
        network = model.train()
        now = network.embed(x)
        nearest = (F.normalize(now, dim=1) @ z.T).argsort(dim=1, descending=True)[:, 1]
        p = torch.softmax(network.head(now), dim=1)
        expected = -(before[nearest] * torch.log(p + 1e-5)).sum(dim=1).mean()
    assert fitted.history_["loss"][0] == pytest.approx(float(expected), rel=1e-4)


def test_a_batch_asks_its_neighbours_and_then_replaces_its_own_rows_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    from unseen.methods.adaptation import glc

    calls: list[tuple[str, int]] = []

    class Watched(MemoryBank):
        def consensus(self, z: Tensor, k: int) -> Tensor:
            calls.append(("ask", len(z)))
            return super().consensus(z, k)

        def write(self, index: Tensor | slice, z: Tensor, p: Tensor) -> None:
            before = self.features.clone()
            super().write(index, z, p)
            calls.append(("write", int((self.features != before).any(dim=1).sum())))

    monkeypatch.setattr(glc, "MemoryBank", Watched)
    GLC(epochs=2, batch_size=40, ratio=1.0).fit(model=learned(), target=shifted())
    assert calls == 2 * [("write", 100), *2 * [("ask", 40), ("write", 40)]]


def test_the_head_stays_bit_for_bit_and_the_rest_moves() -> None:
    model, target = learned(), shifted()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    after = GLC(epochs=2, ratio=1.0).fit(model=model, target=target).network_.state_dict()
    for key, value in before.items():
        assert torch.equal(model.state_dict()[key], value)
        if key.startswith("head"):
            assert torch.equal(after[key], value)
    moved = {key for key, value in before.items() if not torch.equal(after[key], value)}
    assert {"bottleneck.0.weight", "bottleneck.1.running_mean"} <= moved


def test_a_uniform_row_has_the_entropy_of_log_c() -> None:
    assert normalized_entropy(torch.full((1, 7), 1 / 7)).item() == pytest.approx(1, abs=1e-4)


def test_permuting_the_target_permutes_the_labels() -> None:
    z, p, _ = clusters(6, known=4)
    order = torch.randperm(len(z), generator=torch.Generator().manual_seed(0))
    whole, permuted = (pseudo_labels(a, b, kappa=1.5) for a, b in ((z, p), (z[order], p[order])))
    assert torch.equal(whole.labels[order], permuted.labels)
    torch.testing.assert_close(whole.prior, permuted.prior)


def test_scaling_embeddings_changes_nothing() -> None:
    z, p, _ = clusters(5, known=3)
    scale = 2.0 ** torch.randint(-3, 7, (len(z), 1), generator=torch.Generator().manual_seed(0))  # no bit is lost
    whole, scaled = pseudo_labels(z, p), pseudo_labels(z * scale, p)
    assert all(torch.equal(a, b) for a, b in zip(whole, scaled))
    assert estimate_class_ratio(z, 3, project=False) == estimate_class_ratio(z * scale, 3, project=False)


def test_the_rivals_of_a_class_are_clusters_of_its_negatives_alone() -> None:
    z = F.normalize(torch.tensor([[1.0, 0.1, 0.0], [1.0, -0.1, 0.0], [0.0, 1.0, 0.2], [0.0, 1.0, -0.4]]), dim=1)
    found = negative_similarity(z, torch.tensor([[0, 1], [2, 3]]), 1)
    rivals = torch.stack([z[2:].mean(dim=0), z[:2].mean(dim=0)], dim=1)
    torch.testing.assert_close(found, z @ (rivals / rivals.norm(dim=0)))


@pytest.mark.parametrize("seed", range(5))
def test_labels_are_those_of_a_naive_loop_where_one_mean_is_the_rival(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, c = 60, 4
    z = (rng.normal(size=(n, 3)) + 0.5) * rng.lognormal(size=(n, 1))  # raw lengths differ
    p = rng.dirichlet(np.linspace(0.2, 4, c), size=n)  # priors differ, so that weighted similarities mislead
    unit = z / np.linalg.norm(z, axis=1, keepdims=True)
    similarity, fires = np.zeros((n, c)), np.zeros((n, c), dtype=bool)
    for k in range(c):
        order = np.argsort(-p[:, k], kind="stable")
        mine, others = (unit[part].mean(axis=0) for part in np.split(order, [n // c]))
        similarity[:, k] = unit @ mine / np.linalg.norm(mine)
        rival = unit @ others / np.linalg.norm(others)
        fires[:, k] = (0.4 * p[order[: n // c], k].mean() + 0.6) * similarity[:, k] >= rival
    nearest = similarity.argmax(axis=1)
    expected = np.where(fires[np.arange(n), nearest], nearest, UNKNOWN)
    found = pseudo_labels(torch.as_tensor(z).float(), torch.as_tensor(p).float(), rho=0.6, n_negatives=1)
    np.testing.assert_array_equal(found.labels.numpy(), expected)
    assert 0 < (expected == UNKNOWN).sum() < n


def test_there_are_as_many_rivals_as_target_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    from unseen.methods.adaptation import glc

    asked: list[int] = []

    def noting(z: Tensor, positives: Tensor, k: int, **kwargs: int) -> Tensor:
        asked.append(k)
        return negative_similarity(z, positives, k, **kwargs)

    monkeypatch.setattr(glc, "negative_similarity", noting)
    z, p, _ = clusters(5, known=3)
    for kappa in (0.25, 1.0, 2.5):
        pseudo_labels(z, p, kappa=kappa)
    pseudo_labels(z, p, n_negatives=4)
    assert asked == [2, 3, 7, 4]  # int(C kappa), at least 2


@pytest.mark.parametrize("project", [True, False])
def test_the_ratio_of_well_separated_blobs_of_twice_the_classes_is_two(project: bool) -> None:
    z, _, _ = clusters(8, known=4, n=15)
    found = estimate_class_ratio(z, 4, project=project)
    assert found.kappa == 2
    assert max(found.silhouettes, key=found.silhouettes.__getitem__) == 2


# -- what the guards are for -------------------------------------------------------------------------------


def test_the_ratio_is_one_if_no_clustering_is_better_than_none() -> None:
    found = estimate_class_ratio(torch.eye(5), 5, ratios=(3.0,))
    assert found.kappa == 1
    assert math.isnan(found.silhouettes[3.0])


def test_a_ratio_below_two_clusters_counts_as_two_clusters() -> None:
    z, _, _ = clusters(2, known=2)
    assert estimate_class_ratio(z, 4, project=False).kappa == 0.5


def test_a_sample_of_the_target_suffices_for_the_ratio() -> None:
    z, _, _ = clusters(4, known=2, n=40)
    assert estimate_class_ratio(z, 2, project=False, n_samples=60).kappa == 2


@pytest.mark.parametrize(
    ("n", "n_classes", "kappa", "expected"),
    [
        (100, 5, 1.0, 20),
        (100, 5, 2.0, 10),
        (100, 7, 1.0, 14),
        (3, 10, 3.0, 1),
        (100, 2, 0.25, 50),
        (2, 5, 1.0, 1),
    ],
)
def test_positives_are_an_equal_share_at_least_one_at_most_half(
    n: int, n_classes: int, kappa: float, expected: int
) -> None:
    assert n_positives(n, n_classes, kappa) == expected


def test_two_samples_can_be_labelled() -> None:
    found = pseudo_labels(torch.eye(2), torch.eye(2) * 0.8 + 0.1)
    assert found.labels.tolist() == [0, 1]


# -- the method --------------------------------------------------------------------------------------------


CENTERS = np.random.default_rng(0).normal(size=(12, 16)) * 1.5


def table(classes: list[int], n: int = 25, shift: float = 0.0, seed: int = 0) -> Domain:
    rng = np.random.default_rng(seed)
    y = np.repeat(classes, n)
    x = CENTERS[y] + 0.4 * rng.normal(size=(len(y), 16)) + shift
    return Domain(x=x.astype(np.float32), y=y)


def learned(classes: int = 4) -> Classifier:
    with reproducible(0):
        return train_source(feature_classifier(16, classes, 32), table(list(range(classes)), 40), epochs=15)


def shifted(classes: Sequence[int] = (0, 1, 4, 5)) -> Domain:
    return table(list(classes), shift=0.4, seed=1)


@pytest.mark.parametrize(
    ("setting", "classes"),
    [
        ("open-partial", (0, 1, 2, 3, 4, 8, 9, 10)),
        ("open", range(12)),
        ("partial", range(4)),
        ("closed", range(8)),
    ],
)
def test_one_set_of_hyperparameters_serves_every_setting(setting: str, classes: Sequence[int]) -> None:
    target = shifted(classes)
    truth = np.where(target.labels < 8, target.labels, UNKNOWN)
    method = GLC(reject=setting in ("open", "open-partial"), project=False).fit(model=learned(8), target=target)
    assert (method.predict(target) == truth).mean() > 0.75  # chance is 1/9; a class that lies on another stays hard


def test_samples_above_the_threshold_are_unknown_unless_rejection_is_off() -> None:
    model, target = learned(), shifted()
    method = GLC(epochs=1, ratio=1.0).fit(model=model, target=target)
    u = method.uncertainty(target)
    assert u.min() >= 0
    assert u.max() <= 1
    p = method.predict_proba(target)
    np.testing.assert_allclose(u, normalized_entropy(p).clamp(0, 1).numpy())
    best = p.argmax(dim=1).numpy()
    np.testing.assert_array_equal(method.predict(target), np.where(u > 0.55, UNKNOWN, best))
    np.testing.assert_array_equal(method.set_params(reject=False).predict(target), best)


def test_the_record_tells_every_epoch() -> None:
    target = shifted()
    method = GLC(epochs=3, project=False).fit(model=learned(), target=target)
    history = method.history_
    assert history["counts"].shape == history["prior"].shape == (3, 4)
    np.testing.assert_allclose(history["unknown"], 1 - history["counts"].sum(axis=1) / len(target))
    assert ((history["prior"] >= 0.75) & (history["prior"] <= 1)).all()
    np.testing.assert_allclose(history["loss"], 0.3 * history["global_loss"] + history["local_loss"], rtol=1e-5)
    assert set(history["silhouette"]) == {0.25, 0.5, 1.0, 2.0, 3.0}
    assert method.kappa_ == max(history["silhouette"], key=lambda k: np.nan_to_num(history["silhouette"][k], nan=-1))


def test_the_pseudo_labels_of_the_first_epoch_are_those_of_the_function() -> None:
    model, target = learned(), shifted()
    target = target.take(target.canonical_order())
    method = GLC(epochs=1, ratio=1.0).fit(model=model, target=target)
    with torch.no_grad():
        z = model.embed(torch.as_tensor(target.x))
        found: PseudoLabels = pseudo_labels(z, torch.softmax(model.head(z), dim=1))
    counts = torch.bincount(found.labels[found.labels >= 0], minlength=4)
    assert method.history_["counts"][0].tolist() == counts.tolist()
    np.testing.assert_allclose(method.history_["prior"][0], found.prior.numpy(), rtol=1e-5)


def test_a_run_that_is_cut_off_goes_on_to_the_same_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from unseen.methods.adaptation import glc

    model, target = learned(), shifted()
    whole = GLC(epochs=3, project=False).fit(model=model, target=target)
    calls = iter(range(10))

    def failing(*args: object, **kwargs: object) -> PseudoLabels:
        if next(calls) == 2:
            raise KeyboardInterrupt
        return pseudo_labels(*args, **kwargs)  # type: ignore[arg-type]

    with runtime(folder=tmp_path):
        with monkeypatch.context() as patch:
            patch.setattr(glc, "pseudo_labels", failing)
            with pytest.raises(KeyboardInterrupt):
                GLC(epochs=3, project=False).fit(model=model, target=target)
        resumed = GLC(epochs=3, project=False).fit(model=model, target=target)
    assert torch.equal(whole.decision_function(target), resumed.decision_function(target))
    for key in ("counts", "prior", "loss", "unknown"):
        np.testing.assert_array_equal(whole.history_[key], resumed.history_[key])
    assert whole.history_["silhouette"] == resumed.history_["silhouette"]


def pictures(n: int = 24, seed: int = 0) -> Domain:
    x = np.random.default_rng(seed).normal(size=(n, 3, 32, 32)).astype(np.float32)
    return Domain(x=x, kind="image")


def test_a_plain_timm_network_without_bottleneck_is_adapted_saved_and_loaded(tmp_path: Path) -> None:
    with reproducible(0):
        model = timm.create_model("resnet10t", num_classes=5)
    target = pictures()
    lazy = target.replace(x=Lazy(range(24), lambda i: target.x[i]))
    method = GLC(epochs=1, batch_size=8, project=False).fit(model=model, target=lazy)
    assert not any(p.grad is not None for p in model.parameters())
    method.save(tmp_path / "m")
    loaded = GLC.load(tmp_path / "m")
    assert torch.equal(method.decision_function(target), loaded.decision_function(target))
    assert method.predict(target).shape == (24,)


def test_pictures_are_cropped_and_flipped_for_training_only() -> None:
    with reproducible(0):
        model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 8), nn.BatchNorm1d(8), nn.Linear(8, 3)).eval()
    target = pictures()
    found = {
        views: GLC(epochs=1, views=views, ratio=1.0).fit(model=model, target=target)  # type: ignore[arg-type]
        for views in ("same", "crop", "crop+flip")
    }
    losses = {views: float(method.history_["loss"][0]) for views, method in found.items()}
    assert len(set(losses.values())) == 3
    first = [method.history_["counts"][0].tolist() for method in found.values()]
    assert first[0] == first[1] == first[2]  # labels come from the test view


def test_features_have_one_view() -> None:
    model, target = learned(), shifted()
    first, second = (
        GLC(epochs=1, ratio=1.0, views=views).fit(model=model, target=target).decision_function(target)
        for views in ("same", "crop+flip")
    )
    assert torch.equal(first, second)


def test_what_does_not_fit_is_refused_before_work() -> None:
    model = learned()
    with pytest.raises(ValueError, match="target must hold at least 2 samples; got 1"):
        GLC().fit(model=model, target=shifted().take([0]))
    narrow = Domain(x=np.zeros((5, 3), dtype=np.float32))
    with pytest.raises(ValueError, match=r"the 3 features of target|does not fit"):
        GLC().fit(model=model, target=narrow)
    with pytest.raises(ValueError, match="at least 2 classes"):
        GLC().fit(model=feature_classifier(16, 1, 8), target=shifted())
    with pytest.raises(ValueError, match=r"batch_size must be in \[2, inf"):
        GLC(batch_size=1)


def test_fewer_samples_than_neighbours_or_a_batch_are_no_trouble() -> None:
    target = shifted().take([0, 30, 60])
    method = GLC(epochs=1, neighbours=9).fit(model=learned(), target=target)
    assert method.predict(target).shape == (3,)
