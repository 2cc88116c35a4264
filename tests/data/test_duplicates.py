"""The same, or nearly the same, sample on both sides."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFilter

from unseen.data.domain import Domain, Lazy
from unseen.data.duplicates import _BLOCK, difference_hash, exact, leakage, near, perceptual


def scene(seed: int, side: int = 96) -> Image.Image:
    """A smooth random picture, as unlike others as photographs are."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 255, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC)


def pictures(images, prefix="a") -> Domain:
    ids = np.array([f"{prefix}{i}" for i in range(len(images))])
    return Domain(x=Lazy(images, lambda image: image), kind="image", ids=ids, name=prefix)


def recompressed(image: Image.Image) -> Image.Image:
    out = io.BytesIO()
    image.resize((70, 70)).save(out, "JPEG", quality=60)
    return Image.open(out).convert("RGB")


def test_equal_contents_are_found_whatever_their_names():
    a, b = (
        Domain(x=np.array(["u", "v", "w"]), kind="text"),
        Domain(x=np.array(["x", "w", "u", "u"]), kind="text"),
    )
    assert exact(a, b) == [(2, 1), (0, 2), (0, 3)]


def test_near_agrees_with_the_full_cosine_matrix():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(30, 5)), rng.normal(size=(40, 5))
    b[3] = 7 * a[4] + 1e-3
    cosine = (a @ b.T) / np.linalg.norm(a, axis=1)[:, None] / np.linalg.norm(b, axis=1)
    found = near(a, b, 0.8)
    assert [(i, j) for i, j, _ in found] == [tuple(pair) for pair in np.argwhere(cosine >= 0.8).tolist()]
    np.testing.assert_allclose([score for *_, score in found], cosine[cosine >= 0.8], rtol=1e-5)
    assert (4, 3) in [(i, j) for i, j, _ in found]


def test_near_works_across_blocks():
    a = np.eye(2, dtype=np.float32)[np.zeros(_BLOCK + 1, dtype=int)]
    a[-1] = [0, 1]
    assert near(a, np.array([[0.0, 1.0]]), 0.99) == [(_BLOCK, 0, 1.0)]


@settings(max_examples=20, deadline=None)
@given(st.floats(0.1, 100), st.integers(0, 10_000))
def test_near_does_not_depend_on_scale(scale, seed):
    a = np.random.default_rng(seed).normal(size=(6, 4))
    pairs = lambda rows: [(i, j) for i, j, _ in near(rows, a, 0.9)]
    assert pairs(a) == pairs(scale * a)


def test_the_difference_hash_of_a_ramp_is_all_ones():
    ramp = np.tile(np.arange(0, 252, 7, dtype=np.uint8), (36, 1))
    rising, falling = (Image.fromarray(one).convert("RGB") for one in (ramp, ramp[:, ::-1]))
    assert difference_hash(pictures([rising, falling])).tolist() == [2**64 - 1, 0]


def test_resized_and_recompressed_pictures_are_found_and_others_are_not():
    a = pictures([scene(seed) for seed in range(20)], "a")
    b = pictures(
        [
            recompressed(scene(7)),
            *(scene(seed) for seed in range(100, 120)),
            scene(3).filter(ImageFilter.GaussianBlur(1)),
        ],
        "b",
    )
    assert [(i, j) for i, j, _ in perceptual(a, b)] == [(3, 21), (7, 0)]
    assert all(score > 0.97 for *_, score in perceptual(a, b))


def test_arrays_of_pictures_are_compared_like_files():
    images = [scene(seed) for seed in range(3)]
    stack = Domain(x=np.stack([np.asarray(image) for image in images]), kind="image")
    assert [(i, j) for i, j, _ in perceptual(stack, pictures(images[::-1]))] == [(0, 2), (1, 1), (2, 0)]


def test_flat_pictures_of_different_colours_are_not_alike():
    a, b = (pictures([Image.new("RGB", (9, 9), colour)]) for colour in ("red", "blue"))
    assert perceptual(a, b) == []


def test_thin_strokes_on_white_are_not_alike_for_being_mostly_white():
    pictures = np.full((2, 96, 96, 3), 255, dtype=np.uint8)
    pictures[0, 20:76, 46:49] = 0
    pictures[1, 20:76, 50:53] = 0
    strokes = Domain(x=pictures, kind="image", name="strokes")
    assert perceptual(strokes.take([0]), strokes.take([1])) == []
    assert len(perceptual(strokes.take([0]), strokes.take([0]))) == 1


def test_leakage_reports_each_pair_once_and_says_so():
    source = pictures([scene(seed) for seed in range(5)], "s")
    exam = pictures([lighter(scene(2)), scene(2), recompressed(scene(4))], "e")
    features = np.eye(5, 8)
    report = leakage(source, exam, source_features=features, exam_features=np.eye(3, 8, k=2))
    assert [(match.source, match.exam, match.how) for match in report.exact] == [("s2", "e1", "content")]
    assert {(match.source, match.exam, match.how) for match in report.near} == {
        ("s4", "e2", "picture"),
        ("s2", "e0", "embedding"),
    }
    assert set(report.exam_ids) == {"e0", "e1", "e2"}
    assert report.summary().startswith(
        "Leakage: 3 of the 3 samples of the target stand in the source, too (1 equal, 2 nearly"
    )
    assert bool(report)


def test_pictures_that_an_encoder_places_together_must_look_alike_mirrored_cropped_or_in_another_light():
    whole = scene(2)
    array = np.asarray(whole)
    h, w = array.shape[0] // 25, array.shape[1] // 25
    changed = [
        Image.fromarray(array[:, ::-1].copy()),
        Image.fromarray(array[h:-h, w:-w].copy()).resize(whole.size),
        Image.fromarray(np.clip(array * 1.3, 0, 255).astype(np.uint8)),
        scene(3),
    ]
    exam = pictures(changed, "e")
    report = leakage(pictures([whole], "s"), exam, source_features=np.ones((1, 4)), exam_features=np.ones((4, 4)))
    assert set(report.exam_ids) == {"e0", "e1", "e2"}  # the last one is another picture


def lighter(image: Image.Image) -> Image.Image:
    return Image.fromarray((np.asarray(image) * 0.9 + 25).astype(np.uint8))


def test_unlike_pictures_at_one_point_are_no_leakage():
    """An encoder that places pictures by names puts two drawings of a thing at one point."""
    one = np.ones((1, 4))
    found = leakage(pictures([scene(1)]), pictures([scene(2)], "b"), source_features=one, exam_features=one)
    assert not found
    texts = Domain(x=np.array(["red"], dtype=np.str_), kind="text"), Domain(x=np.array(["reds"]), kind="text")
    assert leakage(*texts, source_features=one, exam_features=one)


def test_no_leakage_is_said_plainly():
    report = leakage(Domain(x=np.eye(2)), Domain(x=2 * np.eye(2)))
    assert not report
    assert report.summary() == "None of the 2 samples of the exam was found in the source."


def test_bad_input_is_named():
    with pytest.raises(ValueError, match=r"threshold must lie in \(0, 1\]; got 2"):
        near(np.eye(2), np.eye(2), 2)
    with pytest.raises(ValueError, match="one width; got 2 and 3"):
        near(np.eye(2), np.eye(3))
    with pytest.raises(ValueError, match="given together"):
        leakage(Domain(x=np.eye(2)), Domain(x=np.eye(2)), source_features=np.eye(2))
    with pytest.raises(ValueError, match="exam_features has 3 rows"):
        leakage(Domain(x=np.eye(2)), Domain(x=np.eye(2)), source_features=np.eye(2), exam_features=np.eye(3))
    with pytest.raises(TypeError, match="holds features, not pictures"):
        perceptual(Domain(x=np.eye(2)), Domain(x=np.eye(2)))
