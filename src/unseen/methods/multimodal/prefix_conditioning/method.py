"""Prefix conditioning: one image-text model of labels and captions, whose text tower is told which of them it reads."""

import copy
import dataclasses
from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.pairs import Pairs
from unseen.methods.base import Card, Method, NotFittedError
from unseen.methods.multimodal.prefix_conditioning.batches import Drawn, Seen, Spoken, caption_labels, drawn
from unseen.methods.multimodal.prefix_conditioning.inputs import (
    CaptionedPictures,
    given_templates,
    names_of,
    picture_side,
    plain,
    readable,
)
from unseen.methods.needs import TrainableTowers
from unseen.methods.parameters import Count, Natural, NonNegative, Positive, Within
from unseen.nn import parallel
from unseen.nn.contrastive import LogitScale, PairLoss, both_ways
from unseen.nn.dropout import set_dropout
from unseen.nn.dual_encoder import NOTHING, TokenText, dual_encoder, in_parts, named_classes, trimmed
from unseen.nn.prefix_tokens import prefix_text
from unseen.nn.protocols import TokenizingTowers
from unseen.nn.schedules import by_decay, warm_cosine
from unseen.nn.train import Run, train

SOURCES = ("caption", "classification")
"""The modes, the default first."""
WORDS = ("caption: ", "label: ")
"""What stands before a text in the ablation that tells the source by a word."""


class PrefixConditioning(Method):
    """Train one image-text model on labelled pictures and on captions without letting the labels' bias leak [1].

    Labels become sentences by templates, captions stay as they are, and one text tower reads both, with a learnt token
    in front that says which of the two it is: [start, PREFIX_cls or PREFIX_cap, words, end]. What is only style, the
    prefix explains away; the weights are shared. Pictures get no such token. Classes are asked about in the mode of
    captions, the open one; the other mode suits what is very near to the labelled set.

    Parameters
    ----------
    condition : {"prefix", "none", "word", "output", "image"}
        The prefix; or, as ablations, nothing at all (naive unification), a literal word before the text, a vector added
        to the text tower's output, or one added to that of the picture tower.
    tokens : int, >= 1
        Vectors of a prefix.
    place : {"behind start", "front"}
        Behind the token that begins a text, or before it.
    objective : {"clip", "unicl"}
        One positive each, or all pictures and texts of one class in the batch; captions that read alike are one class,
        and never that of a label.
    sampler : {"mixed", "single_source"}
        Batches of both sets, or each of one alone, so that negatives share its style.
    mix : float in (0, 1]
        Share of captions: in a mixed batch, or of batches; 1 reads captions alone.
    mode : {"caption", "classification", "mean"}
        How classes are asked about; the mean is that of both modes' vectors.
    train_text : bool
        False trains the prefix and the last projection of the text tower alone, which is not the paper's.
    iterations : int, >= 1
        Steps: batches that are learnt from.
    batch_size : int, >= 2
        Of one sample there is nothing to tell it from.
    learning_rate, weight_decay : float
        Of AdamW; vectors, scales and the prefix do not decay.
    warm_up : int, >= 0
        Steps in which the rate goes up; then it goes down by half a cosine.
    dropout : float in [0, 1), optional
        Of every layer of both towers that drops; as the model has them if absent.

    Attributes
    ----------
    network_ : Module
        Both towers; its text tower takes a source.
    classes_ : ClassSpace
    templates_ : tuple of str
    vectors_ : Tensor (K, d)
        Of the classes, in `mode`.
    mode_cosine_ : float
        Mean cosine of the two modes' vectors of one class prompt: 1 where the prefix does nothing.
    history_ : dict of arrays
        `loss`, `there`, `back` of each tenth of the steps.

    References
    ----------
    [1] Saito, Sohn, Zhang, Li, Lee, Saenko, Pfister, "Prefix Conditioning Unifies Language and Label Supervision",
        CVPR 2023.
    """

    card = Card(
        slug="prefix-conditioning",
        cost=60.0,
        title="Prefix Conditioning Unifies Language and Label Supervision",
        venue="CVPR 2023",
        summary="Train one image-text model on labels and captions without letting the labels' bias leak.",
        unseen={"classes", "domains"},
        modalities={"features", "image"},
        protocols={"closed"},
        presets={"default": {}, "naive": {"condition": "none"}, "unicl": {"objective": "unicl"}},
        on_request={"naive", "unicl"},
        smoke={"iterations": 10, "batch_size": 16, "warm_up": 2},
        distributed=True,
        at_prediction={"mode"},
        needs=(TrainableTowers(), CaptionedPictures()),
        commands=("unseen align captions.csv --classification photos --out both",),
        parts=("unseen.nn.prefix_tokens.PrefixText", "unseen.nn.contrastive.both_ways"),
        left_out=(
            "ImageNet-21K, CC3M and CC12M with Swin-Tiny: none is at hand. `unseen align --classification` reads their "
            "folders and shards, on features of any encoder.",
            "Pictures of what the text tower attends to: `mode_cosine_` says how far the modes are apart.",
            "A prefix for each of several label sets, and prefix dropout.",
        ),
        notes=(
            "No official code could be confirmed. Whether the prefix stands before or behind the start token, and how "
            "batches are drawn, is a setting.",
            "A tower whose tokens are averaged averages the prefix, too.",
            "On development drawings of emoji (three triples of vendors, one seed, 120 steps of small towers) it did "
            "not win back what labels cost on subcategories without any: .058, naive unification .063, captions alone "
            ".085, a ridge map onto MiniLM's vectors .101.",
            "Several processes drop what one does on a CPU; on GPUs each draws alone.",
        ),
    )

    condition: Literal["prefix", "none", "word", "output", "image"] = "prefix"
    tokens: Count = 1
    place: Literal["behind start", "front"] = "behind start"
    objective: Literal["clip", "unicl"] = "clip"
    sampler: Literal["mixed", "single_source"] = "mixed"
    mix: Annotated[float, Within(0, 1, open_low=True)] = 0.5
    mode: Literal["caption", "classification", "mean"] = "caption"
    train_text: bool = True
    iterations: Count = 2000
    batch_size: Annotated[int, Within(2)] = 256
    learning_rate: Positive = 1e-3
    weight_decay: NonNegative = 0.05
    warm_up: Natural = 100
    dropout: Annotated[float, Within(0, 1, open_high=True)] | None = None

    network_: nn.Module = dataclasses.field(init=False)

    def fit(
        self,
        *,
        source: Domain,
        pairs: Pairs,
        model: nn.Module,
        classes: ClassSpace | None = None,
        prompts: Any = None,
    ) -> Self:
        """Learn from both sets.

        Parameters
        ----------
        source : Domain
            Labelled pictures, or features of them, whose classes have names.
        pairs : Pairs
            Pictures of the same kind on one side, captions on the other.
        model : Module
            Two towers as they begin, of which the text tower reads tokens; a copy is trained.
        classes : ClassSpace, optional
            What is predicted; those of `source` if absent.
        prompts : sequence of str, optional
            Templates with {} for a class name.
        """
        drawings, captions = picture_side(pairs)
        templates = given_templates(prompts)
        names = names_of(source)
        network = self._begin(model)
        spoken = self._texts(network, names, templates, captions)
        seen = Seen.of(source, drawings, len(names))
        image_shift = nn.Parameter(torch.zeros(2, spoken.dim)) if self.condition == "image" else None
        scale = LogitScale()
        towers = nn.ModuleDict({"network": network, "scale": scale, "spoken": spoken})
        if image_shift is not None:
            towers.register_parameter("image_shift", image_shift)
        network.logit_scale.requires_grad_(False)
        adam = torch.optim.AdamW(
            by_decay(towers, rest=("prefix", "shift", "embed")), lr=self.learning_rate, weight_decay=self.weight_decay
        )
        per_epoch = max(1, self.iterations // 10)
        towers.train()
        run = train(
            _Objective(self, network, spoken, seen, scale, image_shift),
            name="prefix-conditioning",
            nets={"towers": towers},
            optimizers={"adam": adam},
            schedulers={"rate": warm_cosine(adam, self.iterations, self.warm_up)},
            batches=drawn(seen, len(templates), self.batch_size, self.sampler, self.mix, self.iterations, per_epoch),
            epochs=-(-self.iterations // per_epoch),
            steps_per_epoch=per_epoch,
        )
        with torch.no_grad():
            network.logit_scale.copy_(scale().log())
        network.requires_grad_(True).eval().cpu()
        self.history_: dict[str, NDArray[Any]] = {
            key: np.array([epoch[key] for epoch in run.history]) for key in run.history[0]
        }
        self.network_ = network
        self.image_shift_ = None if image_shift is None else image_shift.detach()[0].cpu()
        self.templates_ = templates
        self.classes_ = plain(source.classes if classes is None else classes)
        both = [self.encode_classes(self.classes_, templates, source=name) for name in SOURCES]
        self.modes_ = torch.stack(both)
        self.mode_cosine_ = float((both[0] * both[1]).sum(dim=1).mean())
        return self

    def adapt(self, *, classes: ClassSpace, prompts: Any = None) -> Self:
        """Name other classes to predict: any that have a name."""
        self.classes_ = plain(classes)
        self.templates_ = self.templates_ if prompts is None else given_templates(prompts)
        self.modes_ = torch.stack(
            [self.encode_classes(self.classes_, self.templates_, source=name) for name in SOURCES]
        )
        return self

    def _begin(self, model: nn.Module) -> Any:
        """A copy of the towers, whose text tower has a mode."""
        if not isinstance(model, TokenizingTowers):
            expected = "two towers with encode_image, encode_text, logit_scale and tokenize"
            raise TypeError(f"model must be {expected}, such as a DualEncoder; got {type(model).__name__}")
        towers: Any = model
        if not isinstance(getattr(towers, "text", None), TokenText):
            raise TypeError(
                "model must have a text tower that reads tokens, such as whole_towers gives; a head on frozen vectors "
                f"of texts takes no token in front; got {type(getattr(towers, 'text', None)).__name__}"
            )
        towers = copy.deepcopy(towers)
        n_tokens = self.tokens if self.condition == "prefix" else 0
        text = prefix_text(towers.text.text, len(SOURCES), n_tokens, self.place, self.condition == "output")
        network: Any = dual_encoder(towers.image, text, towers.reader.to_json(), 1.0)
        network.reader = towers.reader
        network.requires_grad_(True)
        if self.dropout is not None:
            set_dropout(network, self.dropout)
        if not self.train_text:
            for name, parameter in text.text.named_parameters():
                parameter.requires_grad_("projection" in name)
        return network

    def _texts(self, network: Any, names: Sequence[str], templates: Sequence[str], captions: Sequence[str]) -> Any:
        """All prompts of labels, class by class, then all captions, as tokens."""
        prompts = [template.replace("{}", name) for name in names for template in templates]
        texts = [self._worded(prompt, 1) for prompt in prompts] + [self._worded(text, 0) for text in captions]
        tokens = network.tokenize(texts)
        limit = network.text.text.context
        longest = int((tokens != NOTHING).sum(dim=1).max())
        if longest < 3:
            raise ValueError("pairs: no caption has a word that the tokenizer can spell")
        with torch.no_grad():
            dim = network.eval().encode_text(trimmed(tokens[:1])).shape[1]
        return Spoken(tokens[:, : max(longest, 3)], len(prompts), caption_labels(captions, len(names)), dim, limit)

    def _worded(self, text: str, source: int) -> str:
        return WORDS[source] + text if self.condition == "word" else text

    # -- asking --------------------------------------------------------------------------------------------

    def _check_fitted(self) -> None:
        if "network_" not in vars(self):
            raise NotFittedError("this PrefixConditioning has not been fitted; call fit first")

    def encode_pictures(self, x: Any) -> Float[Tensor, "n d"]:
        """Unit vectors of pictures, or of features of them."""
        self._check_fitted()
        network: Any = self.network_
        z = in_parts(network.encode_image, x)
        return z if self.image_shift_ is None else F.normalize(z + self.image_shift_, dim=1)

    def encode_text(self, texts: Sequence[str], source: str = "caption") -> Float[Tensor, "n d"]:
        """Unit vectors of texts in the mode of a source: "caption" or "classification"."""
        if source not in SOURCES:
            raise ValueError(f"source must be one of {', '.join(SOURCES)}; got {source!r}")
        if isinstance(texts, str) or not len(texts):
            raise ValueError(f"texts must be at least one text, in a list; got {texts!r}")
        self._check_fitted()
        network: Any = self.network_
        which = SOURCES.index(source)
        tokens = network.tokenize([self._worded(text, which) for text in texts])
        with torch.no_grad():
            return in_parts(lambda part: F.normalize(network.text(part, which), dim=1), tokens)

    def encode_classes(
        self, classes: ClassSpace, prompts: Sequence[str] | None = None, source: str = "caption"
    ) -> Float[Tensor, "k d"]:
        """Unit vectors of classes: the mean over templates of unit vectors, of unit length again."""
        each = [self.encode_text([p.replace("{}", name) for name in readable(classes)], source)
                for p in given_templates(self.templates_ if prompts is None else prompts)]  # fmt: skip
        return F.normalize(torch.stack(each).mean(dim=0), dim=1)

    @property
    def vectors_(self) -> Tensor:
        """Unit vectors of the classes in `mode`, (k, d)."""
        return self._in_mode(self.modes_, self.mode)

    @staticmethod
    def _in_mode(modes: Tensor, mode: str) -> Tensor:
        return F.normalize(modes.mean(dim=0), dim=1) if mode == "mean" else modes[SOURCES.index(mode)]

    def decision_function(
        self, x: Any, classes: ClassSpace | None = None, source: str | None = None
    ) -> Float[Tensor, "n k"]:
        """s <z, w_k>, (n, k), of the classes that were named, or of others that have names.

        Parameters
        ----------
        source : {"caption", "classification", "mean"}, optional
            The mode of the class texts; `mode` if absent.
        """
        mode = self.mode if source is None else source
        if mode not in (*SOURCES, "mean"):
            raise ValueError(f"source must be one of {', '.join(SOURCES)}, mean; got {mode!r}")
        modes = self.modes_
        if classes is not None:
            modes = torch.stack([self.encode_classes(classes, source=name) for name in SOURCES])
        network: Any = self.network_
        return network.logit_scale.detach().exp() * self.encode_pictures(x) @ self._in_mode(modes, mode).T

    def predict_proba(
        self, x: Any, classes: ClassSpace | None = None, source: str | None = None
    ) -> Float[Tensor, "n k"]:
        """Probabilities of the classes, (n, k)."""
        return torch.softmax(self.decision_function(x, classes, source), dim=1)

    def predict(self, x: Any, classes: ClassSpace | None = None, source: str | None = None) -> NDArray[np.int64]:
        """Index of the likeliest class, (n,)."""
        return self.decision_function(x, classes, source).argmax(dim=1).numpy()

    def network(self) -> nn.Module:
        """The picture tower with the vectors of the classes."""
        network: Any = self.network_
        if self.image_shift_ is not None:
            raise TypeError("a model with a vector added to its pictures cannot be written as one network")
        w = self.vectors_
        classifier = named_classes(network.image, w.shape[0], w.shape[1], float(network.logit_scale.detach().exp()))
        classifier.weights.copy_(w)
        return classifier


class _Objective:
    """A step: pictures and texts of a batch, each text in the mode of its source."""

    def __init__(
        self, method: PrefixConditioning, network: Any, spoken: Spoken, seen: Seen, scale: LogitScale,
        image_shift: Tensor | None,
    ) -> None:  # fmt: skip
        self.method, self.network, self.spoken, self.seen = method, network, spoken, seen
        self.scale, self.image_shift = scale, image_shift
        self.templates = spoken.prompts // seen.n_classes

    def __call__(self, batch: Drawn, run: Run) -> Tensor:
        method, seen, spoken = self.method, self.seen, self.spoken
        index = batch.index.cpu()
        n = len(seen.source)
        source = (index >= n).long().sub(1).neg()  # 0 of captions, 1 of labels
        y = torch.where(source == 1, seen.y[index.clamp(max=n - 1)], 0)
        row = torch.where(source == 1, y * self.templates + batch.template.cpu(), spoken.prompts + index - n)
        source, row = source.to(run.device), row.to(run.device)
        p = F.normalize(self.network.image(seen.pictures(index).to(run.device)), dim=1)
        if self.image_shift is not None:
            p = F.normalize(p + self.image_shift[source], dim=1)
        tokens = trimmed(spoken.tokens[row], parallel.largest)
        q = F.normalize(self.network.text(tokens, source), dim=1)
        targets = None
        if method.objective == "unicl":
            known = spoken.labels.cpu()[(index - n).clamp(min=0)]
            labels = torch.where(source.cpu() == 1, y, known).to(run.device)
            every = parallel.gather(labels)
            targets = lambda at: (labels[at, None] == every[None, :]).float()
        loss: PairLoss = both_ways(p, q, self.scale(), targets, targets)
        run.log(there=loss.there, back=loss.back, scale=self.scale())
        return loss.total / 2
