"""Token-wise similarity: what must hold for any words and frames, and a second, naive implementation beside it."""

import json
import math
import sys
from subprocess import PIPE, Popen

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from unseen.nn.late_interaction import MODES, Words, check, in_parts, pair_loss, similarity

seeds = st.integers(0, 2**31 - 1)
sizes = st.integers(1, 5)
modes = st.sampled_from(MODES)
few = settings(max_examples=12, deadline=None)


def drawn(seed, a, b, n, t, d=4):
    """Texts of one to n tokens, and clips of t frames."""
    g = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, n + 1, (a,), generator=g)
    mask = torch.arange(n) < lengths[:, None]
    words = Words(torch.randn(a, n, d, generator=g, dtype=torch.float64), mask)
    return words, torch.randn(b, t, d, generator=g, dtype=torch.float64)


def naive(words, frames, tau, mode):
    """Both rounds as they are written, one text and one clip at a time, with the vectors that `full` sums up."""
    s = torch.zeros(len(words.mask), len(frames), dtype=torch.float64)
    for a in range(len(words.mask)):
        t = F.normalize(words.vectors[a][words.mask[a]], dim=1)
        for b, clip in enumerate(frames):
            v = F.normalize(clip, dim=1)
            r = t @ v.T
            p = ((r * tau).softmax(dim=1) @ v * t).sum(dim=1)
            q = ((r * tau).softmax(dim=0).T @ t * v).sum(dim=1)
            if mode == "full":
                s[a, b] = ((p * tau).softmax(0) @ t) @ ((q * tau).softmax(0) @ v)
            else:
                s[a, b] = ((p * tau).softmax(0) @ p + (q * tau).softmax(0) @ q) / 2
    return s


@few
@given(seeds, sizes, sizes, sizes, sizes, st.sampled_from([0.0, 1.0, 20.0, 100.0]))
def test_both_modes_are_what_two_rounds_give_for_one_text_and_one_clip_at_a_time(seed, a, b, n, t, tau):
    words, frames = drawn(seed, a, b, n, t)
    for mode in ("simple", "full"):
        assert torch.allclose(similarity(words, frames, tau, mode), naive(words, frames, tau, mode), atol=1e-9)


@few
@given(seeds, sizes, sizes, sizes, sizes, modes, st.sampled_from([0.0, float("nan"), float("inf"), 1e4, -3.0]))
def test_what_stands_behind_the_mask_changes_nothing(seed, a, b, n, t, mode, value):
    words, frames = drawn(seed, a, b, n, t)
    expected = similarity(words, frames, 10.0, mode)
    filled = words.vectors.masked_fill(~words.mask[..., None], value)
    assert torch.equal(similarity(Words(filled, words.mask), frames, 10.0, mode), expected)
    more = Words(F.pad(filled, (0, 0, 0, 3), value=value), F.pad(words.mask, (0, 3)))
    assert torch.allclose(similarity(more, frames, 10.0, mode), expected, atol=1e-12)


@few
@given(seeds, sizes, sizes, sizes, sizes, modes)
def test_neither_the_order_of_frames_nor_that_of_tokens_makes_a_difference(seed, a, b, n, t, mode):
    words, frames = drawn(seed, a, b, n, t)
    g = torch.Generator().manual_seed(seed + 1)
    order, turn = torch.randperm(t, generator=g), torch.randperm(n, generator=g)
    turned = Words(words.vectors[:, turn], words.mask[:, turn])
    expected = similarity(words, frames, 10.0, mode)
    assert torch.allclose(similarity(turned, frames[:, order], 10.0, mode), expected, atol=1e-12)


@few
@given(seeds, sizes, sizes, sizes, sizes)
def test_at_tau_zero_all_choose_evenly_and_without_bound_the_largest_similarity_is_left(seed, a, b, n, t):
    words, frames = drawn(seed, a, b, n, t)
    r = torch.einsum("ald,btd->ablt", F.normalize(words.vectors, dim=2), F.normalize(frames, dim=2))
    present = words.mask[:, None, :, None].expand_as(r)
    mean = (r * present).sum(dim=(2, 3)) / present.sum(dim=(2, 3))
    most = r.masked_fill(~present, -torch.inf).amax(dim=(2, 3))
    for mode in ("simple", "full"):
        assert torch.allclose(similarity(words, frames, 0.0, mode), mean, atol=1e-9)
        assert torch.allclose(similarity(words, frames, 1e7, mode), most, atol=1e-3)  # ties within 1e-6 may share


@few
@given(seeds, sizes, sizes, modes)
def test_one_token_and_one_frame_give_the_cosine(seed, a, b, mode):
    words, frames = drawn(seed, a, b, 1, 1)
    cosine = F.cosine_similarity(words.vectors[:, None, 0], frames[None, :, 0], dim=2)
    assert torch.allclose(similarity(words, frames, 100.0, mode), cosine, atol=1e-9)


@few
@given(seeds, sizes, sizes, sizes, sizes, modes)
def test_texts_in_the_place_of_clips_transpose_the_table(seed, a, b, n, t, mode):
    words, frames = drawn(seed, a, b, n, t)
    words = Words(words.vectors, torch.ones_like(words.mask))
    turned = Words(frames, torch.ones(frames.shape[:2], dtype=torch.bool))
    expected = similarity(words, frames, 10.0, mode).T
    assert torch.allclose(similarity(turned, words.vectors, 10.0, mode), expected, atol=1e-9)


def test_a_word_that_is_orthogonal_to_a_frame_is_still_a_word():
    words = Words(torch.tensor([[[0.0, 1.0], [-1.0, 0.0]]]), torch.tensor([[True, True]]))
    frames = torch.tensor([[[1.0, 0.0]]])
    # the only frame fits the first word by 0 and the second by -1: without the first, q would be -1
    assert similarity(words, frames, 1e3, "simple").item() == pytest.approx(0, abs=1e-6)
    assert similarity(words, frames, 0.0, "simple").item() == pytest.approx(-0.5)


def test_frames_that_have_nothing_to_do_with_a_text_hardly_matter_while_the_mean_of_frames_drops():
    words = Words(torch.tensor([[[1.0, 0.0, 0.0]]]), torch.tensor([[True]]))
    fits, other = torch.tensor([1.0, 0.0, 0.0]), torch.tensor([0.0, 1.0, 0.0])
    few_, many = (torch.stack([fits, *([other] * n)])[None] for n in (1, 7))
    for mode in ("simple", "full", "max"):
        lost = similarity(words, few_, 100.0, mode) - similarity(words, many, 100.0, mode)
        assert lost.abs().item() < (0.2 if mode == "max" else 1e-6), mode
    mean = [similarity(words, frames, 100.0, "mean").item() for frames in (few_, many)]
    assert mean == pytest.approx([1 / math.sqrt(2), 1 / math.sqrt(50)])


@pytest.mark.parametrize("b", [2, 5])
def test_the_loss_of_equal_similarities_is_twice_log_b(b):
    words, frames = drawn(0, b, b, 3, 2)
    assert pair_loss(words, frames, 100.0, lambda w, f: torch.full((b, b), 0.3)).item() == pytest.approx(
        2 * math.log(b)
    )


def test_the_loss_is_the_sum_of_both_directions():
    s = torch.tensor([[0.5, 0.1], [0.3, 0.2]])
    words, frames = drawn(0, 2, 2, 1, 1)
    there = sum(-math.log(math.exp(s[i, i]) / sum(math.exp(x) for x in s[i])) for i in range(2)) / 2
    back = sum(-math.log(math.exp(s[i, i]) / sum(math.exp(x) for x in s[:, i])) for i in range(2)) / 2
    assert pair_loss(words, frames, 1.0, lambda w, f: s).item() == pytest.approx(there + back)


@few
@given(seeds, sizes, sizes, sizes, sizes, modes, st.integers(1, 60))
def test_some_texts_at_a_time_give_the_same_table(seed, a, b, n, t, mode, numbers):
    words, frames = drawn(seed, a, b, n, t)
    whole = similarity(words, frames, 10.0, mode)
    assert torch.allclose(in_parts(words, frames, 10.0, mode, numbers), whole, atol=1e-12)


def test_gradients_flow_into_words_and_frames_and_none_behind_the_mask():
    words, frames = drawn(1, 2, 2, 4, 3)
    vectors, clips = words.vectors.requires_grad_(), frames.requires_grad_()
    pair_loss(Words(vectors, words.mask), clips, 1.0, similarity).backward()
    assert (vectors.grad[~words.mask] == 0).all()
    assert (vectors.grad[words.mask].abs().sum(dim=1) > 0).all()
    assert torch.isfinite(clips.grad).all()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"mode": "best"}, "mode must be one of"),
        ({"tau": -1.0}, "tau must be at least 0"),
        ({"tau": float("nan")}, "tau must be at least 0"),
        ({"frames": torch.zeros(2, 3)}, "frames .clips, frames, d."),
        ({"frames": torch.zeros(2, 0, 4)}, "frames .clips, frames, d."),
        ({"words": Words(torch.zeros(2, 3, 4), torch.ones(2, 2, dtype=torch.bool))}, "mask must be bool of shape"),
        ({"words": Words(torch.zeros(2, 3, 4), torch.ones(2, 3))}, "mask must be bool"),
        ({"words": Words(torch.zeros(2, 3, 4), torch.tensor([[True] * 3, [False] * 3]))}, "text 1 has none"),
    ],
)
def test_what_cannot_be_compared_is_named(changes, told):
    words, frames = Words(torch.zeros(2, 3, 4), torch.ones(2, 3, dtype=torch.bool)), torch.zeros(2, 3, 4)
    good = {"words": words, "frames": frames, "tau": 1.0, "mode": "full"}
    check(**good)
    with pytest.raises(ValueError, match=told):
        check(**{**good, **changes})


WORKER = """
import sys, torch
from torch import distributed
from unseen.nn import parallel
from unseen.nn.late_interaction import Words, pair_loss, similarity
rank, world, place = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
distributed.init_process_group("gloo", init_method="file://" + place, rank=rank, world_size=world)
g = torch.Generator().manual_seed(0)
vectors = torch.randn(5, 3, 4, generator=g, dtype=torch.float64).requires_grad_()
frames = torch.randn(5, 2, 4, generator=g, dtype=torch.float64).requires_grad_()
mask = torch.arange(3) < torch.tensor([3, 1, 2, 3, 1])[:, None]
(own, clips, there), weight = parallel.part((vectors, frames, mask))
(weight * pair_loss(Words(own, there), clips, 10.0, similarity)).backward()
parallel.average([vectors.grad, frames.grad])
if rank == 0:
    print([round(x, 9) for x in torch.cat([vectors.grad.flatten(), frames.grad.flatten()]).tolist()])
distributed.destroy_process_group()
"""


def test_two_processes_learn_what_one_learns(tmp_path):
    command = [sys.executable, "-c", WORKER]
    runs = [Popen([*command, str(r), "2", str(tmp_path / "meet")], stdout=PIPE, text=True) for r in range(2)]
    told = [run.communicate(timeout=120)[0] for run in runs]
    assert [run.returncode for run in runs] == [0, 0]
    g = torch.Generator().manual_seed(0)
    vectors = torch.randn(5, 3, 4, generator=g, dtype=torch.float64).requires_grad_()
    frames = torch.randn(5, 2, 4, generator=g, dtype=torch.float64).requires_grad_()
    mask = torch.arange(3) < torch.tensor([3, 1, 2, 3, 1])[:, None]
    pair_loss(Words(vectors, mask), frames, 10.0, similarity).backward()
    expected = torch.cat([vectors.grad.flatten(), frames.grad.flatten()])
    assert torch.allclose(torch.tensor(json.loads(told[0]), dtype=torch.float64), expected, atol=1e-8)
