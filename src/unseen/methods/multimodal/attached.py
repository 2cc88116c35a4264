"""A modality beside a frozen tower: pairs as both sides read them, and how what was attached is asked."""

import dataclasses
from typing import Any, Literal, NamedTuple, Self

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain, Lazy
from unseen.data.pairs import Pairs
from unseen.data.samplers import tensor
from unseen.methods.base import Method, NotFittedError
from unseen.methods.needs import Given, Need
from unseen.nn.dual_encoder import feature_head, in_parts, named_classes, perceptron
from unseen.runtime import reproducible

ANSWERS = 1000
"""Distinct frozen vectors of the pairs, the first, that stand for classes where none are named."""
OTHER = {"left": "right", "right": "left"}


class Sides(NamedTuple):
    """Pairs as the two towers read them."""

    frozen: Tensor
    """What the frozen tower gave, of unit length, (n, d)."""
    trained: Domain
    """What the other tower reads."""


class Attached(Method):
    """What is common to all that attaches a modality to a frozen tower, whose vectors are read as they are.

    Parameters
    ----------
    frozen : {"left", "right"}
        Which side of the pairs holds vectors of the frozen tower (U); the other is learnt (V).
    asked : {"trained", "frozen"}
        Which side's samples are predicted; classes are told by vectors of the other one.

    Attributes
    ----------
    network_ : Module
        From what the trained side holds to the shared space.
    projection_ : Module or None
        From the frozen tower's vectors to the shared space, where that is another one.
    scale_ : float
        Factor of cosines.
    answers_ : Tensor (k, d)
        Unit vectors of what can be predicted: the classes that `adapt` named, or distinct samples of the pairs.
    answer_rows_ : array (k,)
        Which pairs these are; empty where classes were named.
    """

    frozen: Literal["left", "right"] = "right"
    asked: Literal["trained", "frozen"] = "trained"

    network_: nn.Module = dataclasses.field(init=False)

    def adapt(self, *, classes: ClassSpace) -> Self:
        """Name what is asked about.

        Parameters
        ----------
        classes : ClassSpace
            With embeddings (k, d) in the shared space: what `transform` gives for texts of classes. The mean of unit
            vectors over several templates is such an embedding.
        """
        self.answers_ = self._named(classes)
        self.answer_rows_ = np.empty(0, dtype=np.int64)
        return self

    def transform(self, x: Any, side: str = "trained") -> Float[Tensor, "n d"]:
        """Unit vectors of samples of a side in the shared space, (n, d)."""
        if side not in ("trained", "frozen"):
            raise ValueError(f"side must be 'trained' or 'frozen'; got {side!r}")
        if "widths_" not in vars(self):
            raise NotFittedError(f"this {type(self).__name__} has not been fitted; call fit first")
        learnt = side == "trained"
        width = self.widths_[0] if learnt else self.widths_[1]
        samples = samples_of(x, width or None, side)
        with torch.no_grad():
            return F.normalize(in_parts(self._tower(learnt), samples), dim=1)

    def decision_function(self, x: Any, classes: ClassSpace | None = None) -> Float[Tensor, "n k"]:
        """s <z, w_k>, (n, k): of the classes that are named here, or by `adapt`, or of distinct samples of the pairs.

        Parameters
        ----------
        x : Tensor
            Samples of the side that is `asked`.
        classes : ClassSpace, optional
            With embeddings in the shared space.
        """
        w = self.answers_ if classes is None else self._named(classes)
        return self.scale_ * F.normalize(in_parts(self._tower(self.asked == "trained"), x), dim=1) @ w.T

    def predict_proba(self, x: Any, classes: ClassSpace | None = None) -> Float[Tensor, "n k"]:
        """Probabilities of the classes, (n, k)."""
        return torch.softmax(self.decision_function(x, classes), dim=1)

    def predict(self, x: Any, classes: ClassSpace | None = None) -> NDArray[np.int64]:
        """Index of the likeliest class, (n,)."""
        return self.decision_function(x, classes).argmax(dim=1).numpy()

    def network(self) -> nn.Module:
        """The tower of the side that is asked, with the vectors of what can be predicted."""
        k, dim = self.answers_.shape
        classifier = named_classes(self._tower(self.asked == "trained"), k, dim, self.scale_)
        classifier.weights.copy_(self.answers_)
        return classifier

    # -- for those who learn -------------------------------------------------------------------------------

    def _sides(self, pairs: Pairs) -> Sides:
        """The pairs, found to be such that something can be learnt from them."""
        return checked_sides(pairs, self.frozen)

    def _settled(self, sides: Sides, network: nn.Module, projection: nn.Module | None, scale: float) -> Self:
        """Keep what was learnt, and distinct samples as what can be predicted."""
        for net in (network, projection):
            if net is not None:
                net.requires_grad_(True).eval().cpu()
        self.network_, self.projection_, self.scale_ = network, projection, scale
        self.widths_ = (_width(sides.trained), sides.frozen.shape[1])
        n_asked = self.widths_[0] if self.asked == "trained" else self.widths_[1]
        if n_asked:
            self.n_features_in_ = n_asked
        of_frozen = self.asked == "trained"
        rows = distinct(sides.frozen if of_frozen else None, sides.trained, ANSWERS)
        samples: Any = sides.frozen[rows] if of_frozen else sides.trained.take(rows)
        self.answers_ = self.transform(samples, "frozen" if of_frozen else "trained")
        self.answer_rows_ = rows
        return self

    def _tower(self, learnt: bool) -> nn.Module:
        if learnt:
            return self.network_
        return perceptron((self.widths_[1],)) if self.projection_ is None else self.projection_

    def _named(self, classes: ClassSpace) -> Tensor:
        dim = self.answers_.shape[1]
        if classes.embeddings is None:
            raise ValueError(f"classes must carry embeddings of {dim} dimensions, as `transform` gives; they have none")
        if classes.embeddings.shape[1] != dim:
            raise ValueError(f"classes must carry embeddings of {dim} dimensions; got {classes.embeddings.shape[1]}")
        vectors = torch.as_tensor(np.asarray(classes.embeddings, dtype=np.float32))
        if not bool((vectors.norm(dim=1) > 0).all()):
            raise ValueError("classes must carry embeddings that are not 0")
        return F.normalize(vectors, dim=1)


def checked_sides(pairs: Pairs, frozen: str) -> Sides:
    """The side of the frozen tower as unit vectors, the other as it is; `ValueError` if nothing can be learnt."""
    if len(pairs) < 2:
        raise ValueError(f"pairs must hold at least two pairs; got {len(pairs)}")
    still, moving = getattr(pairs, frozen), getattr(pairs, OTHER[frozen])
    x = still.x
    if not (isinstance(x, np.ndarray) and x.ndim == 2 and x.dtype.kind == "f"):
        raise ValueError(
            f"pairs: the {frozen} side must hold vectors of the frozen tower, (n, d); it holds {still.kind}: encode it"
        )
    if not np.isfinite(x).all():
        raise ValueError(f"pairs: the {frozen} side must be finite; {_first(pairs, ~np.isfinite(x))} is not")
    vectors = tensor(still)
    norms = vectors.norm(dim=1)
    if not bool((norms > 0).all()):
        zero = _first(pairs, norms.numpy() == 0)
        raise ValueError(f"pairs: the {frozen} side must hold vectors that are not 0; {zero} is 0")
    if moving.kind == "text":
        raise ValueError(f"pairs: the {OTHER[frozen]} side holds texts; encode it, or give the numbers of its tokens")
    table = moving.x
    if isinstance(table, np.ndarray):
        if table.dtype.kind not in "fiu":
            raise TypeError(f"pairs: the {OTHER[frozen]} side must hold numbers; got {table.dtype}")
        if not np.isfinite(table).all():
            bad = _first(pairs, ~np.isfinite(table))
            raise ValueError(f"pairs: the {OTHER[frozen]} side must be finite; {bad} is not")
    p = F.normalize(vectors, dim=1)
    for which, flat in ((frozen, vectors), (OTHER[frozen], None if isinstance(table, Lazy) else tensor(moving))):
        if flat is not None and bool((flat == flat[:1]).all()):
            raise ValueError(f"pairs: all samples of the {which} side are the same; nothing can be told apart by them")
    return Sides(p, moving)


def _first(pairs: Pairs, bad: NDArray[np.bool_]) -> str:
    """The first sample with something bad by its id, which stays its own where pairs are split."""
    assert pairs.ids is not None
    return f"sample {str(pairs.ids[int(np.argwhere(bad)[0][0])])!r}"


def distinct(frozen: Tensor | None, trained: Domain, most: int) -> NDArray[np.int64]:
    """Rows of the first so many samples of a side that no earlier row equals, (k,)."""
    keys = [row.tobytes() for row in frozen.numpy()] if frozen is not None else trained.digests().tolist()
    seen: dict[Any, int] = {}
    for i, key in enumerate(keys):
        if len(seen) == most:
            break
        seen.setdefault(key, i)
    return np.array(list(seen.values()), dtype=np.int64)


def samples_of(x: Any, width: int | None, side: str) -> Tensor:
    """Samples as one tensor of finite numbers, as wide as the side was in `fit`."""
    values = tensor(x) if isinstance(x, Domain) else torch.as_tensor(np.asarray(x)).float()
    if values.ndim < 2 or not len(values) or (width and (values.ndim != 2 or values.shape[1] != width)):
        expected = f"(n, {width})" if width else "(n, ...)"
        raise ValueError(f"x must be of shape {expected}, as the {side} side in fit; got {tuple(values.shape)}")
    if not bool(torch.isfinite(values).all()):
        raise ValueError("x must be finite; it holds NaN or infinity")
    return values


def _width(domain: Domain) -> int:
    """Numbers per sample; 0 where samples are no rows."""
    return domain.x.shape[1] if isinstance(domain.x, np.ndarray) and domain.x.ndim == 2 else 0


@dataclasses.dataclass(frozen=True)
class AttachablePairs(Need):
    """`pairs` of which one side holds vectors of a frozen tower, the other what a network reads."""

    makes = ("pairs", "model")

    def lacks(self, given: Given) -> str | None:
        """Return that there are no pairs."""
        if isinstance(given.inputs.get("pairs"), Pairs):
            return None
        return "attaches a modality by pairs: unseen align, or fit it in Python"

    def example(self, inputs: Any) -> dict[str, Any]:
        """Return forty pairs of 16 features and 8 dimensions around eight centres, and a small network between them."""
        rng = np.random.default_rng(3)
        of = np.arange(40) % 8
        left = 1.5 * rng.normal(size=(8, 16))[of] + rng.normal(size=(40, 16))
        right = rng.normal(size=(8, 8))[of] + 0.3 * rng.normal(size=(40, 8))
        columns = {"label": of}
        sides = [Domain(x=x.astype(np.float32), name=name) for x, name in ((left, "left"), (right, "right"))]
        with reproducible(11):
            model = feature_head(16, 8, 12)
        return {"pairs": Pairs(sides[0], sides[1], columns=columns), "model": model}
