"""GeneCIS: a combiner of picture and text, trained on triplets that are mined from captions."""

import copy
import dataclasses
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from unseen.data.domain import Domain
from unseen.data.pairs import Pairs
from unseen.data.samplers import Batch, batches, tensor
from unseen.methods.base import Card
from unseen.methods.multimodal.genecis.combiner import Combiner, combiner
from unseen.methods.multimodal.genecis.needs import ComposedTowers
from unseen.methods.multimodal.genecis.parser import rows_of
from unseen.methods.multimodal.genecis.triplets import Triplet, TripletMiner
from unseen.methods.parameters import Count, Natural, NonNegative, Positive, Unit, Within
from unseen.methods.query_composers import Mode, QueryComposer, Question, plain_query
from unseen.nn.contrastive import contrastive
from unseen.nn.dual_encoder import AT_ONCE, DualEncoder, in_parts
from unseen.nn.towers import PrunableTower
from unseen.nn.train import Run, train

Scope = Literal["head", "text", "image-pool", "image-plus-text", "whole"]
LAST_RATE = 1e-3
"""Share of the learning rate in the last epoch."""


class GeneCIS(QueryComposer):
    """Query by a picture and a text that says what of it counts, or changes; learnt from captions alone [1].

    Captions are parsed into relations (subject, relation, object). Two pictures that share a subject and differ in the
    object make a reference and a target, and "relation object" of the target is the condition between them. The
    combiner (and as much of the towers as `scope` says) learns by

        L = CE(s <q(x_ref, t), g_target>),

    over the targets of a batch. Queries find pictures in a collection (`corpus`) by their cosine.

    Parameters
    ----------
    mode : {"combiner", "image", "text", "sum"}
        What is asked with; all but the combiner learn nothing.
    share : float in [0, 1]
        Of the text, where the mode is "sum".
    scope : {"head", "text", "image-pool", "image-plus-text", "whole"}
        What learns beside the combiner: nothing, the text tower, the last pooling of the image tower, this and the last
        block of the text tower, or both towers.
    triplets : int, >= 1
        How many are mined; they are numbered, and each is the same whatever else is mined.
    min_images, min_objects : int, >= 1
        A subject is taken if it occurs in so many pictures, with so many objects.
    threshold : float
        Of the mean concreteness of the nouns of a triplet, where `auxiliary` has ratings.
    held_out : float in [0, 1)
        Share of the triplets, the first, on which the best epoch is chosen; with 0 the last epoch stays.
    text_distractors : bool
        Whether pictures with the target's object and any subject stand among the wrong answers, but for those that
        are right (the target's picture, or one of the same relation); the released code encodes them and leaves them
        out.
    project, hidden : int, >= 1
        Widths of the combiner's layers.
    dropout : float in [0, 1)
        Of the combiner.
    scale : float, > 0
        s.
    learning_rate : float, > 0
        Of AdamW; a cosine by epochs, down to a thousandth.
    weight_decay : float, >= 0
        Of AdamW.
    clip : float, > 0
        Largest norm of the gradient.
    epochs : int, >= 0
        Passes over the triplets; 0 leaves the combiner as it begins.
    batch_size : int, >= 2
        One target alone would be no question.

    Attributes
    ----------
    towers_ : DualEncoder
    combiner_ : Module
    gallery_ : Tensor (N, d)
        Unit vectors of the pictures of the collection, or of the pairs where there is none.
    ids_ : tuple of str
        Of these.
    subjects_ : int
        How many could be mined.
    relations_ : int
        Of all captions.
    history_ : tuple of float
        Recall@1 among the targets of a batch on the triplets that were held out, by epoch; empty where none
        were.

    References
    ----------
    [1] Vaze, Carion, Misra, "GeneCIS: A Benchmark for General Conditional Image Similarity", CVPR 2023.
    """

    card = Card(
        slug="genecis",
        cost=20.0,
        title="GeneCIS: A Benchmark for General Conditional Image Similarity",
        venue="CVPR 2023",
        official_code="facebookresearch/genecis",
        summary="Find pictures by another picture and a text, learnt from captions alone (`unseen find`).",
        unseen={"data"},
        modalities={"features", "image"},
        reads={"auxiliary": {"text"}},
        protocols={"composed"},
        needs=(ComposedTowers(),),
        presets={
            "default": {},
            "features": {
                "scope": "head",
                "project": 128,
                "hidden": 256,
                "dropout": 0.3,
                "learning_rate": 1e-3,
                "epochs": 15,
                "batch_size": 128,
                "scale": 30.0,
                "triplets": 8000,
                "weight_decay": 0.01,
            },
        },
        on_request={"features"},
        smoke={
            "project": 8,
            "hidden": 8,
            "epochs": 2,
            "batch_size": 8,
            "triplets": 32,
            "learning_rate": 1e-3,
            "min_images": 2,
        },
        at_prediction={"share"},
        parts=(
            "unseen.nn.contrastive.contrastive",
            "unseen.evaluation.composed.evaluate_templates",
            "unseen.evaluation.composed_templates.build_templates",
        ),
        left_out=(
            "GeneCIS's own templates (VAW, COCO): their annotations are not free to pass on. "
            "`unseen.evaluation.composed_templates` builds templates of any table of attributes.",
            "Choosing the epoch by CIRR: a share of the triplets stands for it, as CIRR is not at hand.",
            "Mixed precision: `unseen.runtime(precision='bf16')` where a GPU is.",
            "Resized crops of the pictures (scale 0.9 to 1), which frozen features cannot have.",
            "Crops of instances, dilated by 0.7 and padded with black, for the tasks of attributes: templates here are "
            "of whole pictures.",
        ),
        notes=(
            "A scene graph parser of spaCy or of the paper takes the place of `PatternParser` by columns subject, "
            "relation and object of the pairs.",
            "Gradients are clipped as they are, of the combiner, too; the released code clips them scaled, and those "
            "of the encoder alone.",
            "`unseen compose` and `unseen find` give the combiner unit vectors, as encoders keep them; the paper's "
            "combiner reads vectors at their length, as `fit` with a DualEncoder does.",
            "`PatternParser` knows patterns of English captions: of 'a group of people on grass' it takes the group "
            "for the subject ('a photo of' is passed over), and it does not tell nouns from other words.",
            "Targets of a batch that stand in the same relation in other pictures count as wrong, as in the released "
            "code; `text_distractors` leaves such pictures out among the distractors alone.",
            "A batch has each target once where the pool allows it: two equal answers cost log 2 whatever is said.",
        ),
    )

    preset: ClassVar[str] = "features"

    mode: Mode = "combiner"
    share: Unit = 0.5
    scope: Scope = "whole"
    triplets: Count = 1_600_000
    min_images: Count = 5
    min_objects: Count = 2
    threshold: float = 4.8
    held_out: Annotated[float, Within(0, 1, open_high=True)] = 0.1
    text_distractors: bool = False
    project: Count = 2560
    hidden: Count = 5120
    dropout: Annotated[float, Within(0, 1, open_high=True)] = 0.5
    scale: Positive = 100.0
    learning_rate: Positive = 1e-6
    weight_decay: NonNegative = 0.0
    clip: Positive = 1.0
    epochs: Natural = 6
    batch_size: Annotated[int, Within(2)] = 256

    towers_: nn.Module = dataclasses.field(init=False)
    combiner_: nn.Module = dataclasses.field(init=False)

    def fit(
        self, *, pairs: Pairs, model: nn.Module, corpus: Domain | None = None, auxiliary: Domain | None = None
    ) -> Self:
        """Mine triplets and train.

        Parameters
        ----------
        pairs : Pairs
            Pictures (or features that the image tower reads) and their captions. Columns subject, relation and object,
            where they are, stand for the parser.
        model : DualEncoder
            Two towers; a copy learns.
        corpus : Domain
            Pictures to search in; those of the pairs if absent.
        auxiliary : Domain
            Words, with a column ``concreteness`` of ratings from 1 to 5.
        """
        captions = _checked(pairs, model)
        ratings = _ratings(auxiliary)
        towers: Any = copy.deepcopy(model).eval().requires_grad_(False)
        with torch.no_grad():
            dim = int(towers.image(tensor(pairs.left, slice(0, 1))).shape[1])
        head: Any = combiner(dim, self.project, self.hidden, self.dropout)
        self.subjects_, self.relations_ = 0, 0
        self.history_ = ()
        if self.mode == "combiner" and self.epochs:
            rows = rows_of(pairs, captions)
            miner = TripletMiner(rows, self.min_images, self.min_objects, ratings, self.threshold)
            self.subjects_, self.relations_ = len(miner.subjects), len(rows)
            mined = [miner.sample(seed) for seed in range(self.triplets)]
            self._train(towers, head, pairs, mined)
        self.towers_, self.combiner_ = towers.cpu().eval(), head.cpu().eval()
        collection = pairs.left if corpus is None else corpus
        self.gallery_ = self.embed_gallery(collection)
        self.ids_ = tuple(str(name) for name in collection.ids)  # type: ignore[union-attr]
        return self

    def _train(self, towers: Any, head: Combiner, pairs: Pairs, mined: Sequence[Triplet]) -> None:
        """Step 14: encode references, targets and distractors in one pass, texts beside; keep the best epoch."""
        texts = list(dict.fromkeys(["", *(triplet.condition for triplet in mined)]))
        place = {text: i for i, text in enumerate(texts)}
        kinds = {
            edge: i for i, edge in enumerate(dict.fromkeys(row[1:] for t in mined for row in (t.target, t.distractor)))
        }
        table = torch.tensor([
            (t.reference.sample, t.target.sample, t.distractor.sample, place[t.condition], kinds[t.target[1:]],
             kinds[t.distractor[1:]])
            for t in mined
        ])  # fmt: skip
        tokens = towers.tokenize(texts)
        n_held = max(round(self.held_out * len(table)), 1) if self.held_out else 0
        if len(table) - n_held < 2:
            raise ValueError(f"triplets must leave two to learn from beside those held out; got {self.triplets}")
        reads = Reading(towers, pairs.left, tokens, frozen=self.scope == "head")
        trained = [*head.parameters(), *scoped(towers, self.scope)]
        for p in trained:
            p.requires_grad_(True)
        adam = torch.optim.AdamW(trained, lr=self.learning_rate, weight_decay=self.weight_decay)
        learn = Domain(x=np.arange(n_held, len(table))[:, None].astype(np.float32), name="triplets")
        size = min(self.batch_size, len(learn))
        stream, every = batches(learn, size), len(learn) // size

        def objective(batch: Batch, run: Run) -> Tensor:
            head.train()
            rows = table[n_held:][batch.index.cpu()]
            return self._loss(head, reads, unlike_targets(rows))

        @torch.no_grad()
        def score(run: Run) -> float:
            head.eval()
            return self._recall(head, reads, table[:n_held])

        run = train(
            objective,
            name="genecis",
            nets={"combiner": head, "towers": towers},
            optimizers={"adam": adam},
            schedulers={"rate": LambdaLR(adam, lambda number: _rate(number // every, self.epochs))},
            batches=stream,
            epochs=self.epochs,
            steps_per_epoch=every,
            score=score if n_held else None,
            clip=self.clip,
        )
        towers.requires_grad_(False)
        self.history_ = tuple(float(epoch["score"]) for epoch in run.history if n_held)

    def _loss(self, head: Combiner, reads: "Reading", rows: Tensor) -> Tensor:
        """Step 9: s q g^T, with the diagonal right; distractors are further columns where they are asked for."""
        reference, target, distractor, condition, relation, beside = rows.T
        shown = [reference, target, *([distractor] if self.text_distractors else [])]
        vectors = torch.split(reads.pictures(torch.cat(shown)), len(rows))
        q = head(vectors[0], reads.texts(condition))
        logits = self.scale * q @ F.normalize(torch.cat(vectors[1:]), dim=1).T
        if not self.text_distractors:
            return contrastive(logits)
        # no wrong answer: the target itself, and what stands in the same relation
        right = (distractor[None] == target[:, None]) | (beside[None] == relation[:, None])
        left_out = torch.cat([torch.zeros_like(right), right], dim=1).to(logits.device)
        logits = logits.masked_fill(left_out, -torch.inf)
        return F.cross_entropy(logits, torch.arange(len(logits), device=logits.device))

    def _recall(self, head: Combiner, reads: "Reading", rows: Tensor) -> float:
        """Recall@1 among the targets of a batch; equal targets are all right."""
        right = 0
        for part in torch.split(rows, self.batch_size):
            reference, target, _, condition, *_ = part.T
            q = head(reads.pictures(reference), reads.texts(condition))
            nearest = (q @ F.normalize(reads.pictures(target), dim=1).T).argmax(dim=1).cpu()
            right += int((target[nearest] == target).sum())
        return right / len(rows)

    def check_resting(self) -> None:
        """`ValueError` unless the combiner alone learns, and triplets are held out."""
        if self.mode != "combiner" or self.scope != "head":
            raise ValueError(
                "settings: the towers rest here (scope='head'), and a combiner is trained (mode='combiner'); for other "
                "scopes call GeneCIS(scope=...).fit(pairs=..., model=...) in Python"
            )
        if not self.held_out:
            raise ValueError("settings: held_out must be above 0: share and epoch are chosen on the triplets held out")

    def questions(self, pairs: Pairs, auxiliary: Domain | None, most: int) -> list[Question]:
        """The triplets that no weight was learnt from, and the epoch chosen on: the first."""
        rows = rows_of(pairs, [str(text) for text in pairs.right.x])
        miner = TripletMiner(rows, self.min_images, self.min_objects, _ratings(auxiliary), self.threshold)
        n = min(max(round(self.held_out * self.triplets), 1), most)
        return [Question(t.reference.sample, t.condition, t.target.sample) for t in map(miner.sample, range(n))]

    # -- asking --------------------------------------------------------------------------------------------

    def embed_gallery(self, x: Any) -> Float[Tensor, "n d"]:
        """Unit vectors of pictures of a collection."""
        towers: Any = self.towers_
        return F.normalize(_images(towers, x), dim=1)

    @torch.no_grad()
    def embed_query(
        self, x: Any, conditions: Sequence[str], mode: Mode | None = None, share: float | None = None
    ) -> Float[Tensor, "n d"]:
        """Unit vectors of queries: pictures, and a text for each, which may be empty.

        Parameters
        ----------
        x : Domain or Tensor
            Pictures, as the image tower reads them.
        conditions : sequence of str
            One for each; an empty one is the vector of the empty text.
        mode, share
            Others than the method's own.
        """
        towers: Any = self.towers_
        chosen = mode or self.mode
        images = _images(towers, x)
        if len(conditions) != len(images):
            raise ValueError(f"conditions must be a text for each picture, {len(images)}; got {len(conditions)}")
        texts = in_parts(towers.text, towers.tokenize([str(text) for text in conditions]))
        if chosen == "combiner":
            return torch.cat(
                [self.combiner_(a, b) for a, b in zip(torch.split(images, AT_ONCE), torch.split(texts, AT_ONCE))]
            )
        return plain_query(images, texts, chosen, self.share if share is None else share)

    def compose(self, x: Float[Tensor, "n d"], t: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """Unit vectors of queries by the combiner, from vectors of pictures and of texts."""
        query: Tensor = self.combiner_(x, t)
        return query

    def decision_function(self, x: Tensor, conditions: Sequence[str] | None = None) -> Float[Tensor, "n k"]:
        """Cosines of queries with the pictures of the collection, (n, N); without conditions texts are empty."""
        return self.embed_query(x, [""] * len(x) if conditions is None else conditions) @ self.gallery_.T


class Reading:
    """Vectors of pictures and texts by number, before they are brought to unit length.

    Where towers rest, each is read once.
    """

    def __init__(self, towers: Any, pictures: Domain, tokens: Tensor, frozen: bool) -> None:
        self.towers, self.domain, self.tokens = towers, pictures, tokens
        self.x = _images(towers, pictures) if frozen else None
        self.t = in_parts(towers.text, tokens) if frozen else None

    def pictures(self, index: Tensor) -> Tensor:
        """Of the pictures at these places; each is in_parts once."""
        places, back = torch.unique(index, return_inverse=True)
        if self.x is not None:
            return self.x.to(self._place())[places][back]
        return self.towers.image(tensor(self.domain, places.numpy()).to(self._place()))[back]

    def texts(self, index: Tensor) -> Tensor:
        """Of the conditions at these places."""
        places, back = torch.unique(index, return_inverse=True)
        if self.t is not None:
            return self.t.to(self._place())[places][back]
        return self.towers.text(self.tokens[places].to(self._place()))[back]

    def _place(self) -> torch.device:
        return self.towers.logit_scale.device


# -- parts -------------------------------------------------------------------------------------------------


def scoped(towers: DualEncoder, scope: Scope) -> list[nn.Parameter]:
    """The weights of the towers that learn (step 17)."""
    parts: dict[str, list[nn.Module]] = {
        "head": [],
        "text": [towers.text],
        "image-pool": _pool(towers.image),
        "image-plus-text": [*_pool(towers.image), *_last_block(towers.text)],
        "whole": [towers.image, towers.text],
    }
    weights = [p for part in parts[scope] for p in part.parameters()]
    if scope.startswith("image") and isinstance(towers.image, PrunableTower):
        weights.append(towers.image.projection)
    if scope == "image-plus-text" and isinstance(towers.text, PrunableTower):
        weights.append(towers.text.projection)
    return list(dict.fromkeys(weights))


def _pool(image: nn.Module) -> list[nn.Module]:
    """What makes one vector of a picture in the end: a pool by attention, a last norm, or else the last layer."""
    for name in ("attnpool", "last"):
        if hasattr(image, name):
            return [getattr(image, name)]
    return _tail(image)


def _last_block(text: nn.Module) -> list[nn.Module]:
    if isinstance(text, PrunableTower):
        return [text.blocks[-1], text.last]
    return _tail(text)


def _tail(network: nn.Module) -> list[nn.Module]:
    """The last layer that has weights of its own."""
    leaves = [module for module in network.modules() if any(True for _ in module.parameters(recurse=False))]
    return leaves[-1:]


def unlike_targets(rows: Tensor) -> Tensor:
    """Rows of a batch with each target once: the first of those that share one, if two are left."""
    seen, first = set[int](), list[int]()
    for i, target in enumerate(rows[:, 1].tolist()):
        if target not in seen:
            seen.add(target)
            first.append(i)
    return rows[first] if len(first) > 1 else rows


def _rate(epoch: int, epochs: int) -> float:
    return LAST_RATE + (1 - LAST_RATE) * 0.5 * (1 + float(np.cos(np.pi * epoch / max(epochs, 1))))


@torch.no_grad()
def _images(towers: Any, x: Any) -> Tensor:
    """Vectors of pictures by the image tower, some at a time."""
    n = len(x)
    read = (
        tensor(x, slice(i, i + AT_ONCE)) if isinstance(x, Domain) else x[i : i + AT_ONCE] for i in range(0, n, AT_ONCE)
    )
    return torch.cat([towers.image(part.to(towers.logit_scale.device)) for part in read])


def _checked(pairs: Pairs, model: nn.Module) -> list[str]:
    """The captions of pairs, found to be of pictures; and the model to be two towers."""
    if not isinstance(model, DualEncoder):
        raise TypeError(f"model must be a DualEncoder of two towers; got {type(model).__name__}")
    if pairs.right.kind != "text" or pairs.left.kind not in ("features", "image"):
        raise ValueError(f"pairs must be of pictures and texts; got {pairs.left.kind} and {pairs.right.kind}")
    if len(pairs) < 2:
        raise ValueError(f"pairs must be at least two; got {len(pairs)}")
    return [str(text) for text in pairs.right.x]


def _ratings(auxiliary: Domain | None) -> dict[str, float] | None:
    if auxiliary is None:
        return None
    column = auxiliary.columns.get("concreteness")
    if column is None or column.dtype.kind not in "fiu" or not np.isfinite(column).all():
        raise ValueError("auxiliary must be words with a column concreteness of numbers from 1 to 5")
    return {str(word).lower(): float(value) for word, value in zip(auxiliary.x, column)}
