"""How far a network's function has moved on a batch, from one of four points of reference."""

from __future__ import annotations

import copy
from typing import Literal

import torch
from torch import Tensor, nn

from unseen.nn.classifier import evaluating
from unseen.nn.divergences import Divergence, divergence

Reference = Literal["previous", "pretrained", "average", "noise"]


class TrustRegion(nn.Module):
    """A reference for a network in training, and the distance of the network's predictions from it [1].

    ===========  ======================================================================
    previous     the network before its last step (theta_{t-1})
    pretrained   the network as training found it (theta_0)
    average      the exponential moving average of its weights
    noise        the network itself, of inputs with noise (x + z)
    ===========  ======================================================================

    Both sides are evaluated in eval mode and with the buffers of the network now: neither dropout nor the statistics of
    a batch are a movement of the function. A network of plain layers only, whose mode makes no difference, is compared
    by the logits that training computed anyway; any other costs one pass more.

    Parameters
    ----------
    network : Module
        At theta_0; it is copied.
    reference : {"previous", "pretrained", "average", "noise"}
    kind : see `unseen.nn.divergences.divergence`
    decay : float in [0, 1]
        Of "average": 0 is "previous", 1 is "pretrained".
    std : float, > 0
        Of the noise: the deviation of a normal one, half the width of a uniform one.
    uniform : bool
        Whether the noise is uniform.
    scale : float, >= 0
        Factor on the distance; language models, whose divergence per token is small, need one.

    References
    ----------
    [1] Sherborne, Saphra, Dasigi, Peng, "TRAM", ICLR 2024, section 3.1-3.3.
    """

    copy: nn.Module | None

    def __init__(
        self,
        network: nn.Module,
        reference: Reference = "previous",
        *,
        kind: Divergence = "kl",
        decay: float = 0.99,
        std: float = 0.1,
        uniform: bool = False,
        scale: float = 1.0,
    ) -> None:
        super().__init__()
        decays = {"previous": 0.0, "pretrained": 1.0, "average": decay, "noise": 1.0}
        if reference not in decays:
            raise ValueError(f"reference must be previous, pretrained, average or noise; got {reference!r}")
        if not 0 <= decay <= 1:
            raise ValueError(f"decay must lie in [0, 1]; got {decay}")
        if std <= 0 or scale < 0:
            raise ValueError(f"std must be above 0 and scale at least 0; got {std} and {scale}")
        self.reference, self.kind, self.decay = reference, kind, decays[reference]
        self.std, self.uniform, self.scale = std, uniform, scale
        self.copy = None if reference == "noise" else copy.deepcopy(network).eval().requires_grad_(False)

    def train(self, mode: bool = True) -> TrustRegion:
        """The reference stays in eval mode."""
        return super().train(False)

    @torch.no_grad()
    def distance(
        self,
        network: nn.Module,
        x: Tensor,
        logits: Tensor | None = None,
        *,
        mask: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> float:
        """d(reference, network) on a batch; then the reference follows, so call it once per step, at theta.

        Parameters
        ----------
        network : Module
            At theta_t.
        x : Tensor
            The batch.
        logits : Tensor, optional
            What `network` just said of it; used where the mode of a network makes no difference.
        mask : bool Tensor, optional
            Which rows (samples, tokens) count.
        generator : torch.Generator, optional
            Of the noise.

        Raises
        ------
        ValueError
            If the outputs of both differ in shape.
        """
        if logits is None or (network.training and not _without_modes(network)):
            with evaluating(network):
                logits = network(x)
        target = self.logits(network, x, generator=generator)
        value = self.scale * float(divergence(target, logits, self.kind, mask=mask).clamp_min(0))
        self.follow(network)
        return value

    @torch.no_grad()
    def logits(
        self, network: nn.Module, x: Tensor, *, generator: torch.Generator | None = None, like: bool = False
    ) -> Tensor:
        """What the reference says of a batch, in eval mode.

        `like` normalizes by the batch as the network does in training: what a penalty on its logits is taken from.
        """
        held = self.copy
        if like and isinstance(held, nn.Module):
            for layer, now in zip(held.modules(), network.modules()):
                layer.training = now.training and isinstance(layer, nn.modules.batchnorm._BatchNorm)
            try:
                return held(x)  # what it remembers of the batch is overwritten by the network's, below
            finally:
                held.eval()
        if self.copy is None:
            if not x.is_floating_point():
                raise ValueError(f"reference 'noise' needs inputs of real numbers, such as embeddings; got {x.dtype}")
            with evaluating(network):
                return network(x + self._noise(x, generator))
        for buffer, current in zip(self.copy.buffers(), network.buffers()):
            buffer.copy_(current)
        return self.copy(x)

    def _noise(self, x: Tensor, generator: torch.Generator | None) -> Tensor:
        if self.uniform:
            return (self.std * (2 * torch.rand(x.shape, generator=generator) - 1)).to(x)
        return (self.std * torch.randn(x.shape, generator=generator)).to(x)

    @torch.no_grad()
    def follow(self, network: nn.Module) -> None:
        """reference <- decay reference + (1 - decay) theta_t."""
        if self.copy is None or self.decay == 1:
            return
        for mine, new in zip(self.copy.parameters(), network.parameters()):
            mine.copy_(self.decay * mine + (1 - self.decay) * new)


_PLAIN = (
    nn.Linear, nn.Identity, nn.Flatten, nn.ReLU, nn.Tanh, nn.GELU, nn.SiLU, nn.Sigmoid, nn.LayerNorm, nn.Embedding,
    nn.Conv1d, nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d,
)  # fmt: skip


def _without_modes(network: nn.Module) -> bool:
    """Whether all layers are known to do the same in train and eval mode."""
    return all(isinstance(m, _PLAIN) for m in network.modules() if not list(m.children()))
