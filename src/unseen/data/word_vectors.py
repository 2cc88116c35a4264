"""Names of classes as vectors: the mean of the vectors of their words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import ArrayLike

from unseen.data.typing import FloatArray


def name_vectors(names: Iterable[str], words: Mapping[str, ArrayLike]) -> FloatArray:
    """The mean of the vectors of the unique words of each name, at unit length, (n, d) float32.

    Names are split at everything that is no letter or digit, and where a capital follows a small letter, as in
    ``BrushHair``. A word is looked up as it is written, then in lower case; one without a vector is skipped.

    Parameters
    ----------
    names : iterable of str
    words : mapping of word to vector (d,)
        Such as word2vec or GloVe vectors; gensim's ``KeyedVectors`` is such a mapping.

    Raises
    ------
    ValueError
        If no word of a name has a vector, or the vectors of a name cancel.
    """
    rows = []
    for name in names:
        parts = re.findall(r"[^\W_]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name))
        keys = [next((key for key in (part, part.lower()) if key in words), None) for part in parts]
        vectors = [np.asarray(words[key], dtype=np.float64) for key in dict.fromkeys(keys) if key is not None]
        if not vectors:
            raise ValueError(f"names: no word of {name!r} has a vector")
        mean = np.mean(vectors, axis=0)
        length = np.linalg.norm(mean)
        if not length > 0:
            raise ValueError(f"names: the vectors of {name!r} have the mean 0")
        rows.append(mean / length)
    return np.stack(rows).astype(np.float32) if rows else np.zeros((0, 0), dtype=np.float32)
