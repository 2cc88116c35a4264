"""The worlds of DAFOS-Net's claim: three sets of classes, few labels in the target, the same episodes for all arms."""

from __future__ import annotations

from typing import Any
from unittest import mock

import numpy as np
import pytest

from unseen.claims import dafosnet as of_dafosnet
from unseen.claims.dafosnet import (
    CASES,
    EXAM,
    LABELS,
    SCRIPTS,
    SHARES,
    Scored,
    claim,
    discriminant,
    largest,
    probability,
    world,
)
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.methods.baselines.prototypes import Prototypes


def two_domains(case: str) -> tuple[Domain, Domain]:
    """Thirty classes of 24 samples in two domains."""
    names = ClassSpace(names=tuple(f"c{i}" for i in range(30)))
    made = []
    for seed in range(2):
        rng = np.random.default_rng(seed)
        y = np.repeat(np.arange(30), 24)
        x = 3 * np.random.default_rng(9).normal(size=(30, 20))[y] + rng.normal(size=(len(y), 20)) + seed
        made.append(Domain(x=x.astype(np.float32), y=y, classes=names, name=f"d{seed}"))
    return made[0], made[1]


def test_splits_share_neither_a_case_nor_a_character() -> None:
    assert not set(CASES["development"]) & set(CASES["confirmation"])
    scripts = list(map(set, SCRIPTS.values()))
    assert sum(map(len, scripts)) == len(set.union(*scripts))
    assert len(SCRIPTS["development"]) == 31


@pytest.mark.parametrize("case", [case for split in CASES for case in CASES[split]])
def test_every_case_has_classes_enough_for_the_exam(case: str) -> None:
    from unseen.data.sources import SourceUnavailable

    kind, *words = case.split()
    try:
        read = of_dafosnet.read(case)
    except SourceUnavailable as error:
        pytest.skip(str(error))
    if kind == "letters":
        read = [read[0].take(read[0].columns["family"] == family) for family in words[1:]]
    drawn = [np.bincount(of.labels, minlength=len(of.classes or ())) for of in read]
    enough = int((np.minimum(*drawn) >= LABELS).sum())
    assert enough - round(sum(SHARES) * enough) >= EXAM.way + EXAM.unknown


def test_the_three_sets_of_classes_are_apart_and_the_target_has_few_labels() -> None:
    with mock.patch.object(of_dafosnet, "domains", two_domains):
        own = world("x", 3)
    names = [set(part.classes.names) for part in own if part.classes is not None]
    assert not names[0] & names[1]
    assert not (names[0] | names[1]) & names[2]
    assert names[2] == names[3]
    assert set(np.bincount(own.target.labels).tolist()) == {LABELS}
    assert len(names[2]) >= 10


def test_all_arms_are_graded_on_one_world(monkeypatch: pytest.MonkeyPatch) -> None:
    quick: dict[str, Any] = {"epochs": 1, "fine_tune_epochs": 0, "n_gan_rounds": 1, "width": 16, "dim": 8}
    made = of_dafosnet.trained
    monkeypatch.setattr(of_dafosnet, "trained", lambda own, seed, **settings: made(own, seed, **{**quick, **settings}))
    monkeypatch.setattr(of_dafosnet, "SHORT", {})
    monkeypatch.setattr(of_dafosnet, "domains", two_domains)
    for name in ("EXAM", "TUNING"):
        protocol = getattr(of_dafosnet, name)
        few = type(protocol)(way=5, shots=(1, 5), queries=5, episodes=2, unknown=protocol.unknown)
        monkeypatch.setattr(of_dafosnet, name, few)
    for name, run in (("episodes", of_dafosnet.run), ("parts", of_dafosnet.ablated)):
        table = run("x", 0)
        for assertion in claim.ledger:
            if assertion.experiment == name:
                assert assertion.holds is not None
                assert {arm for arm in assertion.holds.arms if assertion.holds.metric not in table[arm]} == set()


def test_an_arm_scores_by_the_nearest_class_or_by_its_probability() -> None:
    support, query = two_domains("x")
    small = support.take(support.labels < 3).take(np.arange(0, 72, 8))
    arm = Scored(Prototypes(), largest)(small)
    scores = arm.scores(query.take(np.arange(5)))
    assert (-arm.uncertainty(query.take(np.arange(5)))).tolist() == pytest.approx(scores.amax(dim=1).tolist())
    assert probability(scores).tolist() == pytest.approx(scores.softmax(dim=1).amax(dim=1).tolist())


def test_the_discriminant_space_is_learnt_of_both_domains_and_centred_on_the_target() -> None:
    with mock.patch.object(of_dafosnet, "domains", two_domains):
        own = world("x", 0)
    view = discriminant(own)(own.target, own.target)
    assert view.x.shape[1] < own.target.x.shape[1]
    assert view.x.mean(axis=0) == pytest.approx(np.zeros(view.x.shape[1]), abs=1e-3)
