"""`low-rank`: sizes, what is read, rates, and towers that are saved and refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from unseen.data.domain import Domain
from unseen.data.pairs import Pairs
from unseen.methods.baselines.low_rank import LowRank
from unseen.methods.compression.tinyclip import TinyCLIP
from unseen.methods.tower_shrinkers import pairs_of_a_moment, towers_of_a_moment
from unseen.nn.build import n_parameters
from unseen.nn.state import load_state, save_state

QUICK: dict[str, Any] = {"steps": 1, "warm_up": 0, "learning_rate": 1e-12, "weight_decay": 0.0, "batch_size": 12}


def fitted(size: float, **changes: Any) -> LowRank:
    return LowRank(size=size, **{**QUICK, **changes}).fit(pairs=pairs_of_a_moment(), model=towers_of_a_moment())


@pytest.mark.parametrize("size", [0.45, 0.6, 0.8])
def test_it_has_at_most_the_size_that_is_asked_for_and_the_space_of_its_teacher(size: float) -> None:
    method, teacher = fitted(size), towers_of_a_moment()
    assert size - 0.05 < method.size_ <= size
    assert method.size_ == n_parameters(method.student_) / n_parameters(teacher)
    assert sum(row["parameters"][0] for row in method.report_) + 1 == n_parameters(method.student_)
    assert all("thin layers" in row["plan"] for row in method.report_)


def test_before_it_learns_it_says_what_its_teacher_says_the_more_the_larger_it_is() -> None:
    teacher, pairs = towers_of_a_moment(), pairs_of_a_moment()
    x, tokens = torch.as_tensor(pairs.left.x), teacher.tokenize(pairs.right.x.tolist())
    alike = []
    for size in (0.45, 0.65, 0.9):
        student: Any = fitted(size).student_
        with torch.no_grad():
            pictures = (student.encode_image(x) * teacher.encode_image(x)).sum(dim=1)
            texts = (student.encode_text(tokens) * teacher.encode_text(tokens)).sum(dim=1)
        alike.append(float(torch.cat([pictures, texts]).mean()))
    assert alike[0] < alike[1] < alike[2]
    assert alike[2] > 0.95


def test_what_stands_behind_the_end_of_a_text_is_not_read() -> None:
    pairs, teacher = pairs_of_a_moment(), towers_of_a_moment()
    texts = ["red", "a very long text with many letters", *pairs.right.x.tolist()[2:]]
    seen: list[torch.Tensor] = []
    teacher.text.blocks[0].register_forward_pre_hook(lambda block, given: seen.append(given[0]))
    teacher.text.tokens.register_forward_hook(lambda layer, given, out: seen.append(given[0]))
    for _ in LowRank()._reading(teacher, pairs, texts):
        pass
    lengths = (teacher.tokenize(texts) >= 0).sum(dim=1)
    assert sum(part.shape[0] * part.shape[1] for part in seen[::2]) == int(lengths.sum())


def test_a_rate_is_found_by_trials_and_steps_are_told_beforehand() -> None:
    found = fitted(0.6, learning_rate=0.0, steps=12, measured_on=8)
    assert len(found.history_) == 1
    steps, reads = found.work(24)
    assert steps == 12 + 3 * 12
    assert reads == pytest.approx(12 * (12 + 36) * (1 + 3 * 0.6) + 8)
    assert LowRank(learning_rate=1e-3, steps=12).work(24)[0] == 12


def test_it_is_saved_used_and_made_smaller_again(tmp_path: Path) -> None:
    method = fitted(0.6)
    save_state(tmp_path / "one", {"method": method})
    again: Any = load_state(tmp_path / "one")["method"]
    x = torch.as_tensor(pairs_of_a_moment().left.x)
    torch.testing.assert_close(again.student_.encode_image(x), method.student_.encode_image(x))
    with pytest.raises(TypeError, match="towers that can be pruned"):
        TinyCLIP(size=0.5).fit(pairs=pairs_of_a_moment(), model=method.student_)
    less = LowRank(size=0.8, **QUICK).fit(pairs=pairs_of_a_moment(), model=method.student_)
    assert n_parameters(less.student_) <= 0.8 * n_parameters(method.student_)


def test_what_cannot_be_is_named() -> None:
    with pytest.raises(ValueError, match=r"size must be at least 0\.\d+, the smallest student"):
        fitted(0.01)
    with pytest.raises(ValueError, match="size must lie in"):
        fitted(1.0)
    with pytest.raises(TypeError, match="model must be two towers"):
        LowRank().fit(pairs=pairs_of_a_moment(), model=torch.nn.Linear(2, 2))
    pairs = pairs_of_a_moment()
    silent = Pairs(pairs.left, Domain(x=np.array(["", *pairs.right.x.tolist()[1:]]), kind="text", name="texts"))
    with pytest.raises(ValueError, match="pairs must have a text each; 1 have none"):
        LowRank().fit(pairs=silent, model=towers_of_a_moment())
