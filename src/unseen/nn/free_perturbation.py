"""Free adversarial training: one gradient moves the input's perturbation and counts for the network as well.

References
----------
[1] Shafahi et al., "Adversarial Training for Free!", NeurIPS 2019.
[2] Kong et al., "Robust Optimization as Data Augmentation for Large-scale Graphs" (FLAG), CVPR 2022.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor


def perturbations(
    loss: Callable[[Tensor], Tensor],
    x: Float[Tensor, "n d"],
    parameters: Sequence[Tensor],
    *,
    steps: int,
    size: float,
    generator: torch.Generator | None = None,
    accumulating: bool = False,
) -> tuple[Tensor, list[Tensor]]:
    """The loss of free adversarial training, and the perturbations that it was taken at.

    d_0 ~ U(-size, size), d_{t+1} = d_t + size sign(grad_d loss(x + d_t)); the parameters get mean_t grad loss(x + d_t).

    Parameters
    ----------
    loss : callable (x) -> scalar
    x : Tensor (n, d)
        Stays as it is.
    parameters : sequence of Tensor
        Of the network; each is given its mean gradient by what is returned.
    steps : int, >= 1
    size : float, >= 0
        At most `size` * `steps` is added in the last step; nothing is projected.
    generator : torch.Generator, optional
    accumulating : bool
        Add every d_t to what was added before, x + d_0 + ... + d_t, as GraphCLIP's official code does by working in
        place.

    Returns
    -------
    tuple
        A scalar whose value is the mean of the losses and whose gradient is that of the mean; and d_0, ..., d_{m-1}.
    """
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    total = [torch.zeros_like(parameter) for parameter in trained]
    delta = (2 * torch.rand(x.shape, generator=generator).to(x) - 1) * size
    base, values, tried = x.detach(), [], []
    for _ in range(steps):
        delta = delta.detach().requires_grad_()
        tried.append(delta.detach())
        value = loss(base + delta)
        slope, *gradients = torch.autograd.grad(value / steps, [delta, *trained], allow_unused=True)
        values.append(value.detach())
        for sum_, gradient in zip(total, gradients):
            if gradient is not None:
                sum_ += gradient
        if accumulating:
            base = base + delta.detach()
        if slope is not None:
            delta = delta.detach() + size * slope.sign()
    carrier = sum(
        ((parameter * gradient).sum() for parameter, gradient in zip(trained, total)), torch.zeros((), device=x.device)
    )
    return torch.stack(values).mean() + (carrier - carrier.detach()), tried
