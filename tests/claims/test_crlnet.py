"""CRLNet's claim: its arms are what they are called, and no class of the confirmation is one of development."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from unseen.claims import hard_episodes
from unseen.claims.crlnet import claim, mixed, moved, permuted, separation, several, spread
from unseen.claims.hard_episodes import (
    CONDITIONS,
    LETTERS,
    World,
    doing_nothing,
    few_of_each,
    nearest_maps,
    simple_arms,
    whitened,
    with_hard_copies,
)
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.simulate.hard import HARD
from unseen.methods.baselines.prototypes import Prototypes
from unseen.methods.few_shot.crlnet import CRLNet


def domain(n_classes: int, each: int, seed: int, shift: float = 0.0) -> Domain:
    rng = np.random.default_rng(seed)
    y = np.repeat(np.arange(n_classes), each)
    centres = 2 * np.random.default_rng(n_classes).normal(size=(n_classes, 1, 6))
    cells = (centres[y] + rng.normal(size=(len(y), 4, 6)) + shift).astype(np.float32)
    names = tuple("abcdefgh"[:n_classes])
    x = cells.mean(axis=1)
    return Domain(x=x, y=y, classes=ClassSpace(names=names), columns={"regions": cells})


@pytest.fixture
def given() -> World:
    novel = domain(6, 5, 1)
    asked = {name: domain(6, 5, 2 + i, 0.3 * i) for i, name in enumerate(CONDITIONS)} | {"clean": novel}
    return World(domain(8, 5, 7), domain(8, 5, 8), novel, asked)


def test_the_simple_arms_name_clouds_that_lie_apart(given: World) -> None:
    support, query = given.novel.take(slice(0, 30, 5)), given.novel.take(slice(1, 30, 5))
    for arm, fit in simple_arms(given).items():
        said = fit(support).predict(query.unlabeled().replace(classes=query.classes))
        assert (np.asarray(said) == query.labels).mean() > 0.8, arm


def test_doing_nothing_is_the_largest_cosine_with_the_mean(given: World) -> None:
    support, query = given.novel.take(np.arange(30) % 5 < 2), given.novel.take(slice(3, 30, 5))
    means = np.stack([support.x[support.labels == k].mean(axis=0) for k in range(6)])
    cosine = query.x @ means.T / np.linalg.norm(query.x, axis=1)[:, None] / np.linalg.norm(means, axis=1)
    assert doing_nothing(support).predict(query).tolist() == cosine.argmax(axis=1).tolist()


def test_the_nearest_maps_are_those_of_a_plain_loop(given: World) -> None:
    support, query = given.novel.take(np.arange(30) % 5 < 2), given.novel.take(slice(3, 30, 5))
    unit = [
        d.columns["regions"] / np.linalg.norm(d.columns["regions"], axis=2, keepdims=True) for d in (support, query)
    ]
    scores = np.full((len(query), 6), -np.inf)
    for i, asked in enumerate(unit[1]):
        for own, label in zip(unit[0], support.labels.tolist()):
            scores[i, label] = max(scores[i, label], np.mean([max(own @ one) for one in asked]))
    np.testing.assert_allclose(nearest_maps(support).scores(query).numpy(), scores, atol=1e-5)


def test_whitening_makes_the_variance_within_classes_of_the_source_round() -> None:
    stretched = domain(8, 40, 7)
    wide = stretched.x * np.array([30, 1, 1, 1, 1, 1], dtype=np.float32)  # a direction that says little
    noise = np.random.default_rng(0).normal(0, [90, 0, 0, 0, 0, 0], wide.shape).astype(np.float32)
    source = stretched.replace(x=wide + noise)
    novel = source.take(slice(0, 320, 20))
    own = World(source, source, novel, {})
    support, query = novel.take(slice(0, 16, 2)), novel.take(slice(1, 16, 2))
    right = [(rule.predict(query) == query.labels).mean() for rule in (whitened(own)(support), doing_nothing(support))]
    assert right[0] > right[1] + 0.2


def test_hard_copies_of_the_handful_are_those_of_its_own_samples(given: World, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Domain] = []
    plain = Prototypes.fit

    def kept(self: Prototypes, *, support: Domain) -> Prototypes:
        seen.append(support)
        return plain(self, support=support)

    monkeypatch.setattr(Prototypes, "fit", kept)
    rows = [3, 8, 14]
    with_hard_copies(Prototypes, given)(given.novel.take(rows))
    expected = [given.novel.x[rows], *(given.asked[name].x[rows] for name in HARD)]
    assert np.array_equal(seen[0].x, np.concatenate(expected))
    assert seen[0].labels.tolist() == given.novel.labels[rows].tolist() * 5


def test_no_class_of_the_confirmation_is_one_of_development() -> None:
    assert not set(LETTERS["development"]) & set(LETTERS["confirmation"])
    for experiment in claim.experiments.values():
        assert not set(experiment.development) & set(experiment.confirmation)
        assert {case.split()[0] for case in experiment.development} == {"development"}
        assert {case.split()[0] for case in experiment.confirmation} == {"confirmation"}
    assert "development stamps" not in claim.experiments["hard queries"].development


def test_classes_hold_few_of_each_and_cases_know_their_shots(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hard_episodes, "EACH", 3)
    assert np.bincount(few_of_each(domain(4, 5, 0)).labels).tolist() == [3] * 4
    assert (several("development emoji"), several("confirmation stamps")) == (3, 5)


def test_separation_counts_deviations() -> None:
    rng = np.random.default_rng(0)
    same = np.arange(20_000) % 2 == 0
    assert abs(separation(rng.normal(size=20_000) + 1.5 * same, same) - 1.5) < 0.05


def test_variance_is_half_the_squared_distance_of_pairs_at_unit_length() -> None:
    e_s, e_q = torch.randn(40, 6), torch.randn(40, 6)
    same = np.arange(40) % 2 == 0
    unit = [e / e.norm(dim=1, keepdim=True) for e in (e_s, e_q)]
    half = ((unit[0] - unit[1]) ** 2).sum(dim=1).numpy() / 2
    found = spread(e_s, e_q, same)
    assert found["within"] == pytest.approx(half[same].mean(), abs=1e-5)
    assert found["between"] == pytest.approx(half[~same].mean(), abs=1e-5)


QUICK: dict[str, Any] = {"channels": 4, "heads": 2, "hidden": 8, "ffn": 8, "steps": 3, "batch_size": 8}


def test_moved_is_nothing_without_conditioning_and_known_of_a_network_made_by_hand(given: World) -> None:
    class Swapped:
        """Beside the backbone's vector stands the other picture's."""

        def pair(self, s: torch.Tensor, q: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            both = (s.mean(dim=1) + q.mean(dim=1)) / 2
            return both, both

    s = torch.randn(6, 4, 8)
    q = s[:1] * torch.tensor([1.0, -1.0] * 3)[:, None, None]  # the next query is always the opposite of this one
    assert moved(Swapped(), s, q) == pytest.approx(2, abs=1e-5)  # type: ignore[arg-type]
    plain = CRLNet(**QUICK, cross_attention=False, correlation=False).fit(source=given.source)
    s, q = (plain.network_.project(torch.as_tensor(d.columns["regions"][:8])) for d in (given.novel, given.source))
    assert moved(plain.network_, s, q) == 0
    whole = CRLNet(**QUICK).fit(source=given.source)
    assert moved(whole.network_, s, q) > 0


def test_a_permuted_partner_changes_nothing_of_a_network_that_is_not_conditional(given: World) -> None:
    support, query = given.novel.take(slice(0, 30, 5)), given.novel.take(slice(1, 30, 5))
    plain = CRLNet(**QUICK, cross_attention=False, correlation=False).fit(source=given.source)
    whole = CRLNet(**QUICK).fit(source=given.source)
    for method, alike in ((plain, True), (whole, False)):
        expected = method.adapt(support=support).decision_function(torch.as_tensor(query.columns["regions"]))
        assert torch.allclose(permuted(method, support).scores(query), expected, atol=1e-5) == alike


def test_each_picture_is_asked_about_in_one_hard_way(given: World) -> None:
    found = mixed(given, 3)
    of = [[np.array_equal(found.x[i], given.asked[name].x[i]) for name in HARD] for i in range(len(found))]
    cells = found.columns["regions"]
    alike = [
        [np.array_equal(cells[i], given.asked[name].columns["regions"][i]) for name in HARD] for i in range(len(found))
    ]
    assert (np.sum(of, axis=1) == 1).all()
    assert of == alike
    assert (np.sum(of, axis=0) > 0).all()


def test_a_permuted_partner_is_the_next_picture(given: World) -> None:
    support, query = given.novel.take(slice(0, 30, 5)), given.novel.take(slice(1, 30, 5))
    method = CRLNet(**QUICK).fit(source=given.source)
    net = method.network_
    s, q = (net.project(torch.as_tensor(d.columns["regions"])) for d in (support, query))
    found = permuted(method, support).scores(query)
    e_s, e_q = net.pair(s[1:2], q[3:4])[0], net.pair(s[2:3], q[2:3])[1]  # support 1, query 2
    assert float(found[2, 1]) == pytest.approx(20 * float(torch.cosine_similarity(e_s, e_q)), abs=1e-4)
