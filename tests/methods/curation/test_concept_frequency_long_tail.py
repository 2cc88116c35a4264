"""A long-tailed test set: rare classes, outliers, near duplicates, balance; and the paper's own correlations."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain, Lazy
from unseen.methods.curation.concept_frequency import (
    Misalignment,
    build_long_tail_set,
    perceptual_hash,
    rare_concepts,
    segments,
)
from unseen.methods.curation.concept_frequency.long_tail import distinct
from unseen.methods.curation.concept_frequency.published import fit_published, read_published

SHARED = Path(__file__).resolve().parents[3] / ".." / "shared" / "data" / "concept-frequency"
PUBLISHED = Path(os.environ.get("UNSEEN_CONCEPT_FREQUENCY") or SHARED)


def pictures(seed: int, n: int, side: int = 40) -> list[Image.Image]:
    """Pictures of smooth noise, which look unlike each other."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 255, (n, 6, 6, 3)).astype(np.uint8)
    return [Image.fromarray(one).resize((side, side), Image.Resampling.BICUBIC) for one in small]


def domain(images: list[Image.Image], labels: list[int], names: tuple[str, ...]) -> Domain:
    x = Lazy(range(len(images)), images.__getitem__)
    return Domain(x=x, y=np.array(labels), kind="image", classes=ClassSpace(names=names), name="candidates")


def test_rare_concepts_come_from_the_rarest_on_without_those_that_never_occur() -> None:
    names, counts = ["a", "b", "c", "d", "e"], np.array([5, 0, 1, 900, 5])
    assert rare_concepts(names, counts) == [2, 0, 4, 3]
    assert rare_concepts(names, counts, 2) == [2, 0]
    assert rare_concepts(names, counts, at_least=0)[0] == 1
    assert rare_concepts(names, counts, share=0.01) == [2, 0, 4]
    with pytest.raises(ValueError, match="no concept occurs"):
        rare_concepts(names, np.zeros(5))


def test_every_candidate_is_accounted_for() -> None:
    a, b, c = pictures(0, 6), pictures(1, 4), pictures(2, 3)
    again = [a[0].resize((80, 80)), Image.eval(a[1], lambda v: min(v + 3, 255))]  # duplicates, resized and brighter
    candidates = domain([*a, *again, *b, *c], [0] * 8 + [1] * 4 + [2] * 3, ("a", "b", "c"))
    own = np.ones(15)
    own[2] = 0.1
    found = build_long_tail_set(candidates, 3, own_probability=own, rare=["a", "b"])
    assert found.tally == {"kept": 6, "no rare class": 3, "outlier": 1, "duplicate": 2, "surplus": 3}
    assert sum(found.tally.values()) == len(candidates)
    assert found.dropped[[2, 6, 7]].tolist() == ["outlier", "duplicate", "duplicate"]
    assert np.bincount(found.domain.y, minlength=3).tolist() == [3, 3, 0]  # type: ignore[arg-type]
    few = build_long_tail_set(candidates, 5)
    assert few.tally["few"] == 7
    assert np.bincount(few.domain.y, minlength=3).tolist() == [5, 0, 0]  # type: ignore[arg-type]
    kept = build_long_tail_set(candidates, 5, keep_small=True)
    assert np.bincount(kept.domain.y).tolist() == [5, 4, 3]  # type: ignore[arg-type]
    assert build_long_tail_set(candidates, 8, None).tally["kept"] == 8  # without a look for duplicates


def test_another_seed_is_another_sample_and_the_same_seed_the_same() -> None:
    candidates = domain(pictures(0, 20), [0] * 20, ("a",))
    ids = [build_long_tail_set(candidates, 5, seed=seed).domain.ids.tolist() for seed in (0, 0, 1)]  # type: ignore[union-attr]
    assert ids[0] == ids[1] != ids[2]


def test_a_duplicate_of_another_class_is_no_duplicate() -> None:
    one = pictures(0, 1)
    assert build_long_tail_set(domain(one * 2, [0, 1], ("a", "b")), 1).tally == {"kept": 2}


def test_hashes_survive_resizing_and_tell_pictures_apart() -> None:
    images = pictures(3, 12)
    first = perceptual_hash(domain(images, [0] * 12, ("a",)))
    second = perceptual_hash(domain([one.resize((97, 61)) for one in images], [0] * 12, ("a",)))
    distance = np.bitwise_xor(first[:, None], second[None])
    bits = np.array([[int(v).bit_count() for v in row] for row in distance])
    assert np.diag(bits).max() <= 10
    assert bits[~np.eye(12, dtype=bool)].min() > 10


def test_distinct_keeps_the_first_of_a_chain() -> None:
    hashes = np.array([0, 0b111, 0b111111, 2**63], dtype=np.uint64)
    assert distinct(hashes, 3).tolist() == [True, False, True, False]
    assert distinct(hashes, 0).all()
    assert not distinct(hashes, 64)[1:].any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rare": ["x"]}, "rare must name"),
        ({"n_per_class": 0}, "at least 1"),
        ({"hash_threshold": 65}, "0, 64"),
        ({"n_per_class": 50}, "no class has 50"),
        ({"own_probability": np.ones(2)}, "own_probability"),
    ],
)
def test_bad_input_is_refused(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_long_tail_set(domain(pictures(0, 3), [0] * 3, ("a",)), **change)


def test_segments_are_two_slopes() -> None:
    x = np.array([10, 30, 49, 60, 70, 80.0])
    y = np.where(x < 50, 0.6 * x, 1.58 * x - 60)
    assert segments(x, y) == (pytest.approx(0.6), pytest.approx(1.58))
    assert np.isnan(segments(x[:3], y[:3])[1])


# -- the paper's own figures -------------------------------------------------------------------------------


def test_the_papers_correlations_come_out_of_its_tables() -> None:
    """Section 5 of the spec: joint search, ensemble prompts."""
    if not (PUBLISHED / "counts.csv.gz").is_file():
        pytest.skip(f"no counts.csv.gz in {PUBLISHED}; set UNSEEN_CONCEPT_FREQUENCY")
    table = fit_published(read_published(PUBLISHED)).set_index(["corpus", "model", "search"])
    joint = {
        ("cc3m", "RN50"): 0.961, ("cc3m", "ViT-B-16"): 0.970, ("cc12m", "RN50"): 0.943, ("cc12m", "ViT-B-16"): 0.923,
        ("yfcc15m", "RN50"): 0.941, ("yfcc15m", "RN101"): 0.959, ("yfcc15m", "ViT-B-16"): 0.975,
        ("laion400m", "ViT-B-32"): 0.986, ("laion400m", "ViT-B-16"): 0.976, ("laion400m", "ViT-L-14"): 0.944,
    }  # fmt: skip
    for key, r in joint.items():
        row = table.loc[(*key, "joint")]
        assert row.r == pytest.approx(r, abs=6e-4), key
        assert row.p < 0.004
        assert row.n == 4469
        assert row.raw_r < 0.6
    images = [0.977, 0.975, 0.975, 0.976, 0.817, 0.945, 0.949, 0.961, 0.959, 0.941]
    for key, r in zip(joint, images):
        assert table.loc[(*key, "image")].r == pytest.approx(r, abs=6e-4), key
    zero = {
        corpus: int(table.loc[(corpus, "ViT-B-16", "joint")].zero)
        for corpus in ("cc3m", "cc12m", "yfcc15m", "laion400m")
    }
    assert zero == {"cc3m": 2477, "cc12m": 1966, "yfcc15m": 2058, "laion400m": 1740}
    assert table.loc[("synthci30m", "ViT-B-16", "joint")].r > 0.9


def test_the_papers_degrees_of_misalignment_are_of_two_sizes() -> None:
    """Published counts of misaligned pairs, over the pairs that were read and over the corpus by its name."""
    told = {"cc3m": (17.9, 16.8), "cc12m": (21.2, 17.3), "yfcc15m": (39.3, 36.5), "laion400m": (7.0, 5.3),
            "laion_aesthetics": (18.6, 14.3)}  # fmt: skip
    files = {corpus: PUBLISHED / f"{corpus}_misalignment_degree.json" for corpus in told}
    if not all(file.is_file() for file in files.values()):
        pytest.skip(f"no misalignment_degree.json files in {PUBLISHED}; set UNSEEN_CONCEPT_FREQUENCY")
    for corpus, file in files.items():
        published = json.loads(file.read_text())
        disjoint = published["misalignment_counts"]
        extracted, nominal = (value for key, value in published.items() if "size" in key)
        own = Misalignment(disjoint, disjoint, round(disjoint / extracted))
        size = round(disjoint / nominal)
        assert own.n < size
        assert own.degree() == pytest.approx(extracted, abs=1e-9)
        assert own.degree(size) == pytest.approx(nominal, abs=1e-9)
        assert (100 * own.degree(), 100 * own.degree(size)) == pytest.approx(told[corpus], abs=0.051)


def test_tables_that_are_not_the_papers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"counts\.csv\.gz is missing"):
        read_published(tmp_path)


def test_numbers_that_are_none_are_refused() -> None:
    with pytest.raises(ValueError, match="counts must be finite"):
        rare_concepts(["a", "b"], np.array([1, np.nan]))
    own = domain(pictures(0, 4), [0, 0, 1, 1], ("a", "b"))
    with pytest.raises(ValueError, match="own_probability must be finite"):
        build_long_tail_set(own, 2, own_probability=np.array([0.9, np.nan, 0.9, 0.9]))
    with pytest.raises(ValueError, match="`per_class`"):
        build_long_tail_set(own, 3)
