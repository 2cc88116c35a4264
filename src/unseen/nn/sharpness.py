"""Sharpness-aware optimizers, one family: SAM, ASAM, Fisher SAM, SAGM, TRAM step at the worst point nearby."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from unseen.nn.bn_statistics import batch_norms

Geometry = Literal["euclidean", "adaptive", "fisher"]
_TINY = 1e-12


class SharpnessAware(Optimizer):
    """A base optimizer that steps with the gradient found at theta + eps, where the loss is about the highest nearby.

    Each step takes two gradients: g = grad L(theta) leads to eps, and grad L(theta + eps) is what the base optimizer
    steps with, from theta. The neighbourhood has a `radius` r and a `geometry`, which give eps:

    ============  =====================================================  =========================
    euclidean     r g / ||g||                                            SAM: Foret et al., 2021
    adaptive      r theta^2 g / || |theta| g ||                          ASAM: Kwon et al., 2021
    fisher        r F^-1 g / sqrt(g F^-1 g), F^-1 = 1 / (1 + eta g^2)    Fisher SAM: Kim et al., 2022
    ============  =====================================================  =========================

    Norms are over all parameters of all groups together. Parameters without a gradient stay where they are.

    Parameters
    ----------
    parameters : iterable of Tensor or of dict
        As for any optimizer of torch.
    base : type of Optimizer or callable (parameters, **settings) -> Optimizer
    radius : float, >= 0
        Of the neighbourhood; may be set anew before each step.
    geometry : {"euclidean", "adaptive", "fisher"}
    eta : float, >= 0
        How much the Fisher information bends the neighbourhood ("fisher").
    module : Module, optional
        Its BatchNorm statistics are updated once in a step with a closure: they rest at theta + eps. Of a step in two
        halves the caller says what updates them.
    **settings
        Of the base optimizer, such as `lr`.

    Attributes
    ----------
    perturbed : bool
        Whether the parameters are at theta + eps.
    length : float
        Of the gradient at theta in the last step, in the geometry: ||g|| where it is euclidean.
    further : dict of parameter to Tensor
        Gradients of other terms, found at theta, that join those of the next step; empty after it.

    Examples
    --------
    With a closure, as for LBFGS::

        optimizer = SAM(network.parameters(), torch.optim.AdamW, lr=1e-4, module=network)

        def closure():
            optimizer.zero_grad()
            loss = F.cross_entropy(network(x), y)
            loss.backward()
            return loss

        optimizer.step(closure)

    or in two halves: ``backward, first_step(), zero_grad, backward, second_step()``.

    References
    ----------
    Foret, Kleiner, Mobahi, Neyshabur, "Sharpness-Aware Minimization for Efficiently Improving Generalization", ICLR
    2021, eq. 2-3; Kwon et al., "ASAM", ICML 2021, eq. 6; Kim et al., "Fisher SAM", ICML 2022, eq. 8.
    """

    def __init__(
        self,
        parameters: Iterable[Any],
        base: Callable[..., Optimizer] = Adam,
        *,
        radius: float = 0.05,
        geometry: Geometry = "euclidean",
        eta: float = 1.0,
        module: nn.Module | None = None,
        **settings: Any,
    ) -> None:
        if geometry not in ("euclidean", "adaptive", "fisher"):
            raise ValueError(f"geometry must be euclidean, adaptive or fisher; got {geometry!r}")
        if eta < 0:
            raise ValueError(f"eta must be at least 0; got {eta}")
        self.base = base(parameters, **settings)
        super().__init__(self.base.param_groups, self.base.defaults)
        self.param_groups = self.base.param_groups
        self.geometry, self.eta, self.module = geometry, eta, module
        self.radius = radius
        self.further: dict[Tensor, Tensor] = {}
        self._length = torch.zeros(())
        self._home: dict[Tensor, Tensor] = {}

    @property
    def radius(self) -> float:
        """r, of the neighbourhood of the next step."""
        return self._radius

    @radius.setter
    def radius(self, value: float | Tensor) -> None:
        number = float(value)
        if not 0 <= number < float("inf"):
            raise ValueError(f"radius must be finite and at least 0; got {number}")
        self._radius = number

    @property
    def perturbed(self) -> bool:
        """Whether the parameters are at theta + eps, between the two halves of a step."""
        return bool(self._home)

    @property
    def length(self) -> float:
        """||g|| at theta in the last step, in the geometry."""
        return float(self._length)

    @torch.no_grad()
    def first_step(self) -> None:
        """Go from theta to theta + eps, along the gradients that are there.

        Raises
        ------
        RuntimeError
            If the parameters are at theta + eps already.
        ValueError
            If no parameter has a gradient.
        """
        if self.perturbed:
            raise RuntimeError("first_step was called twice; call second_step to finish the step")
        moved = self._moved()
        if not moved:
            raise ValueError("no parameter has a gradient; call backward before first_step")
        self._home = {p: p.detach().clone() for p in moved}
        for p, eps in zip(moved, self._perturbation(moved)):
            p.add_(eps)
        torch.clear_autocast_cache()  # else the pass at theta + eps reuses weights that were cast at theta

    @torch.no_grad()
    def second_step(self) -> None:
        """Go back to theta and let the base optimizer step with the gradients found at theta + eps.

        Raises
        ------
        RuntimeError
            If the parameters are at theta: there was no `first_step`.
        """
        if not self.perturbed:
            raise RuntimeError("second_step needs a first_step before it")
        self._return()
        self._before_base()
        for p, g in self.further.items():
            p.grad = g if p.grad is None else p.grad + g
        self.further = {}
        self.base.step()

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Both halves of a step; returns the loss at theta.

        Parameters
        ----------
        closure : callable () -> loss
            Zeroes gradients, computes the loss, goes backward. It is called twice, `perturbed` in the second call.

        Raises
        ------
        TypeError
            If there is no closure.
        """
        if closure is None:
            raise TypeError("a sharpness-aware step needs a closure; or call first_step and second_step")
        loss = torch.enable_grad()(closure)()
        try:
            self.first_step()
            with _resting_statistics(self.module):
                torch.enable_grad()(closure)()
        except BaseException:
            self._return()
            self.further = {}
            raise
        self.second_step()
        return loss

    def _moved(self) -> list[Tensor]:
        """Parameters with a gradient, each once."""
        every = (p for group in self.param_groups for p in group["params"])
        return list({id(p): p for p in every if p.grad is not None}.values())

    def _before_base(self) -> None:
        """A last change of the gradients found at theta + eps; none here."""

    def _return(self) -> None:
        for p, home in self._home.items():
            p.data.copy_(home)
        self._home = {}
        torch.clear_autocast_cache()

    def _perturbation(self, moved: list[Tensor]) -> list[Tensor]:
        """eps of each parameter: a direction d with <d, g> the square of the length that counts in this geometry."""
        gradients = [p.grad for p in moved if p.grad is not None]
        directions = [self._direction(p, g) for p, g in zip(moved, gradients)]
        squares = torch.stack([(d * g).sum() for d, g in zip(directions, gradients)])
        self._length = squares.sum().clamp_min(0).sqrt()
        scale = self.radius / (self._length + _TINY)
        return [scale * d for d in directions]

    def _direction(self, p: Tensor, g: Tensor) -> Tensor:
        if self.geometry == "adaptive":
            return p.square() * g
        if self.geometry == "fisher":
            return g / (1 + self.eta * g.square())
        return g

    def __deepcopy__(self, memo: dict[int, Any]) -> SharpnessAware:
        raise TypeError("an optimizer is bound to its parameters; make a new one and load its state_dict")

    def state_dict(self) -> dict[str, Any]:
        """The state of the base optimizer: theta is where the parameters are between steps."""
        return self.base.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the state of a base optimizer."""
        self.base.load_state_dict(state_dict)
        self.param_groups = self.base.param_groups


class SAM(SharpnessAware):
    """Sharpness-aware minimization [1]: a ball of constant radius `rho`; see `SharpnessAware` for the rest.

    References
    ----------
    [1] Foret, Kleiner, Mobahi, Neyshabur, "Sharpness-Aware Minimization for Efficiently Improving Generalization", ICLR
        2021.
    """

    def __init__(
        self, parameters: Iterable[Any], base: Callable[..., Optimizer] = Adam, *, rho: float = 0.05, **settings: Any
    ) -> None:
        super().__init__(parameters, base, radius=rho, **settings)


class ASAM(SAM):
    """Adaptive SAM [1]: large weights may move further; the authors take rho ten times that of SAM.

    References
    ----------
    [1] Kwon, Kim, Park, Choi, "ASAM: Adaptive Sharpness-Aware Minimization for Scale-Invariant Learning of Deep Neural
        Networks", ICML 2021.
    """

    def __init__(self, parameters: Iterable[Any], base: Callable[..., Optimizer] = Adam, **settings: Any) -> None:
        super().__init__(parameters, base, geometry="adaptive", **{"rho": 0.5, **settings})


class FisherSAM(SAM):
    """Fisher SAM [1]: an ellipsoid by the Fisher information, here the squared gradient of the batch.

    References
    ----------
    [1] Kim, Li, Hospedales, "Fisher SAM: Information Geometry and Sharpness Aware Minimisation", ICML 2022.
    """

    def __init__(self, parameters: Iterable[Any], base: Callable[..., Optimizer] = Adam, **settings: Any) -> None:
        super().__init__(parameters, base, geometry="fisher", **settings)


class SAGM(SAM):
    """Sharpness-aware gradient matching [1]: the gradients at theta and at theta + eps - alpha g are to agree.

    Both are averaged for the step.

    Parameters
    ----------
    alpha : float, >= 0
        How far the probe goes back down the gradient.

    References
    ----------
    [1] Wang, Zhang, Lei, Zhang, "Sharpness-Aware Gradient Matching for Domain Generalization", CVPR 2023, eq. 9-10.
    """

    def __init__(
        self, parameters: Iterable[Any], base: Callable[..., Optimizer] = Adam, *, alpha: float = 1e-3, **settings: Any
    ) -> None:
        if alpha < 0:
            raise ValueError(f"alpha must be at least 0; got {alpha}")
        super().__init__(parameters, base, **settings)
        self.alpha = alpha
        self._gradients: dict[Tensor, Tensor] = {}

    def _perturbation(self, moved: list[Tensor]) -> list[Tensor]:
        self._gradients = {p: p.grad.clone() for p in moved}  # type: ignore[union-attr]
        return [eps - self.alpha * self._gradients[p] for p, eps in zip(moved, super()._perturbation(moved))]

    def _before_base(self) -> None:
        for p, g in self._gradients.items():
            p.grad = g if p.grad is None else (p.grad + g) / 2


class TRAM(SharpnessAware):
    """Trust region aware minimization [1]: the radius of each step is how far the function has moved.

    There is no rho. Before each step, `radius` is set to a distance d >= 0 between what the network says of the batch
    and what another says, or the same one of noisy inputs; `unseen.nn.trust_region.TrustRegion` measures it. Where the
    function did not move, eps is 0 and the step that of the base optimizer.

    Parameters
    ----------
    geometry : {"euclidean", "adaptive", "fisher"}
        "fisher" is TRAM-Fisher.
    largest : float, > 0
        Radii above it are cut to it; `cut` counts them.
    released : bool
        Move every entry of every parameter by the same constant d / ||g|| (d theta^2 / ||g|| if adaptive) as the
        authors' released code does, instead of along the gradient, as the paper says.

    Examples
    --------
    In the closure, at theta::

        logits = network(x)
        if not optimizer.perturbed:
            optimizer.radius = region.distance(network, x, logits)
        loss = F.cross_entropy(logits, y)

    References
    ----------
    [1] Sherborne, Saphra, Dasigi, Peng, "TRAM: Bridging Trust Regions and Sharpness Aware Minimization", ICLR 2024,
        section 3; tomsherborne/tram_optimizer.
    """

    def __init__(
        self,
        parameters: Iterable[Any],
        base: Callable[..., Optimizer] = Adam,
        *,
        largest: float = 5.0,
        released: bool = False,
        **settings: Any,
    ) -> None:
        if largest <= 0:
            raise ValueError(f"largest must be above 0; got {largest}")
        if released and settings.get("geometry") == "fisher":
            raise ValueError("released has no ascent of the geometry 'fisher': the released code has none")
        self.largest, self.released, self.cut = largest, released, 0
        super().__init__(parameters, base, radius=0.0, **settings)

    @property
    def radius(self) -> float:
        """d, the radius of the next step."""
        return self._radius

    @radius.setter
    def radius(self, value: float | Tensor) -> None:
        number = float(value)
        self.cut += number > self.largest
        kept = min(number, self.largest) if number < float("inf") else number  # infinity is no distance to cut
        SharpnessAware.radius.fset(self, kept)  # type: ignore[attr-defined]

    def _perturbation(self, moved: list[Tensor]) -> list[Tensor]:
        if not self.released:
            return super()._perturbation(moved)
        adaptive = self.geometry == "adaptive"
        lengths = [(p.grad * p if adaptive else p.grad).norm() for p in moved]  # type: ignore[operator,union-attr]
        self._length = torch.stack(lengths).norm()
        scale = self.radius / (self._length + _TINY)
        return [scale * (p.square() if adaptive else torch.ones_like(p)) for p in moved]


@contextlib.contextmanager
def _resting_statistics(module: nn.Module | None) -> Iterator[None]:
    """BatchNorm layers still normalize by the batch, and do not remember it."""
    layers: list[Any] = [] if module is None else list(batch_norms(module).values())
    before = [(layer, layer.momentum, layer.num_batches_tracked) for layer in layers if hasattr(layer, "momentum")]
    counts = [None if count is None else count.clone() for _, _, count in before]
    for layer, _, _ in before:
        layer.momentum = 0.0
    try:
        yield
    finally:
        for (layer, momentum, count), old in zip(before, counts):
            layer.momentum = momentum
            if count is not None and old is not None:
                count.copy_(old)
