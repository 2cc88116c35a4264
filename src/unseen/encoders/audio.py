"""Encoders of sounds: their spectra without a network, and any CLAP with its tower of texts."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from unseen.data.domain import Domain
from unseen.data.sounds import Sound, audible, resampled
from unseen.data.typing import IntArray, Kind
from unseen.encoders.backends import Backend
from unseen.encoders.base import Encoder
from unseen.encoders.reading import read_samples
from unseen.encoders.registry import Request, online
from unseen.encoders.sound import (
    BANDS,
    DEEPEST,
    FRAME,
    HOP,
    LOWEST,
    RATE,
    SOUNDS_TOGETHER,
    ClapSpace,
    clap,
    log_mel_statistics,
    vectors_of,
)
from unseen.encoders.text import TextPreprocess, silently
from unseen.encoders.two_tower import TwoTowerEncoder, name_and_description
from unseen.runtime import track

MOST_PARTS = 64
"""Of a sound's time that its spectra are told of."""


class SpectraPreprocess:
    """From sounds to what their spectra hold: the mean over the windows in which there is something to hear.

    With more `parts`, so many equal ones of each window are told, too; see `log_mel_statistics`.
    """

    kind: Kind = "audio"

    def __init__(self, parts: int = 1) -> None:
        self.parts = parts

    def __call__(self, samples: Sequence[Sound]) -> Tensor:
        """One batch, float32 (b, 192), or (b, 192 x (1 + parts)) of more than one part."""
        return torch.from_numpy(np.stack([self._statistics(sound) for sound in samples]))

    def groups(self, samples: Any) -> IntArray:
        """All alike, (n,)."""
        return np.zeros(len(samples), dtype=np.int64)

    def to_json(self) -> dict[str, Any]:
        """How spectra are made."""
        record = {"kind": self.kind, "rate": RATE, "frame": FRAME, "hop": HOP, "bands": BANDS, "lowest": LOWEST,
                "deepest": DEEPEST}  # fmt: skip
        return record if self.parts == 1 else {**record, "parts": self.parts}

    def _statistics(self, sound: Sound) -> NDArray[np.float32]:
        heard = audible(resampled(sound.wave, sound.rate, RATE), RATE)
        return np.mean([log_mel_statistics(part, self.parts) for part in heard], axis=0, dtype=np.float32)


class WavePreprocess:
    """Sounds as a CLAP's feature extractor takes them: one part of ten seconds each."""

    kind: Kind = "audio"

    def __init__(self, extractor: Any, rate: int, seconds: float) -> None:
        self.extractor, self.rate, self.seconds = extractor, rate, seconds

    def __call__(self, samples: Sequence[Sound]) -> Tensor:
        """The first audible part of each, as the network takes it, (b, ...)."""
        waves = [audible(resampled(s.wave, s.rate, self.rate), self.rate, self.seconds)[0] for s in samples]
        return self.extractor(waves, sampling_rate=self.rate, return_tensors="pt")["input_features"]

    def groups(self, samples: Any) -> IntArray:
        """All alike, (n,)."""
        return np.zeros(len(samples), dtype=np.int64)

    def to_json(self) -> dict[str, Any]:
        """Rate, seconds of a part, and how its spectra are made."""
        return {"kind": self.kind, "rate": self.rate, "seconds": self.seconds, "extractor": self.extractor.to_dict()}


class SoundEncoder(Encoder):
    """What hears sounds."""

    def example(self, rows: int | None = None) -> Tensor:
        """A batch of a second of silence."""
        return self.batch([Sound(np.zeros(RATE, dtype=np.float32), RATE, 1.0)], rows)


class ClapSounds(SoundEncoder):
    """The tower of sounds of a CLAP; a sound of more than ten seconds is the mean of its audible parts."""

    def __init__(self, space: ClapSpace, *, name: str, local: bool) -> None:
        self.space = space
        super().__init__(
            name=name,
            module=_Heard(space.model),
            preprocess=WavePreprocess(space.extractor, space.rate, space.seconds),
            batch_size=SOUNDS_TOGETHER,
            precision="fp32",
            local=local,
        )

    @cached_property
    def dim(self) -> int:
        """Of the space."""
        return self.space.dim

    def compute(
        self, domain: Domain, positions: IntArray, backend: Backend, *, learn: bool = False
    ) -> NDArray[np.float32]:
        """Unit vectors of the sounds at `positions`, (len(positions), d)."""
        features = np.empty((len(positions), self.dim), dtype=np.float32)
        for start in track(range(0, len(positions), SOUNDS_TOGETHER), f"encoding {domain.name} by {self.name}"):
            part = positions[start : start + SOUNDS_TOGETHER]
            waves = [resampled(sound.wave, sound.rate, self.space.rate) for sound in read_samples(domain, part)]
            features[start : start + len(part)] = self.space.encode_audio(waves)
        return self._checked(domain, positions, features)


class _Heard(nn.Module):
    """A CLAP as a function of what its extractor makes of sounds."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        """Unit vectors of sounds, (b, d)."""
        return F.normalize(vectors_of(self.model.get_audio_features(input_features=x)), dim=1)  # type: ignore[operator]


class _Said(nn.Module):
    """A CLAP as a function of tokens."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, tokens: Tensor) -> Tensor:
        """Unit vectors, (b, d), of tokens (b, 2, t)."""
        ids, mask = tokens.unbind(dim=1)
        features = self.model.get_text_features(input_ids=ids, attention_mask=mask)  # type: ignore[operator]
        return F.normalize(vectors_of(features), dim=1)


def build_mel(request: Request) -> Encoder:
    """Spectra alone: 192 features of a sound, and as many of each of its ``parts``."""
    parts = request.options.get("parts", "1")
    if not parts.isdecimal() or not 1 <= int(parts) <= MOST_PARTS:
        raise ValueError(f"encoder {request.name!r}: parts must be a whole number in [1, {MOST_PARTS}]; got {parts!r}")
    spectra = SpectraPreprocess(int(parts))
    return SoundEncoder(name=request.name, module=nn.Identity(), preprocess=spectra, precision="fp32")


def build_clap(request: Request) -> TwoTowerEncoder:
    """Build ``clap:<folder or hub name>``."""
    place = request.folder or Path(request.argument).expanduser()
    local = place.is_dir()
    with online(request, "give a folder that holds the model", needed=not local, place=request.argument):
        space = clap(str(place) if local else request.argument)
    sounds = ClapSounds(space, name=request.name, local=local)
    texts = Encoder(
        name=request.name,
        module=_Said(space.model),
        preprocess=TextPreprocess(space.tokenizer, space.most_tokens, request.name),
        precision="fp32",
        local=local,
    )
    return TwoTowerEncoder(
        name=request.name,
        image=sounds,
        text=texts,
        logit_scale=float(space.model.logit_scale_a.exp()),
        template=lambda name, description: f"This is a sound of {name_and_description(name, description)}.",
        save=partial(_save, space),
    )


def _save(space: ClapSpace, folder: Path) -> None:
    with silently():
        for part in (space.model, space.tokenizer, space.extractor):
            part.save_pretrained(folder)
