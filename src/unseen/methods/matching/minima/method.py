"""The method: photographs become pairs of two modalities with labels for nothing, and a matcher is tuned on them."""

from __future__ import annotations

import copy
import functools
from pathlib import Path
from typing import Annotated, Any, Literal, Self, overload

import numpy as np
from torch import nn
from torch.optim import Adam
from torch.optim.lr_scheduler import LambdaLR

from unseen.data.domain import Domain
from unseen.data.pairs import Pairs
from unseen.data.simulate.modalities import modality
from unseen.methods.base import Card
from unseen.methods.matching.matcher import PairMatcher
from unseen.methods.matching.minima.sampling import (
    Photographs,
    Pool,
    Posed,
    Sampler,
    batches_of,
    read_pairs,
    read_pictures,
)
from unseen.methods.matching.needs import AMatcher
from unseen.methods.matching.tuning import Batch, tune
from unseen.methods.parameters import Count, NonNegative, Positive, Unit, Within
from unseen.nn.protocols import TrainableMatcher
from unseen.nn.train import Run
from unseen.runtime import current

FOLDS = 0.4
"""A warp from which on some random homographies fold or mirror the picture."""
DEFAULT = ("visible", "visible", "event", "sketch", "infrared", "normal")
"""What is drawn from; what stands twice is drawn twice as often."""
RELEASED = ("visible", "infrared", "depth", "normal")
"""The list of the released configurations."""
ALL = ("visible", "infrared", "depth", "event", "normal", "sketch", "paint")
"""The seven of the paper."""


class MINIMA(PairMatcher):
    """Tune a matcher on photographs that are rendered in many modalities [1].

    Ordinary photographs are labelled by what was done to them, a random homography, or by known poses. One side of a
    pair is rendered as another sensor might have seen it, pixel by pixel in place, and so inherits the labels. The
    matcher learns on such pairs by its own loss, from its published weights.

    Parameters
    ----------
    modalities : tuple of str
        What is drawn for each pair (`unseen.data.simulate.modalities`); a name that stands twice is drawn twice as
        often. ``visible`` should be among them: it keeps what the matcher knew.
    pairing : {"visible-x", "any-any"}
        One side alone is replaced; or both sides are drawn, as the paper's text has it.
    weights : tuple of float
        How often each modality is drawn; all alike if empty.
    steps, batch_size : int
        Steps of training, and pairs of each.
    side : int, >= 64
        Pixels of a side of the crops, a multiple of 32.
    points : int
        Most labelled points of a pair.
    learning_rate : float, > 0
        Of Adam, from its first step straight down to 0.
    warp : float in [0, 0.4]
        How far corners are moved by a random homography, of the crop's side.
    turn : float, >= 0
        Degrees by which the second crop is turned either way, beside.
    clip : float, > 0
        Largest norm of a gradient.
    validation : float in [0, 1]
        Share of the photographs on which, both sides visible, the best moment is chosen; 0 trains to the end.
    longest : int, >= 32
        Pixels of the longer side above which a picture is made smaller before it is matched.
    rotations : {False, True, "auto"}
        Whether the second picture is tried turned by quarters: never, always, or where nothing is found upright.
    renderings : bool
        Whether both pictures are tried inverted and as gradients, too; most inliers win.
    sift_first : bool
        Whether SIFT is asked before, and has the say where enough of its matches agree.
    geometry : {"homography", "fundamental"}
        What matches must agree with where several ways are tried.
    threshold : float, > 0
        Pixels that an inlier may be off.

    References
    ----------
    [1] Ren et al., "MINIMA: Modality Invariant Image Matching", CVPR 2025, sections 3 and 4.
    """

    card = Card(
        slug="minima",
        title="MINIMA: Modality Invariant Image Matching",
        venue="CVPR 2025",
        official_code="LSXI7/MINIMA",
        summary="Match pictures of unlike modalities by a matcher that is tuned on rendered photographs.",
        unseen={"modalities"},
        modalities={"image"},
        protocols={"matching"},
        task="matches",
        needs=(AMatcher(),),
        at_prediction={"longest", "rotations", "renderings", "sift_first", "geometry", "threshold"},
        presets={"default": {}, "released": {"modalities": RELEASED}, "seven": {"modalities": ALL}},
        on_request={"released", "seven"},
        smoke={"steps": 2, "batch_size": 2, "side": 64, "points": 40},
        commands=("unseen match a.jpg b.jpg --out matches.html", "unseen match a b --tune photographs --model matcher"),
        parts=(
            "unseen.data.simulate.modalities",
            "unseen.data.homographies",
            "unseen.nn.matchers",
            "unseen.nn.xfeat",
            "unseen.nn.glue_loss",
            "unseen.nn.two_view",
            "unseen.evaluation.tasks.matches",
            "unseen.jobs.matching.job",
        ),
        notes=(
            "The engine's events are the published simulation. Its five networks (StyleBooth tuned on infrared pairs, "
            "Depth-Anything-V2, DSINE, Anime2Sketch, PaintTransformer) have stand-ins, functions of the picture and "
            "a seed; `register_modality` puts a network in the place of one.",
            "What is tuned is XFeat, whose heads that find points stay, BatchNorm as it was; or LightGlue on frozen "
            "XFeat (`matcher('xfeat+lighterglue')`). Any network with `matching_loss` and `tuned` is tuned "
            "likewise.",
            "Pictures become grey by luma after the engine; XFeat itself averages channels, which makes both colours "
            "of events one grey.",
            "Confirmed twice, on other photographs each: with one pair of a photograph and a modality, which other "
            "processors repeat only in part, then with four. Then it gains .10 over the published weights where it saw "
            "modalities rendered, and nothing over raw, inverted and gradient pictures of the untuned matcher.",
            "`visible` stands twice in the default list: a third of the pairs stay as they were.",
        ),
        left_out=(
            "Losses of LoFTR and RoMa: their training sets and GPU weeks are not here; the protocol `TrainableMatcher` "
            "takes them.",
            "MegaDepth rendered six times (MD-syn, 480 million pairs): photographs with random homographies, or posed "
            "pairs of your own with the column matches.",
            "AUC at 20 pixels and means over scenes; a filter of posed labels by depth; LightGlue on posed pairs "
            "with depth (its labels are taken from one homography); SuperPoint, in whose place XFeat stands; other "
            "rates for early layers.",
            "Tests on METU-VisTIR, DIODE, DSEC and MMIM: no package ships them. Their homographies are read by "
            "`unseen.data.homographies.from_one_based`; pose AUC needs cameras that none of our data has.",
        ),
        cost=120.0,
    )

    modalities: tuple[str, ...] = DEFAULT
    pairing: Literal["visible-x", "any-any"] = "visible-x"
    weights: tuple[float, ...] = ()
    steps: Count = 400
    batch_size: Count = 4
    side: Annotated[int, Within(64)] = 192
    points: Count = 300
    learning_rate: Positive = 2e-4
    warp: Unit = 0.15
    turn: NonNegative = 10.0
    clip: Positive = 1.0
    validation: Unit = 0.0

    @overload
    def fit(self, *, source: Domain, model: nn.Module) -> Self: ...
    @overload
    def fit(self, *, pairs: Pairs, model: nn.Module) -> Self: ...
    def fit(self, *, model: nn.Module, source: Domain | None = None, pairs: Pairs | None = None) -> Self:
        """Tune the matcher on photographs (`source`; their labels play no part) or on posed pairs with matches.

        `pairs` have a column ``matches`` with rows of x, y on the left and x, y on the right, (k, 4), for each pair.
        """
        self._check()
        if not isinstance(model, TrainableMatcher):
            raise TypeError(
                "model must be a matcher that can be tuned, such as unseen.nn.matchers.matcher('xfeat'); a "
                f"{type(model).__name__} has no matching_loss"
            )
        learn, held = self._pools(source, pairs)
        network = copy.deepcopy(model).eval()  # BatchNorm stays as it was
        run = self._train(network, learn, held)
        self.network_ = network
        self.losses_ = {
            key.removeprefix("loss "): np.array([epoch.get(key, np.nan) for epoch in run.history])
            for key in sorted({key for epoch in run.history for key in epoch if key.startswith("loss ")})
        }
        return self

    def _check(self) -> None:
        if not self.modalities:
            raise ValueError("modalities must hold at least one; it is empty")
        for name in self.modalities:
            if not modality(name).aligned:
                raise ValueError(f"modalities must keep pixels in place, or labels are lost; {name!r} does not")
        if self.warp > FOLDS:
            raise ValueError(f"warp must be at most {FOLDS}, beyond which pictures fold; got {self.warp}")
        if self.weights and (
            len(self.weights) != len(self.modalities) or min(self.weights) < 0 or not sum(self.weights)
        ):
            raise ValueError(
                f"weights must be {len(self.modalities)} numbers, none negative and not all 0; got {self.weights}"
            )
        if self.side % 32:
            raise ValueError(f"side must be a multiple of 32; got {self.side}")

    def _pools(self, source: Domain | None, pairs: Pairs | None) -> tuple[Pool, Pool | None]:
        """What is learned from, and what is held out for validation, whole photographs or pairs."""
        cache = None if current().folder is None else Path(current().folder) / "renderings"  # type: ignore[arg-type]
        if source is not None:
            pictures = read_pictures(source.x)
            pool: Any = functools.partial(Photographs, warp=self.warp, turn=self.turn, cache=cache)
            table: list[Any] = list(zip(pictures))
        else:
            assert pairs is not None
            posed = read_pairs(pairs)
            pool = functools.partial(Posed, cache=cache)
            table = list(zip(posed.left, posed.right, posed.matches))
        order = np.random.default_rng(self.random_state).permutation(len(table)).tolist()
        n = min(round(self.validation * len(table)), len(table) - 1)
        parts = [[table[i] for i in sorted(part)] for part in (order[n:], order[:n])]
        return pool(*zip(*parts[0])), pool(*zip(*parts[1])) if parts[1] else None

    def _train(self, network: Any, learn: Pool, held: Pool | None) -> Run:
        """Adam on the matcher's own loss; losses are told for each modality."""
        sampler = Sampler(self.modalities, self.pairing, self.weights)
        cuts: dict[str, Any] = {"side": self.side, "batch_size": self.batch_size, "points": self.points}
        optimizer = Adam(network.tuned(), lr=self.learning_rate)
        falling = LambdaLR(optimizer, lambda step: max(0.0, 1 - step / self.steps))

        def score(run: Run) -> float:
            assert held is not None
            batches = batches_of(held, sampler, np.random.default_rng(0), **cuts, visible=True)
            losses = [objective_of(network, next(batches)) for _ in range(max(1, len(learn) // self.batch_size))]
            return -float(np.mean(losses))

        return tune(
            network, optimizer, falling, lambda rng: batches_of(learn, sampler, rng, **cuts),
            name="tune", steps=self.steps, clip=self.clip, score=score if held is not None else None,
        )  # fmt: skip


def objective_of(network: Any, batch: Batch) -> float:
    """The mean loss of a batch, without a gradient."""
    device = next(network.parameters()).device
    return float(network.matching_loss(*(part.to(device) for part in batch[:4])).detach().mean())
