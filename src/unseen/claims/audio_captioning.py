"""The claim of audio captioning: a captioner that has learnt from texts alone says what sounds are, near and far."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import torch

from unseen.claims import worlds
from unseen.claims.base import Claim, Experiment, Result, of_both
from unseen.claims.conditions import at_least, beats_all, better
from unseen.claims.heard import ASKED, Clips, SiblingSpace, clips, corpus, heard
from unseen.claims.ledger import effect, mechanism, not_testable, paper_scale, promised
from unseen.data.domain import Domain
from unseen.data.sources.audiocaps import CREDIT, EVENTS_CREDIT
from unseen.data.typing import FloatArray
from unseen.evaluation.tasks import grades_of
from unseen.methods.multimodal.audio_captioning import AudioCaptioning

BUDGET: Mapping[str, Any] = {}
"""Of every arm; what each leaves out stands in `ARMS`."""
ARMS: Mapping[str, Mapping[str, Any]] = {
    "full": {},
    "no augmentation": {"replace": 0.0, "variance": 0.0},
    "noise alone": {"prompts": "soft", "replace": 0.0},
    "soft alone": {"prompts": "soft"},
    "hard alone": {"prompts": "hard"},
}


class Supervised(AudioCaptioning):
    """Learns from vectors of sounds and what people said of them: what a captioner with such pairs reaches (step 9h)."""

    sounds: FloatArray

    def _vectors(self, encoder: Any, captions: Any) -> FloatArray:
        return self.sounds


def asked(case: str) -> Clips:
    """The sounds of a case; those of confirmation are of another split."""
    return clips("val" if case.startswith("development") else "test").take(slice(0, ASKED))


def captioned(case: str, seed: int) -> Result:
    """Grades of every arm where captions and sounds are of one kind."""
    own, learnt = asked(case), corpus(case.split()[0])
    table = compared(learnt, own, own.sounds(seed), seed, ("full", "no augmentation", "noise alone"))
    return table


def parts(case: str, seed: int) -> Result:
    """Grades of either prompt alone, and of a captioner that has learnt from sounds with captions."""
    own, learnt = asked(case), corpus(case.split()[0])
    x = own.sounds(seed)
    table = compared(learnt, own, x, seed, ("full", "soft alone", "hard alone"))
    told = Supervised(**{**BUDGET, "replace": 0.0, "variance": 0.0, "random_state": seed})
    texts, told.sounds = _paired(case, seed)
    told.fit(corpus=texts, encoder=SiblingSpace())
    table["supervised"] = graded(own, told.caption(torch.as_tensor(x)))
    return table


def crossed(case: str, seed: int) -> Result:
    """Grades where captions of one half of the topics are learnt from, and sounds of the other are asked about."""
    split, _, half = case.partition(" ")
    own = clips("val" if split == "development" else "test")
    own = own.take(np.flatnonzero(own.halves != half)[:ASKED])
    return compared(corpus(split, half), own, own.sounds(seed), seed, ("full", "soft alone", "noise alone"))  # type: ignore[arg-type]


def compared(learnt: Domain, own: Clips, x: FloatArray, seed: int, arms: tuple[str, ...]) -> Result:
    """Grades of trained arms, and of what needs no training: projection, retrieval, keywords."""
    table: Result = {}
    sounds = torch.as_tensor(x)
    for arm in arms:
        method = AudioCaptioning(**{**BUDGET, **ARMS[arm], "random_state": seed})
        method.fit(corpus=learnt, encoder=SiblingSpace())
        table[arm] = graded(own, method.caption(sounds))
        if arm == "no augmentation":
            method.set_params(project=True)
            table["projection"] = graded(own, method.caption(sounds))
        if arm == "full":
            table["retrieval"] = graded(own, method.nearest(sounds))
            table["keywords"] = graded(own, method.keywords(sounds))
    return table


def graded(own: Clips, said: Any) -> dict[str, float]:
    """CIDEr, BLEU-1, BLEU-4, ROUGE-L and event F1 against the four other captions of each sound."""
    return {name.lower(): value for name, value in grades_of("text").grade(own.references, said).items()}


def _paired(case: str, seed: int) -> tuple[Domain, FloatArray]:
    """Sounds that nobody is asked about with a caption each: their vectors are of another caption of theirs."""
    other = clips("test" if case.startswith("development") else "val")
    left = other.take(slice(ASKED, None))
    said = left.said.tolist()
    e = SiblingSpace().encode_text(said)
    x = heard(e, seed, *GAP)
    lines = [own.split("\n") for own in left.references]
    texts = np.array([line for own in lines for line in own])
    return Domain(x=texts, kind="text", name="paired"), np.repeat(x, [len(own) for own in lines], axis=0)


GAP = (0.5, 0.05)


@functools.cache
def read(case: str) -> tuple[Domain, ...]:
    """Captions to learn from, and those of the sounds of a case."""
    own = asked(case)
    half: Any = case.partition(" ")[2]
    learnt = corpus(case.split()[0], half if half in ("living", "things") else None)
    return learnt, Domain(x=own.said, y=own.references, kind="text", task="text", name=case)


def behaviour() -> dict[str, Any]:
    """What is simulated, and grades of a few texts."""
    from unseen.data.caption_words import event_words

    e = np.eye(4, 6, dtype=np.float32)
    return {
        "heard": heard(e, 0, 0.5, 0.05),
        "events": sorted(event_words("A dog is barking while rain falls on a metal roof")),
    }


Way = Literal["captions", "parts", "domains"]
# fmt: off
LEDGER = (
    promised("captions", better("full", "retrieval", "cider"),
        "A captioner that learns from texts alone says what sounds are better than the nearest caption that it has learnt "
        "from (CIDEr)."),
    mechanism("captions", at_least("full", "event f1", 0.2),
        "It names events of the sounds."),
)
claim = Claim(
    slug="audio-captioning",
    ledger=LEDGER,
    experiments={},
    licences=(CREDIT, EVENTS_CREDIT, worlds.MINILM),
    behaviour=behaviour,
)
# fmt: on
