"""The method: pretrain on many series; forecast others as it is, or tuned on a few of their windows."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any, Literal, Self

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim import AdamW

from unseen.data.domain import Domain
from unseen.data.series import channels_of, periods_of
from unseen.methods.base import Card
from unseen.methods.forecasting.contexts import known_future, moments, moments_of, padded, read_contexts, table
from unseen.methods.forecasting.forecaster import Forecaster, Limits
from unseen.methods.forecasting.ttm.hyperparameters import check_tuning
from unseen.methods.forecasting.ttm.network import Shape, tiny_time_mixer
from unseen.methods.forecasting.ttm.rolling import roll
from unseen.methods.forecasting.ttm.tuning import Tuning, tune
from unseen.methods.forecasting.ttm.windows import (
    RESOLUTIONS,
    Batch,
    few_shot_origins,
    joined,
    masked_mse,
    one_cycle,
    pool_of,
    resolution_of,
    windows_of,
)
from unseen.methods.parameters import Count, NonNegative, Positive, Unit
from unseen.nn.build import n_parameters
from unseen.nn.train import Run, train
from unseen.runtime import current

log = logging.getLogger(__name__)

ROWS = 512
"""Channels of series that are forecast together."""


class TTM(Forecaster):
    """Forecast series never seen with a small network that was pretrained on many others [1].

    `fit` pretrains on series of any number, length and resolution, each channel by itself. `forecast` then gives
    the future of any other series without learning from it; `adapt` tunes the decoder and the head on some of its
    windows, and may let channels inform each other and columns whose future is known inform the forecast.
    `unseen.methods.forecasting.ttm.pretrained()` is a fitted one.

    Parameters
    ----------
    context, horizon : int
        Points that are read, and points that are forecast at once; more are forecast by reading forecasts.
    patch : int
        Points of a patch; the last ``context // patch`` patches are read.
    width, layers : int
        Width of the backbone, and mixer layers on each of its levels.
    levels : int
        Levels of adaptive patching: on level i a patch is cut into 2^i; 0 keeps the patches as they are.
    decoder_width, decoder_layers : int
        The same of the decoder.
    expansion : int
        How many times as wide a perceptron is inside.
    dropout, head_dropout : float in [0, 1]
        Of the backbone, and of decoder and head.
    prefix : bool
        Whether the resolution is told by a patch in front (resolution prefix tuning).
    downsampling : bool
        Whether pretraining sees every series at coarser resolutions, too.
    shortest : int, optional
        Shortest context of pretraining: half of its contexts are cut to a length between this and `context`. None
        cuts none, as in the paper.
    epochs, steps : int
        Length of pretraining: epochs, and batches of each.
    batch_size : int
        Windows of a batch of pretraining.
    learning_rate : float, > 0
        Largest rate of pretraining (AdamW, one cycle).
    weight_decay : float, >= 0
        Of AdamW.
    freeze : bool
        Whether `adapt` leaves the backbone as it is, or tunes all weights.
    mixing : {"independent", "mix"}
        Whether the decoder tuned by `adapt` forecasts each channel by itself or mixes them.
    exogenous : tuple of str
        Channels whose future is known; they are not forecast, and `forecast` asks for their future.
    targets : tuple of str
        Channels to forecast in `adapt`; all that are not exogenous if empty.
    forecast_mixing : bool, optional
        Whether forecasts are corrected by those around them and by exogenous ones; None: where there are exogenous.
    window : int
        Points on either side that this correction sees.
    window_mixer : bool
        Whether it embeds and mixes them before.
    fraction : float in [0, 1]
        Share of the training windows that `adapt` learns from, the last ones.
    validation : float in [0, 1]
        Share of the points, the last ones, by which `adapt` stops.
    tune_epochs : int
        Most epochs of `adapt`.
    patience : int
        Epochs without a better validation error after which `adapt` stops.
    tune_batch_size : int
        Windows of a batch of `adapt`.
    tune_learning_rate : float, > 0, optional
        Largest rate of `adapt`; None finds it by a range test, as in the paper, whose rate differs from run to run.
    tune_head_dropout : float in [0, 1], optional
        Dropout of decoder and head in `adapt`; None keeps `head_dropout`. The paper takes 0.7 on small data.

    References
    ----------
    [1] Ekambaram et al., "Tiny Time Mixers (TTMs): Fast Pre-trained Models for Enhanced Zero/Few-Shot Forecasting of
        Multivariate Time Series", NeurIPS 2024, sections 3 and 4.
    """

    card = Card(
        slug="ttm",
        title="Tiny Time Mixers (TTMs): Fast Pre-trained Models for Enhanced Zero/Few-Shot Forecasting of "
        "Multivariate Time Series",
        venue="NeurIPS 2024",
        official_code="ibm-granite/granite-tsfm",
        summary="Forecast series never seen with a small pretrained model.",
        unseen={"domains", "data"},
        modalities={"series"},
        protocols={"forecasting"},
        task="series",
        presets={
            "default": {},
            "paper": {
                "patch": 64, "width": 192, "decoder_width": 128, "epochs": 20, "steps": 54_000, "batch_size": 4500,
                "dropout": 0.4, "learning_rate": 1e-3, "shortest": None, "tune_learning_rate": None,
            },
        },
        on_request={"paper"},
        smoke={
            "context": 32, "horizon": 8, "patch": 8, "width": 16, "levels": 2, "layers": 1, "decoder_width": 8,
            "decoder_layers": 1, "shortest": 16, "epochs": 1, "steps": 3, "batch_size": 16, "tune_epochs": 2,
            "tune_learning_rate": 1e-3,
        },
        notes=(
            "Half of the pretraining contexts are cut to a random length, so that short series can be forecast: what "
            "is missing in front is masked. `shortest=None` is the paper's.",
            "The preset `paper` has 855,164 parameters with the prefix for eleven resolutions, 805,280 without; its "
            "54,000 steps are one pass over 244 million samples: set `steps` to windows / 4,500 of your own series.",
            "Contexts are brought to units of their own in float64 before the network, whose scaler adds 1e-5 to the "
            "variance; so forecasts follow any scale and offset.",
            "Pretraining draws a data set (column `source`) by the root of its windows, then a series of it by the "
            "root of its windows, then a channel and a window. Of what the committed model has drawn, 61 % are "
            "simulated series; `shares_` holds the share of every data set.",
            "Downsampled copies are made as long as they have 3 (shortest + horizon) points; the paper's rule with "
            "whole contexts is that of `shortest=None`.",
            "A tenth of the pretraining windows is told as of unknown resolution, so that 'unknown' means something.",
            "`adapt` learns at a fixed largest rate, which did better here than the range test that "
            "`tune_learning_rate=None` runs.",
            "Masked points are put at the mean of the context; the official code leaves them as they come.",
            "A frozen backbone is read without its dropout in `adapt`, once for each window; the official code keeps "
            "the dropout and reads it again in every epoch.",
            "New parameters of `adapt` (channel mixers, correction of forecasts) start such that the first forecast "
            "is the pretrained one; the official code starts them at random.",
            "`adapt` standardizes channels by what it learns from, so that the correction of forecasts sees forecasts "
            "and exogenous values in like units; the official code leaves that to its preprocessor.",
            "Few-shot windows are the last of the training part, as in the official toolkit.",
            "That correction learns 20 times as fast as the rest; half of the pretraining windows are of downsampled "
            "copies; dropout rounds its share to a multiple of 1/256, which makes it cheaper.",
            "Ten resolutions and 'unknown' have a prefix; one that pretraining did not see is taken as unknown.",
        ),
        left_out=(
            "Static categorical columns of a series (an embedding beside the channels): not in the abstract.",
            "Pretraining on Monash and LibCity, a billion samples: `fit` takes any series; the model that comes with "
            "the package has learned from what packages ship and from simulated series.",
            "Quantile heads, register tokens and FFT patches of later releases of the official code: not in the paper.",
        ),
        parts=(
            "unseen.data.series",
            "unseen.data.sources.series",
            "unseen.data.simulate.series",
            "unseen.nn.range_test",
            "unseen.validation.conformal",
            "unseen.jobs.forecasting.job",
        ),
        cost=60.0,
    )  # fmt: skip

    context: Count = 512
    horizon: Count = 96
    patch: Count = 32
    width: Count = 64
    levels: int = 3
    layers: Count = 2
    decoder_width: Count = 32
    decoder_layers: Count = 2
    expansion: Count = 2
    dropout: Unit = 0.2
    head_dropout: Unit = 0.2
    prefix: bool = True
    downsampling: bool = True
    shortest: Count | None = 64
    epochs: Count = 20
    steps: Count = 100
    batch_size: Count = 256
    learning_rate: Positive = 3e-3
    weight_decay: NonNegative = 0.01
    freeze: bool = True
    mixing: Literal["independent", "mix"] = "independent"
    exogenous: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    forecast_mixing: bool | None = None
    window: Count = 1
    window_mixer: bool = False
    fraction: Unit = 1.0
    validation: Unit = 0.2
    tune_epochs: Count = 50
    patience: Count = 10
    tune_batch_size: Count = 64
    tune_learning_rate: Positive | None = 2e-3
    tune_head_dropout: Unit | None = None

    # -- pretraining ---------------------------------------------------------------------------------------

    def fit(self, *, series: Domain) -> Self:
        """Pretrain on all channels of all series, each by itself, with the mean squared error of the forecast.

        A column ``source`` of `series` names the data set of each, which share its weight in the draw of windows.
        """
        self._check_sizes()
        shortest = min(self.shortest or self.context, self.context)
        pool = pool_of(
            [table(x) for x in series.x],
            periods_of(series).tolist(),
            context=self.context,
            horizon=self.horizon,
            shortest=shortest,
            downsampling=self.downsampling,
            sources=[str(name) for name in series.columns["source"]] if "source" in series.columns else None,
        )
        network = tiny_time_mixer(dataclasses.asdict(self._shape()))
        self.losses_ = self._pretrain(network, pool)
        self.network_: nn.Module = network
        self.parameters_ = n_parameters(network)
        self.shares_ = pool.shares
        self.resolutions_ = tuple(sorted({RESOLUTIONS[i] for i in pool.resolutions.tolist()}))
        return self

    def _check_sizes(self) -> None:
        most = self.width.bit_length()  # 2^levels is not computed of a number that nobody meant
        if not 0 <= self.levels <= most or (self.levels and self.width % 2 ** (self.levels - 1)):
            expected = f"levels must be at least 0, with width divisible by 2^(levels - 1); got {self.levels}"
            raise ValueError(f"{expected} for width {self.width}")
        if self.patch > self.context:
            raise ValueError(f"patch must be at most context ({self.context}); got {self.patch}")
        if self.shortest is not None and self.shortest < self.patch:
            raise ValueError(f"shortest must be at least patch ({self.patch}); got {self.shortest}")

    def _shape(self) -> Shape:
        return Shape(
            context=self.context,
            horizon=self.horizon,
            patch=self.patch,
            width=self.width,
            levels=self.levels,
            layers=self.layers,
            decoder_width=self.decoder_width,
            decoder_layers=self.decoder_layers,
            expansion=self.expansion,
            dropout=self.dropout,
            head_dropout=self.head_dropout,
            resolutions=len(RESOLUTIONS) if self.prefix else 0,
        )

    def _pretrain(self, network: nn.Module, pool: Any) -> Float[np.ndarray, "e"]:
        """AdamW in one cycle on windows drawn from the pool; the mean loss of every epoch."""
        optimizer = AdamW(network.parameters(), lr=self.learning_rate, weight_decay=self.weight_decay)

        def objective(batch: Batch, run: Run) -> Tensor:
            y = network(batch.past, batch.resolution, None, batch.observed)
            loss = masked_mse(y, batch.future, batch.known)
            run.log(mse=loss)
            return loss

        run = train(
            objective,
            name="pretrain",
            nets={"network": network.train()},
            optimizers={"adamw": optimizer},
            schedulers={"cycle": one_cycle(optimizer, self.epochs * self.steps)},
            batches=lambda run: pool.batches(run, self.batch_size),
            epochs=self.epochs,
            steps_per_epoch=self.steps,
            clip=1.0,
        )
        return np.array([epoch["mse"] for epoch in run.history])

    # -- few-shot and full tuning --------------------------------------------------------------------------

    def adapt(self, *, series: Domain) -> Self:
        """Tune on the windows of one series or of several with the same channels; returns a fitted copy.

        With `freeze` the backbone stays bit for bit as it was. `fraction`, `mixing`, `exogenous`, `targets` and
        the other hyperparameters of `adapt` are set by `set_params` before.
        """
        names = channels_of(series)
        targets, exogenous = self._roles(names)
        values = [table(x) for x in series.x]
        base: Any = self.network_
        least = self.patch  # points that a context must have at least
        parts = [
            few_shot_origins(
                len(v), horizon=self.horizon, least=least, validation=self.validation, fraction=self.fraction
            )
            for v in values
        ]
        self.loc_, self.scale_ = moments_of([v[: o.max() + self.horizon] for v, (o, _) in zip(values, parts)], names)
        seen = [((v - self.loc_) / self.scale_).astype(np.float32) for v in values]
        tokens = self._tokens(periods_of(series).tolist())
        train_windows, held_windows = (
            joined([windows_of(v, o[k], self.context, self.horizon, token) for v, o, token in zip(seen, parts, tokens)])
            for k in (0, 1)
        )
        self.network_, self.history_ = tune(base, train_windows, held_windows, self._tuning(names, targets, exogenous))
        self.parameters_ = n_parameters(self.network_)
        self.channels_, self.targets_, self.exogenous_ = names, targets, exogenous
        return self

    def _roles(self, names: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Which channels are forecast, and which are known beforehand."""
        for word in ("exogenous", "targets"):
            for name in getattr(self, word):
                if name not in names:
                    raise ValueError(f"{word} must be channels of the series ({', '.join(names)}); got {name!r}")
        both = set(self.exogenous) & set(self.targets)
        if both:
            raise ValueError(f"a channel is forecast or exogenous, not both; got {min(both)!r} as either")
        targets = tuple(n for n in names if (n in self.targets if self.targets else n not in self.exogenous))
        if not targets:
            raise ValueError(f"exogenous must leave a channel to forecast; it names all of {', '.join(names)}")
        return targets, tuple(n for n in names if n in self.exogenous)

    def _tuning(self, names: tuple[str, ...], targets: tuple[str, ...], exogenous: tuple[str, ...]) -> Tuning:
        mixes = bool(exogenous) if self.forecast_mixing is None else self.forecast_mixing
        if exogenous and not mixes:
            raise ValueError("forecast_mixing must not be False with exogenous channels: it is what reads them")
        return Tuning(
            targets=tuple(names.index(name) for name in targets),
            exogenous=tuple(names.index(name) for name in exogenous),
            mixed_channels=len(names) if self.mixing == "mix" else 0,
            forecast_mixing=mixes,
            window=self.window,
            window_mixer=self.window_mixer,
            freeze=self.freeze,
            head_dropout=self.head_dropout if self.tune_head_dropout is None else self.tune_head_dropout,
            epochs=self.tune_epochs,
            patience=self.patience,
            batch_size=self.tune_batch_size,
            learning_rate=self.tune_learning_rate,
            weight_decay=self.weight_decay,
        )

    # -- forecasting ---------------------------------------------------------------------------------------

    def forecast(
        self, x: Any, *, horizon: int | None = None, future: Any = None, period: float = float("nan")
    ) -> Float[np.ndarray, "n h c"]:
        """The next `horizon` points of every series and target, in the units of the series, float64.

        Contexts are read in units of their own (without `adapt`) or of what `adapt` learned from, so that neither
        large nor small units lose digits; the future of a constant one is that constant, without `adapt`.

        Parameters
        ----------
        x : Domain of kind series, or array (n, t, c)
            NaN is a missing value. The last `context` points are read; of a shorter series what there is, at least
            one patch.
        horizon : int, optional
            `self.horizon` if absent. A shorter forecast is the beginning of a longer one; a longer one reads its
            own forecasts.
        future : Domain or array (n, horizon, k)
            The exogenous channels at the times to come, where `adapt` learned from some.
        period : float
            Seconds between two points, where `x` is an array.

        Raises
        ------
        ValueError
            If a series is too short or has no value, channels are not those of `adapt`, or the future of an
            exogenous channel is missing.
        """
        n = self.horizon if horizon is None else horizon
        if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < 1:
            raise ValueError(f"horizon must be an integer of at least 1; got {horizon!r}")
        tuned = "channels_" in vars(self)
        channels = self.channels_ if tuned else None
        arrays, periods, names = read_contexts(x, period, least=self.patch, most=self.context, channels=channels)
        known = known_future(x, future, int(n), len(arrays), self.exogenous_) if tuned else None
        if future is not None and known is None:
            raise ValueError("future is for exogenous channels; none were named when this was adapted")
        past = np.stack([padded(a, self.context) for a in arrays])
        loc, scale = (self.loc_, self.scale_) if tuned else moments(past)
        past = ((past - loc) / np.where(scale > 0, scale, 1)).astype(np.float32)
        ahead = None
        if known is not None:
            k = [names.index(name) for name in self.exogenous_]
            ahead = torch.as_tensor(((known - loc[k]) / scale[k]).astype(np.float32))
        places = [names.index(name) for name in self.targets_] if tuned else list(range(len(names)))
        y = self._rolled(torch.as_tensor(past), torch.tensor(self._tokens(periods)), ahead, int(n), places)
        return y.numpy() * scale[..., places] + loc[..., places]

    def _tokens(self, periods: list[float]) -> list[int]:
        """The resolutions as pretraining knew them; 0 (unknown) for one that it did not see."""
        wanted = [resolution_of(period) for period in periods]
        new = {RESOLUTIONS[token] for token in wanted if token} - set(self.resolutions_)
        if new:
            listed = ", ".join(sorted(new))
            log.warning("pretraining has seen no series of this resolution (%s): taken as unknown", listed)
        return [0 if RESOLUTIONS[token] in new else token for token in wanted]

    @torch.inference_mode()
    def _rolled(
        self, past: Tensor, tokens: Tensor, known: Tensor | None, horizon: int, places: list[int]
    ) -> Float[Tensor, "n h y"]:
        """Step 11: forecasts of `self.horizon` points, each read after the one before, as far as `horizon`."""
        device = torch.device(current().device)
        network: Any = self.network_.to(device).eval()
        size = max(ROWS // past.shape[2], 1)
        rows = []
        for i in range(0, len(past), size):
            x, token = past[i : i + size].to(device), tokens[i : i + size].to(device)
            ahead = None if known is None else known[i : i + size].to(device)
            rows.append(roll(network, x, token, ahead, horizon, places).cpu())
        self.network_.cpu()
        return torch.cat(rows)

    # -- what `unseen forecast` asks -----------------------------------------------------------------------

    @property
    def limits(self) -> Limits:
        """A patch at least, and the context at most."""
        return Limits(least=self.patch, most=self.context, at_once=self.horizon, least_is="a patch of the model")

    @classmethod
    def pretrained(cls) -> Self:
        """Return the model that comes with the package."""
        with resources.as_file(resources.files("unseen.methods.forecasting.ttm").joinpath("checkpoint")) as folder:
            return cls.load(folder)

    def check_ready(self) -> None:
        """Raise `ValueError` unless this is pretrained and not adapted to the channels of some series."""
        super().check_ready()
        if "channels_" in self.fitted:
            names = ", ".join(self.channels_)
            raise ValueError(f"model must be pretrained, not adapted; this one was adapted to the channels {names}")

    def knows_steps(self, series: Domain) -> NDArray[np.bool_]:
        """Which series, (n,), have a resolution that pretraining has seen, or none that anybody knows."""
        known = {RESOLUTIONS[0], *self.resolutions_}
        return np.array([RESOLUTIONS[resolution_of(period)] in known for period in periods_of(series).tolist()])

    def check_tuning(self, settings: Mapping[str, Any]) -> None:
        """Raise `ValueError` if these are not hyperparameters of `adapt` with values that they may have."""
        check_tuning(self, settings)

    def tuned(
        self, series: Domain, *, fraction: float, exogenous: Sequence[str], seed: int, settings: Mapping[str, Any]
    ) -> Self:
        """`adapt` to the series that are long enough, with these hyperparameters; those of this method stay."""
        long = [i for i, x in enumerate(series.x) if len(x) >= self.patch + 2 * self.horizon]
        changed = {"fraction": fraction, "exogenous": tuple(exogenous), "random_state": seed, **settings}
        before = self.get_params()
        try:
            return self.set_params(**changed).adapt(series=series.take(long) if long else series)
        finally:
            self.set_params(**before)
