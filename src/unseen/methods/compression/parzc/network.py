"""Steps 5-8: MABN, a mixer whose first and last linear maps are Bayesian."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from unseen.methods.compression.parzc.statistics import Scale, Statistics
from unseen.nn.bayesian import BayesianLinear
from unseen.nn.build import builder


def feed_forward(width: int, expansion: float, dropout: float) -> nn.Sequential:
    """FF_e(d): Linear d -> e d, GELU, dropout, Linear, dropout."""
    inner = max(round(expansion * width), 1)
    return nn.Sequential(
        nn.Linear(width, inner), nn.GELU(), nn.Dropout(dropout), nn.Linear(inner, width), nn.Dropout(dropout)
    )


class MixerBlock(nn.Module):
    """Step 7: x + FF_4(LN(x)), then x + FF_0.5(LN(x)).

    With `token_mixing` the first one acts across segments, as the paper draws it; without it both act on channels, as
    the official code does.
    """

    def __init__(self, segments: int, width: int, dropout: float, token_mixing: bool) -> None:
        super().__init__()
        self.token_mixing = token_mixing
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.first = feed_forward(segments if token_mixing else width, 4, dropout)
        self.second = feed_forward(width, 0.5, dropout)

    def forward(self, x: Float[Tensor, "b s d"]) -> Float[Tensor, "b s d"]:
        z = self.norm1(x)
        x = x + (self.first(z.mT).mT if self.token_mixing else self.first(z))
        return x + self.second(self.norm2(x))


class MABN(nn.Module):
    """Mixer Architecture with Bayesian Network: statistics (b, inputs) to scores (b,)."""

    def __init__(
        self, inputs: int, projected: int, patch: int, width: int, depth: int, dropout: float, rho: float,
        bayesian: bool, token_mixing: bool,
    ) -> None:  # fmt: skip
        super().__init__()
        if projected % patch:
            raise ValueError(f"projected must be a multiple of patch; got {projected} and {patch}")
        self.patch = patch
        segments = projected // patch

        def linear(i: int, o: int) -> nn.Module:
            return BayesianLinear(i, o, rho) if bayesian else nn.Linear(i, o, bias=False)

        self.project = nn.Linear(inputs, projected)
        self.embed = linear(patch, width)
        self.blocks = nn.Sequential(*(MixerBlock(segments, width, dropout, token_mixing) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)
        self.bayes = linear(width, width)
        narrow = max(width // 2, 1)
        self.head = nn.Sequential(
            nn.Linear(width, narrow, bias=False), nn.Dropout(0.1), nn.Linear(narrow, 1, bias=False)
        )

    def forward(self, x: Float[Tensor, "b i"]) -> Float[Tensor, "b"]:
        """Scores; larger is better."""
        segments = self.project(x).unflatten(1, (-1, self.patch))  # step 5
        z = self.blocks(self.embed(segments))  # steps 6, 7
        return self.head(self.bayes(self.norm(z).mean(dim=1))).squeeze(1)  # step 8


class Scorer(nn.Module):
    """Raw statistics (b, inputs) to scores (b,): step 3, then MABN."""

    def __init__(self, statistics: Statistics, mabn: MABN) -> None:
        super().__init__()
        self.statistics, self.mabn = statistics, mabn

    def forward(self, x: Float[Tensor, "b i"]) -> Float[Tensor, "b"]:
        """Scores; larger is better."""
        return self.mabn(self.statistics(x))


@builder("parzc-scorer")
def scorer(
    inputs: int, proxies: int = 3, scale: Scale = "proxy", logarithm: bool = True, projected: int = 256,
    patch: int = 16, width: int = 512, depth: int = 4, dropout: float = 0.1, rho: float = -5.0, bayesian: bool = True,
    token_mixing: bool = True,
) -> Scorer:  # fmt: skip
    """An untrained scorer of `inputs` statistics of several proxies; the defaults of the network are the paper's."""
    mabn = MABN(inputs, projected, patch, width, depth, dropout, rho, bayesian, token_mixing)
    return Scorer(Statistics(inputs, proxies, scale, logarithm), mabn)
