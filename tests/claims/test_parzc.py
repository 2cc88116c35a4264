"""The parts of ParZC's claim that compute: against naive versions."""

from __future__ import annotations

import numpy as np
import pytest

from unseen import claims
from unseen.claims import parzc
from unseen.data.domain import Domain
from unseen.data.sources.architectures import architectures
from unseen.methods.architecture_rankers import NodeImportance


class Known:
    """A ranker whose nodes are worth what it is told, on whatever architectures."""

    def __init__(self, *worths: list[float], doubts: list[float]) -> None:
        self.worths, self.doubts = list(worths), doubts

    def importance(self, x: object, y: object, repeats: int) -> NodeImportance:
        worth = np.array(self.worths.pop(0))
        return NodeImportance(worth, worth, np.array(self.doubts))


def test_the_quarter_that_one_half_favours_is_graded_on_the_other() -> None:
    rest = Domain(x=np.zeros((10, 3)), y=np.arange(10) / 10, task="value")
    doubts = [0.1, 0.1, 0.2, 0.3, 0.0]  # the last one moves nothing, so it is left out
    alike = parzc.nodes(Known([0.5, 0.1, 0.1, 0.0, 9], [0.4, 0.0, 0.2, 0.1, 9], doubts=doubts), rest)  # type: ignore[arg-type]
    assert alike["lead of the best quarter"] == pytest.approx(np.mean([0.4 - 0.1, 0.5 - 0.2 / 3]))
    other = parzc.nodes(Known([0.5, 0.0, 0.0, 0.0, 9], [0.0, 0.0, 0.0, 0.5, 9], doubts=doubts), rest)  # type: ignore[arg-type]
    assert other["lead of the best quarter"] < 0
    assert alike["least doubt of a node"] == 0.1
    assert alike["agreement on doubt"] == pytest.approx(1)


def test_sums_are_one_number_per_proxy() -> None:
    table = architectures("cells-digits").take(range(3))
    per_node = table.statistics.mean(axis=0).reshape(3, 3, -1)
    np.testing.assert_allclose(parzc.summed(table).x, per_node.sum(axis=2), rtol=1e-6)


def test_a_grade_is_of_the_order_and_of_the_top() -> None:
    values = np.linspace(0.1, 1, 10)
    assert parzc.grade(values, values) == {"tau": pytest.approx(1), "rho": pytest.approx(1), "regret": 0}
    backwards = parzc.grade(-values, values)
    assert backwards["tau"] == pytest.approx(-1)
    assert backwards["regret"] == pytest.approx(0.5)  # the best of the lowest five
    assert parzc.grade(np.zeros(10), values)["tau"] == 0


def test_splits_share_nothing_and_differ_by_seed() -> None:
    whole = architectures("vits-digits")
    known, rest = parzc.split(whole, 0, 20)
    assert sorted([*known.architectures, *rest.architectures]) == sorted(whole.architectures)
    assert len(known) == 20
    assert known.architectures != parzc.split(whole, 1, 20)[0].architectures


def test_development_and_confirmation_are_other_data() -> None:
    for experiment in claims.get("parzc").experiments.values():
        assert {case.partition("-")[2] for case in experiment.development} == {"digits"}
        assert {case.partition("-")[2] for case in experiment.confirmation} == {"letters"}
