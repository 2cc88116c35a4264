"""A rule on top of a fitted method: the temperature between them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from unseen import catalogue
from unseen.catalogue import Given
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.methods import get
from unseen.methods.chain import Chain, chain, held_out_temperature
from unseen.methods.zero_shot.loki import Loki
from unseen.testing.inputs import class_space, domain_of


def noisy(n: int = 400, width: int = 60, wrong: float = 0.3) -> Domain:
    """Two of four classes on a line, many features, some labels wrong: logistic regression is too sure of itself."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, n)
    x = rng.standard_normal((n, width)).astype(np.float32)
    x[:, 0] += 3 * y
    y = np.where(rng.random(n) < wrong, 1 - y, y)
    return Domain(x=x, y=y, kind="features", classes=ClassSpace(names=("a", "d")), name="noisy")


def line() -> ClassSpace:
    return ClassSpace(
        names=("a", "d", "b", "c"), seen=[0, 1], metric=abs(np.subtract.outer([0, 3, 1, 2], [0, 3, 1, 2]))
    )


def test_a_rule_stands_on_probabilities_that_fit_samples_held_out_of_the_source() -> None:
    source = noisy()
    both = Given({"source": source, "classes": line()}).fit(Loki())
    assert isinstance(both, Chain)
    assert both.temperature_ > 1.5
    hard = chain(both.base_, both.rule_)
    names = [np.bincount(one.predict(source.x), minlength=4) for one in (both, hard)]
    assert names[0][2:].sum() > 1.2 * names[1][2:].sum()  # softer probabilities reach the classes between


def test_a_temperature_is_never_below_one_and_one_where_no_sample_is_to_spare() -> None:
    def fit(part: Domain) -> object:
        return get("source-only")().fit(source=part)

    assert held_out_temperature(fit, noisy(wrong=0.0)) >= 1.0
    assert held_out_temperature(fit, noisy().take([0, 1, 2, 3])) >= 1.0
    labels = noisy().labels
    one_each = noisy().take([int((labels == c).argmax()) for c in (0, 1)])
    assert held_out_temperature(fit, one_each) == 1.0


def test_the_temperature_divides_scores_in_every_output_and_in_the_network_and_is_saved(tmp_path: Path) -> None:
    base = get("source-only")().fit(source=domain_of("source", "features"))
    rule = Loki().fit(classes=class_space())
    both, x = chain(base, rule, 3.0), domain_of("target", "features").x
    expected = rule.decision_function(torch.softmax(base.decision_function(x) / 3.0, dim=1))
    assert torch.equal(both.decision_function(x), expected)
    assert torch.equal(both.source_decision_function(x), expected)
    assert both.predict(x).tolist() == rule.predict(torch.softmax(base.decision_function(x) / 3.0, dim=1)).tolist()
    np.testing.assert_allclose(both.network()(torch.as_tensor(x)).detach(), expected, rtol=1e-4, atol=1e-5)
    both.save(tmp_path / "chain")
    assert torch.equal(Chain.load(tmp_path / "chain").decision_function(x), expected)
    with pytest.raises(ValueError, match="temperature must be positive"):
        chain(base, rule, 0.0)


def test_compare_tries_loki_soft_only_if_it_is_named() -> None:
    given = Given({"source": noisy(), "classes": line()})
    tried, left_out = catalogue.candidates(given)
    assert ("loki", "default") in tried
    assert ("loki", "soft") not in tried
    assert "loki:soft" in left_out
    assert catalogue.candidates(given, ["loki:soft"])[0] == [("loki", "soft")]
