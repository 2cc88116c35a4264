"""`stream-ridge`: the closed form, tasks in any order, and classes that no task had."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.methods.baselines.stream_ridge import StreamRidge, with_one
from unseen.methods.multimodal.zscl import ZSCL
from unseen.nn.small_towers import small_dual_encoder

WIDTH = 6


def task(names: tuple[str, ...], seed: int, n: int = 20) -> Domain:
    rng = np.random.default_rng(seed)
    y = np.arange(n) % len(names)
    x = rng.normal(size=(len(names), WIDTH))[y] * 2 + rng.normal(size=(n, WIDTH))
    return Domain(x=x.astype(np.float32), y=y, classes=ClassSpace(names=names), name=names[0])


FIRST, SECOND = task(("red", "blue"), 0), task(("green", "red", "grey"), 1)


def learnt(*tasks: Domain, **changes: float) -> StreamRidge:
    method = StreamRidge(**changes)
    for i, one in enumerate(tasks):
        method.partial_fit(source=one, **({} if i else {"model": small_dual_encoder("features", WIDTH)}))
    return method


def test_the_layer_is_that_of_all_tasks_at_once() -> None:
    method = learnt(FIRST, SECOND, penalty=0.3)
    assert method.classes_.names == ("red", "blue", "green", "grey")
    x = with_one(torch.from_numpy(np.concatenate([FIRST.x, SECOND.x]))).double()
    labels = np.concatenate([np.array([0, 1])[FIRST.labels], np.array([2, 0, 3])[SECOND.labels]])
    y = F.one_hot(torch.from_numpy(labels), 4).double()
    wanted = torch.linalg.solve(x.T @ x + 0.3 * torch.eye(WIDTH + 1, dtype=torch.float64), x.T @ y)
    torch.testing.assert_close(method.weights_, wanted.float())
    other = learnt(SECOND, FIRST, penalty=0.3)
    order = [other.classes_.names.index(name) for name in method.classes_.names]
    torch.testing.assert_close(other.weights_[:, order], method.weights_)


def test_classes_of_one_task_have_the_scores_that_they_have_among_all() -> None:
    method = learnt(FIRST, SECOND)
    x = torch.from_numpy(SECOND.x)
    among_all = method.decision_function(x)
    own = method.decision_function(x, classes=ClassSpace(names=("grey", "blue")))
    torch.testing.assert_close(own, among_all[:, [3, 1]])
    torch.testing.assert_close(method.network()(x), among_all)


def test_a_class_without_a_sample_is_known_by_its_name_though_a_task_listed_it() -> None:
    space = ClassSpace(names=("red", "blue", "never seen"))
    method = StreamRidge().fit(source=FIRST, classes=space, model=small_dual_encoder("features", WIDTH))
    start = ZSCL(iterations=0).fit(source=FIRST, model=small_dual_encoder("features", WIDTH))
    x, asked = torch.from_numpy(FIRST.x), ClassSpace(names=("never seen", "red"))
    torch.testing.assert_close(method.decision_function(x, asked), start.decision_function(x, asked))


def test_pictures_after_features_are_refused() -> None:
    method = learnt(FIRST)
    pictures = FIRST.replace(x=np.zeros((len(FIRST), 3, 8, 8), dtype=np.float32), kind="image")
    with pytest.raises(ValueError, match="source must hold features, as the tasks before; it holds pictures"):
        method.partial_fit(source=pictures)


def test_a_class_that_no_task_had_is_known_by_its_name_as_at_the_start() -> None:
    method = learnt(FIRST, SECOND)
    start = ZSCL(iterations=0).fit(source=FIRST, model=small_dual_encoder("features", WIDTH))
    space, x = ClassSpace(names=("violet", "white")), torch.from_numpy(FIRST.x)
    torch.testing.assert_close(method.decision_function(x, space), start.decision_function(x, space))
