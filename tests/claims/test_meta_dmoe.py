"""The data of Meta-DMoE's claim: what is known, what is unseen, and that halves do not meet."""

import numpy as np
import pytest

from unseen.claims.meta_dmoe import Style, claim, digit_domains, digits, drawn, styles

FAMILIES = sorted(
    {case.split()[2] for e in ("development", "confirmation") for case in vars(claim.experiments["digits"])[e]}
)


@pytest.mark.parametrize("family", FAMILIES)
def test_there_are_twelve_known_styles_and_six_unseen_ones(family: str) -> None:
    known, unseen = styles(family)
    assert (len(set(known)), len(set(unseen))) == (12, 6)
    assert not set(known) & set(unseen)


def test_no_style_of_the_confirmation_is_one_of_the_same_pictures_in_development() -> None:
    experiment = claim.experiments["digits"]
    halves = {split: {case.split()[1] for case in vars(experiment)[split]} for split in ("development", "confirmation")}
    assert not halves["development"] & halves["confirmation"]


def test_the_halves_of_the_digits_share_no_picture() -> None:
    first, second = (digits("handwritten", half)[0].reshape(-1, 256) for half in (0, 1))
    assert len(first) + len(second) == 1797
    assert min(len(first), len(second)) > 800


def test_a_plain_style_leaves_pictures_as_they_are_and_half_a_turn_twice_comes_back() -> None:
    images = digits("handwritten", 0)[0][:5]
    rng = np.random.default_rng(0)
    np.testing.assert_allclose(drawn(images, Style(), rng), images, atol=1e-6)
    once = drawn(images, Style(turn=180), rng)
    inside = np.s_[:, 1:-1, 1:-1]  # a pixel of the edge may fall off by a rounding
    np.testing.assert_allclose(once[inside], images[:, ::-1, ::-1][inside], atol=1e-4)
    np.testing.assert_allclose(drawn(once, Style(turn=180), rng)[inside], images[inside], atol=1e-4)
    np.testing.assert_allclose(drawn(images, Style(inverted=True), rng), 1 - images, atol=1e-6)


def test_unseen_domains_are_of_pictures_that_the_source_does_not_have() -> None:
    source, unseen = digit_domains("handwritten 0 inked", 3)
    assert len(source.domains) == 12
    assert [len(d) for d in unseen] == 6 * [len(unseen[0])]
    assert source.x.shape[1:] == unseen[0].x.shape[1:] == (1, 16, 16)
    again, _ = digit_domains("handwritten 0 inked", 3)
    np.testing.assert_array_equal(source.x, again.x)
