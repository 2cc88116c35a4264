"""Tiny Time Mixers: a small forecaster, pretrained on many series, for series that it has never seen."""

from unseen.methods.forecasting.ttm.method import TTM
from unseen.methods.forecasting.ttm.pretrained import pretrained

__all__ = ["TTM", "pretrained"]
