"""Steps 1-8: scale, patches, resolution prefix, mixers with adaptive patching, decoder, head, channel mixing.

Inside, hidden states are (batch, channels, patches, width); outside, series are (batch, time, channels).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from unseen.nn.build import builder
from unseen.nn.dropout import Dropout

MINIMUM_VARIANCE = 1e-5
SMALLEST_WIDTH = 4
"""A level of adaptive patching that would be no wider than this keeps the plain patches."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shape:
    """The sizes of a network; the defaults are those of the paper's TTM-Q, 512 points to 96."""

    context: int = 512
    horizon: int = 96
    patch: int = 64
    width: int = 192
    levels: int = 3
    layers: int = 2
    decoder_width: int = 128
    decoder_layers: int = 2
    expansion: int = 2
    dropout: float = 0.2
    head_dropout: float = 0.2
    resolutions: int = 0
    mixed_channels: int = 0
    raw_residual: bool = False
    targets: tuple[int, ...] | None = None
    exogenous: tuple[int, ...] = ()
    forecast_mixing: bool = False
    window: int = 1
    window_mixer: bool = False

    def __post_init__(self) -> None:
        most = self.width.bit_length()  # more would cut a width of 1; 2^levels of a damaged file is not computed
        if not 0 <= self.levels <= most:
            raise ValueError(f"levels must be 0 to {most} for a width of {self.width}; got {self.levels}")

    @property
    def n_targets(self) -> int:
        """Channels that are forecast; 0 where a network takes any number."""
        return len(self.targets or ()) or self.mixed_channels

    @property
    def patches(self) -> int:
        """n: patches of the context, and one for the prefix."""
        return self.context // self.patch + (self.resolutions > 0)


# -- step 1: scale of an instance --------------------------------------------------------------------------


def instance_scale(
    x: Float[Tensor, "b t c"], observed: Bool[Tensor, "b t c"] | None = None
) -> tuple[Float[Tensor, "b 1 c"], Float[Tensor, "b 1 c"]]:
    """Mean and scale sqrt(var + 1e-5) of every context and channel, over observed points; the variance is biased."""
    if observed is None:
        variance, loc = torch.var_mean(x, dim=1, keepdim=True, correction=0)
        return loc, torch.sqrt(variance + MINIMUM_VARIANCE)
    seen = observed.to(x.dtype)
    n = seen.sum(dim=1, keepdim=True).clamp_min(1)
    loc = torch.where(observed, x, 0).sum(dim=1, keepdim=True) / n
    variance = torch.where(observed, x - loc, 0).square().sum(dim=1, keepdim=True) / n
    return loc, torch.sqrt(variance + MINIMUM_VARIANCE)


# -- step 2: patches ---------------------------------------------------------------------------------------


def patchify(x: Float[Tensor, "b t c"], patch: int) -> Float[Tensor, "b c n p"]:
    """The last n = t // patch stretches of `patch` points, which do not overlap."""
    n = x.shape[1] // patch
    return x[:, x.shape[1] - n * patch :].transpose(1, 2).reshape(x.shape[0], x.shape[2], n, patch)


# -- step 4: mixers ----------------------------------------------------------------------------------------


class Mix(nn.Module):
    """The perceptron k -> e k -> k along the last axis, and the gate on its values: softmax over the mixed axis."""

    def __init__(self, size: int, expansion: int, dropout: float) -> None:
        super().__init__()
        self.wide = nn.Linear(size, expansion * size)
        self.narrow = nn.Linear(expansion * size, size)
        self.gate = nn.Linear(size, size)
        self.dropout = Dropout(dropout)

    def mix(self, h: Tensor) -> Tensor:
        """The perceptron."""
        return self.dropout(self.narrow(self.dropout(functional.gelu(self.wide(h)))))

    def gated(self, h: Tensor) -> Tensor:
        """Each value times its share of the softmax; the shares of one position sum to 1."""
        return h * torch.softmax(self.gate(h), dim=-1)


class FeatureMixer(nn.Module):
    """Mix along the width."""

    def __init__(self, width: int, expansion: int, dropout: float) -> None:
        super().__init__()
        self.norm, self.mixed = nn.LayerNorm(width), Mix(width, expansion, dropout)

    def forward(self, h: Float[Tensor, "b c n d"]) -> Float[Tensor, "b c n d"]:
        """h + gate(mlp(norm(h)))."""
        return h + self.mixed.gated(self.mixed.mix(self.norm(h)))


class PatchMixer(nn.Module):
    """Mix along the patches."""

    def __init__(self, patches: int, width: int, expansion: int, dropout: float) -> None:
        super().__init__()
        self.norm, self.mixed = nn.LayerNorm(width), Mix(patches, expansion, dropout)

    def forward(self, h: Float[Tensor, "b c n d"]) -> Float[Tensor, "b c n d"]:
        """h + gate(mlp(norm(h)^T))^T."""
        if not self.training and not torch.is_grad_enabled():
            return self._from_the_left(h)
        across = self.norm(h).transpose(2, 3)
        return h + self.mixed.gated(self.mixed.mix(across)).transpose(2, 3)

    def _from_the_left(self, h: Float[Tensor, "b c n d"]) -> Float[Tensor, "b c n d"]:
        """The same without transposed copies: weights times patches; its gradients would need more memory."""
        z = self.norm(h).flatten(0, 1)
        z = _times(self.mixed.narrow, functional.gelu(_times(self.mixed.wide, z)))
        gate = torch.softmax(_times(self.mixed.gate, z), dim=1)
        return torch.addcmul(h, z.view(h.shape), gate.view(h.shape))


def _times(linear: nn.Linear, z: Float[Tensor, "b n d"]) -> Float[Tensor, "b m d"]:
    """A linear map along the second axis."""
    return torch.baddbmm(linear.bias[:, None], linear.weight.expand(len(z), -1, -1), z)


class ChannelMixer(nn.Module):
    """Mix along the channels; here the gate comes first."""

    def __init__(self, channels: int, width: int, expansion: int, dropout: float) -> None:
        super().__init__()
        self.norm, self.mixed = nn.LayerNorm(width), Mix(channels, expansion, dropout)

    def forward(self, h: Float[Tensor, "b c n d"]) -> Float[Tensor, "b c n d"]:
        """h + mlp(gate(norm(h)^T))^T."""
        across = self.norm(h).permute(0, 3, 2, 1)
        return h + self.mixed.mix(self.mixed.gated(across)).permute(0, 3, 2, 1)


class MixerLayer(nn.Module):
    """Channels (where they are mixed), patches (where there are several), features, in this order."""

    def __init__(self, patches: int, width: int, expansion: int, dropout: float, channels: int = 0) -> None:
        super().__init__()
        self.channels = ChannelMixer(channels, width, expansion, dropout) if channels else nn.Identity()
        self.patches = PatchMixer(patches, width, expansion, dropout) if patches > 1 else nn.Identity()
        self.features = FeatureMixer(width, expansion, dropout)

    def forward(self, h: Float[Tensor, "b c n d"]) -> Float[Tensor, "b c n d"]:
        """One after the other."""
        return self.features(self.patches(self.channels(h)))


# -- step 5: adaptive patching -----------------------------------------------------------------------------


def repatch(h: Float[Tensor, "b c n d"], factor: int) -> Float[Tensor, "b c m e"]:
    """(n, d) as (n factor, d / factor): each patch is cut into `factor` shorter ones."""
    b, c, n, d = h.shape
    return h.reshape(b, c, n * factor, d // factor)


class Level(nn.Module):
    """Mixer layers on patches that are 2^level times as many and as narrow."""

    def __init__(self, level: int, patches: int, width: int, layers: int, expansion: int, dropout: float) -> None:
        super().__init__()
        self.factor = 2**level if width // 2**level > SMALLEST_WIDTH else 1
        n, d = patches * self.factor, width // self.factor
        self.layers = nn.Sequential(*(MixerLayer(n, d, expansion, dropout) for _ in range(layers)))

    def forward(self, h: Float[Tensor, "b c n d"]) -> Float[Tensor, "b c n d"]:
        """Cut, mix, and put together again."""
        cut = self.layers(repatch(h, self.factor))
        return cut.reshape(h.shape)


# -- step 8: forecast channel mixing, with exogenous channels ----------------------------------------------


def forecast_windows(
    past: Float[Tensor, "b l c"], forecast: Float[Tensor, "b h c"], window: int
) -> Float[Tensor, "b h c w"]:
    """For every future time the 2 l + 1 values around it, with l = `window`.

    Before the first one stand the last l values of the past, behind the last one l zeros.
    """
    zeros = torch.zeros_like(forecast[:, :1]).expand(-1, window, -1)
    line = torch.cat([past[:, past.shape[1] - window :], forecast, zeros], dim=1)
    return line.unfold(1, 2 * window + 1, 1)


class ForecastMixer(nn.Module):
    """Correct the forecasts by those around them, of all channels, and by what is known of the future."""

    def __init__(self, shape: Shape, targets: int) -> None:
        super().__init__()
        self.window = shape.window
        total, width = targets + len(shape.exogenous), 2 * shape.window + 1
        self.embed: nn.Module = nn.Identity()
        if shape.window_mixer:
            layers = (MixerLayer(total, 2 * width, shape.expansion, shape.head_dropout) for _ in range(2))
            self.embed, width = nn.Sequential(nn.Linear(width, 2 * width), *layers), 2 * width
        self.gate, self.out = nn.Linear(total * width, total * width), nn.Linear(total * width, targets)

    def forward(
        self, forecast: Float[Tensor, "b h y"], past: Float[Tensor, "b l c"], known: Float[Tensor, "b h k"] | None
    ) -> Float[Tensor, "b h y"]:
        """`past` holds the targets, then the exogenous channels, `known` the true future of the latter.

        `forecast` is in units of each context's own scale; `past` and `known` come as they are, and are scaled before.
        """
        both = forecast if known is None else torch.cat([forecast, known], dim=2)
        h = self.embed(forecast_windows(past, both, self.window)).flatten(2)
        return forecast + self.out(h * torch.softmax(self.gate(h), dim=-1))


# -- the network -------------------------------------------------------------------------------------------


class TinyTimeMixer(nn.Module):
    """From a context to a forecast; `backbone` is what is pretrained, the rest is what is tuned."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        s = self.shape = shape
        n, d = s.patches, s.width
        self.patcher = nn.Linear(s.patch, d)
        if s.resolutions:  # step 3
            middle = (s.patch + d) // 2
            self.prefix = nn.Sequential(
                nn.Embedding(s.resolutions, s.patch), nn.Linear(s.patch, middle), nn.GELU(), nn.Linear(middle, d)
            )
        levels = [Level(i, n, d, s.layers, s.expansion, s.dropout) for i in reversed(range(s.levels))]
        plain = [MixerLayer(n, d, s.expansion, s.dropout) for _ in range(s.layers)]
        self.mixers = nn.Sequential(*(levels or plain))
        self.adapter = nn.Linear(d, s.decoder_width) if s.decoder_width != d else nn.Identity()
        self.raw = nn.Linear(s.patch, s.decoder_width) if s.raw_residual else None
        self.decoder = nn.Sequential(
            *(
                MixerLayer(n, s.decoder_width, s.expansion, s.head_dropout, s.mixed_channels)
                for _ in range(s.decoder_layers)
            )
        )
        self.dropout = Dropout(s.head_dropout)
        self.head = nn.Linear(n * s.decoder_width, s.horizon)
        if s.forecast_mixing:
            self.forecast_mixer = ForecastMixer(s, s.n_targets)

    def backbone_parts(self) -> tuple[nn.Module, ...]:
        """What stays as it is in few-shot tuning with a frozen backbone."""
        return tuple(p for p in (self.patcher, getattr(self, "prefix", None), self.mixers) if p is not None)

    def backbone(
        self, scaled: Float[Tensor, "b t c"], resolution: Int[Tensor, "b"] | None = None
    ) -> Float[Tensor, "b c n d"]:
        """Steps 2, 3 and 5, on a context whose scale has been taken."""
        h = self.patcher(patchify(scaled, self.shape.patch))
        if self.shape.resolutions:
            if resolution is None:
                resolution = torch.zeros(len(h), dtype=torch.int64, device=h.device)
            prefix = self.prefix(resolution)[:, None, None].expand(-1, h.shape[1], 1, -1)
            h = torch.cat([prefix, h], dim=2)
        return self.mixers(h)

    def decode(
        self,
        hidden: Float[Tensor, "b c n d"],
        past: Float[Tensor, "b t c"],
        known: Float[Tensor, "b h k"] | None,
        loc: Float[Tensor, "b 1 c"],
        scale: Float[Tensor, "b 1 c"],
    ) -> Float[Tensor, "b h y"]:
        """Steps 6 to 8, and back to the units of the context; `past` is in those units, missing points filled."""
        s = self.shape
        h = self.adapter(hidden)
        if self.raw is not None:
            patches = patchify((past - loc) / scale, s.patch)
            h = h + self.raw(functional.pad(patches, (0, 0, int(s.resolutions > 0), 0)))
        y = self.head(self.dropout(self.decoder(h).flatten(2))).transpose(1, 2)
        if s.targets is not None:
            y, loc, scale = (v[..., list(s.targets)] for v in (y, loc, scale))
        if s.forecast_mixing:
            order = [*(s.targets if s.targets is not None else range(past.shape[2])), *s.exogenous]
            y = self.forecast_mixer(y, past[..., order], known)
        return y * scale + loc

    def forward(
        self,
        past: Float[Tensor, "b t c"],
        resolution: Int[Tensor, "b"] | None = None,
        known: Float[Tensor, "b h k"] | None = None,
        observed: Bool[Tensor, "b t c"] | None = None,
    ) -> Float[Tensor, "b h y"]:
        """The forecast of every target, in the units of `past`; what is not `observed` may be anything finite."""
        scaled, loc, scale = self.scaled(past, observed)
        filled = past if observed is None else torch.where(observed, past, loc)
        return self.decode(self.backbone(scaled, resolution), filled, known, loc, scale)

    def scaled(self, past: Tensor, observed: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """The context in units of its own scale, missing points at its mean, with mean and scale."""
        loc, scale = instance_scale(past, observed)
        z = (past - loc) / scale
        return z if observed is None else torch.where(observed, z, 0), loc, scale


@builder("ttm")
def tiny_time_mixer(sizes: Mapping[str, Any]) -> nn.Module:
    """A network of the sizes of `Shape`, with fresh weights."""
    fields: dict[str, Any] = {key: tuple(v) if isinstance(v, (list, tuple)) else v for key, v in sizes.items()}
    return TinyTimeMixer(Shape(**fields))
