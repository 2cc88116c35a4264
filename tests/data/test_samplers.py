"""Batches with the index of every sample."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from unseen.data.domain import Domain, Lazy
from unseen.data.samplers import (
    batches,
    both_batches,
    domain_numbers,
    hold_out,
    joint_batches,
    joint_steps,
    paired_batches,
    steps,
    tensor,
)


def table(n: int = 10) -> Domain:
    return Domain(x=np.arange(2 * n, dtype=np.float64).reshape(n, 2), y=np.arange(n) % 3)


def run(seed: int = 0) -> Any:
    return SimpleNamespace(generator=torch.Generator().manual_seed(seed))


@given(st.integers(1, 30), st.integers(1, 40), st.booleans(), st.booleans())
def test_steps_counts_what_batches_yields_and_every_index_comes_once(
    n: int, size: int, drop_last: bool, shuffle: bool
) -> None:
    domain = table(n)
    found = list(batches(domain, size, drop_last=drop_last, shuffle=shuffle)(run()))
    assert len(found) == steps(n, size, drop_last) >= 1
    index = torch.cat([batch.index for batch in found]).tolist()
    assert len(set(index)) == len(index)
    if not drop_last:
        assert sorted(index) == list(range(n))
    if not shuffle:
        assert index == list(range(len(index)))
    for batch in found:
        assert len(batch.x) == min(size, n) or not drop_last
        assert batch.x.tolist() == domain.x[batch.index.numpy()].tolist()
        assert batch.y.tolist() == domain.y[batch.index.numpy()].tolist()


def test_the_order_comes_from_the_generator_of_the_run() -> None:
    stream = batches(table(), 5)
    torch.manual_seed(1)
    first = [b.index.tolist() for b in stream(run(3))]
    torch.manual_seed(2)
    assert [b.index.tolist() for b in stream(run(3))] == first
    assert [b.index.tolist() for b in stream(run(4))] != first


def test_a_lazy_domain_gives_the_batches_of_its_table_and_reads_nothing_before() -> None:
    reads = []

    def read(i: int) -> torch.Tensor:
        reads.append(i)
        return torch.as_tensor(table().x[i])

    stream = batches(table().replace(x=Lazy(range(10), read), kind="image"), 4)
    assert reads == []
    for lazy, plain in zip(stream(run()), batches(table(), 4)(run())):
        assert torch.equal(lazy.x, plain.x)
        assert torch.equal(lazy.index, plain.index)
    assert len(reads) == 8


def test_augmentation_draws_from_the_run_and_leaves_the_table_alone() -> None:
    def noise(x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        return x.add_(torch.randn(x.shape, generator=generator))

    stream = batches(table(), 4, augment=noise)
    first, again = ([b.x for b in stream(run())] for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, again))
    assert not torch.equal(first[0], next(iter(batches(table(), 4)(run()))).x)


def test_no_labels_give_no_labels() -> None:
    assert next(iter(batches(table().replace(y=None), 4)(run()))).y is None


def test_a_tensor_is_float_and_does_not_complain_about_memory(recwarn: pytest.WarningsRecorder) -> None:
    x = np.arange(6.0, dtype=np.float32).reshape(2, 3)[:, ::-1]
    x.flags.writeable = False
    assert tensor(Domain(x=x)).tolist() == x.tolist()
    assert tensor(Domain(x=np.ones((2, 2), np.int8))).dtype == torch.float32
    assert [str(w.message) for w in recwarn] == []


def test_samples_that_are_no_tensors_are_told() -> None:
    domain = Domain(x=Lazy(["a", "b"], lambda item: item), kind="image", name="photos")
    with pytest.raises(TypeError, match="photos holds strs; a network needs tensors"):
        tensor(domain)


@pytest.mark.parametrize(("n", "size"), [(0, 4), (4, 0), (4, -1)])
def test_no_samples_or_no_batch_is_told(n: int, size: int) -> None:
    with pytest.raises(ValueError, match=f"at least one.*got {n} and {size}"):
        steps(n, size)


def test_pairs_are_of_one_size_and_the_smaller_domain_begins_anew() -> None:
    stream = paired_batches(table(10), table(5), 2)(run())
    pairs = [next(stream) for _ in range(10)]
    assert all(len(pair.source.x) == len(pair.target.x) == 2 for pair in pairs)
    first = torch.cat([pair.source.index for pair in pairs[:5]]).tolist()
    assert sorted(first) == list(range(10))
    for i in range(0, 10, 2):  # two batches of two of five samples, then anew
        assert len(set(torch.cat([pair.target.index for pair in pairs[i : i + 2]]).tolist())) == 4


def test_pairs_are_no_larger_than_the_smaller_domain() -> None:
    pair = next(paired_batches(table(10), table(3), 8)(run()))
    assert len(pair.source.x) == len(pair.target.x) == 3


def test_semi_supervised_batches_see_every_sample_alike_and_end_after_all_steps():
    class Told:
        step = 0
        generator = torch.Generator().manual_seed(0)

    known = Domain(x=np.arange(5.0)[:, None], y=np.array([0, 1, 0, 1, 0]))
    new = Domain(x=np.arange(30.0)[:, None] + 100)
    stream = both_batches(known, new, 4, 3, total=15, per_epoch=10)
    first = list(stream(Told()))
    assert [len(b.labeled.x) for b in first] == [4] * 10
    assert [len(b.unlabeled.x) for b in first] == [12] * 10
    assert all(b.unlabeled.y is None for b in first)
    counts = np.bincount(np.concatenate([b.labeled.index for b in first]))
    assert counts.tolist() == [8] * 5
    assert set(np.bincount(np.concatenate([b.unlabeled.index for b in first])).tolist()) == {4}
    for batch in first:
        assert torch.equal(batch.labeled.y, torch.as_tensor(known.y)[batch.labeled.index])
        assert torch.equal(batch.unlabeled.x[:, 0], 100.0 + batch.unlabeled.index)
    Told.step = 10
    assert len(list(stream(Told()))) == 5


def test_joint_batches_see_every_group_alike_and_small_ones_again() -> None:
    groups = np.array([0] * 9 + [1] * 2)
    domain = Domain(x=np.arange(11, dtype=np.float32)[:, None], y=np.zeros(11, dtype=int))
    stream = joint_batches(domain, groups, 3)(run())
    drawn = [next(stream).index.numpy() for _ in range(6)]
    assert all((groups[index] == 0).sum() == 3 == (groups[index] == 1).sum() for index in drawn)
    assert sorted(np.concatenate([index[:3] for index in drawn[:3]]).tolist()) == list(range(9))
    assert joint_steps(groups, 3) == 1
    assert joint_steps(np.zeros(50), 16) == 3
    assert domain_numbers(domain).tolist() == [0] * 11
    named = domain.replace(columns={"domain": np.array(["b"] * 9 + ["a"] * 2)})
    assert domain_numbers(named).tolist() == [1] * 9 + [0] * 2


def test_labels_are_held_out_class_by_class_and_a_lone_one_is_learnt_from() -> None:
    y = np.array([0, 0, 0, 0, 0, 1, 1, 2])
    learn, judge = hold_out(y, 0.2, 0)
    assert (learn != judge).all()
    assert np.bincount(y[judge], minlength=3).tolist() == [1, 1, 0]
    assert not hold_out(y, 0.0, 0)[1].any()
