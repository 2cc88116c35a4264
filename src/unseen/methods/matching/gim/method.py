"""The method: label near frames by several matchers, carry labels to far frames, learn from those."""

from __future__ import annotations

import copy
import functools
import logging
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self

import numpy as np
from torch import nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import MultiStepLR

from unseen.data.domain import Domain
from unseen.methods.base import Card
from unseen.methods.matching.gim.augment import Photometric
from unseen.methods.matching.gim.propagation import WHY, FarPair, Limits, far_pairs
from unseen.methods.matching.gim.sampling import (
    FramePairs,
    Strength,
    Video,
    from_videos,
    mixed,
    reader,
    spread,
    videos_of,
)
from unseen.methods.matching.matcher import PairMatcher
from unseen.methods.matching.minima.sampling import Photographs, read_pictures
from unseen.methods.matching.needs import AMatcher, FramesOfVideos
from unseen.methods.matching.tuning import tune
from unseen.methods.parameters import Count, NonNegative, Positive, Unit, Within
from unseen.nn.matchers import dense, matcher
from unseen.nn.protocols import TrainableMatcher
from unseen.nn.state import digest
from unseen.nn.train import Run
from unseen.nn.video_matches import Settings, check_labelers, match_video
from unseen.runtime import current

log = logging.getLogger(__name__)

MILESTONES = (0.3, 0.6, 0.9)
"""Shares of the steps after which the learning rate is multiplied by `decay`."""
FEW_TRIED = 8
"""Pairs below which a video is said to have too few frames."""
SUITED = "A video must go on without cuts, and show something with texture"


class Labelled(NamedTuple):
    """Far pairs with the number of their video, those that were dropped and why, and how many of what."""

    pairs: list[tuple[int, FarPair]]
    dropped: list[dict[str, Any]]
    counts: dict[str, int]


class GIM(PairMatcher):
    """Make a matcher better by ordinary videos [1].

    Near frames of a video look alike, so that several matchers find the same places in them. What each finds is fitted
    robustly, and chained over the frames between to frames far apart, which look so unlike that no matcher would have
    found it. The matcher learns from those by its own loss, from its published weights, beside warped photographs.

    Parameters
    ----------
    gaps : tuple of int
        Frames between two that are matched: each the double of the one before.
    sizes : tuple of float
        Sizes at which frames are matched, of that of the video.
    reach : int
        Largest gaps between far frames, at most: labels go as far as they can.
    labels : int
        Most points of a frame while labels are made.
    label_geometry : {"fundamental", "homography"}
        What labels of two frames must agree with: a homography holds for flat scenes and turned cameras only.
    label_threshold : float, > 0
        Pixels that a label may be off.
    direct, linked, final : int
        Least labels: of each matcher over a largest gap; after each link; of a pair of far frames.
    rounds : int
        How often labels are made and learnt from; after the first round the tuned matcher makes them.
    video : float in [0, 1]
        Share of each batch that comes from videos; the rest are warped photographs, against forgetting.
    steps, batch_size : int
        Steps of training in each round, and pairs of each.
    side : int, >= 64
        Pixels of a side of the crops, a multiple of 32.
    points : int
        Most labelled points of a pair.
    learning_rate, weight_decay : float
        Of AdamW.
    decay : float in [0, 1]
        By which the learning rate is multiplied after 30, 60 and 90 percent of the steps.
    left, right : (float, float)
        Ranges of the scale of the earlier and of the later frame.
    perspective, warp : float in [0, 0.4]
        How far corners of crops of frames, and of photographs, are moved, of their side.
    turn : float, >= 0
        Degrees by which photographs are turned either way.
    flip : float in [0, 1]
        How often a frame is turned by 180 degrees.
    light : {"dark", "mobile", "none"}
        How light is changed in every other picture.
    clip : float, > 0
        Largest norm of a gradient.
    longest : int, >= 32
        Pixels of the longer side above which a picture is made smaller before it is matched.
    rotations : {False, True, "auto"}
        Whether the second picture is tried turned by quarters: never, always, or where nothing is found upright.
    renderings : bool
        Whether pictures are tried inverted and as gradients, too; most inliers win.
    sift_first : bool
        Whether SIFT is asked before, and has the say where enough of its matches agree.
    geometry : {"homography", "fundamental"}
        What matches must agree with where several ways are tried.
    threshold : float, > 0
        Pixels that an inlier may be off.

    References
    ----------
    [1] Shen et al., "GIM: Learning Generalizable Image Matcher From Internet Videos", ICLR 2024, section 3.
    """

    card = Card(
        slug="gim",
        title="GIM: Learning Generalizable Image Matcher From Internet Videos",
        venue="ICLR 2024",
        official_code="xuelunshen/gim",
        summary="Make a matcher of pictures better by ordinary videos, without any label.",
        unseen={"domains"},
        modalities={"image"},
        protocols={"matching"},
        task="matches",
        needs=(AMatcher(), FramesOfVideos()),
        at_prediction={"longest", "rotations", "renderings", "sift_first", "geometry", "threshold"},
        presets={"default": {}, "flat": {"label_geometry": "homography"}},
        smoke={
            "gaps": (1, 2),
            "sizes": (1.0,),
            "reach": 2,
            "direct": 4,
            "linked": 4,
            "final": 4,
            "steps": 2,
            "batch_size": 2,
            "side": 64,
            "points": 40,
            "label_geometry": "homography",
            "labels": 100,
            "label_threshold": 3.0,
            "perspective": 0.02,
        },
        commands=("unseen match learn walk.mp4 --model my-matcher", "unseen match bench pairs.csv --with xfeat,sift"),
        parts=(
            "unseen.data.frames",
            "unseen.data.simulate.flights",
            "unseen.nn.video_matches",
            "unseen.nn.two_view",
            "unseen.evaluation.zeb",
            "unseen.jobs.matching.learning",
            "unseen.jobs.matching.bench",
        ),
        notes=(
            "Labels are made by the matcher itself and SIFT, or by `teachers`; the released run has four matchers.",
            "Gaps are 2, 4 and 8 frames in place of 10, 20 and 40, links ask for 32 labels in place of 1,024: for "
            "points, not for dense matches.",
            "A frame is matched whole at either size; the released code cuts the second one out about the labels of "
            "the first.",
            "Where a segment has neither direct nor carried labels the walk ends there; the released code goes on and "
            "would chain frames that are not the same.",
            "A pair is dropped where a matcher has few labels of the largest gap; the released code asks for those of "
            "the gaps below, and of the segments that follow, too. Here the walk finds out: without them it has no "
            "chain, and ends.",
            "Night changes value, not hue and saturation as the released code does, too: the matchers that learn here "
            "read grey pictures.",
            "Pixels of the frame between are keys by both coordinates, so that no two collide.",
            "On flights over five photographs that development had not seen (200 steps on four short flights; "
            "confirmed once) XFeat gained nothing: .12 of distant frames after it, .16 before, .15 after the same "
            "steps on strongly warped photographs, .29 by SIFT. On development photographs it had gained .08.",
            "The loss is that of the matcher (dual softmax for XFeat). Of each square of 4 pixels one label is used, "
            "so that no place is called wrong for itself.",
            "Widths of blurs are to our crops what the released ones are to pictures of 840 pixels.",
        ),
        left_out=(
            "LoFTR and DKM as what learns: their training code and GPU weeks are not here; the protocol "
            "`TrainableMatcher` takes them.",
            "The semantic segmentation that masks sky and people: no network of that kind ships; "
            "`unseen.nn.video_matches.match_video` takes a mask as a function.",
            "50 and 100 hours of videos, and the twelve data sets of ZEB: `unseen match bench` reads your copy of them "
            "as a table of pairs with cameras.",
        ),
        cost=240.0,
    )

    gaps: tuple[int, ...] = (2, 4, 8)
    sizes: tuple[float, ...] = (1.0, 0.75)
    reach: Count = 4
    labels: Count = 4096
    label_geometry: Literal["fundamental", "homography"] = "fundamental"
    label_threshold: Positive = 1.0
    direct: Count = 16
    linked: Count = 32
    final: Count = 64
    rounds: Count = 1
    video: Unit = 0.5
    steps: Count = 300
    batch_size: Count = 4
    side: Annotated[int, Within(64)] = 192
    points: Count = 300
    learning_rate: Positive = 2e-4
    weight_decay: NonNegative = 0.1
    decay: Unit = 0.5
    left: tuple[float, float] = (0.6, 1.0)
    right: tuple[float, float] = (1.0, 1.4)
    perspective: Annotated[float, Within(0, 0.4)] = 0.1
    warp: Annotated[float, Within(0, 0.4)] = 0.15
    turn: NonNegative = 10.0
    flip: Unit = 0.0
    light: Photometric = "dark"
    clip: Positive = 1.0

    def fit(
        self,
        *,
        source: Domain,
        model: nn.Module,
        teachers: Mapping[str, nn.Module] | None = None,
        auxiliary: Domain | None = None,
    ) -> Self:
        """Learn from frames of videos.

        `source` are frames, with the columns video and frame where they are of several videos. `teachers` are matchers
        that label beside the model; SIFT if there are none. `auxiliary` are photographs, warped beside the frames; the
        frames themselves if there are none.
        """
        self._check()
        if not isinstance(model, TrainableMatcher):
            raise TypeError(
                "model must be a matcher that can be tuned, such as unseen.nn.matchers.matcher('xfeat'); a "
                f"{type(model).__name__} has no matching_loss"
            )
        beside = dict(teachers) if teachers else {"sift": matcher("sift", points=self.labels)}
        check_labelers(beside)
        if "model" in beside:
            raise ValueError("teachers must not be called 'model', as what learns is; name it otherwise")
        videos = videos_of(source)
        if self.video:
            self._check_lengths(videos)
        network = copy.deepcopy(model).eval()  # BatchNorm stays as it was
        still = self._stills(source, auxiliary) if self.video < 1 else None
        losses: dict[str, list[float]] = {}
        for k in range(self.rounds):
            labelled = self._label(source, videos, {"model": dense(network, self.labels), **beside})
            run = self._train(network, FramePairs(reader(source, videos), labelled.pairs, self._strength()), still, k)
            for name in sorted({key for epoch in run.history for key in epoch if key.startswith("loss ")}):
                losses.setdefault(name.removeprefix("loss "), []).extend(
                    epoch.get(name, np.nan) for epoch in run.history
                )
        self.network_ = network
        self.counts_ = labelled.counts
        self.pairs_ = [
            {
                "video": videos[v].name, "first": pair.first, "last": pair.last, "labels": len(pair.rows),
                "links": pair.links, "inliers": pair.inliers, "overlap": pair.overlap,
            }
            for v, pair in labelled.pairs
        ]  # fmt: skip
        self.dropped_ = labelled.dropped
        self.losses_ = {name: np.array(values) for name, values in losses.items()}
        return self

    def _check(self) -> None:
        if not self.gaps or any(b != 2 * a for a, b in zip(self.gaps, self.gaps[1:])) or self.gaps[0] < 1:
            raise ValueError(f"gaps must begin with 1 or more, each the double of the one before; got {self.gaps}")
        if not self.sizes or not all(0.1 <= size <= 4 for size in self.sizes):
            raise ValueError(f"sizes must hold numbers in [0.1, 4]; got {self.sizes}")
        for name, (low, high) in {"left": self.left, "right": self.right}.items():
            if not 0.1 <= low <= high <= 4:
                raise ValueError(f"{name} must be a range within [0.1, 4]; got {(low, high)}")
        if self.side % 32:
            raise ValueError(f"side must be a multiple of 32; got {self.side}")
        n = from_videos(self.video, self.batch_size)
        if not (n == 0) == (self.video == 0) or not (n == self.batch_size) == (self.video == 1):
            raise ValueError(
                f"video must give a batch of {self.batch_size} pairs some of videos and some of photographs, or be 0 "
                f"or 1; got {self.video}, which gives {n} of videos"
            )

    def _check_lengths(self, videos: list[Video]) -> None:
        """Tell videos in which no two frames are a largest gap apart; raise if there is no other."""
        largest = self.gaps[-1]
        short = [f"{video.name!r} has {len(video.frames)} frames" for video in videos if len(video.frames) <= largest]
        message = (
            f"videos must have more frames than the largest gap of {largest}; {'; '.join(short[:3])}: a larger `rate` "
            "gives more frames a second, smaller gaps need fewer"
        )
        if len(short) == len(videos):
            raise ValueError(f"source, {message}")
        if short:
            log.warning("%d of %d videos are left out: %s", len(short), len(videos), message)

    def _stills(self, source: Domain, auxiliary: Domain | None) -> Photographs:
        """What is warped: photographs, or some of the frames."""
        if auxiliary is None:
            frames: list[Any] = [source.x[i] for i in spread(len(source))]
            return Photographs(read_pictures(frames), self.warp, self.turn)
        return Photographs(read_pictures(auxiliary.x), self.warp, self.turn)

    def _strength(self) -> Strength:
        return Strength(self.left, self.right, self.perspective, self.flip, self.light)

    def _label(self, source: Domain, videos: list[Video], matchers: Mapping[str, nn.Module]) -> Labelled:
        """Far pairs of all videos, and what became of every pair that was tried; nothing where videos have no share."""
        if not self.video:
            return Labelled([], [], {})
        settings = Settings(self.gaps, self.sizes, self.label_geometry, self.label_threshold)
        limits = Limits(self.direct, self.linked, self.final, self.label_geometry, self.label_threshold)
        read = reader(source, videos)
        counts: Counter[str] = Counter()
        pairs: list[tuple[int, FarPair]] = []
        lost: list[dict[str, Any]] = []
        for v, video in enumerate(videos):
            if len(video.frames) <= self.gaps[-1]:
                continue
            shape = read(v, 0).shape
            other = next((t for t in range(len(video.frames)) if read(v, t).shape != shape), None)
            if other is not None:
                raise ValueError(
                    f"source, video {video.name!r}: frames must be of one size (height, width); frame 0 has "
                    f"{shape[:2]}, frame {other} {read(v, other).shape[:2]}"
                )
            keep = None
            if current().folder is not None:
                seen = digest([*source.take(list(video.frames)).digests()])
                keep = Path(current().folder) / "labels" / seen  # type: ignore[arg-type]
            store = match_video(
                functools.partial(read, v), len(video.frames), matchers, settings, keep=keep, label=video.name
            )
            for name in matchers:
                counts[f"labels of near frames, {name}"] += store.count(name)
            kept, dropped = far_pairs(store, self.reach, limits, (shape[1], shape[0]))
            counts["frames"] += len(video.frames)
            counts["pairs tried"] += len(kept) + len(dropped)
            counts["pairs kept"] += len(kept)
            counts["labels of far frames"] += sum(len(pair.rows) for pair in kept)
            counts.update(f"dropped: {pair.why}" for pair in dropped)
            pairs += [(v, pair) for pair in kept]
            lost += [{"video": video.name, **pair._asdict()} for pair in dropped]
        if not pairs:
            raise ValueError(no_labels(self, counts))
        return Labelled(pairs, lost, dict(counts))

    def _train(self, network: Any, far: FramePairs, still: Photographs | None, k: int) -> Run:
        """AdamW on the matcher's own loss; losses are told for videos and for photographs."""
        optimizer = AdamW(network.tuned(), lr=self.learning_rate, weight_decay=self.weight_decay)
        falling = MultiStepLR(optimizer, [max(1, round(share * self.steps)) for share in MILESTONES], self.decay)
        cuts: dict[str, Any] = {"side": self.side, "batch_size": self.batch_size, "points": self.points}

        return tune(
            network, optimizer, falling,
            lambda rng: mixed(far if far.pairs else None, still, self.video, self.light, rng, **cuts),
            name=f"tune {k}" if k else "tune", steps=self.steps, clip=self.clip,
        )  # fmt: skip


def no_labels(method: GIM, counts: Mapping[str, int]) -> str:
    """What is said where labels reached no frames far apart: what was tried, the likely cause, and what to change."""
    tried = counts.get("pairs tried", 0)
    lost = sorted(((n, why) for why in WHY if (n := counts.get(f"dropped: {why}", 0))), reverse=True)
    said = "; ".join(f"{n:,}, as {WHY[why]}" for n, why in lost)
    text = (
        f"no labels reached frames far apart: of {counts.get('frames', 0):,} frames {tried:,} "
        f"{'pair was' if tried == 1 else 'pairs were'} tried. {f'Dropped: {said}. ' if said else ''}The likely cause "
        "is that "
    )
    if lost and lost[0][1] == "few labels left" and method.final > 1:
        return (
            f"{text}fewer than {method.final} labels agreed: ask for fewer (`settings` 'final={method.final // 2}'), "
            "or, where the scene is flat or the camera only turns, `settings` label_geometry=homography"
        )
    few = "too few frames were taken, so that " if tried < FEW_TRIED else ""
    change = f"{few}too much changes within {method.gaps[-1]} of them: take more a second (a larger `rate`)"
    nearer = [gap // 2 for gap in method.gaps] if method.gaps[0] > 1 else [*method.gaps[:-1]]
    if len(set(nearer)) < max(len(nearer), 1):
        return f"{text}{change}. {SUITED}"
    change += f", or match nearer ones (`settings` 'gaps=[{','.join(map(str, nearer))}]')"
    return text + change if few else f"{text}{change}. {SUITED}"
