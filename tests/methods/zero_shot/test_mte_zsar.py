"""MTE: the analytic checks of its description, and what must hold of any fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import savemat
from sklearn.linear_model import Lasso

from unseen.data.classes import ClassSpace, join, realign
from unseen.data.domain import Domain, concatenate
from unseen.data.loaders import load
from unseen.data.word_vectors import name_vectors
from unseen.methods.baselines.ridge import Ridge
from unseen.methods.zero_shot.mte_zsar import MTEZSAR
from unseen.methods.zero_shot.mte_zsar import regressors as r
from unseen.methods.zero_shot.mte_zsar.choice import Setting, cross_validate
from unseen.methods.zero_shot.mte_zsar.choice import settings as settings_of
from unseen.methods.zero_shot.mte_zsar.weights import relevance
from unseen.nn.semantic import cosines, without_hubs
from unseen.nn.semantic import ridge as reference_ridge

FIXED: dict[str, Any] = {"tasks": 4, "penalty_s": 1e-2, "penalty_a": 1e-2}
INDUCTIVE: dict[str, Any] = {"weights": "none", "hubs": False}


def data(n: int = 60, d: int = 9, t: int = 5, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d)) * np.linspace(0.3, 2, d)
    return torch.as_tensor(x), torch.as_tensor(x @ rng.normal(size=(d, t)) + rng.normal(size=(n, t)))


def product(factors: r.Factors) -> torch.Tensor:
    return factors.s @ factors.a


def problem(
    seen: int = 12, unseen: int = 4, n: int = 12, d: int = 10, t: int = 6, noise: float = 0.4
) -> tuple[Domain, Domain, ClassSpace]:
    """Features as a noisy linear map of class vectors: source, pool of unseen classes, all classes."""
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(seen + unseen, t))
    y = np.repeat(np.arange(seen + unseen), n)
    x = vectors[y] @ rng.normal(size=(t, d)) + noise * rng.normal(size=(len(y), d))
    classes = ClassSpace(names=[f"class {i}" for i in range(seen + unseen)], embeddings=vectors, seen=np.arange(seen))
    whole = Domain(x=x.astype(np.float32), y=y, classes=classes)
    return whole.take(y < seen), whole.take(y >= seen), classes


def accuracy(predicted: np.ndarray, domain: Domain) -> float:
    return float((predicted == domain.y).mean())


# -- the checks of the specification -----------------------------------------------------------------------


def test_with_full_rank_and_no_penalty_s_a_is_the_least_squares_map() -> None:
    x, z = data()
    found = r.mte(r.moments(x, z), 5, 1e-10, 1e-10, iterations=500, tolerance=1e-14)
    expected = torch.linalg.lstsq(x, z).solution.T
    torch.testing.assert_close(product(found), expected, atol=1e-5, rtol=1e-5)


def test_the_optimum_is_nuclear_norm_regression_and_soft_thresholds_the_singular_values_of_whitened_features() -> None:
    x, z = data(n=80)
    q, _ = torch.linalg.qr(x)
    x = q * len(x) ** 0.5  # X X^T / n = I
    penalty_s, penalty_a = 0.04, 0.3
    found = r.mte(r.moments(x, z), 5, penalty_s, penalty_a, iterations=5000, tolerance=1e-15)
    u, s, v = torch.linalg.svd(torch.linalg.lstsq(x, z).solution.T, full_matrices=False)
    kept = (s - (penalty_s * penalty_a) ** 0.5).clamp_min(0)
    expected = u * kept @ v
    torch.testing.assert_close(product(found), expected, atol=1e-5, rtol=1e-5)
    nuclear = float((z - x @ expected.T).square().sum() / len(x) + 2 * (penalty_s * penalty_a) ** 0.5 * kept.sum())
    assert found.history[-1] == pytest.approx(nuclear, rel=1e-8)


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 10_000), st.sampled_from(["mte", "gomtl"]), st.floats(-4, 0), st.floats(-4, 0))
def test_the_objective_never_increases_at_a_half_step(seed: int, mapping: str, log_s: float, log_a: float) -> None:
    x, z = data(n=20, seed=seed)
    regress = getattr(r, mapping)
    history = np.array(regress(r.moments(x, z), 3, 10**log_s, 10**log_a, tolerance=0.0).history)
    assert len(history) > 4
    assert (np.diff(history) <= 1e-10 * history[0]).all()


@pytest.mark.parametrize("mapping", ["mte", "gomtl"])
def test_the_objective_is_the_one_that_is_written_down(mapping: str) -> None:
    x, z = data()
    w = torch.as_tensor(np.random.default_rng(1).uniform(0, 2, 60))
    found = getattr(r, mapping)(r.moments(x, z, w), 3, 0.1, 0.2)
    s, a = found.s, found.a
    loss = (w[:, None] * (z - x @ a.T @ s.T).square()).sum() / 60 + 0.2 * a.square().sum()
    loss = loss + 0.1 * (s.square() if mapping == "mte" else s.abs()).sum()
    assert found.history[-1] == pytest.approx(float(loss), rel=1e-10)


@pytest.mark.parametrize("regress", [lambda m: r.ridge(m, 0.1), lambda m: r.rmtl(m, 0.1, 0.2),
                                     lambda m: r.mte(m, 3, 0.1, 0.1), lambda m: r.gomtl(m, 3, 0.1, 0.1)])  # fmt: skip
def test_weights_of_1_change_nothing_and_whole_weights_repeat_samples(regress: Any) -> None:
    x, z = data(n=24)
    torch.testing.assert_close(
        product(regress(r.moments(x, z, torch.ones(24)))), product(regress(r.moments(x, z))), atol=1e-10, rtol=1e-8
    )
    count = torch.as_tensor(np.random.default_rng(0).permutation(np.repeat([0, 1, 2], 8)))
    repeated = r.moments(x.repeat_interleave(count, 0), z.repeat_interleave(count, 0))
    torch.testing.assert_close(
        product(regress(r.moments(x, z, count.double()))), product(regress(repeated)), atol=1e-8, rtol=1e-6
    )


@pytest.mark.parametrize("matching", ["latent", "word"])
def test_rotating_the_class_vectors_leaves_predictions_unchanged(matching: str) -> None:
    source, pool, classes = problem()
    q, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(6, 6)))
    turned = classes.replace(embeddings=classes.embeddings @ q)
    method = MTEZSAR(**FIXED, matching=matching)  # type: ignore[arg-type]
    scores = [
        MTEZSAR(**method.get_params())
        .fit(source=source.replace(classes=c), classes=c, target=pool)
        .decision_function(pool)[:, 12:]
        for c in (classes, turned)
    ]
    torch.testing.assert_close(scores[0], scores[1], atol=2e-3, rtol=1e-3)  # float32, and class vectors are rounded


def test_latent_and_word_matching_coincide_for_orthonormal_s_no_penalty_and_prototypes_in_its_span() -> None:
    rng = np.random.default_rng(0)
    s, _ = np.linalg.qr(rng.normal(size=(7, 3)))
    codes, prototypes = rng.normal(size=(20, 3)), rng.normal(size=(6, 3)) @ s.T
    latent = r.latent_prototypes(torch.as_tensor(s), torch.as_tensor(prototypes), 0.0)
    words = cosines(torch.as_tensor(codes @ s.T), torch.as_tensor(prototypes))
    torch.testing.assert_close(cosines(torch.as_tensor(codes), latent), words)


def test_labels_of_the_target_are_never_used() -> None:
    source, pool, classes = problem()
    shuffled = pool.replace(y=np.random.default_rng(0).permutation(pool.y))
    a, b = (MTEZSAR(**FIXED, self_training=5).fit(source=source, classes=classes, target=t) for t in (pool, shuffled))
    np.testing.assert_array_equal(a.transduction_, b.transduction_)
    assert torch.equal(a.decision_function(pool), b.decision_function(pool))


# -- the regressors against others -------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "d"), [(40, 7), (9, 30)])
def test_ridge_is_the_same_in_features_and_in_samples(n: int, d: int) -> None:
    x, z = data(n=n, d=d)
    w = torch.as_tensor(np.random.default_rng(1).uniform(0, 2, n))
    expected = torch.linalg.solve(x.T * w @ x + 0.1 * n * torch.eye(d), x.T * w @ z)
    found = product(r.ridge(r.moments(x, z, w), 0.1)).T
    torch.testing.assert_close(found, expected, atol=1e-8, rtol=1e-8)
    torch.testing.assert_close(found, reference_ridge(x, z, 0.1, w), atol=1e-8, rtol=1e-8)


def test_mte_in_samples_is_mte_in_features() -> None:
    x, z = data(n=8, d=30)
    wide = r.moments(x, z)
    g, basis = torch.linalg.eigh(x.T @ x / 8)
    full = r.Moments(basis, g.clamp_min(0), basis.T @ x.T @ z / 8, z.T @ z / 8)
    assert wide.g.shape == (8,)
    torch.testing.assert_close(product(r.mte(wide, 4, 0.1, 0.1)), product(r.mte(full, 4, 0.1, 0.1)))


def test_rmtl_is_ridge_regression_on_augmented_features() -> None:
    x, z = data(n=30, d=4, t=3)
    shared, own, t = 0.3, 0.7, 3
    eye = torch.eye(t, dtype=x.dtype)  # every task reads w_0 and its own v_t, scaled so that one penalty serves both
    design = torch.cat([torch.kron(torch.ones(t, 1), x) / shared**0.5, torch.kron(eye, x) / own**0.5], dim=1)
    both = torch.linalg.solve(design.T @ design / 30 + torch.eye(16), design.T @ z.T.reshape(-1) / 30)
    w_0, v = both[:4] / shared**0.5, both[4:].reshape(t, 4) / own**0.5
    torch.testing.assert_close(product(r.rmtl(r.moments(x, z), shared, own)), w_0 + v)


def test_the_lasso_step_is_that_of_scikit_learn() -> None:
    x, z = data(n=50, d=4, t=3)
    peer = Lasso(alpha=0.15, fit_intercept=False, tol=1e-10, max_iter=10_000).fit(x.numpy(), z.numpy())
    found = r.lasso(torch.zeros(3, 4).double(), x.T @ x / 50, z.T @ x / 50, 0.3, steps=5000)
    np.testing.assert_allclose(found, peer.coef_, atol=1e-6)


def test_the_rank_of_the_map_is_at_most_the_number_of_latent_tasks() -> None:
    x, z = data()
    assert torch.linalg.matrix_rank(product(r.mte(r.moments(x, z), 2, 1e-3, 1e-3))) == 2
    assert r.mte(r.moments(x, z[:, :1] @ torch.ones(1, 5).double()), 4, 1e-3, 1e-3).s.shape == (5, 1)


# -- weights, matching and choice --------------------------------------------------------------------------


def test_relevant_samples_and_classes_weigh_more_and_the_mean_over_all_is_1() -> None:
    rng = np.random.default_rng(0)
    x, z = torch.as_tensor(rng.normal(size=(90, 3))), torch.as_tensor(rng.normal(size=(90, 2)))
    pool, names = x[:30] + 0.05, z[30:60] + 0.05
    near = {"none": (1, 1), "visual": (None, 1), "category": (1, None), "full": (None, None)}
    for mode in near:
        w = relevance(mode, x, z, pool, names)  # type: ignore[arg-type]
        assert float(w.mean()) == pytest.approx(1)
    visual, category, full = (relevance(m, x, z, pool, names) for m in ("visual", "category", "full"))  # type: ignore[arg-type]
    assert visual[:30].mean() > visual[30:].mean()
    assert category[30:60].mean() > category[:30].mean()
    torch.testing.assert_close(full, visual * category / (visual * category).mean())
    torch.testing.assert_close(relevance("full", x, z, None, names), category)
    with pytest.raises(ValueError, match="weights must not be 'visual' without a `target`"):
        relevance("visual", x, z, None, names)


def test_the_hub_correction_is_over_the_pool_and_per_class_after_self_training() -> None:
    source, pool, classes = problem(noise=1.5)
    plain = MTEZSAR(**FIXED, **INDUCTIVE).fit(source=source, classes=classes)
    codes, prototypes = plain.transform(pool), plain.network_.prototypes[classes.unseen]
    unit = codes / codes.norm(dim=1, keepdim=True)
    moved = torch.stack([unit[(unit @ (p / p.norm())).argsort(descending=True)[:7]].mean(dim=0) for p in prototypes])
    expected = without_hubs(cosines(codes, moved)).argmax(dim=1).numpy() + 12
    method = MTEZSAR(**FIXED, weights="none", self_training=7).fit(source=source, classes=classes, target=pool)
    np.testing.assert_array_equal(method.transduction_, expected)
    np.testing.assert_array_equal(method.predict(pool), expected)
    assert (expected != plain.predict(pool)).any()


def test_without_a_target_only_the_names_of_unseen_classes_weigh() -> None:
    source, pool, classes = problem()
    full = MTEZSAR(**FIXED, weights="full").fit(source=source, classes=classes)
    category = MTEZSAR(**FIXED, weights="category", hubs=False).fit(source=source, classes=classes)
    assert torch.equal(full.decision_function(pool), category.decision_function(pool))
    assert "transduction_" not in full.fitted


def test_by_default_weights_are_those_of_categories_with_an_augmentation_pool_and_else_none() -> None:
    source, _, classes = problem()
    few, rest = source.take(source.labels < 5), source.take(source.labels >= 5)
    assert torch.equal(MTEZSAR(**FIXED).fit(source=source, classes=classes).weights_, torch.ones(len(source)))
    pooled = MTEZSAR(**FIXED).fit(source=few, classes=classes, auxiliary=rest)
    category = MTEZSAR(**FIXED, weights="category").fit(source=few, classes=classes, auxiliary=rest)
    assert torch.equal(pooled.weights_, category.weights_)
    assert pooled.weights_.std() > 0


def test_weights_that_rest_on_few_samples_are_told(caplog: pytest.LogCaptureFixture) -> None:
    source, pool, classes = problem()
    far = np.where(np.arange(len(source)) < 5, 0.0, 50.0)[:, None] * np.eye(10)[0]
    MTEZSAR(**FIXED, weights="none").fit(source=source, classes=classes)
    assert not caplog.messages
    shifted = source.replace(x=(source.x + far).astype(np.float32))
    MTEZSAR(**FIXED, weights="visual").fit(source=shifted, classes=classes, target=pool)
    assert "144 samples are worth" in caplog.messages[0]


def test_an_unseen_vector_that_is_orthogonal_to_all_seen_ones_gives_finite_scores() -> None:
    vectors = np.eye(8)
    vectors[5, 0] = vectors[6, 1] = vectors[6, 2] = 1
    vectors[6, 6] = 0
    classes = ClassSpace(names=tuple("abcdefgh"), embeddings=vectors, seen=range(5))
    y = np.repeat(np.arange(8), 200)
    x = (vectors[y] + 0.1 * np.random.default_rng(0).normal(size=(1600, 8))).astype(np.float32)
    whole = Domain(x=x, y=y, classes=classes)
    for method in (MTEZSAR(), Ridge()):
        method.fit(source=whole.take(y < 5), classes=classes, target=whole.take(y >= 5))
        assert torch.isfinite(method.decision_function(whole)).all()
        assert (method.predict(whole.take(y == 5)) == 5).all()


@pytest.mark.parametrize("make", [lambda hubs: MTEZSAR(**FIXED, hubs=hubs), lambda hubs: Ridge(hubs=hubs)])
def test_a_pool_of_one_sample_has_no_hubs(make: Any) -> None:
    source, pool, classes = problem()
    held, plain = (make(h).fit(source=source, classes=classes, target=pool.take(np.arange(1))) for h in (True, False))
    assert torch.equal(held.decision_function(pool), plain.decision_function(pool))


def test_self_training_leaves_seen_prototypes_where_they_are() -> None:
    source, pool, classes = problem()
    fixed: dict[str, Any] = {**FIXED, **INDUCTIVE, "generalized": True}
    plain = MTEZSAR(**fixed).fit(source=source, classes=classes, target=pool)
    moved = MTEZSAR(**fixed, self_training=5).fit(source=source, classes=classes, target=pool)
    assert torch.equal(moved.network_.prototypes[:12], plain.network_.prototypes[:12])
    assert not torch.isclose(moved.network_.prototypes[12:], plain.network_.prototypes[12:]).any()


@pytest.mark.parametrize("method", [MTEZSAR(**FIXED), Ridge()])
def test_samples_that_are_all_alike_are_refused(method: MTEZSAR | Ridge) -> None:
    source, _, classes = problem()
    with pytest.raises(ValueError, match="source must hold samples that differ in direction; all 144 are alike"):
        method.fit(source=source.replace(x=np.ones_like(source.x)), classes=classes)


def test_settings_are_chosen_by_holding_out_classes_not_samples() -> None:
    source = problem()[0]
    absent: list[list[int]] = []

    def regress(m: r.Moments, setting: Setting, tolerance: float) -> r.Factors:
        absent.append(torch.nonzero(m.words.diagonal()[:12] == 0).flatten().tolist())  # class vectors are one-hot
        return r.ridge(m, setting.penalty_a)

    tried = settings_of(6, 6, None, None)
    x, y = torch.as_tensor(source.x).double(), source.labels
    best, scores = cross_validate(tried, regress, x, y, torch.eye(16), torch.ones(len(y)).double(), latent=False)
    assert best in tried
    assert len(absent) == 5 * len(tried)
    assert sorted(c for fold in absent[:: len(tried)] for c in fold) == list(range(12))
    assert max(scores.values()) == scores[best]


def test_what_is_given_is_not_chosen() -> None:
    assert settings_of(8, 3, 0.1, 0.2) == [Setting(3, 0.1, 0.2)]
    assert {s.penalty_s for s in settings_of(8, 3, 0.1, None)} == {0.1}
    assert all(s.penalty_s == s.penalty_a for s in settings_of(8, None, None, None))
    assert len(settings_of(8, 8, None, None, tied=False)) == 81


@pytest.mark.parametrize(
    ("mapping", "read"),
    [("mte", {"tasks", "penalty_s", "penalty_a"}), ("ridge", {"penalty_a"}), ("rmtl", {"penalty_s", "penalty_a"})],
)
def test_the_setting_is_what_was_used_and_gives_the_same_map(mapping: Any, read: set[str]) -> None:
    source, _, classes = problem(seen=5)
    inputs: dict[str, Any] = {"source": source, "classes": classes}
    method = MTEZSAR(mapping=mapping, **INDUCTIVE).fit(**inputs)
    again = MTEZSAR(mapping=mapping, **INDUCTIVE, **method.setting_).fit(**inputs)
    assert set(method.setting_) == read
    assert torch.equal(again.s_ @ again.a_, method.s_ @ method.a_)
    asked = MTEZSAR(**INDUCTIVE, **FIXED | {"tasks": 50}).fit(**inputs)
    assert asked.setting_["tasks"] == len(asked.a_) == 5


def test_numbers_of_tasks_are_shares_of_the_rank_not_of_the_width(monkeypatch: pytest.MonkeyPatch) -> None:
    source, _, classes = problem(seen=4, t=20)
    tried: list[Setting] = []

    def spy(settings: list[Setting], *args: Any, **kwargs: Any) -> Any:
        tried.extend(settings)
        return cross_validate(settings, *args, **kwargs)

    monkeypatch.setattr("unseen.methods.zero_shot.mte_zsar.method.cross_validate", spy)
    MTEZSAR(**INDUCTIVE, iterations=3).fit(source=source, classes=classes)
    assert {setting.tasks for setting in tried} == {4, 2, 1}


# -- the whole ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mapping", ["mte", "ridge", "rmtl", "gomtl"])
def test_it_recognizes_classes_that_it_never_saw(mapping: str) -> None:
    source, pool, classes = problem()
    method = MTEZSAR(mapping=mapping, **INDUCTIVE).fit(source=source, classes=classes)  # type: ignore[arg-type]
    assert accuracy(method.predict(pool), pool) > 0.6  # chance is 1/4
    assert set(method.predict(source).tolist()) <= set(classes.unseen.tolist())
    both = MTEZSAR(mapping=mapping, generalized=True, **INDUCTIVE).fit(source=source, classes=classes)  # type: ignore[arg-type]
    assert accuracy(both.predict(source), source) > 0.5


def test_an_augmentation_pool_of_other_classes_helps_and_its_data_sets_are_told_apart() -> None:
    source, pool, classes = problem(seen=30, noise=1.0)
    small = source.take(source.labels < 5)
    rest = source.take(source.labels >= 5)
    far = rest.replace(x=rest.x + 40, name="far")
    alone = MTEZSAR(**INDUCTIVE).fit(source=small, classes=classes)
    more = MTEZSAR(**INDUCTIVE).fit(source=small, classes=classes, auxiliary=rest)
    assert accuracy(more.predict(pool), pool) > accuracy(alone.predict(pool), pool) + 0.1
    auxiliary = concatenate([rest.replace(name="near"), far])
    weighted = MTEZSAR(weights="visual", hubs=False).fit(
        source=small, classes=classes, auxiliary=auxiliary, target=pool
    )
    assert weighted.relevance_["far"] < 0.1 * weighted.relevance_["near"]
    assert weighted.effective_size_ < len(small) + len(auxiliary)
    assert weighted.weights_.shape == (len(small) + len(auxiliary),)


def test_a_bad_augmentation_pool_is_named() -> None:
    source, pool, classes = problem()
    with pytest.raises(ValueError, match="auxiliary must not hold unseen classes; it has samples of 'class 12'"):
        MTEZSAR(**FIXED).fit(source=source, classes=classes, auxiliary=pool)
    half = source.replace(y=np.r_[-1, -1, source.labels[2:]])
    with pytest.raises(ValueError, match="auxiliary must be labelled; 2 of its 144"):
        MTEZSAR(**FIXED).fit(source=source, classes=classes, auxiliary=half)


def test_action_features_are_read_from_a_matlab_file_and_two_data_sets_are_joined(tmp_path: Path) -> None:
    source, pool, classes = problem()
    whole = np.concatenate([source.x, pool.x]), np.concatenate([source.labels, pool.labels])
    words = {f"word{i}": vector for i, vector in enumerate(classes.embeddings)}  # type: ignore[arg-type]
    parts = {}
    for name, which in (("hmdb", np.arange(8)), ("ucf", np.arange(4, 16))):
        own = np.isin(whole[1], which)
        savemat(
            tmp_path / f"{name}.mat", {"features": whole[0][own], "labels": np.searchsorted(which, whole[1][own]) + 1}
        )
        data = load(tmp_path / f"{name}.mat")
        space = ClassSpace(
            names=[f"word{i}" for i in which], embeddings=name_vectors([f"word{i}" for i in which], words)
        )
        parts[name] = data.with_labels(data.y, space)  # type: ignore[arg-type]
    hmdb, ucf = parts["hmdb"], parts["ucf"]
    both = join(hmdb.classes, ucf.classes)  # type: ignore[arg-type]
    hmdb, ucf = (d.with_labels(realign(d.labels, d.classes, both), both) for d in (hmdb, ucf))  # type: ignore[arg-type]
    both = both.replace(seen=[c for c in range(16) if c not in (0, 1, 2)])
    target, learn = hmdb.take(hmdb.labels < 3), hmdb.take(hmdb.labels >= 3)
    method = MTEZSAR(weights="full").fit(
        source=learn.replace(classes=both), classes=both, auxiliary=ucf.replace(classes=both), target=target
    )
    assert accuracy(method.transduction_, target) > 0.6  # chance is 1/3
