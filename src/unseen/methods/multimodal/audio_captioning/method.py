"""Zero-shot audio captioning: a captioner that has learnt to say texts from their vectors is given a sound's."""

from __future__ import annotations

import copy
import logging
from collections.abc import Sequence
from typing import Any, Literal, Self

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.pairs import Pairs
from unseen.data.rows import unit_rows
from unseen.data.samplers import steps
from unseen.methods.base import Card
from unseen.methods.multimodal.audio_captioning.augmentation import MixedAugmentation, expected_cosine, variance_for
from unseen.methods.multimodal.audio_captioning.needs import AudioTextTowers
from unseen.methods.multimodal.audio_captioning.prompts import (
    TEMPLATE,
    HardPrompt,
    Mapper,
    PrefixCaptioner,
    project,
    soft_prompt,
)
from unseen.methods.multimodal.audio_captioning.reading import by_length, chosen, measured_gap
from unseen.methods.parameters import Count, Natural, NonNegative, Positive, Unit
from unseen.methods.sound_captioners import SoundCaptioner
from unseen.methods.verbs import gives
from unseen.nn.captioners import small_decoder, vocabulary
from unseen.nn.protocols import AudioTextSpace, CaptionDecoder
from unseen.nn.schedules import by_decay, warm_then_linear
from unseen.nn.train import Run, train
from unseen.runtime import reproducible

log = logging.getLogger(__name__)

TOGETHER = 64
"""Sounds that are captioned in one batch."""


class AudioCaptioning(SoundCaptioner):
    """Learn to caption sounds from captions alone, by a frozen space of texts and sounds [1].

    A decoder learns to say every caption c of a corpus from its vector e = f_text(c),

        L = -sum_t log p(c_t | soft(e''), hard(e''), c_<t),    e'' = normalize(e' + n),  n ~ N(0, variance I),

    where e' is e or, with some probability, the vector of a caption that says nearly the same. The soft prompt is a
    learnt map of e'', the hard prompt a sentence with the sound events whose names lie nearest to it. Asked about a
    sound, both are made of f_audio(x): no sound is ever learnt from.

    Parameters
    ----------
    prompts : {"both", "soft", "hard"}
        What the decoder reads: a map of the vector, names of the nearest events, or both.
    mapper, length : {"mlp", "transformer"}, int, >= 1
        Of the soft prompt: see `SoftPrompt`.
    mapper_layers : int, >= 1
        Of a mapper that is a transformer.
    labels : int, >= 1
        Sound events in the hard prompt, at most.
    threshold : float in [0, 1]
        Share of the softmax over all events that one must have.
    temperature : float, > 0
        Of that softmax.
    mask : float in [0, 1]
        With which an event is left out of the hard prompt in training.
    replace : float in [0, 1]
        With which a caption's vector is replaced by that of a neighbour.
    neighbours : int, >= 0
        Nearest captions that one is drawn from.
    least_cosine : float in [0, 1]
        That a neighbour must have; a rare caption keeps its own vector.
    variance : float, >= 0
        Of the noise in every coordinate; the most sensitive of all.
    match_gap : bool
        Choose the variance so that noise leaves a text as far from itself as sounds of `pairs` are from their captions.
    project : bool
        Before a sound is captioned, move its vector to a mean of the captions' vectors that are like it (DeCap).
    support_temperature : float, > 0
        Of the softmax of that mean.
    beam, longest : int, >= 1
        Width of the beam search (1 is greedy), and tokens of a caption.
    length_penalty : float, >= 0
        Log-probabilities are divided by the length to this power; 0 compares them as they are, and favours short ones.
    no_repeat : bool
        Whether a pair of words may stand in a caption once only.
    width, layers, heads : int, >= 1
        Of the small decoder that is made where no `model` is given.
    dropout : float in [0, 1]
        In the small decoder.
    least_count : int, >= 1
        How often a word must occur in the corpus for the small decoder to know it.
    frozen : bool
        The decoder rests, and the soft prompt alone learns; needs a `model`, since a new decoder knows nothing.
    pretrain : int, >= 0
        Epochs in which a small decoder learns captions alone, before the prompts; a `model` that is given has.
    epochs, batch_size : int, >= 1
    learning_rate, mapper_rate : float, > 0
        Of AdamW, for the decoder and for the soft prompt: up in the warm-up, then down in a line.
    warmup : float in [0, 1]
        Share of the steps.
    weight_decay : float, >= 0
        Of AdamW.

    Attributes
    ----------
    decoder_, soft_ : Module
        The language model and the mapping network (None where prompts="hard").
    names_, bank_ : tuple of str, and Tensor (events, d)
        The sound events and their vectors.
    captions_, support_ : array of str, and Tensor (n, d)
        The corpus and its vectors, for the nearest caption and for the projection.
    gap_ : dict of str to float
        ``noise``: the cosine of captions before and after augmentation; ``replaced``: the share of captions that have
        a neighbour; ``variance``. Where there are `pairs`: ``matched``, the mean cosine of sounds and their captions,
        and ``means``, the distance of the means of both.
    losses_ : tuple of float
        By epoch.

    References
    ----------
    [1] Zhang, Xu, Du, Liu, Dong, Tan, Wang, Ma, "Zero-Shot Audio Captioning Using Soft and Hard Prompts", 2024.
    """

    card = Card(
        slug="audio-captioning",
        cost=60.0,
        title="Zero-Shot Audio Captioning Using Soft and Hard Prompts",
        venue="2024",
        summary="Train a captioner on text alone and caption sounds through a shared embedding (`unseen caption`).",
        unseen={"modalities"},
        modalities={"features"},
        reads={"corpus": {"text"}},
        protocols={"captioning"},
        task="text",
        needs=(AudioTextTowers(),),
        presets={
            "default": {},
            "paper": {
                "mapper": "transformer",
                "length": 10,
                "variance": 0.016,
                "temperature": 0.01,
                "threshold": 0.2,
                "length_penalty": 0.0,
                "warmup": 0.535,  # 5,000 steps of 9,345: AudioCaps' captions in batches of 80, 15 times
                "learning_rate": 2e-5,
                "mapper_rate": 1e-4,
                "batch_size": 80,
                "epochs": 15,
                "longest": 67,
                "dropout": 0.0,
            },
        },
        on_request={"paper"},
        smoke={
            "epochs": 2,
            "batch_size": 8,
            "width": 16,
            "layers": 1,
            "heads": 2,
            "length": 2,
            "least_count": 1,
            "longest": 6,
            "beam": 2,
            "neighbours": 2,
            "least_cosine": 0.1,
            "threshold": 0.01,
            "pretrain": 1,
        },
        at_prediction={"project", "support_temperature", "beam", "longest", "length_penalty", "no_repeat"},
        commands=("unseen caption sounds --captions texts.txt --out captions.html --model captioner",),
        parts=(
            "unseen.nn.captioners",
            "unseen.nn.beam.beam_search",
            "unseen.nn.protocols.AudioTextSpace",
            "unseen.encoders.sound",
            "unseen.data.sounds",
            "unseen.data.sources.audiocaps",
            "unseen.evaluation.tasks.text",
        ),
        left_out=(
            "AudioCaps' and Clotho's sounds, LAION's CLAP, and GPT-2 as the paper has them: none is at hand. "
            "`unseen caption --encoder clap:NAME --decoder gpt2:NAME` reads them.",
            "METEOR, SPICE, SPIDEr and FENSE: the first three need Java, the last a network that is not at hand.",
            "Texts other than the corpus that a sound's vector is projected onto (support texts): `project` takes the "
            "corpus's.",
            "The multilingual extension as an experiment: it is another corpus and decoder, which `fit` takes.",
        ),
        notes=(
            "No official code was found; the construction follows ViECap, of which the noise, the order of the prompts "
            "and the masking of labels are.",
            "The probability of a replacement, its neighbours and their least cosine are reconstructed.",
            "Noise and replacements are drawn from the generator of the training run, so that a run that was killed "
            "goes on to the same bits.",
            "Without a `model` the decoder is a transformer of one layer over whole words, trained from scratch in two "
            "stages: captions alone, then soft and hard prompts.",
            "Captions are compared by their mean log-probability; by the sum, as length_penalty=0 has it, the small "
            "decoder says too little.",
            "The sounds of its claim are simulated: the vector of a sibling caption (another caption of the same "
            "sound), moved by a fixed offset and by noise. No sound is heard there, and no CLAP asked.",
            "A decoder no better than the nearest caption has learnt nothing more than a search gives. In development "
            "on simulated sounds (one seed) its CIDEr was .483 with 2,000 captions and .735 with 12,000, that of the "
            "nearest caption .505 and .661, and with project=True and no augmentation it was .553 and .787.",
            "Across the halves of topics it failed in development: learnt from captions of people and animals and "
            "asked about other things its CIDEr was .03 to .07 in three blocks, and .27 to .48 that of the nearest.",
            "AudioCaps' captions are free to use for academic purposes only, and in no package: they are read from "
            "your folder, UNSEEN_DATA/audiocaps.",
            "The default noise is smaller than the paper's: a small space has a smaller gap.",
        ),
    )

    prompts: Literal["both", "soft", "hard"] = "both"
    mapper: Mapper = "mlp"
    length: Count = 4
    mapper_layers: Count = 8
    labels: Count = 3
    threshold: Unit = 0.05
    temperature: Positive = 0.03
    mask: Unit = 0.4
    replace: Unit = 0.5
    neighbours: Natural = 5
    least_cosine: Unit = 0.6
    variance: NonNegative = 0.008
    match_gap: bool = False
    project: bool = False
    support_temperature: Positive = 0.02
    beam: Count = 5
    longest: Count = 30
    length_penalty: NonNegative = 1.0
    no_repeat: bool = False
    width: Count = 128
    layers: Count = 1
    heads: Count = 4
    dropout: Unit = 0.1
    least_count: Count = 2
    frozen: bool = False
    pretrain: Natural = 10
    epochs: Count = 10
    batch_size: Count = 32
    learning_rate: Positive = 3e-3
    mapper_rate: Positive = 3e-3
    warmup: Unit = 0.1
    weight_decay: NonNegative = 0.01

    def fit(
        self,
        *,
        corpus: Domain,
        encoder: Any,
        classes: ClassSpace | None = None,
        model: nn.Module | None = None,
        pairs: Pairs | None = None,
    ) -> Self:
        """Learn from captions.

        Parameters
        ----------
        corpus : Domain
            Captions. With a column ``clip``, captions of the same sound do not stand for each other.
        encoder : AudioTextSpace
            Only its text tower is asked.
        classes : ClassSpace
            Names of sound events; AudioSet's 527 if absent.
        model : Module
            A decoder (`unseen.nn.captioners`), of which a copy learns; a small one over words is made if absent.
        pairs : Pairs
            Vectors of a few sounds (left) and their captions: how wide the gap is, and what noise it needs.
        """
        if not isinstance(encoder, AudioTextSpace):
            raise TypeError(f"encoder must have encode_text and encode_audio; got {type(encoder).__name__}")
        captions = np.array([" ".join(str(text).split()) for text in corpus.x], dtype=np.str_)
        if not all(captions):
            raise ValueError(f"corpus must hold captions; {int((captions == '').sum())} of {len(captions)} are empty")
        if self.match_gap and pairs is None:
            raise ValueError("match_gap=True needs pairs: vectors of a few sounds, and their captions")
        if self.frozen and model is None:
            raise ValueError("frozen=True needs a model: a small decoder begins with random weights, and must learn")
        if self.frozen and self.prompts == "hard":
            raise ValueError("frozen=True leaves nothing to learn with prompts='hard'")
        if model is not None and not isinstance(model, CaptionDecoder):
            raise TypeError(
                f"model must be a decoder of unseen.nn.captioners, such as causal_decoder_of(...); got "
                f"{type(model).__name__}"
            )
        names = _events() if classes is None else tuple(name.replace("_", " ") for name in classes.names)
        lm = self._decoder(model, captions.tolist(), names)
        tokens = [lm.caption_ids(text) for text in captions]
        self._refuse_unknown(lm, tokens)
        self.names_ = names
        self.remember(captions.tolist(), encoder)
        self.bank_ = torch.as_tensor(unit_rows(encoder.encode_text([TEMPLATE.format(name) for name in names])))
        d = self.support_.shape[1]
        soft: Any = None
        if self.prompts != "hard":
            soft = soft_prompt(d, self.length, lm.width, self.mapper, self.mapper_layers)
        gap = {} if pairs is None else measured_gap(pairs, encoder, d)
        variance = variance_for(min(max(gap["matched"], 0.05), 1.0), d) if self.match_gap else self.variance
        clips = corpus.columns.get("clip")
        augment = MixedAugmentation(
            self.support_, self.neighbours, self.replace, variance, self.least_cosine,
            None if clips is None else torch.as_tensor(np.unique(clips, return_inverse=True)[1].reshape(-1)),
        )  # fmt: skip
        if model is None and self.pretrain:
            self._learn_captions(lm, tokens)
        history = self._train(lm, soft, augment, tokens)
        self.losses_ = tuple(float(epoch["loss"]) for epoch in history)
        self.decoder_, self.soft_ = lm, soft
        gap |= {"noise": float(np.mean([epoch["cosine"] for epoch in history])), "variance": variance}
        gap |= {"expected": expected_cosine(variance, d), "replaced": float((augment.counts > 0).float().mean())}
        self.gap_ = gap
        log.info("gap: %s", ", ".join(f"{name} {value:.3f}" for name, value in gap.items()))
        return self

    # -- learning ------------------------------------------------------------------------------------------

    def _decoder(self, model: nn.Module | None, captions: Sequence[str], names: Sequence[str]) -> Any:
        """A copy of the model, or a small one that knows the words of captions, prompts and events."""
        if model is not None:
            decoder: Any = copy.deepcopy(model)
        else:
            prompts = [HardPrompt.text(names), HardPrompt.text(())]
            words, read = vocabulary(captions, prompts, self.least_count)
            decoder = small_decoder(words, read, self.width, self.layers, self.heads, self.dropout)
        return decoder.requires_grad_(not self.frozen)

    def _refuse_unknown(self, lm: Any, tokens: Sequence[Sequence[int]]) -> None:
        """Raise where a decoder knows no word of any caption: it would learn to say nothing."""
        silent = lm.ends | lm.never
        if all(token in silent for ids in tokens for token in ids):
            raise ValueError(
                f"corpus must hold words that the decoder knows; of {len(tokens)} captions it knows none"
                f" (least_count={self.least_count} is how often a word must occur)"
            )

    def _hard(self) -> HardPrompt | None:
        if self.prompts == "soft":
            return None
        return HardPrompt(self.names_, self.bank_, self.labels, self.threshold, self.temperature, self.mask)

    def _train(
        self, lm: Any, soft: nn.Module | None, augment: MixedAugmentation, tokens: Sequence[Sequence[int]]
    ) -> list[dict[str, float]]:
        """Steps 1 to 6: perhaps captions alone first, then soft and hard prompts of augmented vectors."""
        captioner = PrefixCaptioner(lm, soft, self._hard())

        def objective(index: Tensor, run: Run) -> Tensor:
            lm.train(not self.frozen)
            e = augment(index.cpu(), run.generator)
            run.log(cosine=(e * augment.e[index.cpu()]).sum(dim=1).mean())
            return captioner.loss(e.to(run.device), chosen(tokens, index), run.generator)

        nets = {"decoder": lm} | ({} if soft is None else {"soft": soft})
        return self._stage("audio-captioning", objective, nets, tokens, self.epochs)

    def language_model(self, captions: Sequence[str], names: Sequence[str]) -> Any:
        """A small decoder that has learnt captions alone for `pretrain` epochs: many fits may begin with it as `model`.

        Parameters
        ----------
        captions, names : sequences of str
            Of the corpus, and of the sound events.
        """
        with reproducible(self.random_state):
            lm = self._decoder(None, captions, names)
            if self.pretrain:
                self._learn_captions(lm, [lm.caption_ids(text) for text in captions])
        return lm.cpu().eval()

    def _learn_captions(self, lm: Any, tokens: Sequence[Sequence[int]]) -> None:
        """The decoder by itself, without a prompt."""
        alone = PrefixCaptioner(lm, None, None)

        def objective(index: Tensor, run: Run) -> Tensor:
            lm.train()
            return alone.loss(torch.zeros(len(index), 1, device=run.device), chosen(tokens, index))

        self._stage("audio-captioning: captions", objective, {"decoder": lm}, tokens, self.pretrain)

    def _stage(
        self, name: str, objective: Any, nets: dict[str, nn.Module], tokens: Sequence[Sequence[int]], epochs: int
    ) -> list[dict[str, float]]:
        rates = {"decoder": self.learning_rate, "soft": self.mapper_rate}
        groups = [
            {**group, "lr": rates[part]} for part, net in nets.items() for group in by_decay(net, rest=("table",))
            if group["params"]
        ]  # fmt: skip
        adam = torch.optim.AdamW(groups, weight_decay=self.weight_decay)
        per_epoch = steps(len(tokens), self.batch_size, drop_last=False)
        run = train(
            objective,
            name=name,
            nets=nets,
            optimizers={"adam": adam},
            schedulers={"rate": warm_then_linear(adam, epochs * per_epoch, self.warmup)},
            batches=by_length([len(ids) for ids in tokens], self.batch_size),
            epochs=epochs,
            steps_per_epoch=per_epoch,
            clip=1.0,
        )
        return run.history

    # -- asking --------------------------------------------------------------------------------------------

    @gives("captions")
    def caption(self, x: Float[Tensor, "n d"]) -> NDArray[Any]:
        """A caption of each sound, by its vector f_audio(x), (n,)."""
        e = self.sound_vectors(x)
        if self.project:
            e = project(e, self.support_, self.support_temperature)
        captioner = PrefixCaptioner(self.decoder_, self.soft_, self._hard())
        search = {"width": self.beam, "longest": self.longest, "length_penalty": self.length_penalty,
                  "no_repeat": self.no_repeat}  # fmt: skip
        captions = [text for part in torch.split(e, TOGETHER) for text in captioner.generate(part, **search)]
        return np.array(captions, dtype=np.str_)

    @gives("labels")
    def events(self, x: Float[Tensor, "n d"]) -> tuple[tuple[tuple[str, float], ...], ...]:
        """The sound events nearest to each sound, with their cosines."""
        nearest = (self.sound_vectors(x) @ self.bank_.T).topk(min(self.labels, len(self.names_)), dim=1)
        return tuple(
            tuple((self.names_[place], value) for place, value in zip(places, values))
            for places, values in zip(nearest.indices.tolist(), nearest.values.tolist())
        )


# -- parts -------------------------------------------------------------------------------------------------


def _events() -> tuple[str, ...]:
    from unseen.data.sources.audiocaps import sound_events

    return sound_events().names
