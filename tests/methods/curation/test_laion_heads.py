"""Heads: learnt from a few labels, saved without pickle, bound to their encoder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from jaxtyping import TypeCheckError

from unseen.methods.curation.laion.heads import COLUMNS, PRESETS, Head, propose, train_head

ENCODER = {"name": "toy", "fingerprint": "f" * 64, "dim": 8}


def labelled(n: int = 200, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 8)).astype(np.float32)
    return x, (x[:, 0] + 0.3 * x[:, 1] > 0).astype(np.int64)


@pytest.mark.parametrize("kind", ["linear", "mlp"])
def test_a_head_tells_new_vectors_apart_and_is_the_same_after_loading(tmp_path: Path, kind: str) -> None:
    head = train_head(*labelled(), name="watermark", encoder=ENCODER, kind=kind, epochs=4)  # type: ignore[arg-type]
    x, y = labelled(seed=1)
    scores = head.score(x)
    assert ((scores > 0.5) == y).mean() > 0.9
    assert head.told["auc"] > 0.95
    assert (head.threshold, head.side, head.column) == (0.8, "image", "pwatermark")
    head.save(tmp_path / "head")
    assert sorted(f.name for f in (tmp_path / "head").iterdir()) == ["state.json", "state.safetensors"]
    loaded = Head.load(tmp_path / "head")
    np.testing.assert_array_equal(loaded.score(x), scores)
    np.testing.assert_allclose(head.score(5 * x), scores, atol=1e-6)  # lengths do not matter


def test_two_trainings_with_one_seed_are_the_same_bits() -> None:
    x, y = labelled()
    one, two = (train_head(x, y, name="a", encoder=ENCODER, kind="mlp", epochs=3, folds=0).score(x) for _ in range(2))
    np.testing.assert_array_equal(one, two)


def test_a_rating_is_learnt_as_a_value() -> None:
    x, _ = labelled()
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    head = train_head(x, 5 + 3 * unit[:, 0], name="aesthetic", encoder=ENCODER, kind="value")
    np.testing.assert_allclose(head.score(x), 5 + 3 * unit[:, 0], atol=0.05)
    assert head.threshold == 5.0
    assert head.told["spearman"] > 0.99


def test_the_four_heads_of_the_paper_have_their_sides_and_thresholds() -> None:
    told = {name: (preset.side, preset.threshold) for name, preset in PRESETS.items()}
    assert told == {"unsafe": ("image", 0.5), "watermark": ("image", 0.8), "toxicity": ("text", 0.5),
                    "aesthetic": ("image", 5.0)}  # fmt: skip
    assert COLUMNS["unsafe"] == "punsafe"


def test_another_encoder_and_wrong_labels_are_refused(tmp_path: Path) -> None:
    x, y = labelled()
    head = train_head(x, y, name="unsafe", encoder=ENCODER, folds=0)
    head.require("f" * 64, 8)
    with pytest.raises(ValueError, match="another encoder"):
        head.require("0" * 64, 8)
    for labels, match in ((np.ones(200), "0 and 1"), (y[:10], "shape"), (y + 1, "0 and 1")):
        with pytest.raises(ValueError, match=match):
            train_head(x, labels, name="unsafe", encoder=ENCODER)
    with pytest.raises((ValueError, TypeCheckError), match="kind"):
        train_head(x, y, name="unsafe", encoder=ENCODER, kind="forest")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="complete saved state"):
        Head.load(tmp_path)


def test_pairs_to_label_are_the_nearest_to_each_prompt_and_some_others() -> None:
    vectors = np.array([[1, 0], [0.9, 0.1], [0, 1], [0.1, 0.9], [-1, 0], [0, -1]], dtype=np.float32)
    found = propose(vectors, np.array([[2, 0], [0, 3]], dtype=np.float32), each=2, others=1)
    assert found[:4] == [(0, 0), (1, 0), (2, 1), (3, 1)]
    assert found[4][1] == -1
    assert found[4][0] in (4, 5)
    assert len({row for row, _ in propose(vectors, vectors, each=6, others=6)}) == 6
    with pytest.raises(ValueError, match="each"):
        propose(vectors, vectors, each=0)
