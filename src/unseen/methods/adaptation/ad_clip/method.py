"""AD-CLIP: prompts made of the style and content of images adapt a frozen two-tower model to another domain."""

import copy
import dataclasses
from typing import Any, Literal, Self

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn

from unseen.data.augment import crop_and_flip
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.samplers import Pair, batches, paired_batches, steps
from unseen.methods.adaptation.ad_clip.losses import Entropy, alignment, uncertainty
from unseen.methods.adaptation.ad_clip.network import Context, Design, Inference, PromptedTowers, prompted_towers
from unseen.methods.base import Card
from unseen.methods.needs import TwoTowers
from unseen.methods.network import NetworkMethod
from unseen.methods.parameters import Count, Natural, NonNegative, Positive
from unseen.nn.layer_statistics import Reading, row_reader
from unseen.nn.prompting import PromptableTowers
from unseen.nn.schedules import warm_cosine
from unseen.nn.style_projectors import StylePool
from unseen.nn.train import Run, train


class ADCLIP(NetworkMethod):
    """Domain-agnostic prompts for a frozen two-tower model: labelled source, unlabelled target, the same classes [1].

    The prompt of class k for an image is

        [SOS] [style of a source image] [style of a target image] [content of the image] [name k] [.] [EOS],

    where style is mean and deviation of every layer of the image tower, content the means, and small projectors make
    tokens of them, which are added to the vectors of `words`. The i-th source and target image of a batch share both
    style blocks. Only the projectors learn:

        L = L_ce(source) + kl_weight L_kl + mapper_weight L_smn + entropy_weight L_ent(target),

    with L_kl between the text features of both, and L_smn for a mapper that tells the style tokens of the source from
    an image of the target; so predicting needs images of the target alone. Each image has its own text features:
    K texts are read per image, in training and after.

    Parameters
    ----------
    context : {"image", "static", "words"}
        What stands before the name: tokens of the image; a learned context, the same for all images, trained by L_ce
        and L_ent (CoOp, if `entropy_weight` is 0), as both domains then have the same text features; or `words`, and
        nothing is learned (zero-shot).
    words : str
        The text before the name where nothing is learned, and where learning starts: it ends the initial context,
        which is zero before it.
    static_tokens : int, >= 1
        Length of the learned context that is the same for all images.
    source_style, target_style, content : bool
        Which blocks an image's prompt has; at least one.
    content_tokens : int, >= 1
        M.
    shared_decoder : bool
        One mixture of layers for all M content tokens, which are then equal, as in the released code.
    style_pool : {"average", "concat"}
        The style of a layer: (mu + sigma) / 2, or [mu; sigma] as in the paper's text.
    layers : {"all", "last"}
        Which layers of the image tower are read.
    hidden, mapper_hidden : int, >= 1
        Widths inside the projector of styles and the mapper.
    mapper_input : {"target", "source"}
        The statistics that the mapper learns from: of the paired target image, or of the source image itself.
    inference : {"mapped", "stored"}
        What stands for the source's style when the target is predicted: what the mapper says, or the mean style of
        the source (the mean over its domains, if a column `domain` tells several). May be changed after `fit`.
    entropy : {"paper", "code"}
        Of each prediction, or after each class's column got unit length over the batch.
    kl_weight, mapper_weight, entropy_weight : float, >= 0
        Weights of the losses.
    epoch_length : {"source", "target", "smaller"}
        Whose number of batches an epoch has.
    learning_rate : float, > 0
        Of Adam.
    warm_epochs : int, >= 0
        Epochs in which the rate goes up from 1e-5 in a line; then it goes down to 0 by a cosine.
    epochs, batch_size : int, >= 1
        A batch is so many images of each domain.

    Attributes
    ----------
    network_ : Module
        From images of the target, or rows that a `LayerReader` gave, to scores of K classes.
    history_ : dict of arrays (epochs,)
        `loss`, `ce`, `kl`, `smn`, `entropy`; empty where nothing is learned.

    References
    ----------
    [1] Singha, Pal, Jha, Banerjee, "AD-CLIP: Adapting Domains in Prompt Space Using CLIP", ICCV 2023 Workshops.
    """

    card = Card(
        slug="ad-clip",
        cost=60.0,
        title="AD-CLIP: Adapting Domains in Prompt Space Using CLIP",
        venue="ICCV 2023 Workshops",
        official_code="mainaksingha01/AD-CLIP",
        summary="Adapt a frozen two-tower model to unlabeled images by prompts made of their style and content.",
        unseen={"domains"},
        modalities={"features", "image"},
        protocols={"closed", "partial"},
        needs=(TwoTowers(),),
        left_out=(
            "Style tokens shared by the images of a batch: texts are saved only in prompts without content, and a "
            "prediction would depend on what it is made with.",
        ),
        presets={
            "default": {},
            "paper": {"epochs": 50},
        },
        on_request={"paper"},
        smoke={"epochs": 2, "hidden": 8, "mapper_hidden": 8},
        parts=(
            "unseen.nn.layer_statistics.LayerReader",
            "unseen.nn.prompting.PromptableTowers",
            "unseen.encoders.promptable.promptable",
            "unseen.data.samplers.paired_batches",
        ),
        notes=(
            "Mean and deviation of every channel are standardized over the source, and tokens scaled to the root mean "
            "square of the word vectors and added to those of `words`; in the released code neither is, and tokens may "
            "be much larger than words.",
            "Source and target images are paired at random, so the best that a mapper of target images can learn is "
            "the mean style of the source; in the claim's experiment it is no nearer to the style of source images "
            "held out than this constant (`inference='stored'`).",
            "Content tokens have a mixture of layers each; the released code uses one for all, so that they are equal "
            "(`shared_decoder`).",
            "The mapper learns from target statistics, as the paper has it; the released code feeds it the source's "
            "(`mapper_input`).",
            "The entropy is that of the paper; the released code first gives columns unit length (`entropy`).",
            "The projectors of CNN towers are registered; in the released code they stand in plain lists, and are "
            "neither trained nor saved.",
            "The factor of the cosine is the towers' own, which is 100 for CLIP.",
            "The paper trains neither towers nor cached features, but the projectors of prompts, on pictures that are "
            "read anew in each step, and so does this with pictures, cropped from mirrored borders and flipped; with "
            "features (rows of `LayerReader`, read once) the same projectors learn, and only these views are lost.",
            "The prompts of several sources (an extension) use the mean of the mean styles of the domains.",
        ),
    )

    context: Context = "image"
    words: str = "a photo of a"
    static_tokens: Count = 4
    source_style: bool = True
    target_style: bool = True
    content: bool = True
    content_tokens: Count = 4
    shared_decoder: bool = False
    style_pool: StylePool = "average"
    layers: Literal["all", "last"] = "all"
    hidden: Count = 256
    mapper_hidden: Count = 384
    mapper_input: Literal["target", "source"] = "target"
    inference: Inference = "mapped"
    entropy: Entropy = "paper"
    kl_weight: NonNegative = 1.0
    mapper_weight: NonNegative = 0.1
    entropy_weight: NonNegative = 0.01
    epoch_length: Literal["source", "target", "smaller"] = "source"
    learning_rate: Positive = 1e-2
    warm_epochs: Natural = 1
    epochs: Count = 10
    batch_size: Count = 16

    def fit(self, *, source: Domain, target: Domain, encoder: Any, classes: ClassSpace | None = None) -> Self:
        """Learn the projectors; `encoder` is `PromptableTowers`, and `classes` are all that shall be predicted.

        Classes that no source sample has, and that are not `seen`, take no part in training.
        """
        towers = _towers(encoder)
        for name, domain in (("source", source), ("target", target)):
            _check_rows(name, domain, towers)
        space = _named(source, classes)
        network = self._network(towers, space, source.kind)
        whole = batches(source, 256, shuffle=False, drop_last=False)
        with torch.no_grad():
            rows = torch.cat([network.image(batch.x) if batch.x.ndim > 2 else batch.x for batch in whole(None)])
            network.standardize(rows)
        self.history_: dict[str, NDArray[Any]] = {}
        if self.context != "words":
            self.history_ = self._train(network, source, target, space)
        with torch.no_grad():
            network.stored.copy_(_mean_style(network, source, rows))
        self.network_ = network
        return self

    def _network(self, towers: PromptableTowers, classes: ClassSpace, kind: str) -> PromptedTowers:
        """The towers with fresh projectors, and the prompts of the classes."""
        if self.context == "image" and not (self.source_style or self.target_style or self.content):
            raise ValueError("source_style, target_style and content are all False; a prompt needs one of them")
        words = towers.tokenize([self.words])[0][1:-1]
        blocks = (self.source_style + self.target_style) * (1 if self.layers == "last" else len(towers.image.widths))
        n_context = {
            "image": blocks + self.content * self.content_tokens,
            "static": self.static_tokens,
            "words": len(words),
        }[self.context]
        texts = towers.tokenize([f"{name.replace('_', ' ')}." for name in classes.names])
        prompts = towers.text.prompts(texts, n_context, classes.names)
        design = Design(
            classes=len(prompts),
            length=prompts.rest.shape[1],
            n_context=n_context,
            logit_scale=float(towers.logit_scale.detach().exp()),
            context=self.context,
            source_style=self.source_style,
            target_style=self.target_style,
            content=self.content,
            content_tokens=self.content_tokens,
            shared_decoder=self.shared_decoder,
            style_pool=self.style_pool,
            last=self.layers == "last",
            hidden=self.hidden,
            mapper_hidden=self.mapper_hidden,
        )
        image = copy.deepcopy(towers.image) if kind == "image" else row_reader(towers.image.widths, towers.image.dim)
        network = prompted_towers(image, copy.deepcopy(towers.text), dataclasses.asdict(design))
        network.name(prompts)
        last = words[max(0, len(words) - n_context) :]
        network.initial[n_context - len(last) :] = towers.text.table.detach()[torch.tensor(last, dtype=torch.int64)]
        return network

    def _train(
        self, network: PromptedTowers, source: Domain, target: Domain, classes: ClassSpace
    ) -> dict[str, NDArray[Any]]:
        """Steps 8 to 10: Adam on the projectors, over pairs of batches."""
        known = torch.as_tensor(np.union1d(classes.seen, source.labels))
        size = min(self.batch_size, len(source), len(target))
        lengths = {"source": steps(len(source), size), "target": steps(len(target), size)}
        per_epoch = min(lengths.values()) if self.epoch_length == "smaller" else lengths[self.epoch_length]
        for parameter in network.learnable():
            parameter.requires_grad_(True)
        adam = torch.optim.Adam(network.learnable(), lr=self.learning_rate)

        def objective(batch: Pair, run: Run) -> Tensor:
            return self._loss(network, batch, known.to(batch.source.x.device), run)

        run = train(
            objective,
            name="ad-clip",
            nets={"network": network},
            optimizers={"adam": adam},
            schedulers={"rate": warm_cosine(adam, self.epochs * per_epoch, self.warm_epochs * per_epoch)},
            batches=paired_batches(source, target, size, augment=crop_and_flip if source.kind == "image" else None),
            epochs=self.epochs,
            steps_per_epoch=per_epoch,
        )
        network.requires_grad_(False).cpu()
        return {key: np.array([epoch[key] for epoch in run.history]) for key in run.history[0]}

    def _loss(self, network: PromptedTowers, batch: Pair, known: Tensor, run: Run) -> Tensor:
        """L = L_ce + kl_weight L_kl + mapper_weight L_smn + entropy_weight L_ent (step 6)."""
        assert batch.source.y is not None
        x_s, x_t = network.read(batch.source.x), network.read(batch.target.x)
        context_s, context_t, smn = self._contexts(network, x_s, x_t)
        t_s, t_t = network.features(torch.cat([context_s, context_t]), known).chunk(2)
        ce = F.cross_entropy(network.scores(x_s.embedding, t_s), torch.searchsorted(known, batch.source.y))
        kl = alignment(t_s, t_t)
        ent = uncertainty(torch.softmax(network.scores(x_t.embedding, t_t), dim=1), self.entropy)
        run.log(ce=ce, kl=kl, smn=smn, entropy=ent)
        return ce + self.kl_weight * kl + self.mapper_weight * smn + self.entropy_weight * ent

    def _contexts(self, network: PromptedTowers, x_s: Reading, x_t: Reading) -> tuple[Tensor, Tensor, Tensor]:
        """The contexts of the i-th source and target image, with both styles of the pair, and L_smn (steps 2 to 5)."""
        if self.context != "image":
            return network.initial[None], network.initial[None], x_s.embedding.new_zeros(())
        s, t = network.tokens(x_s), network.tokens(x_t)
        mapped = network.mapped(x_t if self.mapper_input == "target" else x_s)
        contexts = (network.joined(s.style, t.style, content) for content in (s.content, t.content))
        return (*contexts, F.mse_loss(mapped, s.style))  # type: ignore[return-value]

    def decision_function(self, x: Tensor) -> Float[Tensor, "n k"]:
        """Scores of all classes, (n, K), from images of the target alone."""
        vars(self.network_)["inference"] = self.inference
        return super().decision_function(x)

    def network(self) -> nn.Module:
        """The fitted network, with the source's style as `inference` says."""
        vars(self.network_)["inference"] = self.inference
        return self.network_


def _towers(encoder: Any) -> PromptableTowers:
    """The encoder, found to be towers that can be read and prompted."""
    if not isinstance(encoder, PromptableTowers):
        expected = "PromptableTowers, such as `unseen.encoders.promptable.promptable(encoder)` makes of a two-tower one"
        raise TypeError(f"encoder must be {expected}; got {type(encoder).__name__}")
    return encoder


def _check_rows(name: str, domain: Domain, towers: PromptableTowers) -> None:
    """Features are rows of the towers' own image reader."""
    if domain.kind == "features" and domain.n_features != towers.image.width:
        expected = f"{name} must hold rows of the encoder's layers, of {towers.image.width} features"
        raise ValueError(f"{expected}; it has {domain.n_features}")


def _named(source: Domain, classes: ClassSpace | None) -> ClassSpace:
    """All classes to predict, with their names."""
    space = source.classes if classes is None else classes
    if space is None:
        raise ValueError("source must have named classes, or classes must be given; prompts are made of their names")
    return space


def _mean_style(network: PromptedTowers, source: Domain, rows: Float[Tensor, "n w"]) -> Float[Tensor, "l d"]:
    """The mean style tokens of the source: over the images of each domain, then over its domains (step 12)."""
    style = network.tokens(network.read(rows)).style
    groups = source.columns.get("domain", np.zeros(len(source)))
    return torch.stack([style[torch.as_tensor(groups == group)].mean(dim=0) for group in np.unique(groups)]).mean(dim=0)
