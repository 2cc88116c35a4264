"""Graph encoders: held to torch-geometric's layers, to counting by hand, and to what must not matter."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from unseen.nn.free_perturbation import perturbations
from unseen.nn.gps import GraphEncoder, both_directions, graph_encoder, neighbour_mean, return_probabilities

TRIANGLE = torch.tensor([[0, 1, 0], [1, 2, 2]])


def encoder(**changes: object) -> GraphEncoder:
    torch.manual_seed(3)
    made = graph_encoder(
        6, 5, **{"hidden": 16, "layers": 2, "heads": 4, "positions": 4, "position_width": 4, **changes}
    )  # type: ignore[arg-type]
    made.train()
    with torch.no_grad():  # statistics that differ from those of the beginning
        for _ in range(3):
            made(*batch(5))
    return made.eval()


def batch(seed: int = 0, sizes: tuple[int, ...] = (4, 1, 3), positions: int = 4) -> tuple[Tensor, ...]:
    """Paths of several lengths; a lone node has a loop."""
    generator = torch.Generator().manual_seed(seed)
    starts = np.cumsum([0, *sizes[:-1]])
    edges = [[(s + i, s + i + 1) for i in range(n - 1)] or [(s, s)] for s, n in zip(starts, sizes)]
    e = torch.tensor([pair for own in edges for pair in own]).T
    graph = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    x = torch.randn(sum(sizes), 6, generator=generator)
    return x, e, graph, torch.as_tensor(starts), return_probabilities(e, graph, positions)


# -- return probabilities ----------------------------------------------------------------------------------


def test_return_probabilities_of_an_edge_alternate_and_those_of_a_triangle_are_known() -> None:
    edge = return_probabilities(torch.tensor([[0], [1]]), torch.tensor([0, 0]), 4)
    assert edge.tolist() == [[0, 1, 0, 1]] * 2
    triangle = return_probabilities(TRIANGLE, torch.zeros(3, dtype=torch.int64), 4)
    torch.testing.assert_close(triangle, torch.tensor([[0, 1 / 2, 1 / 4, 3 / 8]] * 3))


def test_return_probabilities_are_those_of_each_subgraph() -> None:
    both = return_probabilities(
        torch.cat([TRIANGLE, torch.tensor([[3], [4]])], dim=1), torch.tensor([0, 0, 0, 1, 1]), 3
    )
    torch.testing.assert_close(both[3:], torch.tensor([[0, 1.0, 0]] * 2))


def test_return_probabilities_are_those_of_torch_geometric() -> None:
    geometric = pytest.importorskip("torch_geometric", reason='no torch-geometric; pip install "unseen[graphs]"')
    from torch_geometric.transforms import AddRandomWalkPE

    edges = torch.tensor([[0, 0, 1, 3], [1, 2, 3, 4]])
    data = geometric.data.Data(edge_index=both_directions(edges), num_nodes=5)
    expected = AddRandomWalkPE(8, attr_name="pe")(data).pe
    torch.testing.assert_close(return_probabilities(edges, torch.zeros(5, dtype=torch.int64), 8), expected)


# -- layers ------------------------------------------------------------------------------------------------


def test_the_mean_of_neighbours_counts_each_edge_both_ways() -> None:
    h = torch.tensor([[1.0], [3.0], [5.0]])
    messages = both_directions(torch.tensor([[0, 0], [1, 2]]))
    assert neighbour_mean(h, messages).tolist() == [[4.0], [1.0], [1.0]]


def test_a_layer_is_that_of_torch_geometric() -> None:
    pytest.importorskip("torch_geometric", reason='no torch-geometric; pip install "unseen[graphs]"')
    from torch_geometric.nn import GPSConv, SAGEConv

    ours = encoder().layers[0]
    theirs = GPSConv(16, SAGEConv(16, 16), heads=4, attn_type="multihead").eval()
    state = {
        "conv.lin_l": ours.neighbours, "conv.lin_r": ours.own, "mlp.0": ours.mlp[0], "mlp.3": ours.mlp[2],
        "norm1.module": ours.norm_local, "norm2.module": ours.norm_global, "norm3.module": ours.norm,
        "attn.out_proj": ours.join,
    }  # fmt: skip
    made = {f"{to}.{key}": value for to, part in state.items() for key, value in part.state_dict().items()}
    made |= {"attn.in_proj_weight": ours.attend.weight, "attn.in_proj_bias": ours.attend.bias}
    theirs.load_state_dict(made)
    x, edges, graph, *_ = batch(2)
    h = torch.randn(len(x), 16, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        found, expected = ours(h, both_directions(edges), graph), theirs(h, both_directions(edges), graph)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_the_order_of_nodes_does_not_matter() -> None:
    net, (x, edges, graph, roots, places) = encoder(), batch(sizes=(5,))
    order = torch.tensor([3, 1, 4, 0, 2])
    place = torch.argsort(order)
    with torch.no_grad():
        found = net(x[order], place[edges], graph, place[roots], places[order])
        torch.testing.assert_close(found, net(x, edges, graph, roots, places), atol=1e-5, rtol=1e-5)


def test_attention_is_masked_per_subgraph_and_another_graph_in_the_batch_changes_nothing() -> None:
    net, whole = encoder(), batch(sizes=(4, 1, 3))
    with torch.no_grad():
        together = net(*whole)
        x, start = whole[0], 0
        for i, n in enumerate((4, 1, 3)):
            _, e, graph, roots, places = batch(sizes=(n,))
            alone = net(x[start : start + n], e, graph, roots, places)
            torch.testing.assert_close(together[i : i + 1], alone, atol=1e-5, rtol=1e-5)
            start += n


def test_of_a_root_alone_the_mean_is_the_root() -> None:
    net = encoder(layers=1)
    seen: list[Tensor] = []
    net.out.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    with torch.no_grad():
        net(*batch(sizes=(1,)))
    torch.testing.assert_close(seen[0][:, :16], seen[0][:, 16:])


def test_statistics_of_positions_are_those_of_the_batch_in_training_and_stay_in_eval() -> None:
    net = encoder()
    norm = net.norm_positions
    assert norm is not None
    before = norm.running_mean.clone()  # type: ignore[union-attr]
    with torch.no_grad():
        net(*batch(sizes=(1,)))  # a batch of one node is no trouble in eval mode
    assert torch.equal(norm.running_mean, before)  # type: ignore[arg-type]
    net.train()
    net(*batch(1))
    assert not torch.equal(norm.running_mean, before)  # type: ignore[arg-type]


def test_with_a_skip_an_encoder_begins_as_the_root_and_the_mean_of_its_features() -> None:
    torch.manual_seed(0)
    net = graph_encoder(6, 6, hidden=16, layers=1, heads=4, positions=4, position_width=4, skip=True).eval()
    x, edges, graph, roots, places = batch()
    mean = torch.stack([x[:4].mean(dim=0), x[4:5].mean(dim=0), x[5:].mean(dim=0)])
    with torch.no_grad():
        torch.testing.assert_close(net(x, edges, graph, roots, places), x[roots] + mean)
    with pytest.raises(ValueError, match="skip needs outputs in the space of the features; got 5 and 6"):
        encoder(skip=True)


def test_positions_and_attention_can_be_left_out() -> None:
    net = encoder(positions=0, attention=False)
    x, edges, graph, roots, places = batch(positions=0)
    assert net(x, edges, graph, roots, places).shape == (3, 5)
    assert not any("attend" in name or "places" in name for name in net.state_dict())


@pytest.mark.parametrize(
    ("changes", "told"), [({"heads": 3}, "multiple of heads"), ({"position_width": 16}, "less than hidden")]
)
def test_a_network_that_cannot_be_is_refused(changes: dict[str, int], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        encoder(**changes)


# -- the adversary -----------------------------------------------------------------------------------------


def linear_loss(w: Tensor) -> object:
    return lambda x: ((x @ w) ** 2).mean()


def gradient_of(steps: int, size: float, **how: object) -> tuple[Tensor, list[Tensor]]:
    w = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64, requires_grad=True)
    x = torch.randn(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    value, tried = perturbations(
        linear_loss(w), x, [w], steps=steps, size=size, generator=torch.Generator().manual_seed(1), **how  # type: ignore[arg-type]
    )  # fmt: skip
    return torch.autograd.grad(value, w)[0], tried


def test_without_a_size_one_step_or_three_give_the_plain_gradient() -> None:
    w = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64, requires_grad=True)
    x = torch.randn(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    plain = torch.autograd.grad(((x @ w) ** 2).mean(), w)[0]
    for steps in (1, 3):
        torch.testing.assert_close(gradient_of(steps, 0.0)[0], plain)


def test_a_step_of_the_perturbation_is_exactly_the_size_along_the_sign_and_they_stay_bounded() -> None:
    _, tried = gradient_of(3, 0.01)
    assert tried[0].abs().max() <= 0.01
    w = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    x = torch.randn(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for before, after in zip(tried, tried[1:]):
        d = before.clone().requires_grad_()
        (slope,) = torch.autograd.grad((((x + d) @ w) ** 2).mean(), d)
        assert torch.equal(after, before + 0.01 * slope.sign())
    assert max(float(d.abs().max()) for d in tried) <= 0.01 * 3


def test_the_gradient_is_the_mean_over_the_steps() -> None:
    found, tried = gradient_of(3, 0.05)
    x = torch.randn(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    w = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64, requires_grad=True)
    each = [torch.autograd.grad((((x + d) @ w) ** 2).mean(), w)[0] for d in tried]
    torch.testing.assert_close(found, torch.stack(each).mean(dim=0))


def test_the_accumulating_form_adds_all_perturbations() -> None:
    found, tried = gradient_of(2, 0.05, accumulating=True)
    x = torch.randn(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    w = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64, requires_grad=True)
    at = [x + tried[0], x + tried[0] + tried[1]]
    torch.testing.assert_close(found, sum(torch.autograd.grad(((v @ w) ** 2).mean(), w)[0] for v in at) / 2)
