"""Step 9: the weight quantizer of GENIE-M, whose rounding and step are learnt together."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unseen.nn.learned_quantizers import keep_codes, weight_step
from unseen.nn.quantizers import Layer, channel_axis

GAMMA, ZETA = -0.1, 1.1
"""The bounds to which the sigmoid is stretched before it is clipped to [0, 1]."""
BETA = (20.0, 2.0)
"""First and last exponent of the regularizer."""
WARM_UP = 0.2
"""The share of the iterations in which rounding is not pushed to 0 or 1."""


def rectified_sigmoid(v: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """h(V) = clamp(sigmoid(V) (zeta - gamma) + gamma, 0, 1)."""
    return (torch.sigmoid(v) * (ZETA - GAMMA) + GAMMA).clamp(0, 1)


def inverse(h: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """V with h(V) = h, for h in [0, 1]."""
    return torch.logit((h - GAMMA) / (ZETA - GAMMA))


def regularizer(h: Float[Tensor, "*n"], beta: float) -> Float[Tensor, ""]:
    """R = sum (1 - |2 h - 1|^beta): 0 where every h is 0 or 1, and nowhere else."""
    return (1 - (2 * h - 1).abs() ** beta).sum()


def beta(progress: float) -> float | None:
    """The exponent at a share of all iterations: None, no regularizer, in the first fifth, then on a line to 2."""
    if progress < WARM_UP:
        return None
    return BETA[0] + (BETA[1] - BETA[0]) * (progress - WARM_UP) / (1 - WARM_UP)


class SoftRounding(nn.Module):
    """W_q = s (clamp(floor(W / s_0) + h(V) + z, 0, 2^k - 1) - z), where floor(W / s_0) stays what it was.

    So the step s moves without moving which integers a weight lies between: d W_q / d s = q - z.

    Attributes
    ----------
    v : Parameter, of the weight's shape
        The weight is rounded up where it is at least 0; it starts where the soft weight is the float one.
    step : Parameter, one per output channel
    base, zero : buffers
        floor(W / s_0) and the zero points.
    """

    base: Tensor
    zero: Tensor

    def __init__(self, layer: Layer, bits: int) -> None:
        super().__init__()
        self.bits = bits
        weight = layer.weight.detach()
        step, zero = weight_step(weight, bits, channel_axis(layer))
        base = torch.floor(weight / step)
        self.v = nn.Parameter(inverse(weight / step - base))
        self.step = nn.Parameter(step)
        self.register_buffer("base", base)
        self.register_buffer("zero", zero)

    def forward(self) -> Tensor:
        """The soft weight."""
        return self.step * (self.codes(self.rounding()) - self.zero)

    def rounding(self) -> Tensor:
        """h(V)."""
        return rectified_sigmoid(self.v)

    def codes(self, up: Tensor) -> Tensor:
        """clamp(floor(W / s_0) + up + z, 0, 2^k - 1)."""
        return (self.base + up + self.zero).clamp(0, 2**self.bits - 1)

    def hard(self) -> Tensor:
        """The weight with h = 1[V >= 0], rounded to its levels; the gradient of the step passes."""
        return self.step * (self.codes((self.v.detach() >= 0).to(self.base)) - self.zero)

    @torch.no_grad()
    def keep(self, layer: Layer) -> None:
        """Put the hard weight into `layer`, as integer codes."""
        keep_codes(layer, self.codes((self.v >= 0).to(self.base)), self.step, self.zero, self.bits)
