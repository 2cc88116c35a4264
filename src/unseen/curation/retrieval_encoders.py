"""`QueryEncoders`: what turns the words and pictures of a query into vectors of a collection, or why it cannot."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.curation.collection import Collection

logger = logging.getLogger(__name__)


class QueryEncoders:
    """The encoder of a collection and, where its captions had one, that of other languages than English.

    Each is loaded by its name when it is first needed. One that cannot be loaded leaves a reason; rows, vectors and
    filters can be searched without it.

    Parameters
    ----------
    collection : Collection
    encoder : two-tower encoder, optional
        Instead of the one of that name.

    Attributes
    ----------
    reason, other_reason : str or None
        Why words and pictures, and words that are not English, cannot be looked for; None where nothing is known
        against it.

    Raises
    ------
    ValueError
        If `encoder` is another one than that of the collection, or has no tower of texts.
    """

    def __init__(self, collection: Collection, encoder: Any = None) -> None:
        self.record = collection.encoder
        multilingual = collection.facts.get("multilingual") or {}
        self.other: Mapping[str, Any] = {"name": multilingual} if isinstance(multilingual, str) else dict(multilingual)
        self._main = None if encoder is None else self._checked(encoder)
        self._multilingual: Any = None
        self._lock = threading.Lock()
        self.reason: str | None = None
        self.other_reason: str | None = None
        if self._main is None and self.record is None:
            self.reason = "the collection does not say which encoder made its embeddings: search by vectors or rows"

    @property
    def main(self) -> Any:
        """The encoder; `ValueError` with the reason if it cannot be had."""
        if self._main is None:
            if self.reason is None:
                self._load()
            if self.reason is not None:
                raise ValueError(self.reason)
        return self._main

    def warm(self) -> None:
        """Load both; afterwards the reasons say what cannot be done."""
        if self.reason is None:
            try:
                self.text(["warm"])
            except ValueError:
                logger.debug("words cannot be looked for", exc_info=True)
        if self.other:
            self._others()

    def text(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors (n, d) of texts, each by the tower of its language."""
        main = self.main
        with self._lock:
            foreign = self._foreign(texts) if self.other else np.zeros(len(texts), bool)
            vectors = np.zeros((len(texts), main.dim), np.float32)
            for mask, encode in ((~foreign, self._english), (foreign, self._other)):
                if mask.any():
                    vectors[mask] = encode([texts[i] for i in np.flatnonzero(mask).tolist()])
        return vectors

    def unread(self, texts: Sequence[str]) -> list[str]:
        """Sentences on what the tower of each text's language does not read of it; none where there is nothing."""
        from unseen.encoders.unread import unread

        words = [text for text in texts if text.strip()]
        if not words:
            return []
        with self._lock:
            foreign = self._foreign(words) if self.other else np.zeros(len(words), bool)
        towers = ((~foreign, self._main), (foreign, self._multilingual))
        asked = [(tower, [words[i] for i in np.flatnonzero(mask).tolist()]) for mask, tower in towers]
        return [line for tower, part in asked if part for line in unread(tower, part).lines()]

    def image(self, images: Sequence[Any]) -> NDArray[np.float32]:
        """Vectors (n, d) of pictures."""
        main = self.main
        with self._lock:
            return np.asarray(main.encode_image(list(images), cache=False), dtype=np.float32)

    # -- parts ---------------------------------------------------------------------------------------------------

    def _load(self) -> None:
        from unseen import encoders

        assert self.record is not None
        try:
            self._main = self._checked(encoders.get(self.record.name))
        except Exception as error:  # whatever a package, a download or a file makes of it: the rest works without
            logger.warning("the encoder %s cannot be loaded: %s", self.record.name, error)
            mismatch = isinstance(error, ValueError) and str(error).startswith(("the embeddings are", "encoder "))
            self.reason = (
                str(error)
                if mismatch
                else f"the encoder {self.record.name} cannot be loaded here ({type(error).__name__}), so words and "
                "pictures cannot be looked for: name one with encoder=, or search by vectors or rows"
            )

    def _checked(self, encoder: Any) -> Any:
        if self.record is not None:
            self.record.require(encoder.fingerprint, encoder.dim, name=encoder.name)
        if not hasattr(encoder, "encode_text"):
            raise ValueError(f"encoder {encoder.name!r} has no tower of texts: search by vectors or rows")
        return encoder

    def _english(self, texts: list[str]) -> NDArray[np.float32]:
        return np.asarray(self.main.encode_text(texts, cache=False), dtype=np.float32)

    def _other(self, texts: list[str]) -> NDArray[np.float32]:
        from unseen.data.domain import Domain

        return np.asarray(self._multilingual.encode(Domain(x=texts, kind="text", name="words"), cache=False).x)

    def _foreign(self, texts: Sequence[str]) -> NDArray[np.bool_]:
        """Which texts are surely not English, if there is a tower for them."""
        if self._others() is None:
            return np.zeros(len(texts), bool)
        from unseen.methods.curation.laion.language import languages

        return np.array([code not in ("", "en") for code in languages(list(texts))], bool)

    def _others(self) -> Any:
        """The tower of other languages, or None with the reason."""
        if self._multilingual is None and self.other_reason is None:
            name = str(self.other.get("name"))
            try:
                from unseen import encoders
                from unseen.methods.curation.laion.language import languages

                languages(["warm"])
                encoder: Any = encoders.get(name)
                self._multilingual = self._fitting(getattr(encoder, "text", encoder))
            except Exception as error:  # as above: English ones can still be looked for
                logger.warning("the encoder %s cannot be loaded: %s", name, error)
                self.other_reason = (
                    f"the encoder {name} of other languages cannot be used here ({type(error).__name__}): words that "
                    "are not English go through the one of English"
                )
        return self._multilingual

    def _fitting(self, tower: Any) -> Any:
        wanted = self.other.get("fingerprint")
        if wanted and tower.fingerprint != wanted:
            raise ValueError(f"{tower.name} is another one than that of the captions")
        if self.record is not None and tower.dim != self.record.dim:
            raise ValueError(f"{tower.name} is {tower.dim} wide, the vectors are {self.record.dim} wide")
        return tower
