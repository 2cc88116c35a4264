"""Automatic weight inheritance: gates learn which channels, heads and units a student keeps (spec step C)."""

from __future__ import annotations

import copy
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from unseen.nn.build import n_parameters
from unseen.nn.hard_concrete import RANGE, START, deterministic, open_probability, sampled
from unseen.nn.pruning import Kept, taken
from unseen.nn.towers import Gates, PrunableTower, Shape, size_in

SIDES = ("image", "text")
Budget = Literal["blocks", "all"]


class Count(NamedTuple):
    """Parameters of a tower that are expected to stay, and how many there are."""

    expected: Tensor
    all: int


class Masks(nn.Module):
    """log_alpha of the gates of one tower: of channels, shared by all layers, of heads, and of hidden units."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.hidden = nn.Parameter(torch.full((shape.width,), START))
        self.heads = nn.ParameterList(torch.full((n,), START) for n in shape.heads)
        self.mlp = nn.ParameterList(torch.full((n,), START) for n in shape.mlp)

    def sampled(self, generator: torch.Generator | None = None) -> Gates:
        """Gates drawn anew."""
        heads, mlp = ([sampled(a, generator) for a in group] for group in (self.heads, self.mlp))
        return Gates(sampled(self.hidden, generator), heads, mlp)

    def deterministic(self) -> Gates:
        """Gates without chance: some exactly 0, the others soft."""
        heads, mlp = ([deterministic(a) for a in group] for group in (self.heads, self.mlp))
        return Gates(deterministic(self.hidden, least=1), heads, mlp)

    def open(self) -> Gates:
        """The probability of each gate to be open."""
        return Gates(open_probability(self.hidden), *([open_probability(a) for a in g] for g in (self.heads, self.mlp)))

    def clamp(self) -> None:
        """Hold log_alpha where gates can still change."""
        for a in self.parameters():
            a.data.clamp_(*RANGE)


def prunable(shape: Shape) -> int:
    """M: weights and biases of attention and perceptron, sum over layers of (4 w^2 + 4 w) + (2 w m + m + w)."""
    w = shape.width
    attention = sum(4 * w * n * shape.head + 3 * n * shape.head + w for n in shape.heads if n)
    return attention + sum(2 * w * m + m + w for m in shape.mlp if m)


def expected_blocks(open: Gates, shape: Shape) -> Tensor:
    """R = sum_{h, c} P(c) P(h) (parameters of a head) / w + 2 sum_{c, k} P(c) P(k)."""
    w = shape.width
    channels = open.hidden.sum()
    of_a_head = (4 * w * w + 4 * w) * shape.head / w  # 4 w^2 + 4 w over w / head heads
    heads = _sum(open.heads, channels) * of_a_head / w
    return channels * (heads + 2 * _sum(open.mlp, channels))


def expected_all(open: Gates, tower: PrunableTower) -> Tensor:
    """Parameters of a whole tower, embeddings, norms, biases and projection included."""
    shape, w = tower.shape, open.hidden.sum()
    heads, units = ([group.sum() for group in groups] for groups in (open.heads, open.mlp))
    total = torch.zeros_like(w)
    for n in heads:
        total = total + n * shape.head * (4 * w + 3) + (3 * w if shape.layers else 0)
    for m in units:
        total = total + m * (2 * w + 1) + 3 * w
    of_blocks = sum(p.numel() for p in tower.blocks.parameters())
    fixed = 0 if tower.projection_bias is None else tower.dim
    return total + w * (n_parameters(tower) - of_blocks - fixed) / shape.width + fixed


def _sum(groups: Any, like: Tensor) -> Tensor:
    return torch.stack([group.sum() for group in groups]).sum() if groups else torch.zeros_like(like)


class MaskedDualEncoder(nn.Module):
    """Two towers with gates that learn, against each other, which parts of them stay [1].

    Parameters
    ----------
    towers : nn.Module
        Two towers with transformers of `unseen.nn.towers`; a copy is gated.
    target_sparsity : float in (0, 1)
        Share of the budget that shall be gone in the end.
    warmup : int, >= 1
        Steps in which the target goes up.
    start : float in [0, 1)
        Where it begins: what was reached before.
    joint : bool
        Whether one budget is shared by both towers, so that they trade, or each has its own.
    budget : {"blocks", "all"}
        What is counted: attention and perceptrons, as in the paper, or all parameters.
    whole : tuple of int, optional
        Of what the shares are: the counts of the first, large towers; those of `towers` if absent.
    two_sided : bool
        lambda_1 (p - q) + lambda_2 (p - q)^2, as the paper has it; the released code punishes p < q alone.

    References
    ----------
    [1] Wu et al., "TinyCLIP: CLIP Distillation via Affinity Mimicking and Weight Inheritance", ICCV 2023, section 3.2.
    """

    def __init__(
        self,
        towers: Any,
        target_sparsity: float,
        warmup: int = 1000,
        *,
        start: float = 0.0,
        joint: bool = True,
        budget: Budget = "blocks",
        whole: tuple[int, int] | None = None,
        two_sided: bool = False,
    ) -> None:
        super().__init__()
        for side in SIDES:
            if not isinstance(getattr(towers, side, None), PrunableTower):
                kind = type(getattr(towers, side, None)).__name__
                raise TypeError(f"towers must be transformers to be gated; the {side} tower is a {kind}")
        if not 0 < target_sparsity < 1:
            raise ValueError(f"target_sparsity must lie in (0, 1); got {target_sparsity!r}")
        self.towers = copy.deepcopy(towers)
        self.target, self.start, self.warmup = target_sparsity, start, max(warmup, 1)
        self.joint, self.budget, self.two_sided = joint, budget, two_sided
        self.masks = nn.ModuleDict({side: Masks(getattr(towers, side).shape) for side in SIDES})
        self.whole = whole or tuple(counted(getattr(towers, side), budget) for side in SIDES)
        self.multipliers = nn.Parameter(torch.full((2, len(SIDES)), 10.0))

    def sampled(self, generator: torch.Generator | None = None) -> dict[str, Gates]:
        """Gates of both towers, drawn anew."""
        return {side: self._masks(side).sampled(generator) for side in SIDES}

    def deterministic(self) -> dict[str, Gates]:
        """Gates of both towers without chance."""
        return {side: self._masks(side).deterministic() for side in SIDES}

    def encode_image(self, image: Tensor, gates: dict[str, Gates]) -> Float[Tensor, "b d"]:
        """Unit vectors of pictures."""
        return F.normalize(self.towers.image(image, gates["image"]), dim=1)

    def encode_text(self, text: Tensor, gates: dict[str, Gates]) -> Float[Tensor, "b d"]:
        """Unit vectors of texts that were tokenized."""
        return F.normalize(self.towers.text(text, gates["text"]), dim=1)

    def counts(self) -> list[Count]:
        """Of each tower, what is expected to stay and what there was at first."""
        return [Count(self._expected(side), whole) for side, whole in zip(SIDES, self.whole)]

    def sparsity(self) -> Float[Tensor, " k"]:
        """p: the share that is expected to be gone, of both towers together or of each."""
        parts = self.counts()
        if self.joint:
            return 1 - torch.stack([sum(c.expected for c in parts) / sum(c.all for c in parts)])  # type: ignore[list-item]
        return 1 - torch.stack([c.expected / c.all for c in parts])

    def target_at(self, step: int) -> float:
        """q: from what was reached before to the target, in a line."""
        return self.start + (self.target - self.start) * min(1.0, step / self.warmup)

    def sparsity_loss(self, step: int) -> Tensor:
        """lambda_1 max(q - p, 0) + lambda_2 max(q - p, 0)^2; the multipliers climb it while all else descends."""
        p, q = self.sparsity(), self.target_at(step)
        gap = p - q if self.two_sided else (q - p).clamp(min=0)
        first, second = self.multipliers.mean(dim=1, keepdim=True) if self.joint else self.multipliers
        return (first * gap + second * gap.square()).sum()

    def clamp(self) -> None:
        """After a step: hold log_alpha."""
        for side in SIDES:
            self._masks(side).clamp()

    @torch.no_grad()
    def fold(self) -> Any:
        """Two physically smaller towers that give what these give under `deterministic` gates.

        Closed parts are gone; the soft values of those that stay are multiplied into embeddings, output layers and
        projections.
        """
        from unseen.nn.dual_encoder import DualEncoder, dual_encoder

        assert isinstance(self.towers, DualEncoder)
        gates = self.deterministic()
        image, text = (folded(getattr(self.towers, side), gates[side]) for side in SIDES)
        small = dual_encoder(image, text, self.towers.reader.to_json(), float(self.towers.logit_scale.detach().exp()))
        small.reader = self.towers.reader
        small.logit_scale.data.copy_(self.towers.logit_scale.data)
        return small

    @torch.no_grad()
    def settle(self, sparsity: float) -> float:
        """Close all gates a little, alike, until the towers that `fold` gives are as sparse; how far log_alpha moved.

        0 where learning got there by itself; after too few steps it has not.
        """
        if self.reached() >= sparsity:
            return 0.0
        start = {name: p.clone() for name, p in self.masks.named_parameters()}
        low, high = 0.0, 2 * RANGE[1] + START
        for _ in range(24):
            middle = (low + high) / 2
            for name, p in self.masks.named_parameters():
                p.copy_(start[name] - middle)
            low, high = (low, middle) if self.reached() >= sparsity else (middle, high)
        for name, p in self.masks.named_parameters():
            p.copy_(start[name] - high)
        return high

    def reached(self) -> float:
        """Sparsity of the towers that `fold` gives."""
        gates = self.deterministic()
        return 1 - sum(left(getattr(self.towers, side), gates[side], self.budget) for side in SIDES) / sum(self.whole)

    def _masks(self, side: str) -> Masks:
        masks = self.masks[side]
        assert isinstance(masks, Masks)
        return masks

    def _expected(self, side: str) -> Tensor:
        tower, is_open = getattr(self.towers, side), self._masks(side).open()
        return expected_blocks(is_open, tower.shape) if self.budget == "blocks" else expected_all(is_open, tower)


def counted(tower: PrunableTower, budget: Budget) -> int:
    """What a budget counts of a tower."""
    return prunable(tower.shape) if budget == "blocks" else n_parameters(tower)


def left(tower: PrunableTower, gates: Gates, budget: Budget) -> int:
    """What a budget counts of a tower once it is folded."""
    heads, mlp = ([int((g != 0).sum()) for g in group] for group in (gates.heads, gates.mlp))
    shape = Shape(int((gates.hidden != 0).sum()), tower.shape.head, tuple(heads), tuple(mlp))
    return prunable(shape) if budget == "blocks" else size_in(tower, shape)


@torch.no_grad()
def folded(large: PrunableTower, gates: Gates) -> Any:
    """A tower without what is closed, and the gates that are open multiplied into its weights."""
    tower: Any = copy.deepcopy(large)
    z = gates.hidden
    for i, block in enumerate(tower.blocks):
        if block.heads:
            block.out.weight.mul_(z[:, None] * gates.heads[i].repeat_interleave(block.head))
            block.out.bias.mul_(z)
        if block.mlp:
            block.proj.weight.mul_(z[:, None] * gates.mlp[i])
            block.proj.bias.mul_(z)
    tower.projection.mul_(z[:, None])
    tower.positions.mul_(z)
    if hasattr(tower, "tokens"):
        tower.tokens.weight.mul_(z)
    else:
        tower.patches.weight.mul_(z[:, None, None, None])
        tower.class_token.mul_(z)
    heads, mlp = ([g.nonzero().flatten() for g in group] for group in (gates.heads, gates.mlp))
    return taken(tower, Kept(range(tower.shape.layers), z.nonzero().flatten(), heads, mlp))


def report(towers: Any, whole: Any) -> list[dict[str, Any]]:
    """What is left of each layer of both towers, and of the parameters (spec step G).

    A row per tower: `side`, `hidden` kept and before, `parameters` kept and before, `sparsity` of attention and
    perceptrons, and `layers` with the heads and units of each; a ResNet tells its width and stages alone.
    """
    from unseen.methods.compression.tinyclip.shapes import plan_of

    rows: list[dict[str, Any]] = []
    for side in SIDES:
        left, before = getattr(towers, side), getattr(whole, side)
        row: dict[str, Any] = {
            "side": side,
            "plan": str(plan_of(left)),
            "hidden": (plan_of(left).width, plan_of(before).width),
            "parameters": (n_parameters(left), n_parameters(before)),
        }
        if isinstance(left, PrunableTower):
            row["sparsity"] = 1 - prunable(left.shape) / max(prunable(before.shape), 1)
            row["layers"] = [{"heads": h, "mlp": m} for h, m in zip(left.shape.heads, left.shape.mlp)]
        rows.append(row)
    return rows
