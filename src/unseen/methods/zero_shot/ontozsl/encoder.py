"""Stages 1 and 2: concepts of an ontology as vectors of their structure and of their text, in one space."""

import dataclasses
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, NamedTuple, Self, get_type_hints

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from unseen.data.ontology import Ontology
from unseen.methods.base import NotFittedError
from unseen.methods.parameters import Count, NonNegative, Positive, Seed, check
from unseen.nn.build import builder
from unseen.nn.kge import Corruption, train_graph_vectors
from unseen.nn.state import load_state, save_state
from unseen.nn.text_vectors import TextVectors, Weighting, text_vectors, word_vectors
from unseen.nn.train import Run, train
from unseen.runtime import reproducible

Part = Literal["structure+text", "structure", "text"]


class Ends(NamedTuple):
    """Concepts in the joint space: projections of their structural vector and of their text vector."""

    s: Float[Tensor, "*b d"]
    t: Float[Tensor, "*b d"]


class TextAware(nn.Module):
    """Step 3: s' = tanh(W_s s + b_s) for concepts and properties alike, t' = tanh(W_t t + b_t)."""

    def __init__(self, n_structure: int, n_text: int, dim: int) -> None:
        super().__init__()
        self.structure = nn.Linear(n_structure, dim)
        self.text = nn.Linear(n_text, dim)
        for layer in (self.structure, self.text):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def concepts(self, s: Float[Tensor, "*b k"], t: Float[Tensor, "*b m"]) -> Ends:
        """Both projections of concepts."""
        return Ends(torch.tanh(self.structure(s)), torch.tanh(self.text(t)))

    def properties(self, r: Float[Tensor, "*b k"]) -> Float[Tensor, "*b d"]:
        """The projection of properties, by the W_s of concepts."""
        return torch.tanh(self.structure(r))


@builder("text-aware")
def text_aware(n_structure: int, n_text: int, dim: int) -> TextAware:
    """A `TextAware` that has learnt nothing yet."""
    return TextAware(n_structure, n_text, dim)


def energy(h: Ends, r: Float[Tensor, "*b d"], t: Ends) -> Float[Tensor, "*b"]:
    """Step 4: E_ss + E_st + E_ts + E_tt + E_sum, each |x_h + r' - x_t|_1; small for what holds."""
    pairs = ((h.s, t.s), (h.s, t.t), (h.t, t.s), (h.t, t.t), (h.s + h.t, t.s + t.t))
    return torch.stack([(a + r - b).abs().sum(dim=-1) for a, b in pairs]).sum(dim=0)


def margin_loss(
    positive: Float[Tensor, " b"], negatives: Sequence[Float[Tensor, " b"]], margin: float = 10.0
) -> Float[Tensor, ""]:
    """Step 5: mean of max(0, margin - E(corrupted) + E(triple)), summed over the corruptions."""
    return torch.stack([F.relu(margin - negative + positive).mean() for negative in negatives]).sum()


@dataclasses.dataclass(kw_only=True, eq=False)
class OntologyEncoder:
    """Vectors of the concepts of an ontology: TransE, then a space that structure and text share [1].

        E = E_ss + E_st + E_ts + E_tt + E_sum, each |x_h + r' - x_t|_1
        x in {s' = tanh(W_s s + b_s), t' = tanh(W_t t + b_t)}, r' = tanh(W_s r + b_s)

    Unseen classes take part like all concepts: what is learnt from is the schema, never a sample.

    Parameters
    ----------
    dim : int
        Values of the structural vectors, and of each half of the joint ones.
    gamma, negatives, temperature : float, int and float
        TransE's margin, corrupted triples for each, and the temperature of their self-adversarial weights.
    structure_steps, structure_batch_size, structure_learning_rate
        Of TransE.
    weighting : {"mean", "tfidf"}
        How words make a text.
    text_aware : bool
        False stops after TransE: no texts are needed.
    margin : float
        Between the energies of triples and of corrupted ones.
    text_epochs, text_batch_size, text_learning_rate
        Of the two projections.
    random_state : int

    Attributes
    ----------
    concepts_ : tuple of str
    structure_ : Tensor (n_concepts, dim)
        TransE's vectors.
    joint_ : Tensor (n_concepts, 2 dim)
        s' and t' of each concept; where nothing is known of a text, s' stands for t', which lies in the same space.
    without_text_, skipped_ : int
        Concepts without a word that has a vector, which are left out of stage 2; words without a vector.

    References
    ----------
    [1] Geng et al., "OntoZSL: Ontology-enhanced Zero-shot Learning", WWW 2021, section 3.2.
    """

    dim: Count = 128
    gamma: Positive = 6.0
    negatives: Count = 32
    temperature: NonNegative = 1.0
    structure_steps: Count = 1500
    structure_batch_size: Count = 128
    structure_learning_rate: Positive = 1e-2
    weighting: Weighting = "mean"
    text_aware: bool = True
    margin: NonNegative = 10.0
    text_epochs: Count = 50
    text_batch_size: Count = 100
    text_learning_rate: Positive = 1e-3
    random_state: Seed = 0

    def __post_init__(self) -> None:
        for name, hint in get_type_hints(OntologyEncoder, include_extras=True).items():
            check(name, getattr(self, name), hint)

    def fit(self, ontology: Ontology, words: Any = None) -> Self:
        """Learn from all triples; `words` is a `WordVectors`, that of wordllama if absent.

        Raises
        ------
        ValueError
            If there is no triple, or no triple whose ends both have a text with a known word.
        """
        if not len(ontology.triples):
            raise ValueError("ontology must hold at least one triple; it has none")
        ontology = ontology.canonical()
        texts = self._text_vectors(ontology, words) if self.text_aware else None
        with reproducible(self.random_state):
            vectors = train_graph_vectors(
                ontology.triples, len(ontology.concepts), len(ontology.properties), dim=self.dim, gamma=self.gamma,
                negatives=self.negatives, temperature=self.temperature, steps=self.structure_steps,
                batch_size=self.structure_batch_size, learning_rate=self.structure_learning_rate,
                name="ontozsl-structure",
            )  # fmt: skip
            self.concepts_ = ontology.concepts
            self.structure_ = vectors.entities.detach()
            if texts is not None:
                self.joint_ = self._joint(ontology, self.structure_, vectors.relations.detach(), texts)
        return self

    def transform(self, concepts: Sequence[str], part: Part = "structure+text") -> Float[Tensor, "n o"]:
        """Step 6: the vectors of concepts by name, [s' || t'], (n, 2 dim); or the structural ones; or t' alone.

        Raises
        ------
        ValueError
            If a name is no concept that was learnt, or the encoder knows no texts.
        """
        if not hasattr(self, "concepts_"):
            raise NotFittedError("this OntologyEncoder has not been fitted; call fit first")
        check("part", part, Part)
        place = {name: i for i, name in enumerate(self.concepts_)}
        lost = [name for name in concepts if name not in place]
        if lost:
            raise ValueError(f"{lost[0]!r} is none of the {len(place)} concepts that were learnt; fit anew with it")
        if part != "structure" and not self.text_aware:
            raise ValueError(f"part must be 'structure' where text_aware is False; got {part!r}")
        index = torch.as_tensor([place[name] for name in concepts], dtype=torch.int64)
        if part == "structure":
            return self.structure_[index]
        return self.joint_[index] if part == "structure+text" else self.joint_[index, self.dim :]

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write settings and vectors to `folder` as JSON and safetensors."""
        params = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        fitted = {key: value for key, value in vars(self).items() if key.endswith("_")}
        save_state(folder, {"ontology encoder": params, "fitted": fitted})

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Self:
        """Read what `save` wrote; `ValueError` if it is something else."""
        value = load_state(folder)
        if not isinstance(value, dict) or set(value) != {"ontology encoder", "fitted"}:
            raise ValueError(f"{os.fspath(folder)} holds no encoder of an ontology")
        encoder = cls(**value["ontology encoder"])
        vars(encoder).update(value["fitted"])
        return encoder

    # -- the stages ------------------------------------------------------------------------------------------

    def _text_vectors(self, ontology: Ontology, words: Any) -> TextVectors:
        """Step 2, and that it leaves triples to learn from."""
        assert ontology.texts is not None
        texts = text_vectors(ontology.texts, word_vectors(words), self.weighting)
        known = texts.known
        if not known[ontology.triples[:, [0, 2]]].all(axis=1).any():
            raise ValueError(
                "encoder must know a word of both ends of at least one triple; "
                f"{int(known.sum())} of {len(known)} concepts have a text with a known word"
            )
        self.without_text_, self.skipped_ = int((~known).sum()), texts.skipped
        return texts

    def _joint(
        self, ontology: Ontology, s: Float[Tensor, "m d"], r: Float[Tensor, "p d"], texts: TextVectors
    ) -> Float[Tensor, "m o"]:
        """Steps 3 to 6: train the two projections on frozen vectors, then project every concept."""
        net = text_aware(self.dim, texts.vectors.shape[1], self.dim)
        frozen = _Frozen(s, r, texts.vectors)
        described = np.flatnonzero(texts.known)
        place = np.full(len(s), -1)
        place[described] = np.arange(len(described))
        triples = ontology.triples[texts.known[ontology.triples[:, [0, 2]]].all(axis=1)]
        placed = np.stack([place[triples[:, 0]], triples[:, 1], place[triples[:, 2]]], axis=1)
        frozen.register_buffer("told", torch.as_tensor(described))
        train(
            lambda batch, run: joint_loss(net, frozen, batch, self.margin, self._energy),
            name="ontozsl-text",
            nets={"projections": net, "frozen": frozen},
            optimizers={"adam": torch.optim.Adam(net.parameters(), lr=self.text_learning_rate, fused=True)},
            batches=_both_sides(placed, Corruption(placed, len(described)), self.text_batch_size),
            epochs=self.text_epochs,
            steps_per_epoch=-(-len(placed) // self.text_batch_size),
        )
        with torch.no_grad():
            ends = net.cpu().eval().concepts(s, texts.vectors)
        known = torch.as_tensor(texts.known)[:, None]
        return torch.cat([ends.s, torch.where(known, ends.t, ends.s)], dim=1)

    def _energy(self, h: Ends, r: Float[Tensor, "b d"], t: Ends) -> Float[Tensor, " b"]:
        return energy(h, r, t)


def joint_loss(
    net: TextAware, frozen: "_Frozen", batch: "_Batch", margin: float, energy_of: Callable[[Ends, Tensor, Ends], Tensor]
) -> Float[Tensor, ""]:
    """Step 5 for triples with another tail and with another head, which stand for concepts that have a text."""

    def ends(concept: Int[Tensor, " b"]) -> Ends:
        i = frozen.told[concept]
        return net.concepts(frozen.s[i], frozen.t[i])

    h, p, t = batch.triples.T
    relation, head, tail = net.properties(frozen.r[p]), ends(h), ends(t)
    negatives = [energy_of(head, relation, ends(batch.tails)), energy_of(ends(batch.heads), relation, tail)]
    return margin_loss(energy_of(head, relation, tail), negatives, margin)


class _Frozen(nn.Module):
    """What the projections read: structural vectors, those of properties, text vectors, and which have a text."""

    s: Tensor
    r: Tensor
    t: Tensor
    told: Tensor

    def __init__(self, s: Tensor, r: Tensor, t: Tensor) -> None:
        super().__init__()
        for name, value in {"s": s, "r": r, "t": t}.items():
            self.register_buffer(name, value)


class _Batch(NamedTuple):
    """Triples with another head and another tail each."""

    triples: Int[Tensor, "b 3"]
    heads: Int[Tensor, " b"]
    tails: Int[Tensor, " b"]


def _both_sides(
    triples: Int[np.ndarray, "m 3"], corruption: Corruption, size: int
) -> Callable[[Run], Iterator[_Batch]]:
    """One pass over the triples in another order each time, corrupted on both sides where both can be."""
    able = np.flatnonzero(corruption.able(triples, "head") & corruption.able(triples, "tail"))
    if not len(able):
        raise ValueError("ontology must leave something out: every corrupted triple is known, too")

    def stream(run: Run) -> Iterator[_Batch]:
        order = able[torch.randperm(len(able), generator=run.generator).numpy()]
        for start in range(0, len(order), size):
            part = triples[order[start : start + size]]
            heads, tails = (corruption.draw(part, 1, side, run.generator)[:, 0] for side in ("head", "tail"))
            yield _Batch(torch.as_tensor(part), heads, tails)

    return stream


def settings_of(owner: Any) -> dict[str, Any]:
    """The hyperparameters that a method shares with `OntologyEncoder`."""
    return {f.name: getattr(owner, f.name) for f in dataclasses.fields(OntologyEncoder) if hasattr(owner, f.name)}
