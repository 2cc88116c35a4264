"""The data of DistillWeighted's claim: what sources and target share, and that confirmation is of other data."""

import numpy as np

from unseen.claims.distill_similar import STYLES, claim, digit_zoo, digits, few_labels
from unseen.data.domain import Domain


def test_no_case_of_the_confirmation_has_a_style_or_a_half_of_the_development():
    experiment = claim.experiments["digits"]
    parts = {split: [c.split(" ", 1) for c in vars(experiment)[split]] for split in ("development", "confirmation")}
    for position in (0, 1):
        first, second = ({part[position] for part in parts[split]} for split in parts)
        assert not first & second
    assert {style for own in parts.values() for _, style in own} == set(STYLES)
    emoji = claim.experiments["emoji"]
    assert not {c.split()[1] for c in emoji.development} & {c.split()[1] for c in emoji.confirmation}


def test_the_exam_is_the_unlabeled_samples_and_none_of_the_labelled_ones():
    y = np.arange(60) % 3
    domain = Domain(x=np.arange(60.0)[:, None], y=y)
    few, unlabeled, exam = few_labels(domain, 4, 30, 0)
    assert np.bincount(few.labels).tolist() == [4, 4, 4]
    assert unlabeled.y is None
    np.testing.assert_array_equal(unlabeled.x, exam.x)
    assert not set(few.x[:, 0].tolist()) & set(exam.x[:, 0].tolist())
    assert len(exam) == 30


def test_sources_of_one_half_share_no_picture_with_targets_of_the_other():
    first, second = (digits("handwritten", half)[0].reshape(-1, 256) for half in (0, 1))
    assert len(np.unique(np.vstack([first, second]), axis=0)) == len(np.unique(first, axis=0)) + len(
        np.unique(second, axis=0)
    )


def test_every_assertion_of_the_abstract_is_in_the_ledger():
    told = " ".join(assertion.text for assertion in claim.ledger)
    for word in ("nearest", "FixMatch", "fine-tun", "source data", "5.6", "4.5", "random"):
        assert word.lower() in told.lower(), word
    assert callable(digit_zoo)
