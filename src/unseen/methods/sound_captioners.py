"""What captions sounds: what all such methods share."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from unseen.data.rows import unit_rows
from unseen.methods.base import Method
from unseen.methods.verbs import gives
from unseen.nn.protocols import AudioTextSpace


class SoundCaptioner(Method):
    """What all methods have that caption sounds; `unseen caption` takes any subclass, those of other packages, too.

    `fit` takes a `corpus` of captions and an `encoder` of texts and sounds, and calls `remember`. If its signature
    names them, the job gives `classes`, names of sound events, and a `model`, a decoder, too. A subclass captions in
    `caption`, and says in `events` what is heard, if it knows.

    Attributes
    ----------
    captions_, support_ : array of str, and Tensor (n, d)
        The captions learnt from and their vectors.
    names_, losses_, gap_ : tuple of str, tuple of float, dict of str to float
        The sound events, the loss of each epoch, and how far texts lie from what stands for a sound in training;
        absent where there are none.
    """

    captions_: NDArray[Any] = dataclasses.field(init=False)
    support_: Tensor = dataclasses.field(init=False)
    names_: tuple[str, ...] = dataclasses.field(init=False)
    losses_: tuple[float, ...] = dataclasses.field(init=False)
    gap_: dict[str, float] = dataclasses.field(init=False)

    def remember(self, captions: Sequence[str], encoder: AudioTextSpace) -> None:
        """Keep captions and their unit vectors, for `nearest`; each text is read once."""
        texts = list(dict.fromkeys(captions))
        place = {text: i for i, text in enumerate(texts)}
        vectors = unit_rows(encoder.encode_text(texts))
        self.captions_ = np.array(captions, dtype=np.str_)
        self.support_ = torch.as_tensor(vectors[[place[text] for text in captions]])

    @gives("captions")
    def caption(self, x: Float[Tensor, "n d"]) -> NDArray[Any]:
        """A caption of each sound, by its vector f_audio(x), (n,)."""
        raise TypeError(f"{type(self).__name__} captions no sounds")

    @gives("captions")
    def predict(self, x: Float[Tensor, "n d"]) -> NDArray[Any]:
        """A caption of each sound, as `caption`."""
        return self.caption(x)

    @gives("captions")
    def nearest(self, x: Float[Tensor, "n d"]) -> NDArray[Any]:
        """The caption of the corpus that lies nearest to each sound: what a captioner must be better than."""
        return self.captions_[(self.sound_vectors(x) @ self.support_.T).argmax(dim=1).numpy()]

    @gives("labels")
    def events(self, x: Float[Tensor, "n d"]) -> tuple[tuple[tuple[str, float], ...], ...]:
        """The sound events nearest to each sound, with their cosines; none where the method knows none."""
        return ((),) * len(x)

    @gives("captions")
    def keywords(self, x: Float[Tensor, "n d"]) -> NDArray[Any]:
        """The sound events in a sentence, without a decoder; "" where there are none."""
        return np.array([_listed([name for name, _ in events]) for events in self.events(x)], dtype=np.str_)

    def sound_vectors(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """Unit vectors of sounds; `ValueError` for other widths, and for zeros."""
        d = self.support_.shape[1]
        if x.ndim != 2 or x.shape[1] != d:
            raise ValueError(f"x must hold vectors of the encoder's sounds, (n, {d}); got {tuple(x.shape)}")
        if not bool((x.abs().amax(dim=1) > 0).all()):
            raise ValueError("x must hold vectors that are not zero")
        return F.normalize(x.float(), dim=1)


def _listed(names: Sequence[str]) -> str:
    """The sound of "dog, bark and rain"."""
    listed = ", ".join(names[:-1]) + (" and " if len(names) > 1 else "") + "".join(names[-1:])
    return f"the sound of {listed}" if names else ""
