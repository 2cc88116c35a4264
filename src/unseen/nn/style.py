"""The look of one picture given to another, by statistics of channels or amplitudes of waves; nothing is learnt."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

Space = Literal["lab", "rgb", "fourier", "none"]
EPSILON = 1e-6

_TO_XYZ = torch.tensor([[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]])
_WHITE = torch.tensor([0.95047, 1.0, 1.08883])
_CUT = 6 / 29


def rgb_to_lab(x: Float[Tensor, "*b 3 h w"]) -> Float[Tensor, "*b 3 h w"]:
    """CIELAB (D65) of sRGB with values in [0, 1]; what lies outside is cut off."""
    x = x.clamp(0, 1)
    linear = torch.where(x > 0.04045, ((x + 0.055) / 1.055) ** 2.4, x / 12.92)
    xyz = _mixed(_TO_XYZ.to(x), linear) / _WHITE.to(x)[:, None, None]
    f = torch.where(xyz > _CUT**3, xyz.clamp_min(1e-12) ** (1 / 3), xyz / (3 * _CUT**2) + 4 / 29)
    X, Y, Z = f.unbind(-3)
    return torch.stack([116 * Y - 16, 500 * (X - Y), 200 * (Y - Z)], dim=-3)


def lab_to_rgb(lab: Float[Tensor, "*b 3 h w"]) -> Float[Tensor, "*b 3 h w"]:
    """sRGB of CIELAB, not cut off: values may leave [0, 1] where no screen has the colour."""
    L, a, b = lab.unbind(-3)
    Y = (L + 16) / 116
    f = torch.stack([Y + a / 500, Y, Y - b / 200], dim=-3)
    xyz = torch.where(f > _CUT, f**3, 3 * _CUT**2 * (f - 4 / 29)) * _WHITE.to(lab)[:, None, None]
    linear = _mixed(torch.linalg.inv(_TO_XYZ).to(lab), xyz)
    return torch.where(linear > 0.0031308, 1.055 * linear.clamp_min(1e-12) ** (1 / 2.4) - 0.055, 12.92 * linear)


def _mixed(matrix: Tensor, x: Tensor) -> Tensor:
    return torch.einsum("dc,...chw->...dhw", matrix, x)


def channel_moments(x: Float[Tensor, "*b c h w"]) -> tuple[Tensor, Tensor]:
    """Mean and deviation of each channel over the places of a picture, (..., c, 1, 1)."""
    std, mean = torch.std_mean(x, dim=(-2, -1), keepdim=True, unbiased=False)
    return mean, std


def match_statistics(
    x: Float[Tensor, "b c h w"],
    ref: Float[Tensor, "c g k"],
    space: Space = "lab",
    *,
    window: float = 0.01,
    clip: bool = True,
) -> Float[Tensor, "b c h w"]:
    """Pictures with the low-level statistics of another one.

    ``"rgb"`` and ``"lab"`` give each channel the mean and the deviation of that of `ref` (Reinhard et al. 2001);
    ``"fourier"`` the amplitudes of its slowest waves (FDA, Yang and Soatto 2020, eq. 4), those of a window of
    2 `window` times each side; ``"none"`` gives the pictures back.

    Parameters
    ----------
    x : Tensor (b, 3, h, w)
        RGB with values in [0, 1].
    ref : Tensor (3, g, k)
        Of any size.
    space : {"lab", "rgb", "fourier", "none"}
    window : float
    clip : bool
        Whether the result is cut off at 0 and 1.
    """
    if space == "none":
        return x
    if space == "fourier":
        out = _swap_amplitudes(x, ref, window)
    elif space == "rgb":
        out = _matched(x, ref)
    else:
        out = lab_to_rgb(_matched(rgb_to_lab(x), rgb_to_lab(ref)))
    return out.clamp(0, 1) if clip else out


def _matched(x: Tensor, ref: Tensor) -> Tensor:
    (mean, std), (to_mean, to_std) = channel_moments(x), channel_moments(ref)
    return (x - mean) / (std + EPSILON) * to_std + to_mean


def _swap_amplitudes(x: Tensor, ref: Tensor, window: float) -> Tensor:
    if ref.shape[-2:] != x.shape[-2:]:
        ref = torch.nn.functional.interpolate(ref[None], x.shape[-2:], mode="bilinear", align_corners=False)[0]
    waves, others = torch.fft.fft2(x), torch.fft.fft2(ref)
    most = int(min(x.shape[-2:]) * window)
    rows, columns = (torch.fft.fftfreq(side, d=1 / side, device=x.device).abs() <= most for side in x.shape[-2:])
    slow = rows[:, None] & columns
    amplitude = torch.where(slow, others.abs(), waves.abs())
    return torch.fft.ifft2(torch.polar(amplitude, waves.angle())).real


# -- inside a network --------------------------------------------------------------------------------------


@contextlib.contextmanager
def mixed_statistics(
    layer: nn.Module, mean: Float[Tensor, "c 1 1"], std: Float[Tensor, "c 1 1"], keep: Float[Tensor, "b 1 1 1"]
) -> Iterator[None]:
    """Move the statistics of what a layer says towards others while the block runs (MixStyle, Zhou et al. 2021, eq. 3).

    Each channel of a sample gets the mean and deviation `keep` times its own plus (1 - `keep`) times those given.
    """

    def mix(module: nn.Module, inputs: object, z: Tensor) -> Tensor:
        own_mean, own_std = channel_moments(z)
        new_mean, new_std = keep * own_mean + (1 - keep) * mean, keep * own_std + (1 - keep) * std
        return (z - own_mean) / (own_std + EPSILON) * new_std + new_mean

    hook = layer.register_forward_hook(mix)
    try:
        yield
    finally:
        hook.remove()


@torch.no_grad()
def layer_moments(network: nn.Module, layer: nn.Module, x: Float[Tensor, "b c h w"]) -> tuple[Tensor, Tensor]:
    """Mean and deviation of each channel of what a layer says of pictures, the mean over them, (c, 1, 1)."""
    outputs: list[Tensor] = []
    hook = layer.register_forward_hook(lambda module, inputs, z: outputs.append(z.detach()))
    try:
        network(x)
    finally:
        hook.remove()
    mean, std = channel_moments(outputs[0])
    return mean.mean(dim=0), std.mean(dim=0)
