"""The data of DistillWeighted's claim: what sources and target share, and that confirmation is of other data."""

import numpy as np
import pytest
import torch

from unseen.claims import distill_similar
from unseen.claims.distill_similar import (
    STYLES,
    Recorded,
    Student,
    Unmirrored,
    claim,
    digits,
    digits_task,
    draw_of,
    few_labels,
    version,
)
from unseen.data.domain import Domain
from unseen.evaluation.metrics.selection import rank_correlation
from unseen.methods.adaptation.distill_similar import DistillSimilar


def test_no_case_of_the_confirmation_has_a_style_or_a_half_of_the_development():
    experiment = claim.experiments["digits"]
    parts = {split: [c.split(" ", 1) for c in vars(experiment)[split]] for split in ("development", "confirmation")}
    for position in (0, 1):
        first, second = ({part[position] for part in parts[split]} for split in parts)
        assert not first & second
    assert {style for own in parts.values() for _, style in own} == set(STYLES)
    emoji = claim.experiments["emoji"]
    assert not {c.split()[1] for c in emoji.development} & {c.split()[1] for c in emoji.confirmation}


def test_no_emoji_is_in_both_splits(monkeypatch):
    codes = np.array([f"{0x1F600 + i:X}" for i in range(200)])
    every = Domain(x=np.zeros((200, 2), np.float32), y=np.arange(200) % 3, columns={"emoji": codes})
    monkeypatch.setattr(distill_similar, "subgroups", lambda _: every)
    splits = [version.__wrapped__("noto", split).columns["emoji"] for split in ("development", "confirmation")]
    assert not set(splits[0]) & set(splits[1])
    assert sorted([*splits[0], *splits[1]]) == sorted(codes)


def test_labelled_unlabeled_and_exam_share_no_sample_and_small_classes_are_left_out():
    y = np.r_[np.arange(60) % 3, [3] * 8]
    domain = Domain(x=np.arange(68.0)[:, None], y=y)
    few, unlabeled, exam = few_labels(domain, 3, 20, np.random.default_rng(0))
    assert np.bincount(few.labels).tolist() == [3, 3, 3]
    assert unlabeled.y is None
    assert len(unlabeled) == len(exam) == 20
    parts = [set(part.x[:, 0].tolist()) for part in (few, unlabeled, exam)]
    assert len(set.union(*parts)) == sum(map(len, parts))
    assert max(set.union(*parts)) < 60
    assert set(exam.labels.tolist()) == {0, 1, 2}


def test_each_case_and_seed_draws_its_own_labelled_pictures():
    ink, _ = digits("handwritten", 0)
    drawn = {
        (case, seed): draw_of(case, seed).permutation(len(ink))[:20].tolist()
        for case in claim.experiments["digits"].development
        for seed in (0, 1)
    }
    assert len({tuple(order) for order in drawn.values()}) == len(drawn)
    first, again = (digits_task("0 turned", 0)[0] for _ in range(2))
    np.testing.assert_array_equal(first.x, again.x)


def test_sources_of_one_half_share_no_picture_with_targets_of_the_other():
    first, second = (digits("handwritten", half)[0].reshape(-1, 256) for half in (0, 1))
    assert len(np.unique(np.vstack([first, second]), axis=0)) == len(np.unique(first, axis=0)) + len(
        np.unique(second, axis=0)
    )


def test_students_and_fixmatch_have_one_rate_one_weight_decay_and_one_weak_view(monkeypatch):
    found = {}

    def noted(optimizer, *args, **kwargs):
        group = optimizer.param_groups[0]
        found.setdefault(name, []).append((group["lr"], group["weight_decay"]))
        return step(optimizer, *args, **kwargs)

    rng = np.random.default_rng(0)
    support = Domain(x=rng.normal(size=(8, 1, 8, 8)).astype(np.float32), y=np.arange(8) % 2, kind="image")
    settings = dict(steps=5, batch_size=4, ratio=1, width=8)
    teacher = distill_similar.small_convnet(2, 1, 2)
    step = torch.optim.SGD.step
    monkeypatch.setattr(torch.optim.SGD, "step", noted)
    name = "student"
    Student(**settings, views="crop").fit(support=support, target=support.unlabeled(), teachers={"a": teacher})
    name = "fixmatch"
    fixmatch = Unmirrored(**settings).fit(support=support, target=support.unlabeled())
    assert found["student"] == found["fixmatch"]
    assert fixmatch._views(support, support)[0] is distill_similar.random_crop
    assert issubclass(Student, DistillSimilar)


def test_a_table_gives_what_was_recorded_and_knows_nothing_else():
    x, z = np.eye(3, dtype=np.float32), np.arange(6, dtype=np.float32).reshape(3, 2)
    table = Recorded(x, z)
    np.testing.assert_array_equal(table(torch.as_tensor(x[[2, 0]])).numpy(), z[[2, 0]])
    with pytest.raises(KeyError):
        table(torch.full((1, 3), 0.5))


def test_what_does_not_vary_foretells_nothing():
    assert rank_correlation([1, 1, 1], [0.2, 0.3, 0.1]) == 0
    assert rank_correlation([1, 2, 3], [0.1, 0.2, 0.3]) == pytest.approx(1)


def test_every_assertion_of_the_abstract_is_in_the_ledger():
    told = " ".join(assertion.text for assertion in claim.ledger)
    for word in ("nearest", "FixMatch", "fine-tun", "source data", "5.6", "4.5", "random"):
        assert word.lower() in told.lower(), word
