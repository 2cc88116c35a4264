"""`forest-ranker`: the trees are scikit-learn's, read without it; what a node is worth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.ensemble import ExtraTreesRegressor

from unseen.data.domain import Domain
from unseen.data.sources.architectures import architectures
from unseen.methods.architecture_rankers import tau
from unseen.methods.baselines import forest_ranker
from unseen.methods.baselines.forest_ranker import ForestRanker


def toy(n: int = 60, nodes: int = 6, seed: int = 0) -> Domain:
    """Three proxies of six nodes; only the second node says how good an architecture is."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-1, 9, (n, 3, nodes))
    return Domain(x=x.reshape(n, -1).astype(np.float32), y=x[:, :, 1].mean(axis=1), task="value", name="toy")


def test_scores_are_those_of_scikit_learns_trees_on_statistics_and_sums() -> None:
    learn, others = toy(), toy(seed=1)
    features = [
        np.concatenate([d.x, d.x.reshape(60, 3, 6).sum(axis=2, dtype=np.float64)], axis=1) for d in (learn, others)
    ]
    logs = [np.sign(f) * np.log1p(np.abs(f)) for f in features]
    forest = ExtraTreesRegressor(30, min_samples_leaf=2, random_state=3).fit(logs[0], learn.labels)
    method = ForestRanker(trees=30, smallest_leaf=2, random_state=3).fit(source=learn)
    np.testing.assert_allclose(method.predict(others.x), forest.predict(logs[1]), atol=1e-12)
    each = np.stack([tree.predict(logs[1]) for tree in forest.estimators_])
    np.testing.assert_allclose(method.uncertainty(others.x), each.std(axis=0), atol=1e-12)
    assert (method.rank(others.x) == np.argsort(-method.predict(others.x), kind="stable")).all()


def test_parts_of_many_architectures_are_read_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    method, x = ForestRanker(trees=7).fit(source=toy()), toy(seed=1).x
    whole = method.predict(x)
    monkeypatch.setattr(forest_ranker, "AT_ONCE", 13)
    np.testing.assert_array_equal(method.predict(x), whole)


def test_the_node_that_matters_is_worth_most() -> None:
    worth = ForestRanker().fit(source=toy()).importance(toy(seed=1).x, toy(seed=1).labels)
    assert worth.importance.argmax() == 1
    assert worth.importance[1] > 5 * np.delete(worth.importance, 1).max()
    assert (worth.uncertainty > 0).any()


def test_a_forest_is_saved_and_read(tmp_path: Path) -> None:
    method = ForestRanker(trees=5).fit(source=toy())
    method.save(tmp_path / "forest")
    np.testing.assert_array_equal(
        ForestRanker.load(tmp_path / "forest").predict(toy(seed=1).x), method.predict(toy(seed=1).x)
    )


def test_statistics_beyond_single_precision_and_odd_widths() -> None:
    source = toy()
    big = source.replace(x=source.x.astype(np.float64) * 1e70)
    assert np.isfinite(ForestRanker(trees=5).fit(source=big).predict(big.x)).all()
    with pytest.raises(ValueError, match="as many nodes for each of 4 proxies; it has 18 columns"):
        ForestRanker(proxies=4).fit(source=source)


def test_forty_trained_networks_order_the_others() -> None:
    table = architectures("cells-digits").domain()
    order = np.random.default_rng(0).permutation(len(table))
    rest = table.take(order[40:])
    assert tau(ForestRanker().fit(source=table.take(order[:40])).predict(rest.x), rest.labels) > 0.65
