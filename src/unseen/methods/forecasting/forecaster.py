"""`Forecaster`: what `unseen forecast` asks of a method; whatever answers it is tried, by its card alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from unseen.data.domain import Domain
from unseen.methods.base import Method
from unseen.methods.verbs import gives


@dataclasses.dataclass(frozen=True)
class Limits:
    """How many points of a series are read and forecast.

    Attributes
    ----------
    least : int
        Points that a series must have.
    most : int or None
        Points that are read, the last ones; None for all.
    at_once : int or None
        Points that are forecast at once, and more by reading forecasts; None for any number.
    least_is : str
        What `least` is, in words.
    """

    least: int = 1
    most: int | None = None
    at_once: int | None = None
    least_is: str = "the least that is read"


class Forecaster(Method):
    """A method that gives the future of series; its card has ``task="series"``.

    A subclass has `forecast`, and `pretrained` if a fitted one comes with its package. It says how much it reads,
    and has `tuned` if it can learn from some windows of the series to forecast.
    """

    learns_windows: ClassVar[bool] = True
    """Whether tuning makes a difference where nothing is known of the future."""

    @property
    def limits(self) -> Limits:
        """How much it reads and forecasts at once: any number of points, unless a subclass says so."""
        return Limits()

    @classmethod
    def pretrained(cls) -> Self | None:
        """Return a fitted one that comes with the package; None if there is none."""
        return None

    @gives("forecast", reads="series")
    def forecast(self, x: Any, *, horizon: int | None = None, future: Any = None) -> Float[np.ndarray, "n h c"]:
        """Return the next `horizon` points of every series and channel, in its units; `future` is for tuned ones."""
        raise TypeError(f"{type(self).__name__} gives no forecasts")

    def check_ready(self) -> None:
        """Raise `ValueError` unless this can forecast any series."""
        if not self.fitted:
            raise ValueError(f"model must be fitted; this {type(self).__name__} has not been")

    def knows_steps(self, series: Domain) -> NDArray[np.bool_]:
        """Which series, (n,), have a step that this has learnt of, or need not have learnt of."""
        return np.ones(len(series), dtype=bool)

    # -- tuning --------------------------------------------------------------------------------------------

    @classmethod
    def tunes(cls) -> bool:
        """Whether it can be tuned."""
        return cls.tuned is not Forecaster.tuned

    def check_tuning(self, settings: Mapping[str, Any]) -> None:
        """Raise `ValueError` if these are not hyperparameters of tuning with values that they may have."""
        if settings:
            names = ", ".join(map(repr, settings))
            raise ValueError(f"settings must be hyperparameters of tuning; {self.card.slug} has no {names}")

    def tuned(
        self, series: Domain, *, fraction: float, exogenous: Sequence[str], seed: int, settings: Mapping[str, Any]
    ) -> Self:
        """Return a copy that has learnt from a share of the windows of `series`; this one stays as it is.

        Its `forecast` gives the channels that are not `exogenous`, and reads the `future` of those that are.
        """
        raise TypeError(f"{self.card.slug} cannot be tuned")
