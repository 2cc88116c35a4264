"""Step 5 of LAION-5B: which URLs have been met, in a few bits each, without a false negative."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Sequence
from typing import Self

import numpy as np
from numpy.typing import NDArray

from unseen.runtime import replacing


class BloomFilter:
    """A set of strings that never forgets one, and takes a stranger for a member with probability `error`.

    Parameters
    ----------
    capacity : int, >= 1
        Members up to which `error` holds.
    error : float, in (0, 1)
        Share of strangers that are taken for members. At 1e-3 a member takes 14.4 bits.

    References
    ----------
    [1] Kirsch and Mitzenmacher, "Less Hashing, Same Performance", ESA 2006: k positions from two hashes.
    """

    def __init__(self, capacity: int, error: float = 1e-3) -> None:
        if capacity < 1:
            raise ValueError(f"capacity must be at least 1; got {capacity}")
        if not 0 < error < 1:
            raise ValueError(f"error must lie in (0, 1); got {error}")
        self.capacity, self.error = capacity, error
        self.n_bits = max(64, math.ceil(-capacity * math.log(error) / math.log(2) ** 2))
        self.n_hashes = max(1, round(self.n_bits / capacity * math.log(2)))
        self.bits: NDArray[np.uint8] = np.zeros(-(-self.n_bits // 8), dtype=np.uint8)

    def __contains__(self, key: str) -> bool:
        return bool(self.contains([key])[0])

    def contains(self, keys: Sequence[str]) -> NDArray[np.bool_]:
        """Which keys are members, (n,): all that were added, and a few strangers."""
        return self._there(self._places(_digests(keys)))

    def add(self, keys: Sequence[str]) -> NDArray[np.bool_]:
        """Add keys in their order; which of them were taken for members before, (n,).

        Repeats among `keys` are told exactly; of the keys of earlier calls the bits alone are known.
        """
        digests = _digests(keys)
        places = self._places(digests)
        before = self._there(places)
        _, first, which = np.unique(digests.view("V16")[:, 0], return_index=True, return_inverse=True)
        again = first[which] != np.arange(len(keys))
        np.bitwise_or.at(self.bits, places >> 3, (1 << (places & 7)).astype(np.uint8))
        return before | again

    def save(self, file: str | os.PathLike[str]) -> None:
        """Write the bits as ``.npz``, all or nothing."""
        with replacing(file) as temporary, temporary.open("wb") as stream:
            np.savez_compressed(stream, bits=self.bits, capacity=self.capacity, error=self.error)

    @classmethod
    def load(cls, file: str | os.PathLike[str]) -> Self:
        """Read what `save` wrote."""
        with np.load(file, allow_pickle=False) as content:
            bloom = cls(int(content["capacity"]), float(content["error"]))
            if content["bits"].shape != bloom.bits.shape:
                raise ValueError(f"{file} is damaged: it has {len(content['bits'])} bytes, not {len(bloom.bits)}")
            bloom.bits = content["bits"].astype(np.uint8)
        return bloom

    def _there(self, places: NDArray[np.int64]) -> NDArray[np.bool_]:
        return ((self.bits[places >> 3] >> (places & 7)) & 1).astype(bool).all(axis=1)

    def _places(self, digests: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Positions of the bits of each key, (n, k)."""
        steps = np.arange(self.n_hashes, dtype=np.uint64)
        with np.errstate(over="ignore"):
            wide = digests[:, :1] + steps * (digests[:, 1:] | np.uint64(1))
        return (wide % np.uint64(self.n_bits)).astype(np.int64)


def _digests(keys: Sequence[str]) -> NDArray[np.uint64]:
    """128 bits of each key, (n, 2)."""
    digests = b"".join(hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=16).digest() for key in keys)
    return np.frombuffer(digests, dtype="<u8").reshape(-1, 2)
