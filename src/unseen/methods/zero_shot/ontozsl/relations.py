"""OntoZSL for knowledge graphs: tails of relations that no triple has shown, from an ontology of the relations."""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Annotated, Any, NamedTuple, Self

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.methods.base import NotFittedError
from unseen.methods.parameters import Count, NonNegative, Positive, Unit, Within
from unseen.methods.tails import TailRanker, among, as_queries, check_range, checked_pairs, split_encoder
from unseen.methods.zero_shot.ontozsl.adversaries import (
    critic_total,
    generator_total,
    relation_critic,
    relation_generator,
)
from unseen.methods.zero_shot.ontozsl.conditions import Conditioned, check_conditions
from unseen.methods.zero_shot.ontozsl.method import OntoZSL
from unseen.methods.zero_shot.ontozsl.pairs import (
    PairEncoder,
    entity_pairs,
    features_of,
    matchings,
    neighbour_lists,
    pretrain,
)
from unseen.nn.kge import Corruption, train_graph_vectors
from unseen.nn.train import Run, train
from unseen.nn.unseen_classes import candidates, positions, split_classes


class RelationOntoZSL(Conditioned, TailRanker):
    """Rank the tails of relations that no triple has shown, from what an ontology says of the relations [1].

    A pair of entities becomes a feature, by an extractor that learns to match pairs of one relation. A generator learns
    to make such features from a relation's vector o; the tail of a query is likely if its pair with the head is near to
    what is generated for the relation.

        L_D = -E[D(x)] + E[D(x~)] + penalty GP + [M(x) + M(x~)] / 2,  M(x) = max(0, margin - c_y(x) + c_y(x'))
        L_G = -E[D(x~)] + M(x~) + pivot_weight mean_r ||mean x~_r - mean x_r||

    with c(x) = v(x) . v(C)' the scores of x against the centroids C of the seen relations, and x' the feature of a pair
    with another tail.

    Parameters
    ----------
    condition, balanced, dim, gamma, negatives, temperature, structure_steps, structure_batch_size,
    structure_learning_rate, weighting, margin, text_epochs, text_batch_size, text_learning_rate
        As of `OntoZSL`; `condition="words"` is a generator that knows texts alone.
    entity_dim, entity_steps : int
        Of TransE over the source, where no vectors of entities are given.
    feature : int, even
        Half the width of a pair's feature.
    neighbours, support_pairs, query_pairs : int
        Neighbours that an entity is known by; pairs that stand for a relation, and that are matched to them.
    pair_steps, pair_learning_rate, dropout
        Of the extractor's training.
    match_margin : float
        Of both hinges: of the extractor and of the classes.
    matching : float
        Weight of the hinges of the classes.
    noise, hidden : int
        Values of z; width between the generator's two layers.
    pivot_weight, penalty : float
        Of the distance of a relation's generated mean from its real one; of the gradient penalty.
    relations_per_batch, pairs_per_relation, critic_steps, steps : int
        Relations and pairs of each in a step of the critic, its steps per step of the generator, steps of the latter.
    learning_rate, decay, decay_after : float
        Of Adam with betas (0.5, 0.9): multiplied by `decay` after that share of the training.
    samples, test_noise : int and float
        Features that stand for a relation, and the deviation of their noise, which is drawn once.
    generalized : bool
        Whether `predict` may name seen relations, too. `rank` takes any.

    Attributes
    ----------
    pairs_ : PairEncoder
    generator_ : Module
    conditions_ : Tensor (n_relations, a)
    noise_ : Tensor (samples, noise)
    features_ : Tensor (n_relations, samples, f)
        What is generated for each relation.

    Notes
    -----
    `source` is of kind node: x holds pairs of entities (head, tail), (n, 2), y their relations, indices of `classes`.
    `encoder` may be vectors of the entities (e, d), such as `unseen.encoders.graph.entity_vectors` gives, word vectors
    (`WordVectors`) for the texts, or a tuple of both. Queries are pairs (head, relation).

    References
    ----------
    [1] Geng et al., "OntoZSL: Ontology-enhanced Zero-shot Learning", WWW 2021, section 3.3; extractor and losses as Qin
        et al., "Generative Adversarial Zero-Shot Relational Learning for Knowledge Graphs", AAAI 2020.
    """

    card = dataclasses.replace(
        OntoZSL.card,
        modalities={"node"},
        on_request={"paper"},
        notes=(
            "It is not above what is simple on a graph of locales (MRR .28 for tails of relations without a triple): "
            "texts alone have .28, the TransE score of the relation whose name is nearest .31 (`unseen reproduce "
            "ontozsl --json`), and counting the triples of relations that sound alike, `nearest-relation`, .32 there "
            "and .72 on Nations, where this has .63. `unseen complete` tries both.",
            "TransE of the ontology and of the entities trains for a fixed number of steps, the extractor and the "
            "generator for as many as are set; the official code chooses snapshots.",
            "Neighbours of an entity, centroids and corrupted triples come from the pairs of the source alone.",
            "Conditions are centred and scaled to the length of the noise, for small data and short trainings; "
            "balanced=False, as in the preset paper, takes them as they are.",
        ),
        presets={
            "default": {},
            "paper": {
                "balanced": False, "dim": 300, "gamma": 12.0, "weighting": "tfidf", "negatives": 1024,
                "structure_steps": 60_000, "structure_batch_size": 256, "structure_learning_rate": 5e-5,
                "text_epochs": 1000, "entity_dim": 100, "feature": 100, "pair_steps": 16_000, "hidden": 400,
                "steps": 6500, "pairs_per_relation": 32, "learning_rate": 1e-4,
            },
        },
        smoke={
            "dim": 8, "negatives": 4, "structure_steps": 4, "text_epochs": 1, "entity_dim": 8, "entity_steps": 4,
            "feature": 8, "pair_steps": 2, "hidden": 8, "steps": 2, "support_pairs": 4, "query_pairs": 4,
            "neighbours": 5, "pairs_per_relation": 4, "structure_batch_size": 32,
        },
    )  # fmt: skip

    entity_dim: Count = 64
    entity_steps: Count = 1000
    feature: Annotated[int, Within(2)] = 64
    neighbours: Count = 50
    support_pairs: Count = 30
    query_pairs: Count = 32
    pair_steps: Count = 1000
    pair_learning_rate: Positive = 5e-4
    dropout: Unit = 0.2
    match_margin: NonNegative = 10.0
    matching: NonNegative = 1.0
    noise: Count = 15
    hidden: Count = 256
    pivot_weight: NonNegative = 3.0
    penalty: NonNegative = 10.0
    relations_per_batch: Count = 2
    pairs_per_relation: Count = 16
    critic_steps: Count = 5
    steps: Count = 400
    learning_rate: Positive = 3e-3
    decay: Positive = 0.2
    decay_after: Unit = 8 / 13
    samples: Count = 20
    test_noise: NonNegative = 0.1
    generalized: bool = False

    pairs_: PairEncoder = dataclasses.field(init=False)
    generator_: nn.Module = dataclasses.field(init=False)
    conditions_: Tensor = dataclasses.field(init=False)
    noise_: Tensor = dataclasses.field(init=False)
    features_: Tensor = dataclasses.field(init=False)
    asked_: np.ndarray = dataclasses.field(init=False)

    def fit(self, *, source: Domain, classes: ClassSpace, encoder: Any = None) -> Self:
        """Learn from pairs of entities with their relations, and from the ontology of all relations."""
        entities, words = split_encoder(encoder)
        candidates(source, classes, self.generalized)
        check_conditions(classes, self.condition)
        pairs, n = checked_pairs(source.x, entities)
        o = self._learn_conditions(source, classes, words)  # steps 1 to 6
        seen, unseen = split_classes(source, classes, o, self.generalized)
        y = positions(source.labels, seen, len(classes)).numpy()
        triples = np.column_stack([pairs[:, 0], y, pairs[:, 1]])
        if entities is None:
            entities = self._entity_vectors(triples, n, len(seen))
        corruption = Corruption(triples, n)
        self.pairs_ = self._pair_encoder(entities, pairs, y, corruption)  # step 8
        self.generator_ = self._train_generator(pairs, y, o[seen], corruption)
        self.conditions_, self.asked_ = o, np.concatenate([seen, unseen]) if self.generalized else unseen
        self.noise_ = self.test_noise * torch.randn(self.samples, self.noise)
        self.features_ = self._generate(o)
        return self

    # -- what it says --------------------------------------------------------------------------------------

    @torch.no_grad()
    def score_tails(self, x: Any) -> Float[Tensor, "n e"]:
        """Step 13: the mean cosine of (head, tail) with what is generated for the relation, for every entity."""
        if "features_" not in self.fitted:
            raise NotFittedError("this RelationOntoZSL has not been fitted; call fit first")
        n = len(self.pairs_.entities)
        queries = as_queries(x, n, len(self.conditions_))
        heads, place = torch.unique(queries[:, 0], return_inverse=True)
        means = self._means()[queries[:, 1]]
        out = torch.empty(len(queries), n)
        for i, head in enumerate(heads.tolist()):  # one head at a time: all its pairs are made once
            pairs = torch.stack([torch.full((n,), head), torch.arange(n)], dim=1)
            features = F.normalize(features_of(self.pairs_, pairs), dim=1)
            rows = torch.nonzero(place == i).flatten()
            out[rows] = means[rows] @ features.T
        return out

    def decision_function(self, x: Float[Tensor, "n 2"]) -> Float[Tensor, "n r"]:
        """The mean cosine of each pair (head, tail) with what is generated for each relation; -1e4 if not asked for."""
        pairs = x.long()
        check_range(pairs, len(self.pairs_.entities), "entities")
        scores = F.normalize(features_of(self.pairs_, pairs), dim=1) @ self._means().T
        return among(scores, self.asked_)

    def _means(self) -> Float[Tensor, "r f"]:
        """Of unit vectors, so that a product with a unit vector is the mean cosine."""
        return F.normalize(self.features_, dim=2).mean(dim=1)

    # -- the stages ----------------------------------------------------------------------------------------

    def _entity_vectors(self, triples: Int[np.ndarray, "n 3"], n: int, n_relations: int) -> Float[Tensor, "e d"]:
        """Vectors of entities by TransE, where none are given."""
        return train_graph_vectors(
            triples, n, n_relations, dim=self.entity_dim, gamma=self.gamma, negatives=self.negatives,
            temperature=self.temperature, steps=self.entity_steps, name="ontozsl-entities",
        ).entities.detach()  # fmt: skip

    def _pair_encoder(
        self, entities: Float[Tensor, "e d"], pairs: Int[np.ndarray, "n 2"], y: Int[np.ndarray, " n"],
        corruption: Corruption,
    ) -> PairEncoder:  # fmt: skip
        """Step 8: the extractor, trained by matching, then frozen."""
        n, width = entities.shape
        net = entity_pairs(n, width, self.feature, self.dropout)
        net.know(entities, neighbour_lists(pairs, n, self.neighbours, self.random_state))
        batches = matchings(
            pairs, y, corruption, relations=self.relations_per_batch, support=self.support_pairs, query=self.query_pairs
        )
        return pretrain(
            net, batches, margin=self.match_margin, steps=self.pair_steps, learning_rate=self.pair_learning_rate
        )

    def _train_generator(
        self, pairs: Int[np.ndarray, "n 2"], y: Int[np.ndarray, " n"], o: Float[Tensor, "s a"], corruption: Corruption
    ) -> nn.Module:
        """Steps 9 to 12: `critic_steps` steps of the critic, then one of the generator."""
        x = features_of(self.pairs_, torch.as_tensor(pairs))
        centroids = torch.stack([x[torch.as_tensor(y == r)].mean(dim=0) for r in range(len(o))])  # step 9
        generator = relation_generator(self.noise + o.shape[1], self.hidden, x.shape[1])
        critic = relation_critic(x.shape[1])
        known = _Known(o, centroids)
        total = self.critic_steps * self.steps

        def adam(net: nn.Module) -> torch.optim.Adam:
            return torch.optim.Adam(net.parameters(), lr=self.learning_rate, betas=(0.5, 0.9), fused=True)

        def fakes(y: Tensor, run: Run) -> Tensor:
            z = torch.randn(len(y), self.noise, generator=run.generator).to(run.device)
            return generator(torch.cat([z, known.o[y]], dim=1))

        def critic_objective(batch: _Pairs, run: Run) -> Tensor:
            with torch.no_grad():
                fake = fakes(batch.y, run)
            return critic_total(
                critic, batch.x, fake, batch.wrong, batch.y, known.centroids, penalty=self.penalty,
                matching=self.matching, margin=self.match_margin, generator=run.generator,
            )  # fmt: skip

        def generator_objective(batch: _Pairs, run: Run) -> Tensor:
            return generator_total(
                critic, fakes(batch.y, run), batch.wrong, batch.y, known.centroids, matching=self.matching,
                margin=self.match_margin, pivot_weight=self.pivot_weight,
            )  # fmt: skip

        def objective(batch: _Pairs, run: Run) -> None:
            run.log(critic=run.descend(critic_objective(batch, run), "critic"))
            if run.step % self.critic_steps == self.critic_steps - 1:
                run.log(generator=run.descend(generator_objective(batch, run), "generator"))

        optimizers = {"critic": adam(critic), "generator": adam(generator)}
        milestones = [max(1, round(self.decay_after * total))]
        train(
            objective,
            name="ontozsl-relations",
            nets={"generator": generator, "critic": critic, "known": known, "pairs": self.pairs_},
            optimizers=optimizers,
            schedulers={
                key: torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones, self.decay)
                for key, optimizer in optimizers.items()
            },
            batches=self._batches(pairs, x, y, corruption),
            epochs=1,
            steps_per_epoch=total,
        )
        self.pairs_.cpu()
        return generator.cpu().eval()

    def _batches(
        self, pairs: Int[np.ndarray, "n 2"], x: Float[Tensor, "n f"], y: Int[np.ndarray, " n"], corruption: Corruption
    ) -> Callable[[Run], Iterator["_Pairs"]]:
        """A few relations each, some pairs of each, and the same pairs with another tail."""
        triples = np.column_stack([pairs[:, 0], y, pairs[:, 1]])
        able = corruption.able(triples, "tail")
        members = [eligible for r in np.unique(y) if len(eligible := np.flatnonzero((y == r) & able))]

        def stream(run: Run) -> Iterator[_Pairs]:
            while True:
                drawn = torch.randperm(len(members), generator=run.generator)[: self.relations_per_batch].tolist()
                size = self.pairs_per_relation
                some = [torch.randint(len(members[i]), (size,), generator=run.generator).numpy() for i in drawn]
                index = np.concatenate([members[i][rows] for i, rows in zip(drawn, some)])
                tails = corruption.draw(triples[index], 1, "tail", run.generator)
                wrong = torch.cat([torch.as_tensor(pairs[index, :1]), tails], dim=1)
                with torch.no_grad():
                    other = self.pairs_(wrong.to(run.device))
                yield _Pairs(x[index], torch.as_tensor(y[index]), other)

        return stream

    @torch.no_grad()
    def _generate(self, o: Float[Tensor, "r a"]) -> Float[Tensor, "r k f"]:
        """Step 13: G(z, o) of every relation, with the noise that was drawn once."""
        z = self.noise_[None].expand(len(o), -1, -1)
        return self.generator_(torch.cat([z, o[:, None].expand(-1, len(self.noise_), -1)], dim=2))


class _Pairs(NamedTuple):
    """Features of pairs, rows of the seen relations, and features of the pairs with another tail."""

    x: Float[Tensor, "b f"]
    y: Int[Tensor, " b"]
    wrong: Float[Tensor, "b f"]


class _Known(nn.Module):
    """Vectors (s, a) and centroids (s, f) of the seen relations."""

    o: Tensor
    centroids: Tensor

    def __init__(self, o: Tensor, centroids: Tensor) -> None:
        super().__init__()
        self.register_buffer("o", o)
        self.register_buffer("centroids", centroids)
