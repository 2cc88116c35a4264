"""The world of TinyCLIP's claim: splits share nothing, every arm takes as many steps, a cell has every arm."""

from __future__ import annotations

from typing import Any
from unittest import mock

import numpy as np

from unseen.claims import tinyclip as claim_of_tinyclip
from unseen.claims.emoji_towers import World, word_tokenizer
from unseen.claims.tinyclip import ARMS, BUDGET, RATES, STEPS, claim, shrunk, tuned, vendors
from unseen.data.domain import Domain
from unseen.methods.compression.tinyclip import TinyCLIP
from unseen.methods.tower_shrinkers import pairs_of_a_moment, towers_of_a_moment
from unseen.nn.dual_encoder import WordPieces


def test_splits_share_no_vendor_and_nobody_learns_from_the_vendor_that_is_asked_about() -> None:
    (experiment,) = claim.experiments.values()
    known, fresh = (
        {name for case in cases for name in (*vendors(case)[0], vendors(case)[1])}
        for cases in (experiment.development, experiment.confirmation)
    )
    assert not known & fresh
    for case in (*experiment.development, *experiment.confirmation):
        taught, asked = vendors(case)
        assert len(taught) == 4
        assert asked not in taught


def test_every_arm_takes_as_many_steps_and_has_parameters_of_the_method() -> None:
    names = set(TinyCLIP().get_params())
    for arm, settings in ARMS.items():
        made = TinyCLIP(**{**BUDGET, **settings})
        assert set(settings) <= names
        gates = made.prune_steps if made.inheritance == "auto" else 0
        assert made.stages * (made.steps + gates) == STEPS
        assert "learning_rate" not in settings, arm
        assert made.size == BUDGET["size"]


def test_a_tokenizer_of_words_numbers_known_words_and_marks_the_ends() -> None:
    reader = WordPieces(word_tokenizer(["a red hat", "the hat, red"]), 8)
    first, second = reader(["Red hat", "blue hat"]).tolist()
    assert first[0] == reader.first
    assert first[-1] == reader.last
    assert first[2] == second[2]
    assert second[1] != first[1]


def test_a_cell_has_the_teacher_and_every_arm_at_one_size() -> None:
    pairs = pairs_of_a_moment()
    names = np.array([f"thing {i}" for i in range(24)])
    columns = {"name": names, "subgroup": np.array(["one", "two"] * 12)}
    exam = Domain(x=pairs.left.x, kind="image", columns=columns, name="exam")
    world = World(pairs, exam, np.arange(24) % 5 > 0, "")
    quick: dict[str, Any] = {"steps": 2, "warm_up": 1, "batch_size": 12, "size": 0.5}
    few = {arm: {**ARMS[arm], **quick} for arm in ("scratch", "manual")}
    few["auto"] = {**ARMS["auto"], **quick, "prune_steps": 2, "sparsity_warm_up": 1}
    with (
        mock.patch.object(claim_of_tinyclip, "ARMS", few),
        mock.patch.object(claim_of_tinyclip, "world", return_value=world),
        mock.patch.object(claim_of_tinyclip, "teacher", return_value=towers_of_a_moment()),
        mock.patch.object(claim_of_tinyclip, "tuned", return_value=1e-3),
    ):
        table = shrunk("development 1", 0)
    assert set(table) == {"teacher", "manual, sooner", *few}
    for arm in few:
        assert table[arm]["size"] <= 0.5
        assert {"recall", "subgroup", "new"} <= set(table[arm])


def test_no_rate_that_is_chosen_lies_on_the_edge_of_those_tried() -> None:
    for optimum in range(1, len(RATES) - 1):
        tried: list[float] = []

        def student(settings: Any, rate: float, *_: Any, optimum: int = optimum, tried: Any = tried) -> Any:
            assert settings["steps"] == STEPS // 3
            tried.append(rate)
            return mock.Mock(student_=-abs(RATES.index(rate) - optimum))

        with (
            mock.patch.object(claim_of_tinyclip, "student", student),
            mock.patch.object(claim_of_tinyclip, "asked_of", lambda made, own: {"recall": float(made)}),
        ):
            found = tuned(ARMS["manual"], None, mock.Mock(), 0)
        assert found == RATES[optimum]
        assert min(tried) < found < max(tried)
        assert len(tried) == len(set(tried))
