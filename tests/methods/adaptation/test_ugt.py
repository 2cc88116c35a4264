"""UGT: the analytic checks of its specification, and what it promises to users."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from unseen.data.domain import Domain
from unseen.methods.adaptation.ugt import UGT
from unseen.methods.adaptation.ugt.compnet import NEVER, CompNet, activations, compnet, normalized
from unseen.methods.adaptation.ugt.components import bisected, fired, halved, similarity, views
from unseen.methods.adaptation.ugt.learning import inner, losses, pseudo_labels, sampled, some_of_each
from unseen.nn.von_mises_fisher import unit

COSINES = torch.tensor([[[1.0, 0.0], [0.6, 0.8]]])
"""One picture, two positions, two kernels: those of the specification."""


def by_hand(occlusion: float = 0.6, clutter: bool = True) -> CompNet:
    """Two classes of one view each, of the specification."""
    network = compnet(2, 2, 2, 2, 1, int(clutter), 30.0, occlusion)
    network.means.data.copy_(torch.eye(2))
    network.coefficients.data.copy_(torch.tensor([[[[0.9, 0.1], [0.4, 0.6]]], [[[0.1, 0.9], [0.5, 0.5]]]]))
    network.there.fill_(True)
    if clutter:
        network.clutter.fill_(0.5)
    return network


# -- the checks of the specification ----------------------------------------------------------------------


def test_kernels_respond_by_their_cosine_and_not_at_all_from_behind() -> None:
    active, top = activations(torch.tensor([[[1.0, 0.0], [0.6, 0.8], [-0.5, -0.2]]]), 30.0)
    l_ = active.double() * top.double().exp()[:, :, None]
    expected = [[math.exp(30), 0], [math.exp(18), math.exp(24)], [0, 0]]
    np.testing.assert_allclose(l_[0], expected, rtol=1e-4)
    assert float(l_[0, 0, 0]) == pytest.approx(1.0686e13, rel=1e-3)
    assert float(l_[0, 1, 1]) == pytest.approx(2.6489e10, rel=1e-3)


def test_object_and_clutter_compete_at_each_position() -> None:
    with torch.no_grad():
        read = by_hand().read(COSINES)
    np.testing.assert_allclose(read.object[0], [[28.9783, 22.5745], [26.7811, 22.3930]], atol=1e-3)
    np.testing.assert_allclose(read.clutter[0], [[28.7960, 22.7985]] * 2, atol=1e-3)
    np.testing.assert_allclose(read.scores[0], [25.8884, 25.7973], atol=1e-3)
    features = torch.tensor([[[1.0, 0.0], [0.6, 0.8]]])
    np.testing.assert_allclose(torch.softmax(by_hand()(features), dim=1)[0].detach(), [0.54545, 0.45455], atol=1e-4)


@pytest.mark.parametrize("clutter", [True, False])
def test_without_occlusion_a_score_is_the_mean_of_the_object_alone(clutter: bool) -> None:
    read = by_hand(occlusion=0.0 if clutter else 0.6, clutter=clutter).read(COSINES)
    np.testing.assert_allclose(read.scores.detach(), read.object.mean(dim=2).detach(), rtol=1e-6)
    l_ = np.exp(30 * COSINES[0].numpy().astype(np.float64)) * (COSINES[0].numpy() > 0)
    a = by_hand().coefficients[:, 0].detach().double().numpy()
    np.testing.assert_allclose(read.object[0].detach(), np.log((a * l_).sum(axis=2) + 1e-10), atol=1e-4)


def test_where_clutter_wins_everywhere_all_classes_tie() -> None:
    network = by_hand(occlusion=0.999)
    scores = network.read(COSINES).scores.detach()
    assert float(scores[0, 0]) == pytest.approx(float(scores[0, 1]), abs=1e-5)


def test_coefficients_stay_normalized_whatever_the_optimizer_does() -> None:
    network = by_hand()
    network.coefficients.data.normal_(generator=torch.Generator().manual_seed(0))
    a = network.spatial().detach()
    np.testing.assert_allclose(a.sum(dim=3), 1, rtol=1e-5)
    assert float(a.min()) >= 0
    np.testing.assert_allclose(normalized(torch.zeros(2, 4)), 0.25)


@given(st.floats(0.1, 80))
@settings(max_examples=20, deadline=None)
def test_nothing_overflows(kappa: float) -> None:
    network = compnet(3, 2, 4, 2, 1, 1, kappa, 0.5)
    network.means.data.copy_(unit(torch.randn(4, 3, generator=torch.Generator().manual_seed(1))))
    network.there.fill_(True)
    network.clutter.fill_(0.25)
    x = torch.cat([torch.randn(5, 2, 3, generator=torch.Generator().manual_seed(2)), torch.zeros(1, 2, 3)])
    scores = network(x)
    scores.sum().backward()
    assert torch.isfinite(scores).all()
    assert network.coefficients.grad is not None
    assert torch.isfinite(network.coefficients.grad).all()


def test_a_class_without_pictures_is_never_predicted() -> None:
    network = by_hand()
    network.there[1] = False
    assert network.read(COSINES).scores[0].tolist()[1] == NEVER


def test_the_loss_is_that_of_its_three_terms_by_hand() -> None:
    with torch.no_grad():
        found = losses(by_hand(), COSINES.repeat(2, 1, 1), torch.tensor([0, 1]), torch.tensor([1.0, 3.0]))
    expected = (-math.log(0.54545) - 3 * math.log(0.45455)) / 4
    assert float(found.cross_entropy) == pytest.approx(expected, abs=1e-4)
    assert float(found.dictionary) == pytest.approx((0 + 0.2) / 2, abs=1e-6)
    assert float(found.likelihood) == pytest.approx(-(25.8884 + 3 * 25.7973) / 4, abs=1e-3)


# -- views -------------------------------------------------------------------------------------------------


def two_views(n: int = 20, r: int = 9, k: int = 6, seed: int = 0) -> tuple[Tensor, np.ndarray]:
    """Cosines of pictures of which half show kernel 0 everywhere, half kernel 3."""
    rng = np.random.default_rng(seed)
    which = np.arange(n) % 2
    cosines = rng.uniform(-0.3, 0.1, (n, r, k))
    cosines[np.arange(n), :, 3 * which] = rng.uniform(0.7, 0.9, (n, r))
    return torch.as_tensor(cosines.astype(np.float32)), which


def test_spectral_clustering_tells_two_views_apart() -> None:
    cosines, which = two_views()
    found = views(cosines, 2, kappa=20.0)
    assert found.coefficients.shape == (2, 9, 6)
    assert len(set(zip(found.labels.tolist(), which.tolist()))) == 2
    np.testing.assert_allclose(found.coefficients.sum(dim=2), 1, rtol=1e-5)
    side = bisected(similarity(fired(cosines))).numpy()
    assert (side == which).all() or (side != which).all()


def test_the_threshold_is_the_smallest_under_which_neither_few_nor_many_fire() -> None:
    cosines = torch.full((1, 1, 20), 0.12)
    cosines[..., :5] = 0.32
    assert int(fired(cosines).sum()) == 5  # 20 fire below 0.12
    assert int(fired(torch.full((1, 1, 20), 0.5)).sum()) == 20  # none suits: cosines above 0.45


def test_similarity_is_the_overlap_of_what_fires() -> None:
    found = torch.tensor([[True, True, False, False], [True, False, False, False], [False, False, True, True]])
    np.testing.assert_allclose(similarity(found), [[1, 2 / 3, 0], [2 / 3, 1, 0], [0, 0, 1]], rtol=1e-6)


@pytest.mark.parametrize("m", [1, 2, 3, 4])
def test_halving_gives_as_many_views_as_there_are_kinds(m: int) -> None:
    kind = torch.arange(24) % 4
    pair = kind // 2  # kinds in two pairs: each halving has one best answer, on every processor
    w = (kind[:, None] == kind).float() + 0.2 * (pair[:, None] == pair) + 0.01
    labels = halved(w, m)
    assert len(labels.unique()) == m
    if m == 4:
        assert len(set(zip(labels.tolist(), kind.tolist()))) == 4


def test_tiny_clusters_are_dropped_and_one_picture_is_one_view() -> None:
    w = torch.ones(101, 101)
    w[0, 1:] = w[1:, 0] = 0.0
    labels = halved(w, 2)
    assert labels[0] == -1
    assert labels[1:].unique().tolist() == [0]
    assert views(torch.rand(1, 4, 5), 4, kappa=10.0).coefficients.shape == (1, 4, 5)


# -- samples and pseudo-labels -----------------------------------------------------------------------------


def test_positions_are_drawn_inside_the_border_at_unit_length() -> None:
    assert inner(5, 1).tolist() == [6, 7, 8, 11, 12, 13, 16, 17, 18]
    assert inner(7, 3).tolist() == [24]
    assert inner(4, 9).tolist() == [5, 6, 9, 10]
    regions = np.random.default_rng(0).normal(size=(6, 25, 3)).astype(np.float32)
    regions[0] = 0
    x = sampled(regions, inner(5, 1), 4, np.arange(6), 0)
    assert x.shape == (20, 3)
    np.testing.assert_allclose(x.norm(dim=1), 1, rtol=1e-5)
    assert some_of_each(np.array([0, 0, 0, 1, 1, 2]), 2, 0).shape == (5,)


def test_the_sure_and_the_best_of_each_class_are_believed() -> None:
    p = torch.tensor([[0.9, 0.1], [0.6, 0.4], [0.7, 0.3], [0.45, 0.55], [0.05, 0.95]])
    labels, believed = pseudo_labels(p, 0.8, 0.5)
    assert labels.tolist() == [0, 0, 0, 1, 1]
    assert believed.tolist() == [True, False, True, False, True]
    assert not pseudo_labels(p, 1.0, 0.0)[1].any()


# -- the method --------------------------------------------------------------------------------------------

SIDE, WIDTH, CLASSES = 6, 12, 3
QUICK: dict[str, Any] = {"kernels": 8, "components": 1, "epochs": 3, "refine_rounds": 1, "refine_epochs": 2}


def scenes(n: int, seed: int, *, turn: float = 0.0, noise: float = 0.15, moved: int = 0) -> Domain:
    """Pictures of three classes: the four parts at other quarters of the grid; `turn` moves the features of parts."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % CLASSES
    parts = np.eye(WIDTH)[:4] + turn * np.eye(WIDTH)[4:8]
    rows, columns = np.divmod(np.arange(SIDE**2), SIDE)
    quarter = 2 * (rows >= SIDE // 2) + (columns >= SIDE // 2)
    orders = np.array([[0, 1, 2, 3], [1, 0, 3, 2], [2, 3, 0, 1]])
    regions = parts[orders[y][:, quarter]] + noise * rng.normal(size=(n, SIDE**2, WIDTH))
    if moved:
        grid = regions.reshape(n, SIDE, SIDE, WIDTH)
        regions = np.pad(grid, ((0, 0), (0, 0), (moved, 0), (0, 0)), mode="edge")[:, :, :SIDE].reshape(regions.shape)
    regions = regions.astype(np.float32)
    return Domain(x=regions.mean(axis=1), y=y, columns={"regions": regions})


def behind_a_patch(domain: Domain, seed: int = 0) -> tuple[Domain, np.ndarray]:
    """A third of each grid shows something that no class has; and where."""
    regions = domain.columns["regions"].reshape(-1, SIDE, SIDE, WIDTH).copy()
    hidden = np.zeros(regions.shape[:3], dtype=bool)
    hidden[:, :, 2:4] = True
    regions[hidden] = np.eye(WIDTH)[9] + 0.1 * np.random.default_rng(seed).normal(size=(hidden.sum(), WIDTH))
    return domain.replace(columns={"regions": regions.reshape(len(domain), -1, WIDTH).astype(np.float32)}), hidden


@pytest.fixture(scope="module")
def fitted() -> UGT:
    return UGT(**QUICK).fit(source=scenes(60, 0), target=scenes(60, 1, turn=0.5))


def test_classes_are_told_by_where_parts_are(fitted: UGT) -> None:
    for seed, turn in ((2, 0.0), (3, 0.5)):
        domain = scenes(60, seed, turn=turn)
        assert (fitted.predict(domain) == domain.y).mean() > 0.95


def test_an_occluder_is_found_and_classes_are_still_told(fitted: UGT) -> None:
    domain, hidden = behind_a_patch(scenes(60, 4))
    maps = fitted.occlusion_maps(domain)
    assert maps.shape == (60, SIDE, SIDE)
    found = maps > 0
    assert ((found & hidden).sum() / (found | hidden).sum()) > 0.6  # no kernel knows the patch: some fit by chance
    assert (found & ~hidden).mean() < 0.01
    assert (fitted.predict(domain) == domain.y).mean() > 0.95


def test_evidence_adds_up_to_the_lead_of_the_predicted_class(fitted: UGT) -> None:
    domain, hidden = behind_a_patch(scenes(30, 5))
    maps = fitted.evidence_maps(domain)
    top = fitted.decision_function(domain).topk(2, dim=1).values
    np.testing.assert_allclose(maps.mean(axis=(1, 2)), (top[:, 0] - top[:, 1]) / 2, atol=1e-3)
    assert np.abs(maps[hidden]).mean() < 0.6 * np.abs(maps[~hidden]).mean()


def test_an_object_moved_by_one_cell_scores_lower_and_is_still_told(fitted: UGT) -> None:
    still, moved = scenes(60, 6), scenes(60, 6, moved=1)
    own = np.arange(60), still.y
    assert (fitted.decision_function(moved).numpy()[own] < fitted.decision_function(still).numpy()[own]).mean() > 0.8
    assert (fitted.predict(moved) == still.y).mean() > 0.9


def test_training_lowers_the_cross_entropy() -> None:
    source, target = scenes(60, 0, noise=0.5), scenes(60, 1, noise=0.5)
    before, after = (
        UGT(**{**QUICK, "epochs": epochs, "refine_rounds": 0}).fit(source=source, target=target) for epochs in (0, 10)
    )
    y = torch.as_tensor(source.y)
    first, last = (torch.nn.functional.cross_entropy(m.decision_function(source), y) for m in (before, after))
    assert float(last) < float(first)
    np.testing.assert_allclose(after.network_.spatial().sum(dim=3), 1, rtol=1e-5)


def test_identical_domains_change_accuracy_by_less_than_a_point() -> None:
    source, target, test = scenes(60, 0, noise=0.4), scenes(60, 1, noise=0.4), scenes(200, 2, noise=0.4)
    plain = UGT(**{**QUICK, "dictionary": "source", "refine_rounds": 0}).fit(source=source, target=target)
    full = UGT(**QUICK).fit(source=source, target=target)
    one, other = ((m.predict(test) == test.y).mean() for m in (plain, full))
    assert abs(one - other) <= 0.01


def test_stages_are_switched_one_by_one() -> None:
    source, target = scenes(60, 0), scenes(60, 1, turn=1.0)
    alone, between, all_the_way = (
        UGT(**{**QUICK, "refine_rounds": 0, "dictionary": kind}).fit(source=source, target=target)
        for kind in ("source", "transitional", "target")
    )
    assert torch.equal(alone.similarity_.round(decimals=4), torch.ones(8))
    assert float(alone.psi_.max()) == 0
    assert float(all_the_way.psi_.min()) == 1
    assert 0 < float(between.psi_.max()) < 1
    assert float(all_the_way.similarity_.mean()) < float(between.similarity_.mean()) < 1
    assert alone.believed_.shape == (0, CLASSES)


@pytest.mark.parametrize("clutter", ["uniform", "none"])
def test_clutter_can_be_uniform_or_absent(clutter: str) -> None:
    method = UGT(**QUICK, clutter=clutter).fit(source=scenes(30, 0), target=scenes(30, 1))
    assert len(method.network_.clutter) == (clutter == "uniform")
    if clutter == "none":
        assert (method.occlusion_maps(scenes(5, 2)) < 0).all()


def test_the_dictionary_can_be_trained_too() -> None:
    source, target = scenes(30, 0), scenes(30, 1, turn=0.5)
    rests, moves = (
        UGT(**QUICK, finetune_dictionary=on).fit(source=source, target=target).network_.means for on in (False, True)
    )
    assert not torch.equal(rests, moves)


def test_without_a_sure_pseudo_label_the_coefficients_stay() -> None:
    source, target = scenes(30, 0), scenes(30, 1)
    kept = {"pseudo_threshold": 1.0, "pseudo_share": 0.0}
    one, other = (
        UGT(**{**QUICK, **kept, "refine_rounds": rounds}).fit(source=source, target=target) for rounds in (0, 1)
    )
    assert torch.equal(one.network_.coefficients, other.network_.coefficients)
    assert int(other.believed_.sum()) == 0


def test_pseudo_labels_weigh_as_much_as_labels_on_the_mean(fitted: UGT) -> None:
    cells = {"target": scenes(60, 1, turn=0.5).columns["regions"]}
    pictures, labels, weight = fitted._believed(fitted.network_, cells, torch.zeros(1, dtype=torch.long))
    sure = torch.softmax(fitted.network_(torch.as_tensor(pictures)), dim=1).amax(dim=1)
    assert len(pictures) == len(labels) >= 30
    np.testing.assert_allclose(weight, sure / sure.mean(), rtol=1e-5)


def test_regions_must_be_as_many_everywhere(fitted: UGT) -> None:
    few = scenes(30, 1)
    few = few.replace(columns={"regions": few.columns["regions"][:, :16]})
    with pytest.raises(ValueError, match="target must have 36 regions, as source; got 16"):
        UGT(**QUICK).fit(source=scenes(30, 0), target=few)
    with pytest.raises(ValueError, match="x must have 36 regions, as in fit; got 16"):
        fitted.predict(few)


def test_features_of_nothing_are_named_and_single_ones_are_borne() -> None:
    nothing = scenes(30, 1)
    nothing = nothing.replace(columns={"regions": np.zeros_like(nothing.columns["regions"])})
    with pytest.raises(ValueError, match="target must have features other than 0"):
        UGT(**QUICK).fit(source=scenes(30, 0), target=nothing)
    some = scenes(30, 1)
    some.columns["regions"][0] = 0
    method = UGT(**QUICK).fit(source=scenes(30, 0), target=some)
    assert torch.isfinite(method.decision_function(nothing)).all()


def test_the_network_can_be_written_and_read_flat(fitted: UGT) -> None:
    x = torch.as_tensor(scenes(4, 8).columns["regions"])
    network = fitted.network()
    with torch.no_grad():
        torch.testing.assert_close(network(x.flatten(1)), fitted.decision_function(x))


def test_gradients_of_the_log_are_those_of_differences() -> None:
    network = by_hand().double()
    network.means.requires_grad_(False)

    def loss(coefficients: Tensor) -> Tensor:
        made = torch.func.functional_call(network, {"coefficients": coefficients}, (COSINES.double(),))
        return made.sum()

    assert torch.autograd.gradcheck(loss, (network.coefficients.detach().clone().requires_grad_(),))


def test_features_without_a_grid_are_not_worth_a_try() -> None:
    from unseen.catalogue import Given

    rng = np.random.default_rng(0)
    flat = Domain(x=rng.normal(size=(8, 4)).astype(np.float32), y=np.arange(8) % 2)
    grid = flat.replace(columns={"regions": rng.normal(size=(8, 9, 4)).astype(np.float32)})
    assert "needs features of regions" in str(Given({"source": flat, "target": flat}).why_not(UGT))
    assert Given({"source": grid, "target": grid}).why_not(UGT) is None
