"""CRLNet: the analytic checks of its spec, one test each."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.evaluation.episodes import Episodes
from unseen.methods.few_shot.crlnet import CRLNet
from unseen.methods.few_shot.crlnet.method import nearest, pair_loss, projection, regressed
from unseen.methods.few_shot.crlnet.network import (
    ConditionalNetwork,
    Correlation,
    conditional_network,
    sine_positions,
)
from unseen.methods.few_shot.crlnet.pairs import NOWHERE, Pool, askable, pair_batches
from unseen.runtime import reproducible

QUICK: dict[str, Any] = {"channels": 8, "heads": 2, "hidden": 8, "ffn": 8, "steps": 3, "batch_size": 8}


def network(channels: int = 8, height: int = 3, width: int = 3, **changes: Any) -> ConditionalNetwork:
    steps = {"cross_attention": True, "correlation": True, "self_attention": True, "residual_backbone": True}
    with reproducible(0):
        made = conditional_network(
            channels, channels, height, width, **{"heads": 2, "hidden": 16, "ffn": 16, **steps, **changes}
        )
    return made.eval()


def maps(n: int, t: int = 9, c: int = 8, seed: int = 0) -> Tensor:
    return torch.randn(n, t, c, generator=torch.Generator().manual_seed(seed))


def signs(n_classes: int = 6, each: int = 8, seed: int = 0, **changes: Any) -> Domain:
    """Maps of 2 x 2 positions around one map per class."""
    rng = np.random.default_rng(seed)
    y = np.repeat(np.arange(n_classes), each)
    cells = rng.normal(size=(n_classes, 4, 12))[y] * 2 + rng.normal(size=(len(y), 4, 12))
    columns = {"regions": cells.astype(np.float32)}
    names = tuple("abcdefghijkl"[:n_classes])
    x = cells.mean(axis=1).astype(np.float32)
    return Domain(x=x, y=y, classes=ClassSpace(names=names), columns=columns, **changes)


# -- shapes ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "c", "side"), [(4, 64, 7), (2, 640, 14)])
def test_every_stage_has_its_shape(n: int, c: int, side: int) -> None:
    net, t = network(c, side, side, heads=8), side * side
    s, q = maps(n, t, c), maps(n, t, c, 1)
    assert net.cross is not None
    assert net.correlation is not None
    attended = net.cross(s, q)
    assert [x.shape for x in attended] == [(n, t, c)] * 2
    assert [x.shape for x in net.correlation(*attended)] == [(n, t, 1)] * 2
    embedded = net.embedded(s, q)
    assert [x.shape for x in (*embedded, *net.refined(*embedded))] == [(n, t, c)] * 4
    assert [x.shape for x in net.pair(s, q)] == [(n, c)] * 2
    assert net(s, q).shape == (n,)


def test_positions_are_those_of_detection_transformers_normalized() -> None:
    h, w, c = 3, 4, 8
    expected = np.zeros((h, w, c))
    for y in range(h):
        for x in range(w):
            for k in range(c // 2):
                for half, place in enumerate(((y + 1) / h, (x + 1) / w)):
                    angle = 2 * math.pi * place / 10_000 ** (2 * (k // 2) / (c // 2))
                    expected[y, x, half * c // 2 + k] = math.cos(angle) if k % 2 else math.sin(angle)
    np.testing.assert_allclose(sine_positions(h, w, c).reshape(h, w, c), expected, atol=1e-6)


# -- faithfulness ------------------------------------------------------------------------------------------


def test_the_support_changes_with_the_query_and_its_backbone_half_does_not() -> None:
    net, s = network(), maps(4)
    (one, _), (other, _) = net.pair(s, maps(4, seed=1)), net.pair(s, maps(4, seed=2))
    assert (one - other).norm() > 1e-3
    backbone = s.mean(dim=1) / 2
    alone = network(residual_backbone=False)
    for e_s, q in ((one, maps(4, seed=1)), (other, maps(4, seed=2))):
        torch.testing.assert_close(e_s - backbone, alone.pair(s, q)[0] / 2, atol=1e-6, rtol=1e-5)


def test_with_the_conditional_branch_zeroed_it_is_the_cosine_of_pooled_features() -> None:
    net, s, q = network(), maps(5), maps(5, seed=1)
    assert net.refine is not None
    nn.init.zeros_(net.refine.ffn.norm.weight)
    nn.init.zeros_(net.refine.ffn.norm.bias)
    torch.testing.assert_close(net(s, q), F.cosine_similarity(s.mean(dim=1), q.mean(dim=1)))


def test_without_cross_attention_and_correlation_nothing_is_conditional() -> None:
    net, s = network(cross_attention=False, correlation=False), maps(4)
    torch.testing.assert_close(net.pair(s, maps(4, seed=1))[0], net.pair(s, maps(4, seed=2))[0], atol=0, rtol=0)


@pytest.mark.parametrize("changes", [{}, {"cross_attention": False}, {"correlation": False}, {"self_attention": False}])
def test_swapping_the_pictures_and_the_projections_swaps_the_outputs(changes: dict[str, Any]) -> None:
    net, s, q = network(**changes), maps(4), maps(4, seed=1)
    e_s, e_q = net.pair(s, q)
    for part in (net.cross, net.refine):
        if part is not None:
            part.support, part.query = part.query, part.support
    swapped_s, swapped_q = net.pair(q, s)
    torch.testing.assert_close(swapped_s, e_q, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(swapped_q, e_s, atol=1e-6, rtol=1e-5)


def test_the_correlation_of_the_swapped_pair_is_that_of_the_other_since_the_convolution_is_shared() -> None:
    net, s, q = Correlation(3, 3).eval(), maps(4), maps(4, seed=1)
    (corr_s, corr_q), (swapped_s, swapped_q) = net(s, q), net(q, s)
    torch.testing.assert_close(corr_q, swapped_s)
    torch.testing.assert_close(corr_s, swapped_q)


def test_orthogonal_maps_do_not_correlate_and_products_are_bilinear() -> None:
    net = Correlation(3, 3).eval()
    assert net.convolution.bias is not None
    nn.init.zeros_(net.convolution.bias)
    s, q = maps(2), maps(2, seed=1)
    s[..., 4:], q[..., :4] = 0, 0
    assert all((x == 0).all() for x in net(s, q))
    s, q = maps(2), maps(2, seed=1)
    scale = 1 / math.sqrt(1 + net.norm.eps)
    for x, y in zip(net(3 * s, q), net(s, 3 * q)):
        torch.testing.assert_close(x, y, atol=1e-5, rtol=1e-5)
    for x, y in zip(net(3 * s, q), net(s, q)):  # bias 0 and a norm without statistics: the ReLU keeps the scale
        torch.testing.assert_close(x, 3 * y, atol=1e-4 * scale, rtol=1e-4)


def as_tokens(x: Tensor) -> Tensor:
    """(b, c, h, w) as tokens, (b, h w, c)."""
    return x.flatten(2).transpose(1, 2)


def test_the_correlation_is_the_golden_one() -> None:
    net = Correlation(2, 2).eval()
    assert net.convolution.bias is not None
    net.convolution.weight.data = torch.arange(36.0).reshape(1, 2, 2, 3, 3) / 36
    nn.init.zeros_(net.convolution.bias)
    s = torch.arange(8.0).reshape(1, 2, 2, 2)
    q = torch.stack([torch.ones(2, 2), torch.zeros(2, 2)])[None]
    corr_s, corr_q = (x.reshape(2, 2) for x in net(as_tokens(s), as_tokens(q)))
    expected_q = torch.tensor([[17.99991, 17.33325], [15.99992, 15.33326]])
    expected_s = torch.tensor([[13.77771, 13.11104], [11.77772, 11.11106]])
    torch.testing.assert_close(corr_q, expected_q, atol=2e-5, rtol=0)
    torch.testing.assert_close(corr_s, expected_s, atol=2e-5, rtol=0)
    nn.init.ones_(net.convolution.weight)
    for x in net(torch.ones(1, 4, 2), torch.ones(1, 4, 2)):
        torch.testing.assert_close(x, torch.full_like(x, 31.99984), atol=2e-5, rtol=0)


def test_the_correlation_is_what_a_plain_loop_gives() -> None:
    net, (h, w) = Correlation(2, 3).eval().requires_grad_(False), (2, 3)
    s, q = maps(1, 6, 4), maps(1, 6, 4, 1)
    weight, bias = net.convolution.weight.detach(), net.convolution.bias
    assert bias is not None
    products = (s[0] @ q[0].T).reshape(h, w, h, w)
    for found, m in zip(net(s, q), (products.permute(2, 3, 0, 1), products)):
        for x in range(h):
            for y in range(w):
                total = float(bias.detach())
                for i in range(h):
                    for j in range(w):
                        for dx in (-1, 0, 1):
                            for dy in (-1, 0, 1):
                                if 0 <= x + dx < h and 0 <= y + dy < w:
                                    total += float(weight[0, i, j, dx + 1, dy + 1] * m[i, j, x + dx, y + dy])
                expected = max(0.0, total / math.sqrt(1 + net.norm.eps))
                assert abs(float(found[0, x * w + y, 0]) - expected) < 1e-4


def test_another_sample_of_the_batch_changes_nothing() -> None:
    net, s, q = network(), maps(3), maps(3, seed=1)
    before = net.pair(s, q)
    s[1], q[1] = 7.0, -3.0
    for one, other in zip(before, net.pair(s, q)):
        torch.testing.assert_close(one[[0, 2]], other[[0, 2]], atol=1e-6, rtol=1e-5)
        assert not torch.allclose(one[1], other[1])


# -- pairs and the loss ------------------------------------------------------------------------------------


def test_the_loss_is_the_golden_one() -> None:
    cosine, same = torch.tensor([0.9, 0.2, -0.1, 0.6]), torch.tensor([1.0, 0.0, 0.0, 1.0])
    assert abs(float(pair_loss(cosine, same)) - 0.055) < 1e-7
    by_hand = -np.mean([math.log(0.95), math.log(1 - 0.6), math.log(1 - 0.45), math.log(0.8)])
    assert abs(float(pair_loss(cosine, same, "bce")) - by_hand) < 1e-6


def pools() -> tuple[Pool, Pool]:
    """Four pictures of each of three classes; of each a copy to ask about, and one of no picture that is there."""
    y = torch.arange(12) % 3
    support = Pool(maps(12), y, torch.arange(12))
    query = Pool(maps(24, seed=1), torch.cat([y, y]), torch.cat([torch.arange(12), torch.full((12,), NOWHERE)]))
    return support, query


class Numbers:
    """What a sampler reads of a run."""

    def __init__(self, seed: int = 0) -> None:
        self.generator = torch.Generator().manual_seed(seed)


def test_half_of_all_pairs_are_of_one_class_and_never_of_one_picture() -> None:
    support, query = pools()
    stream = pair_batches(support, query, 10)(Numbers())
    partners: set[tuple[int, int]] = set()
    for _ in range(60):
        batch = next(stream)
        s, q = batch.places.T
        assert int(batch.same.sum()) == 5
        assert ((support.y[s] == query.y[q]) == batch.same.bool()).all()
        assert not (batch.same.bool() & (query.origin[q] == s)).any()
        torch.testing.assert_close(batch.support, support.maps[s])
        torch.testing.assert_close(batch.query, query.maps[q])
        partners |= {(int(a), int(b)) for a, b in batch.places}
    assert len(partners) > 200  # of 24 queries and 12 supports: nearly all
    seen = np.bincount([q for _, q in partners], minlength=24)
    assert (seen > 0).all()


def test_a_class_with_one_picture_is_only_a_negative() -> None:
    y = torch.tensor([0, 0, 1])
    own = torch.arange(3)
    assert askable(y, y, own).tolist() == [0, 1]
    pool = Pool(maps(3), y, own)
    batch = next(pair_batches(pool, pool, 8)(Numbers()))
    assert set(batch.places[:, 1].tolist()) == {0, 1}
    with pytest.raises(ValueError, match="two samples of a class"):
        next(pair_batches(Pool(maps(2), y[1:], own[:2]), Pool(maps(2), y[1:], own[:2]), 8)(Numbers()))


# -- the method --------------------------------------------------------------------------------------------


def test_the_projection_is_that_of_principal_components_scaled() -> None:
    from sklearn.decomposition import PCA

    x = maps(50, 4, 12).flatten(0, 1) * torch.linspace(3, 1, 12)
    mean, basis = projection(x, 4)
    found = ((x - mean) @ basis).numpy()
    expected = PCA(4).fit_transform(x.numpy())
    cosines = np.abs((found * expected).sum(0)) / np.linalg.norm(found, axis=0) / np.linalg.norm(expected, axis=0)
    np.testing.assert_allclose(cosines, 1, atol=1e-4)
    assert abs((found**2).sum(axis=1).mean() - 4) < 1e-3
    doubled = (x - mean) @ projection(x, 4, 2.0)[1]
    torch.testing.assert_close(doubled, torch.as_tensor(2 * found))
    mean, basis = projection(x, 12, reduce=False)
    assert torch.count_nonzero(basis - torch.diag(basis.diagonal())) == 0


def test_the_backbone_is_frozen_and_the_network_learns() -> None:
    source = signs()
    before = source.columns["regions"].copy()
    fitted = CRLNet(**{**QUICK, "steps": 100, "learning_rate": 1e-3, "scale": 1.0}).fit(source=source)
    assert np.array_equal(before, source.columns["regions"])
    assert fitted.history_[-1] < 0.7 * fitted.history_[0]
    names = {name for name, _ in fitted.network_.named_parameters()}
    assert not names & {"mean", "basis"}  # buffers: no gradient reaches them
    assert not any(weight.requires_grad for weight in fitted.network_.parameters())


def test_with_one_support_of_each_class_it_is_the_argmax_of_the_cosine() -> None:
    fitted = CRLNet(**QUICK).fit(source=signs())
    new = signs(5, 4, seed=3)
    method = fitted.adapt(support=new.take([0, 4, 8, 12, 16]))
    x = torch.as_tensor(new.columns["regions"])
    e_s, e_q = method.represent(x)
    assert e_s.shape == e_q.shape == (20, 5, 8)
    expected = torch.cosine_similarity(e_s, e_q, dim=2)
    assert method.predict(new).tolist() == expected.argmax(dim=1).tolist()
    torch.testing.assert_close(method.decision_function(x), 20 * expected, atol=1e-5, rtol=1e-5)
    alone = torch.stack([method.network_(torch.as_tensor(new.columns["regions"][[i]]), x[:1])[0] for i in (0, 4, 8)])
    torch.testing.assert_close(alone, expected[0, :3], atol=1e-5, rtol=1e-5)


def test_with_several_supports_each_query_has_a_regression_of_its_own() -> None:
    from sklearn.linear_model import LogisticRegression

    fitted = CRLNet(**QUICK).fit(source=signs())
    new = signs(4, 6, seed=3)
    support = new.take(np.flatnonzero(np.arange(24) % 6 < 3))
    method, x = fitted.adapt(support=support), torch.as_tensor(new.columns["regions"][3::6])
    e_s, e_q = method.represent(x)
    assert (e_s[0] - e_s[1]).abs().max() > 1e-4  # two queries have different support matrices
    found = method.decision_function(x)
    for i in range(len(x)):
        model = LogisticRegression(max_iter=1000).fit(e_s[i].numpy(), support.labels)
        expected = model.predict_log_proba(e_q[i].mean(dim=0, keepdim=True).numpy())
        np.testing.assert_allclose(found[i].numpy(), expected[0], atol=2e-3)
    mean = method.set_params(k_shot_head="mean_cosine").decision_function(x)
    cosine = torch.cosine_similarity(e_s, e_q, dim=2).unflatten(1, (4, 3)).mean(dim=2)
    torch.testing.assert_close(mean, 20 * cosine, atol=1e-5, rtol=1e-5)


def test_a_class_without_a_support_is_never_said() -> None:
    e_s, e_q, y = maps(2, 6, 8), maps(2, 6, 8, 1), np.array([0, 0, 2, 2, 3, 3])
    assert (nearest(e_s, e_q, y, 5)[:, [1, 4]] < -1e3).all()
    assert (regressed(e_s[0], e_q[0], y, 5, 1.0)[:, [1, 4]] < -1e3).all()


def test_new_classes_are_recognized_better_than_by_chance_on_seeded_episodes_with_an_interval() -> None:
    fitted = CRLNet(**{**QUICK, "steps": 50}).fit(source=signs(), auxiliary=signs(seed=1))
    new = signs(8, 10, seed=5)
    protocol = Episodes(way=3, shots=(1, 2), queries=3, episodes=6)
    scores = protocol(lambda support: fitted.adapt(support=support), new, asked=signs(8, 10, seed=5))
    assert scores[1].mean > 0.5
    assert scores[2].half_width < 0.5
    again = protocol(lambda support: fitted.adapt(support=support), new)
    assert np.array_equal(scores[1].accuracies, again[1].accuracies)


def test_adapting_leaves_the_method_as_it_was_and_a_saved_one_adapts_alike(tmp_path: Any) -> None:
    fitted, new = CRLNet(**QUICK).fit(source=signs()), signs(5, 4, seed=3)
    before = fitted.support_.clone()
    method = fitted.adapt(support=new)
    assert torch.equal(fitted.support_, before)
    fitted.save(tmp_path / "m")
    back = CRLNet.load(tmp_path / "m").adapt(support=new)
    x = torch.as_tensor(new.columns["regions"])
    assert torch.equal(back.decision_function(x), method.decision_function(x))


def test_copies_of_a_sample_are_not_its_partners() -> None:
    source = signs(3, 2)
    copies = source.replace(columns={**source.columns, "original": source.ids}, ids=None)
    fitted = CRLNet(**QUICK).fit(source=source, auxiliary=copies)
    assert np.isfinite(fitted.history_).all()
    wrong = copies.replace(y=np.roll(source.labels, 1))
    with pytest.raises(ValueError, match="auxiliary must have the labels"):
        CRLNet(**QUICK).fit(source=source, auxiliary=wrong)
    with pytest.raises(ValueError, match="auxiliary must be labelled"):
        CRLNet(**QUICK).fit(source=source, auxiliary=copies.unlabeled())
    other = copies.replace(classes=ClassSpace(names=("x", "y", "z")))
    with pytest.raises(ValueError, match="auxiliary must have the classes of source"):
        CRLNet(**QUICK).fit(source=source, auxiliary=other)


def test_bad_input_is_named_before_work() -> None:
    with pytest.raises(ValueError, match="channels must be divisible by 4 and by heads"):
        CRLNet(channels=10)
    with pytest.raises(ValueError, match="channels must be divisible by 4 and by heads"):
        CRLNet(heads=3)
    with pytest.raises(ValueError, match="batch_size must be even"):
        CRLNet(batch_size=9)
    with pytest.raises(ValueError, match="source must have two samples of a class"):
        CRLNet(**QUICK).fit(source=signs(4, 1))
    narrow = Domain(x=np.random.default_rng(0).normal(size=(8, 3)), y=np.arange(8) % 2)
    with pytest.raises(ValueError, match="source must have at least 4 features"):
        CRLNet(**QUICK).fit(source=narrow)
    odd = Domain(x=np.random.default_rng(0).normal(size=(8, 6)), y=np.arange(8) % 2)
    with pytest.raises(ValueError, match="source must have a multiple of 4 features"):
        CRLNet(**{**QUICK, "channels": None}).fit(source=odd)
    fitted = CRLNet(**QUICK).fit(source=signs())
    fewer = signs(4, 3).replace(columns={"regions": signs(4, 3).columns["regions"][:, :1]})
    with pytest.raises(ValueError, match="support must have maps of 4 regions, as the source; got 1"):
        fitted.adapt(support=fewer)
    with pytest.raises(ValueError, match="x must have maps of 4 regions"):
        fitted.predict(fewer)
    cells = signs(6, 3).columns["regions"][:, :, :11]
    narrower = signs(6, 3).replace(x=cells.mean(axis=1), columns={"regions": cells})
    with pytest.raises(ValueError, match="support must have 12 features, as the source; got 11"):
        fitted.adapt(support=narrower)
    with pytest.raises(ValueError, match=r"x must be of shape \(n, 12\)"):
        fitted.decision_function(torch.as_tensor(cells))
    with pytest.raises(ValueError, match="source has 12, auxiliary has 11"):
        CRLNet(**QUICK).fit(source=signs(), auxiliary=narrower)
    same = signs(4, 3).replace(columns={"regions": np.full((12, 4, 12), 0.3, dtype=np.float32)})
    with pytest.raises(ValueError, match="source's maps do not vary"):
        CRLNet(**QUICK).fit(source=same)
