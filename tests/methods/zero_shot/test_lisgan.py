"""LisGAN: the analytic checks of its description, and what must hold of any fit."""

from __future__ import annotations

import copy
import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import loadmat, savemat

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.loaders.matlab import load_zsl
from unseen.evaluation.metrics.zero_shot import generalized_scores
from unseen.methods.base import NotFittedError
from unseen.methods.zero_shot.lisgan import PAPER, LisGAN
from unseen.methods.zero_shot.lisgan.steps import (
    class_regularizer,
    confident,
    entropy,
    nearest,
    nearest_soul,
    sample_regularizer,
    soul_samples,
    synthesize,
)
from unseen.nn.adversarial import conditional_critic, conditional_generator
from unseen.nn.softmax import Softmax
from unseen.nn.train import Run
from unseen.runtime import reproducible

SHARED = Path(__file__).parents[3] / "../shared/data/zsl-attributes"
SMOKE = dict(LisGAN.card.smoke)
SOULS = torch.tensor([[[0.0, 0], [1, 0], [0, 2]], [[4, 4], [5, 4], [4, 6]]])


def problem(
    seen: int = 5, unseen: int = 3, n: int = 12, d: int = 8, a: int = 4, seed: int = 0
) -> tuple[Domain, Domain, ClassSpace]:
    """Features as a noisy ReLU map of class attributes: source, pool of unseen classes, all classes."""
    rng = np.random.default_rng(seed)
    attributes = rng.normal(size=(seen + unseen, a))
    y = np.repeat(np.arange(seen + unseen), n)
    x = np.maximum(attributes[y] @ rng.normal(size=(a, d)) + 0.3 * rng.normal(size=(len(y), d)), 0)
    classes = ClassSpace(
        names=[f"class {i}" for i in range(seen + unseen)], attributes=attributes, seen=np.arange(seen)
    )
    whole = Domain(x=x.astype(np.float32), y=y, classes=classes)
    return whole.take(y < seen), whole.take(y >= seen), classes


def renumbered(domain: Domain, ids: np.ndarray) -> Domain:
    return domain.replace(y=ids[domain.y], classes=None)


# -- the checks of the specification -----------------------------------------------------------------------


def test_without_souls_and_cascade_the_updates_are_those_of_f_clswgan() -> None:
    torch.manual_seed(0)
    x, y = torch.rand(30, 6), torch.arange(30) % 3
    a, souls, head = torch.randn(3, 4), torch.rand(3, 2, 6), torch.nn.Linear(6, 3)
    method = LisGAN(sample_souls=0, class_souls=0, epochs=3, hidden=7, batch_size=8, classification=0.3)
    with reproducible(1):
        ours = method._train_generator(x, y, a, souls, copy.deepcopy(head))

    with reproducible(1):  # f-CLSWGAN, written down plainly
        generator, critic = conditional_generator(6, 4, 4, 7), conditional_critic(6, 4, 7)
        draw = Run("lisgan", {}, {}, 1, None).generator
        adam_d = torch.optim.Adam(critic.parameters(), 2e-3, betas=(0.5, 0.999))
        adam_g = torch.optim.Adam(generator.parameters(), 2e-3, betas=(0.5, 0.999))
        for _ in range(3):
            for _ in range(4):  # ceil(30 / 8) generator steps an epoch
                for _ in range(5):
                    pick = torch.randperm(30, generator=draw)[:8]
                    real, condition = x[pick], a[y[pick]]
                    fake = generator(torch.randn(8, 4, generator=draw), condition).detach()
                    alpha = torch.rand(8, 1, generator=draw)
                    between = (alpha * real + (1 - alpha) * fake).requires_grad_()
                    slope = torch.autograd.grad(critic(between, condition).sum(), between, create_graph=True)[0]
                    loss = critic(fake, condition).mean() - critic(real, condition).mean()
                    loss = loss + 10 * ((slope.norm(dim=1) - 1) ** 2).mean()
                    adam_d.zero_grad()
                    loss.backward()
                    adam_d.step()
                fake = generator(torch.randn(8, 4, generator=draw), condition)
                loss = -critic(fake, condition).mean() + 0.3 * F.cross_entropy(head(fake), y[pick])
                adam_g.zero_grad()
                loss.backward()
                adam_g.step()
    for mine, theirs in zip(ours.parameters(), generator.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-7, rtol=1e-6)


def test_one_soul_is_the_class_mean() -> None:
    x, y = torch.randn(20, 3), torch.arange(20) % 4
    expected = torch.stack([x[y == c].mean(dim=0) for c in range(4)])
    torch.testing.assert_close(soul_samples(x, y, 4, k=1)[:, 0], expected)


def test_sample_regularizer_is_zero_if_all_fakes_equal_a_soul_of_their_class_and_never_negative() -> None:
    y = torch.tensor([0, 0, 1, 1, 1])
    assert float(sample_regularizer(SOULS[y, torch.tensor([0, 2, 1, 0, 2])], y, SOULS)) == 0
    assert float(sample_regularizer(torch.randn(5, 2), y, SOULS)) > 0


def test_gradient_of_the_sample_regularizer_is_twice_the_way_from_the_nearest_soul_over_the_batch() -> None:
    fake = torch.tensor([[0.5, 0.1], [4.2, 4.5], [3.0, 3.0]], requires_grad=True)
    y = torch.tensor([0, 1, 1])
    sample_regularizer(fake, y, SOULS).backward()
    assert fake.grad is not None
    # (.5, .1) is as near to (0, 0) as to (1, 0); the others are nearest to (4, 4)
    torch.testing.assert_close(fake.grad[1:], 2 * (fake.detach()[1:] - torch.tensor([4.0, 4.0])) / 3)
    assert abs(float(fake.grad[0, 0])) == pytest.approx(1 / 3)


def test_gradient_of_the_class_regularizer_reaches_all_20_samples_with_weight_one_twentieth() -> None:
    fakes = torch.randn(2, 20, 2, requires_grad=True)
    class_regularizer(fakes, SOULS).backward()
    means = fakes.detach().mean(dim=1)
    near = torch.stack([SOULS[c, (means[c] - SOULS[c]).square().sum(1).argmin()] for c in range(2)])
    expected = (2 * (means - near) / 2 / 20)[:, None].expand(2, 20, 2)  # 2 classes, 20 samples
    assert fakes.grad is not None
    torch.testing.assert_close(fakes.grad, expected)


def test_values_of_both_regularizers_on_the_fixed_input() -> None:
    fake, y = torch.tensor([[0.5, 0.1], [4.2, 4.5], [3.0, 3.0]]), torch.tensor([0, 1, 1])
    torch.testing.assert_close(nearest_soul(fake, SOULS[y]), torch.tensor([0.26, 0.29, 2.0]))
    assert float(sample_regularizer(fake, y, SOULS)) == pytest.approx(0.85)
    fakes = torch.tensor([[[0.2, 0.2], [0.4, 1.0]], [[4.5, 4.5], [5.5, 4.5]]])
    assert float(class_regularizer(fakes, SOULS)) == pytest.approx((0.45 + 0.25) / 2)


def test_the_nearest_soul_is_searched_only_among_souls_of_the_samples_own_class() -> None:
    on_a_soul_of_class_1 = torch.tensor([[4.0, 4.0]])
    assert float(sample_regularizer(on_a_soul_of_class_1, torch.tensor([1]), SOULS)) == 0
    assert float(sample_regularizer(on_a_soul_of_class_1, torch.tensor([0]), SOULS)) == 20  # from (0, 2)


def test_ratio_0_changes_nothing_but_continued_training() -> None:
    torch.manual_seed(0)
    x, y, pool = torch.rand(40, 5), torch.arange(40) % 4, torch.rand(15, 5)
    method = LisGAN(ratio=0.0, classifier_epochs=7, synthetic=8)
    with reproducible(0):
        classifier = Softmax(5, 4)
        plain = copy.deepcopy(classifier)
        labels = method._cascade(classifier, x, y, pool)
    with reproducible(0):
        Softmax(5, 4)
        plain.train(x, y, name="lisgan-second", epochs=7, batch_size=16)
    assert torch.equal(plain.head.weight, classifier.head.weight)
    assert torch.equal(labels, plain.probabilities(pool).argmax(dim=1))


def test_ratio_1_returns_the_labels_of_the_first_stage() -> None:
    source, pool, classes = problem()
    fitted = LisGAN(**SMOKE, ratio=1.0).fit(source=source, classes=classes, target=pool)
    np.testing.assert_array_equal(fitted.transduction_, fitted.predict(pool))


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 2**31 - 1))
def test_souls_are_invariant_to_the_order_of_samples(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = torch.as_tensor(rng.normal(size=(30, 4)), dtype=torch.float32), torch.arange(30) % 3
    order = torch.as_tensor(rng.permutation(30))
    torch.testing.assert_close(soul_samples(x[order], y[order], 3), soul_samples(x, y, 3))


@pytest.mark.parametrize("generalized", [False, True])
def test_permuting_class_ids_permutes_predictions(generalized: bool) -> None:
    source, pool, classes = problem()
    ids = np.random.default_rng(1).permutation(len(classes))
    order = np.argsort(ids)
    moved = ClassSpace(
        names=[classes.names[i] for i in order],
        attributes=classes.attributes[order],  # type: ignore[index]
        seen=ids[classes.seen],
    )
    method = LisGAN(**{**SMOKE, "classifier_epochs": 5}, generalized=generalized)
    plain = copy.copy(method).fit(source=source, classes=classes, target=pool)
    other = copy.copy(method).fit(source=renumbered(source, ids), classes=moved, target=pool)
    np.testing.assert_array_equal(ids[plain.predict(pool)], other.predict(pool))
    np.testing.assert_array_equal(ids[plain.transduction_], other.transduction_)


def test_labels_of_test_samples_never_influence_predictions() -> None:
    source, pool, classes = problem()
    shuffled = pool.replace(y=np.random.default_rng(0).permutation(pool.y))
    a, b = (LisGAN(**SMOKE).fit(source=source, classes=classes, target=t) for t in (pool, shuffled))
    np.testing.assert_array_equal(a.transduction_, b.transduction_)
    assert torch.equal(a.network_.head.weight, b.network_.head.weight)


# -- the cascade -------------------------------------------------------------------------------------------


def test_entropy_is_that_of_the_probabilities_not_of_their_logarithms() -> None:
    p = torch.softmax(torch.tensor([[0.0, 0, 0], [5, 0, 0], [500, 0, 0]]), dim=1)
    torch.testing.assert_close(entropy(p), torch.tensor([math.log(3), 0.0798, 0.0]), atol=1e-4, rtol=0)
    assert confident(p, 0.34).tolist() == [False, False, True]
    assert confident(p, 0.67).tolist() == [False, True, True]
    assert confident(p, 0.0).sum() == 0
    assert confident(p, 1.0).all()
    assert confident(torch.rand(100, 3).softmax(dim=1), 0.29).sum() == 29  # in floating point 100 x 0.29 is below 29


def test_confident_samples_keep_the_label_of_the_first_pass_in_both_variants() -> None:
    source, pool, classes = problem()
    for refine in ("softmax", "nearest"):
        fitted = LisGAN(**SMOKE, ratio=0.5, refine=refine).fit(source=source, classes=classes, target=pool)
        easy = confident(fitted.predict_proba(pool), 0.5).numpy()
        assert easy.sum() == len(pool) // 2
        np.testing.assert_array_equal(fitted.transduction_[easy], fitted.predict(pool)[easy])
        assert set(fitted.transduction_.tolist()) <= set(classes.unseen.tolist())


def test_the_nearest_variant_is_1_nn_in_the_enlarged_set() -> None:
    torch.manual_seed(0)
    x, y, pool = torch.rand(40, 5), torch.arange(40) % 4, torch.rand(15, 5)
    classifier = Softmax(5, 4)
    p = classifier.probabilities(pool)
    easy = confident(p, 0.4)
    labels = LisGAN(ratio=0.4, refine="nearest")._cascade(classifier, x, y, pool)
    xs, ys = torch.cat([x, pool[easy]]), torch.cat([y, p.argmax(dim=1)[easy]])
    for point, label, sure in zip(pool, labels, easy, strict=True):
        expected = classifier.head(point).argmax() if sure else ys[(xs - point).square().sum(dim=1).argmin()]
        assert label == expected


def test_nearest_in_blocks_is_nearest_at_once() -> None:
    points, references = torch.randn(600, 3), torch.randn(50, 3)
    assert torch.equal(nearest(points, references), torch.cdist(points, references).argmin(dim=1))


# -- souls of small classes --------------------------------------------------------------------------------


def test_a_class_with_fewer_samples_than_souls_has_its_samples_and_their_mean() -> None:
    x = torch.tensor([[0.0, 0], [2, 2], [5, 1], [7, 7], [7, 7]])
    souls = soul_samples(x, torch.tensor([0, 0, 1, 2, 2]), 3)
    torch.testing.assert_close(souls[0], torch.tensor([[0.0, 0], [2, 2], [1, 1]]))
    torch.testing.assert_close(souls[1], torch.tensor([[5.0, 1], [5, 1], [5, 1]]))
    torch.testing.assert_close(souls[2], torch.full((3, 2), 7.0))


def test_souls_find_the_modes_of_a_class() -> None:
    torch.manual_seed(0)
    modes = torch.tensor([[0.0, 0], [10, 0], [0, 10]])
    x = modes.repeat(20, 1) + 0.1 * torch.randn(60, 2)
    souls = soul_samples(x, torch.zeros(60, dtype=torch.long), 1)[0]
    means = torch.stack([x[i::3].mean(dim=0) for i in range(3)])
    assert float(torch.cdist(means, souls).min(dim=1).values.max()) < 1e-5


# -- the whole ---------------------------------------------------------------------------------------------


def test_it_recognizes_classes_that_it_never_saw() -> None:
    source, pool, classes = problem(seen=12, unseen=3, d=12, a=5, n=10)
    fitted = LisGAN(epochs=25, hidden=64).fit(source=source, classes=classes, target=pool)
    assert np.mean(fitted.predict(pool) == pool.y) > 0.6  # chance is 1/3
    assert set(fitted.predict(source).tolist()) <= set(classes.unseen.tolist())


def test_generalized_prediction_covers_all_classes() -> None:
    source, pool, classes = problem()
    fitted = LisGAN(**{**SMOKE, "classifier_epochs": 40}, generalized=True).fit(source=source, classes=classes)
    assert set(fitted.predict(source).tolist()) & set(classes.seen.tolist())
    p = fitted.predict_proba(pool)
    assert p.shape == (len(pool), len(classes))
    assert (p > 0).all()
    torch.testing.assert_close(fitted.entropy(pool), entropy(p))


def test_a_seen_class_without_samples_is_generated_when_all_classes_are_in_question() -> None:
    source, pool, classes = problem()
    source = source.take(source.y != 2)
    method = LisGAN(**SMOKE).fit(source=source, classes=classes)
    assert set(method.predict(pool).tolist()) <= set(classes.unseen.tolist())
    assert 2 not in method.seen_.tolist()
    both = LisGAN(**SMOKE, generalized=True).fit(source=source, classes=classes)
    assert (both.decision_function(pool) > -1e3).all()


def test_synthesized_features_are_labelled_and_lie_in_the_units_of_the_source() -> None:
    source, _, classes = problem()
    source = source.replace(x=100 * source.x + 7)
    fitted = LisGAN(**{**SMOKE, "epochs": 5}).fit(source=source, classes=classes)
    made = fitted.synthesize(np.array([6, 0]), 9)
    assert made.y.tolist() == [6] * 9 + [0] * 9
    assert (made.x >= source.x.min(axis=0) - 1e-3).all()  # scaled features are not negative
    assert made.x.std() > 0.1  # scaled features have at most 1 in all; these have a range of about 500
    np.testing.assert_array_equal(made.x, fitted.synthesize([6, 0], 9).x)
    assert not np.array_equal(made.x, fitted.synthesize([6, 0], 9, random_state=1).x)
    with pytest.raises(ValueError, match="classes must be"):
        fitted.synthesize([8], 9)


def test_nothing_is_synthesized_before_fit() -> None:
    with pytest.raises(NotFittedError, match="call fit first"):
        LisGAN().synthesize([0], 1)


def test_the_rate_of_the_final_classifier_leaves_the_generator_alone() -> None:
    source, pool, classes = problem()
    slow, fast = (LisGAN(**SMOKE, classifier_learning_rate=r).fit(source=source, classes=classes) for r in (1e-3, 1e-1))
    for a, b in zip(slow.generator_.parameters(), fast.generator_.parameters(), strict=True):
        assert torch.equal(a, b)
    assert not torch.equal(slow.decision_function(pool), fast.decision_function(pool))


def test_synthesis_gives_each_description_its_own_noise() -> None:
    generator = conditional_generator(6, 4, 4, 8)
    x, y = synthesize(generator, torch.randn(1, 4).expand(3, 4), 5)
    assert y.tolist() == [0] * 5 + [1] * 5 + [2] * 5
    assert len(x.unique(dim=0)) == 15


def test_souls_are_given_in_the_units_of_the_source_for_every_class_with_samples() -> None:
    source, _, classes = problem()
    fitted = LisGAN(**SMOKE, souls=1).fit(source=source, classes=classes)
    assert sorted(fitted.seen_.tolist()) == classes.seen.tolist()
    for c, soul in zip(fitted.seen_, fitted.souls_, strict=True):
        np.testing.assert_allclose(soul[0], source.x[source.y == c].mean(axis=0), atol=1e-4)


def test_a_saved_model_predicts_the_same(tmp_path: Path) -> None:
    source, pool, classes = problem()
    fitted = LisGAN(**SMOKE).fit(source=source, classes=classes, target=pool)
    fitted.save(tmp_path / "model")
    again = LisGAN.load(tmp_path / "model")
    assert torch.equal(again.decision_function(pool), fitted.decision_function(pool))
    np.testing.assert_array_equal(again.synthesize([5], 4).x, fitted.synthesize([5], 4).x)
    np.testing.assert_array_equal(again.transduction_, fitted.transduction_)


def test_a_class_described_after_training_is_recognized_with_the_generator_as_it_is() -> None:
    source, pool, classes = problem(seen=5, unseen=4)
    early, late = classes.take(range(7)), pool.take(pool.y >= 7)
    fitted = LisGAN(**SMOKE).fit(source=source.replace(classes=early), classes=early, target=pool)
    before = fitted.decision_function(pool)
    adapted = fitted.adapt(source=source, classes=classes)
    assert set(fitted.predict(late).tolist()) <= {5, 6}
    assert adapted.decision_function(late).shape == (len(late), 9)
    assert (adapted.decision_function(late)[:, 5:] > -1e3).all()
    assert "transduction_" not in adapted.fitted  # the labels of the pool were of the old classes
    assert torch.equal(fitted.decision_function(pool), before)
    for mine, theirs in zip(adapted.generator_.parameters(), fitted.generator_.parameters(), strict=True):
        assert torch.equal(mine, theirs)
    narrow = ClassSpace(names=classes.names, attributes=classes.attributes[:, :3], seen=classes.seen)  # type: ignore[index]
    with pytest.raises(ValueError, match="must have 4 values; got 3"):
        fitted.adapt(source=source.replace(classes=None), classes=narrow)


def test_adapting_to_features_of_another_width_says_so() -> None:
    source, pool, classes = problem()
    fitted = LisGAN(**SMOKE).fit(source=source, classes=classes)
    for width in (1, 3):  # one feature would broadcast
        with pytest.raises(ValueError, match=f"must have 8 features, as in fit; got {width}"):
            fitted.adapt(source=source.replace(x=source.x[:, :width]), classes=classes)
    assert fitted.predict(pool).shape == (len(pool),)


def test_adapting_to_all_classes_and_another_pool_needs_no_new_generator() -> None:
    source, pool, classes = problem()
    fitted = LisGAN(**{**SMOKE, "classifier_epochs": 30}).fit(source=source, classes=classes)
    wide = copy.copy(fitted).set_params(generalized=True).adapt(source=source, classes=classes, target=pool)
    assert (wide.decision_function(pool) > -1e3).all()
    assert wide.transduction_.shape == (len(pool),)
    assert set(wide.predict(source).tolist()) & set(classes.seen.tolist())


def test_embeddings_stand_in_for_attributes_and_their_length_does_not_matter() -> None:
    source, pool, classes = problem()
    embedded = ClassSpace(names=classes.names, embeddings=5 * classes.attributes, seen=classes.seen)
    a = LisGAN(**SMOKE).fit(source=source, classes=classes)
    b = LisGAN(**SMOKE).fit(source=source.replace(classes=embedded), classes=embedded)
    torch.testing.assert_close(a.decision_function(pool), b.decision_function(pool), atol=1e-3, rtol=1e-3)


def test_bad_classes_are_named_before_work() -> None:
    source, _, classes = problem()
    plain = ClassSpace(names=classes.names, seen=classes.seen)
    with pytest.raises(ValueError, match="attributes or embeddings"):
        LisGAN().fit(source=source.replace(classes=None), classes=plain)
    with pytest.raises(ValueError, match="at least two classes"):
        LisGAN().fit(source=source.take(source.y == 0), classes=classes)
    with pytest.raises(ValueError, match=r"'class 4' is not in classes\.seen"):
        LisGAN().fit(source=source, classes=classes.replace(seen=np.arange(4)))
    everything = classes.replace(seen=np.arange(len(classes)))
    with pytest.raises(ValueError, match="must have unseen classes"):
        LisGAN().fit(source=source, classes=everything)


# -- the usual feature files -------------------------------------------------------------------------------


def test_the_usual_feature_files_run_through(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    att = rng.normal(size=(5, 9)).astype(np.float64)
    label = np.repeat(np.arange(9), 10)
    x = np.maximum(att.T[label] @ rng.normal(size=(5, 12)) + 0.2 * rng.normal(size=(90, 12)), 0)
    held = (np.arange(90) % 10 == 0) & (label < 6)
    column = lambda mask: np.flatnonzero(mask)[:, None] + 1
    savemat(tmp_path / "res101.mat", {"features": x.T, "labels": label[:, None] + 1})
    parts = {
        "trainval_loc": column((label < 6) & ~held),
        "test_seen_loc": column(held),
        "test_unseen_loc": column(label >= 6),
    }
    names = np.array([[f"animal{i}"] for i in range(9)], dtype=object)
    savemat(tmp_path / "att_splits.mat", {"att": att, "allclasses_names": names, **parts})

    data = load_zsl(tmp_path)
    settings = {**SMOKE, "generalized": True, "classifier_epochs": 20}
    fitted = LisGAN(**settings).fit(source=data.train_seen, classes=data.classes)
    truth = np.concatenate([data.test_seen.y, data.test_unseen.y])
    predicted = np.concatenate([fitted.predict(data.test_seen), fitted.predict(data.test_unseen)])
    scores = generalized_scores(truth, predicted, data.classes.seen)
    assert set(scores) == {"s", "u", "h"}
    assert scores["s"] > 0.3  # of 9 classes


@pytest.mark.skipif(not SHARED.exists(), reason="the public attribute tables are not beside this checkout")
def test_the_public_attribute_tables_condition_the_generator() -> None:
    info = loadmat(SHARED / "AWA1" / "att_splits.mat")
    att = info["att"].T.astype(np.float32)
    names = [str(cell[0]) for cell in info["allclasses_names"].reshape(-1)]
    np.testing.assert_allclose(np.linalg.norm(att, axis=1), 1, atol=1e-3)
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(50), 6)
    x = np.maximum(att[y] @ rng.normal(size=(85, 32)) + 0.1 * rng.normal(size=(300, 32)), 0).astype(np.float32)
    seen = np.arange(40)
    classes = ClassSpace(names=names, attributes=att, seen=seen)
    fitted = LisGAN(**SMOKE).fit(source=Domain(x=x[y < 40], y=y[y < 40]), classes=classes)
    assert set(fitted.predict(x[y >= 40]).tolist()) <= set(range(40, 50))


def test_settings_of_the_paper_are_valid_hyperparameters() -> None:
    assert len(PAPER) == 10
    for name, setting in PAPER.items():
        method = LisGAN(generalized=name.endswith("gzsl"), **setting)
        assert (method.hidden, method.critic_steps, method.penalty) == (4096, 5, 10)
        assert (method.souls, method.samples_per_class, method.batch_size) == (3, 20, 64)
