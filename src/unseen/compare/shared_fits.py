"""Fits that candidates share: those that differ in nothing but what predictions read."""

from __future__ import annotations

import time

from unseen import catalogue
from unseen.catalogue import Given
from unseen.methods.base import Method


class Fits:
    """What was fitted for the first of some candidates with one seed, by the part of the data that it learnt from.

    Parameters
    ----------
    candidates : int
        How many there are, one group of `catalogue.sharing`; for one alone no model is kept.

    Attributes
    ----------
    seconds : dict
        What the fit on each part took.
    """

    def __init__(self, candidates: int = 1) -> None:
        self.seconds: dict[str, float] = {}
        self._several = candidates > 1
        self._made: dict[str, Method] = {}

    def fit(self, part: str, given: Given, method: Method) -> Method:
        """`method` fitted on `given`, which is called `part`; or what another candidate learnt from it."""
        if part in self._made:
            return catalogue.predicting_as(self._made[part], method)
        started = time.perf_counter()
        fitted = given.fit(method)
        self.keep(part, fitted, time.perf_counter() - started)
        return fitted

    def keep(self, part: str, fitted: Method, seconds: float) -> None:
        """Share what was fitted elsewhere, such as in an earlier run."""
        self.seconds[part] = seconds
        if self._several:
            self._made[part] = fitted
