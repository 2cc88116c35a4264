"""CWCL: the analytic checks of its loss, what is drawn and told, and what is refused."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain, Lazy
from unseen.data.pairs import Pairs
from unseen.methods.multimodal.attached import checked_sides
from unseen.methods.multimodal.cwcl import CWCL, cwcl, pair_weights
from unseen.methods.multimodal.cwcl.loss import in_chunks
from unseen.methods.multimodal.cwcl.method import drawn_pairs, groups_of
from unseen.methods.multimodal.ridge_map import RidgeMap
from unseen.nn.contrastive import LARGEST, LogitScale, cosine_weights, row_entropy
from unseen.nn.dual_encoder import feature_head

P = torch.tensor([(1.0, 0, 0), (0.6, 0.8, 0), (0, 1, 0), (0, 0.6, 0.8)])
Q = torch.tensor([(0.8, 0.6, 0), (0, 1, 0), (0, 0.8, 0.6), (0, 0, 1.0)])
TAU = 0.1


def drawn(n: int = 7, d: int = 5, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Unit vectors of pairs."""
    generator = torch.Generator().manual_seed(seed)
    p, q = (F.normalize(torch.randn(n, d, generator=generator, dtype=torch.float64), dim=1) for _ in range(2))
    return p, q


def naive(p: Any, q: Any, w: Any, scale: float) -> float:
    """L_CWCL(U -> V), by loops."""
    n, total = len(p), 0.0
    for i in range(n):
        logits = np.array([scale * float(p[i] @ q[k]) for k in range(n)])
        logs = logits - np.log(np.exp(logits).sum())
        total -= sum(float(w[i][j]) * logs[j] for j in range(n)) / sum(float(w[i][j]) for j in range(n))
    return total / n


# -- the spec's checks -------------------------------------------------------------------------------------


def test_identity_weights_are_twice_the_symmetric_clip_loss() -> None:
    p, q = drawn()
    loss = cwcl(p, q, 10.0, "identity")
    own = torch.arange(7)
    there, back = F.cross_entropy(10 * p @ q.T, own), F.cross_entropy(10 * q @ p.T, own)
    torch.testing.assert_close(loss.there, there)
    torch.testing.assert_close(loss.total, 2 * (there + back) / 2)
    torch.testing.assert_close(cwcl(p, q, 10.0, torch.eye(7, dtype=torch.float64)).total, loss.total)


def test_weights_of_equal_labels_are_the_cross_modal_supervised_term() -> None:
    p, q = drawn(6)
    labels = torch.tensor([0, 0, 1, 2, 2, 2])
    logs = torch.log_softmax(10 * p @ q.T, dim=1)
    by_hand = -torch.stack([logs[i][labels == labels[i]].mean() for i in range(6)]).mean()
    torch.testing.assert_close(cwcl(p, q, 10.0, "labels", labels=labels).there, by_hand)


def test_weights_of_one_are_the_mean_over_all_entries() -> None:
    p, q = drawn()
    every = torch.ones(7, 7, dtype=torch.float64)
    torch.testing.assert_close(cwcl(p, q, 10.0, every).there, -torch.log_softmax(10 * p @ q.T, dim=1).mean())


def test_weights_are_symmetric_in_0_1_with_a_unit_diagonal_whatever_the_lengths_of_vectors() -> None:
    p, _ = drawn(9)
    w = cosine_weights(p)
    assert bool(((w >= 0) & (w <= 1)).all())
    torch.testing.assert_close(w, w.T)
    torch.testing.assert_close(w.diagonal(), torch.ones(9, dtype=torch.float64))
    torch.testing.assert_close(w, (p @ p.T) / 2 + 0.5)
    torch.testing.assert_close(cosine_weights(p * torch.rand(9, 1, dtype=torch.float64).add(0.1)), w)


def test_a_row_of_weights_may_be_scaled() -> None:
    p, q = drawn()
    w = cosine_weights(p)
    scaled = w * torch.rand(7, 1, dtype=torch.float64).add(0.1)
    torch.testing.assert_close(cwcl(p, q, 10.0, scaled).there, cwcl(p, q, 10.0, w).there)


def test_the_gradient_of_logits_is_softmax_minus_normalized_weights() -> None:
    from unseen.nn.contrastive import contrastive

    p, q = drawn()
    logits = (10 * p @ q.T).requires_grad_()
    w = cosine_weights(p)
    contrastive(logits, w).backward()
    expected = (logits.detach().softmax(dim=1) - w / w.sum(dim=1, keepdim=True)) / 7
    torch.testing.assert_close(logits.grad, expected)


def test_the_least_value_is_the_entropy_of_the_weights_and_not_0() -> None:
    from unseen.nn.contrastive import contrastive

    w = cosine_weights(drawn()[0])
    shares = w / w.sum(dim=1, keepdim=True)
    least = contrastive(shares.log(), w)
    torch.testing.assert_close(least, torch.special.entr(shares).sum(dim=1).mean())
    assert least > 1
    generator = torch.Generator().manual_seed(1)
    for _ in range(20):
        other = shares.log() + 0.3 * torch.randn(7, 7, generator=generator, dtype=torch.float64)
        assert contrastive(other, w) > least


def test_the_order_of_a_batch_does_not_matter() -> None:
    p, q = drawn()
    order = torch.randperm(7, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(cwcl(p[order], q[order], 10.0).total, cwcl(p, q, 10.0).total)


def test_no_gradient_reaches_the_weights() -> None:
    p, q = (x.clone().requires_grad_() for x in drawn())
    of = p.detach().clone().requires_grad_()
    cwcl(p.detach(), q, 10.0, of=of).total.backward()
    assert of.grad is None
    assert p.grad is None
    assert q.grad is not None
    table = cosine_weights(of)
    assert not table.requires_grad


def test_swapping_the_modality_that_gives_the_weights_changes_the_loss() -> None:
    p, q = drawn()
    one, other = cwcl(p, q, 10.0), cwcl(q, p, 10.0)
    assert abs(float(one.total - other.total)) > 1e-3
    assert float(one.there) == pytest.approx(naive(p, q, cosine_weights(p), 10.0))
    assert float(other.there) == pytest.approx(naive(q, p, cosine_weights(q), 10.0))


def test_published_weights_of_unrelated_vectors_are_nearly_level_and_sharpened_ones_are_not() -> None:
    p, _ = drawn(256, 64)
    assert row_entropy(cosine_weights(p)) > 0.95
    assert row_entropy(cosine_weights(p, power=4)) < 0.3


def test_only_one_direction_is_weighted_and_no_pair_leaves_the_denominator() -> None:
    p, q = drawn()
    loss, plain = cwcl(p, q, 10.0), cwcl(p, q, 10.0, "identity")
    torch.testing.assert_close(loss.back, plain.back)
    assert float(cwcl(p, q, 10.0, both=True).back) == pytest.approx(naive(q, p, cosine_weights(p), 10.0))
    assert float(loss.there) == pytest.approx(naive(p, q, cosine_weights(p), 10.0))


def test_the_numbers_of_the_spec() -> None:
    loss = cwcl(P, Q, 1 / TAU)
    assert float(loss.there) == pytest.approx(3.804863, abs=2e-6)
    assert float(loss.back) == pytest.approx(1.442420, abs=2e-6)
    assert float(loss.total) == pytest.approx(5.247283, abs=4e-6)


# -- generalisations, and large batches --------------------------------------------------------------------


@pytest.mark.parametrize("weights", ["cosine", "clipped", "identity", "labels"])
@pytest.mark.parametrize("both", [False, True])
def test_parts_of_the_logits_give_loss_and_gradients_of_the_whole(weights: Any, both: bool) -> None:
    p, q = drawn(11)
    labels = torch.arange(11) % 3
    made = []
    for rows in (0, 4):
        own = q.clone().requires_grad_()
        scale = torch.tensor(9.0, dtype=torch.float64, requires_grad=True)
        loss = cwcl(p, own, scale, weights, power=2.0, labels=labels, both=both, rows=rows)
        loss.total.backward()
        made.append((loss.total.detach(), own.grad, scale.grad))
    for one, other in zip(*made):
        torch.testing.assert_close(one, other)


def test_a_batch_in_chunks_has_the_gradients_of_the_whole() -> None:
    torch.manual_seed(0)
    network = feature_head(4, 3, 8)
    x = torch.randn(10, 4)
    gradients = []
    for size in (0, 3):
        network.zero_grad()
        cwcl(torch.eye(10, 3) + 0.1, in_chunks(network, x, size), 5.0).total.backward()
        gradients.append([p.grad.clone() for p in network.parameters() if p.grad is not None])
    assert gradients[0]
    for one, other in zip(*gradients):
        torch.testing.assert_close(one, other)


def test_the_power_sharpens_either_kind_of_weights() -> None:
    p, _ = drawn()
    every = slice(0, 7)
    cosine = p @ p.T
    torch.testing.assert_close(pair_weights("cosine", p, power=3.0)(every), (cosine / 2 + 0.5) ** 3)  # type: ignore[misc]
    torch.testing.assert_close(pair_weights("clipped", p, power=3.0)(every), cosine.clamp(min=0) ** 3)  # type: ignore[misc]


def test_the_scale_begins_at_14_3_and_stops_at_100() -> None:
    assert float(LogitScale(1 / CWCL().temperature)().detach()) == pytest.approx(14.2857, abs=1e-4)
    assert float(LogitScale(1000.0)().detach()) == pytest.approx(LARGEST)


# -- learning ----------------------------------------------------------------------------------------------


def world(n: int = 160, seed: int = 0, several: int = 1) -> Pairs:
    """Concepts seen through two modalities: features on the left, vectors of a frozen tower on the right."""
    rng = np.random.default_rng(seed)
    concepts = np.random.default_rng(9).normal(size=(8, 12))
    views = np.random.default_rng(8).normal(size=(8, 10))
    y = np.arange(n) % 8
    left = (1.5 * views[y] + rng.normal(size=(n, 10))).astype(np.float32)
    right = (concepts[np.repeat(y, several)] + 0.4 * rng.normal(size=(n * several, 12))).astype(np.float32)
    left = np.repeat(left, several, axis=0)
    return Pairs(Domain(x=left, name="left"), Domain(x=right, name="right"), columns={"label": np.repeat(y, several)})


def named() -> ClassSpace:
    """The concepts, as the frozen tower would say them."""
    concepts = np.random.default_rng(9).normal(size=(8, 12))
    return ClassSpace(names=tuple("abcdefgh"), embeddings=concepts.astype(np.float32))


QUICK: dict[str, Any] = {"epochs": 20, "batch_size": 40, "hidden": 16, "dropout": 0.0, "learning_rate": 1e-2}


@pytest.mark.parametrize("weights", ["clipped", "identity", "labels"])
def test_a_modality_that_was_attached_knows_classes_by_what_the_frozen_tower_says_of_them(weights: Any) -> None:
    method = CWCL(weights=weights, power=4.0 if weights == "clipped" else 1.0, **QUICK).fit(pairs=world())
    fresh = world(80, seed=5)
    found = method.adapt(classes=named()).predict(fresh.left)
    assert (found == fresh.columns["label"]).mean() > 0.9
    assert method.history_["there"][-1] < method.history_["there"][0]
    assert set(method.monitors_) == {
        "gap", "mean_cosine_frozen", "mean_cosine_trained", "effective_rank_frozen", "effective_rank_trained",
    }  # fmt: skip


def test_a_ridge_map_does_as_much_by_a_line() -> None:
    method = RidgeMap().fit(pairs=world())
    fresh = world(80, seed=5)
    assert (method.adapt(classes=named()).predict(fresh.left) == fresh.columns["label"]).mean() > 0.9
    assert method.alpha_ > 0


def test_the_frozen_side_may_be_asked_and_the_new_one_may_name_the_classes() -> None:
    """LiT's use: pictures by the frozen tower, texts by the one that learns."""
    texts = world()
    method = CWCL(asked="frozen", weights="identity", **QUICK).fit(pairs=texts)
    views = np.random.default_rng(8).normal(size=(8, 10)).astype(np.float32)
    prompts = [method.transform(1.5 * views + 0.1 * k) for k in range(3)]
    mean = F.normalize(torch.stack(prompts).mean(dim=0), dim=1)
    space = ClassSpace(names=tuple("abcdefgh"), embeddings=mean.numpy())
    fresh = world(80, seed=5)
    method = method.adapt(classes=space)
    assert (method.predict(fresh.right) == fresh.columns["label"]).mean() > 0.9
    network = method.network()
    x = torch.as_tensor(fresh.right.x)
    torch.testing.assert_close(network(x), method.decision_function(x), atol=1e-4, rtol=1e-4)


def test_a_projection_of_the_frozen_tower_is_learnt_and_the_weights_stay_those_of_its_own_vectors() -> None:
    method = CWCL(width=6, weights="clipped", power=4.0, **QUICK).fit(pairs=world())
    assert method.projection_ is not None
    assert method.answers_.shape[1] == 6
    told = ClassSpace(names=named().names, embeddings=method.transform(named().embeddings, "frozen").numpy())
    fresh = world(80, seed=5)
    assert (method.adapt(classes=told).predict(fresh.left) == fresh.columns["label"]).mean() > 0.9


def test_of_several_partners_each_epoch_draws_one() -> None:
    pairs = world(20, several=3)
    members = groups_of(pairs, "left")
    assert len(members) == 20
    run = type("Run", (), {"generator": torch.Generator().manual_seed(0)})()
    seen: list[set[int]] = []
    for _ in range(30):
        rows = torch.cat(list(drawn_pairs(members, 10)(run))).tolist()
        assert sorted(row // 3 for row in rows) == list(range(20))  # one of each
        seen.append(set(rows))
    assert len(set.union(*seen)) == 60
    assert len(groups_of(pairs, "none")) == 60
    assert len(groups_of(pairs.replace(columns={"group": np.arange(60) % 7}), "left")) == 7
    assert len(groups_of(pairs.replace(columns={"Group": np.arange(60) % 7}), "left")) == 7


def test_level_targets_are_told_and_sharp_ones_are_not(caplog: pytest.LogCaptureFixture) -> None:
    method = CWCL(**{**QUICK, "epochs": 1}).fit(pairs=world())
    assert method.row_entropy_ > 0.95
    assert "the targets are nearly level" in caplog.text
    caplog.clear()
    sharp = CWCL(weights="clipped", power=4.0, **{**QUICK, "epochs": 1}).fit(pairs=world())
    assert sharp.row_entropy_ < 0.95
    assert not caplog.text


def test_a_collapse_is_told(caplog: pytest.LogCaptureFixture) -> None:
    still = feature_head(10, 12, 0)
    with torch.no_grad():
        still[1].weight.zero_()
        still[1].bias.fill_(1.0)
    quick = {**QUICK, "epochs": 1, "learning_rate": 1e-9, "weights": "identity"}
    method = CWCL(**quick).fit(pairs=world(), model=still)
    assert method.monitors_["mean_cosine_trained"] == pytest.approx(1)
    assert method.monitors_["effective_rank_trained"] < method.monitors_["effective_rank_frozen"] / 2
    assert "has collapsed" in caplog.text


def test_pictures_are_read_by_a_network_of_their_own() -> None:
    from unseen.testing.inputs import convnet

    pairs = world(48)
    pictures = np.random.default_rng(0).normal(size=(48, 3, 8, 8)).astype(np.float32)
    read = Lazy(range(48), lambda i: torch.as_tensor(pictures[i]))
    pairs = pairs.replace(left=pairs.left.replace(x=read, kind="image"))
    method = CWCL(**{**QUICK, "epochs": 2, "batch_size": 16}, weights="identity").fit(pairs=pairs, model=convnet(6, 12))
    assert method.predict(torch.as_tensor(pictures)).shape == (48,)


# -- what is refused ---------------------------------------------------------------------------------------


def changed(what: str) -> Pairs:
    """Pairs that are wrong in some way."""
    pairs = world(16)
    left, right = pairs.left, pairs.right
    sides = {
        "one pair": lambda: pairs.take([0]),
        "texts": lambda: pairs.replace(right=Domain(x=np.array(["a"] * 16), kind="text")),
        "texts to learn": lambda: pairs.replace(left=Domain(x=np.array(["a"] * 16), kind="text")),
        "nan": lambda: pairs.replace(right=right.replace(x=np.where(np.eye(16, 12) > 0, np.nan, right.x).astype("f4"))),
        "nan to learn": lambda: pairs.replace(left=left.replace(x=np.full((16, 10), np.nan, dtype="f4"))),
        "zero": lambda: pairs.replace(right=right.replace(x=right.x * (np.arange(16) != 3)[:, None].astype("f4"))),
        "one caption": lambda: pairs.replace(right=right.replace(x=np.repeat(right.x[:1], 16, axis=0))),
        "one sample": lambda: pairs.replace(left=left.replace(x=np.repeat(left.x[:1], 16, axis=0))),
    }
    return sides[what]()


@pytest.mark.parametrize(
    ("what", "match"),
    [
        ("one pair", "at least two pairs; got 1"),
        ("texts", "must hold vectors of the frozen tower"),
        ("texts to learn", "left side holds texts; encode it"),
        ("nan", "right side must be finite; sample '000000' is not"),
        ("nan to learn", "left side must be finite; sample '000000' is not"),
        ("zero", "right side must hold vectors that are not 0; sample '000003' is 0"),
        ("one caption", "all samples of the right side are the same"),
        ("one sample", "all samples of the left side are the same"),
    ],
)
def test_pairs_that_nothing_can_be_learnt_from_are_named(what: str, match: str) -> None:
    for method in (CWCL(**QUICK), RidgeMap()):
        with pytest.raises(ValueError, match=match):
            method.fit(pairs=changed(what))


def test_a_batch_of_one_pair_is_refused() -> None:
    with pytest.raises(ValueError, match="batch_size must be in"):
        CWCL(batch_size=1)


def test_towers_of_unlike_widths_and_models_that_cannot_read_are_named() -> None:
    with pytest.raises(ValueError, match=r"model must give 12 numbers .* got \(5,\)"):
        CWCL(**QUICK).fit(pairs=world(), model=feature_head(10, 5, 4))
    with pytest.raises(ValueError, match="model cannot read a sample"):
        CWCL(**QUICK).fit(pairs=world(), model=feature_head(9, 12, 0))
    with pytest.raises(ValueError, match="needs a column 'label'"):
        CWCL(weights="labels", **QUICK).fit(pairs=world().replace(columns={}))
    pictures = Domain(x=np.random.default_rng(0).normal(size=(16, 3, 4, 4)).astype("f4"), kind="image")
    with pytest.raises(ValueError, match="model is needed where the new side holds image"):
        CWCL(**QUICK).fit(pairs=world(16).replace(left=pictures))


def test_classes_without_vectors_of_the_shared_space_are_named() -> None:
    method = CWCL(**{**QUICK, "epochs": 1}, weights="identity").fit(pairs=world())
    with pytest.raises(ValueError, match=r"embeddings of 12 dimensions.*they have none"):
        method.adapt(classes=ClassSpace(names=("a", "b")))
    with pytest.raises(ValueError, match="embeddings of 12 dimensions; got 3"):
        method.predict(world().left, classes=ClassSpace(names=("a", "b"), embeddings=np.eye(2, 3)))
    with pytest.raises(ValueError, match="x must be of shape"):
        method.transform(np.zeros((3, 4)))
    with pytest.raises(ValueError, match="side must be"):
        method.transform(np.zeros((3, 10)), "left")


def test_what_is_frozen_is_only_read() -> None:
    sides = checked_sides(world(), "right")
    torch.testing.assert_close(sides.frozen.norm(dim=1), torch.ones(160))
    assert not sides.frozen.requires_grad


# -- several processes -------------------------------------------------------------------------------------


WORKER = """
import json, sys
import torch
from torch import distributed

import unseen
sys.path.insert(0, sys.argv[4])
from tests.methods.multimodal.test_cwcl import world
from unseen.methods.multimodal.cwcl import CWCL

rank, size, folder = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
torch.set_num_threads(1)
if size > 1:
    distributed.init_process_group("gloo", rank=rank, world_size=size)
told = {}
for name, settings in {
    "clipped": {"weights": "clipped", "power": 2.0}, "both": {"both_sides": True, "width": 5},
    "labels": {"weights": "labels", "chunk": 4}, "lit": {"weights": "identity"}, "dropout": {"dropout": 0.3},
}.items():
    with unseen.runtime(folder=folder + name):
        usual = {"epochs": 3, "batch_size": 25, "hidden": 8, "dropout": 0.0, "learning_rate": 1e-2}
        method = CWCL(**{**usual, **settings})
        method.fit(pairs=world(60))
    loss, weight = method.history_["loss"].tolist(), method.network_[1].weight.tolist()
    told[name] = {"loss": loss, "scale": method.scale_, "weight": weight}
if rank == 0:
    print(json.dumps(told))
if size > 1:
    distributed.destroy_process_group()
"""


def curves(size: int, tmp_path: Any) -> Any:
    """What so many processes learn."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    root = str(Path(__file__).resolve().parents[3])
    env = {**os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    jobs = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, str(rank), str(size), str(tmp_path / f"world{size}"), root],
            env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for rank in range(size)
    ]  # fmt: skip
    done = [job.communicate(timeout=120) for job in jobs]
    assert all(job.returncode == 0 for job in jobs), done
    return json.loads(done[0][0])


@pytest.mark.slow
def test_two_processes_learn_what_one_learns_with_negatives_from_both(tmp_path: Any) -> None:
    one, two = curves(1, tmp_path), curves(2, tmp_path)
    for name, alone in one.items():
        assert two[name]["loss"] == pytest.approx(alone["loss"], abs=1e-5), name
        assert two[name]["scale"] == pytest.approx(alone["scale"], abs=1e-4), name
        torch.testing.assert_close(
            torch.tensor(two[name]["weight"]), torch.tensor(alone["weight"]), atol=2e-5, rtol=1e-4
        )
