"""Distances between classes: explicit, from vectors, on graphs and on trees."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.data.typing import FloatArray, IntArray


class LabelMetric(ABC):
    """A distance between N classes that is never larger in memory than what is asked of it."""

    @abstractmethod
    def __len__(self) -> int:
        """N, the number of classes."""

    @abstractmethod
    def rows(self, index: IntArray) -> FloatArray:
        """Distances from the classes at `index` to all classes, (len(index), N)."""

    @abstractmethod
    def take(self, index: IntArray) -> LabelMetric:
        """The same distance restricted to the classes at `index`, in that order."""


class MatrixMetric(LabelMetric):
    """Distances given as a matrix (N, N): symmetric, non-negative, zero on the diagonal."""

    def __init__(self, matrix: FloatArray) -> None:
        matrix = np.asarray(matrix, dtype=np.float64)
        if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
            raise ValueError(f"matrix must be square; got {matrix.shape}")
        if not np.isfinite(matrix).all():
            raise ValueError("matrix must be finite; are some classes not connected?")
        if (matrix < 0).any() or np.diag(matrix).any() or not np.allclose(matrix, matrix.T):
            raise ValueError("matrix must be symmetric and non-negative with a zero diagonal")
        self.matrix = matrix

    def __len__(self) -> int:
        return len(self.matrix)

    def rows(self, index: IntArray) -> FloatArray:
        return self.matrix[index]

    def take(self, index: IntArray) -> MatrixMetric:
        return MatrixMetric(self.matrix[np.ix_(index, index)])


class CompleteMetric(LabelMetric):
    """All classes equally far apart: 1 between two, 0 to itself."""

    def __init__(self, n: int) -> None:
        self.n = n

    def __len__(self) -> int:
        return self.n

    def rows(self, index: IntArray) -> FloatArray:
        out = np.ones((len(index), self.n))
        out[np.arange(len(index)), index] = 0
        return out

    def take(self, index: IntArray) -> CompleteMetric:
        return CompleteMetric(len(index))


class EmbeddingMetric(LabelMetric):
    """Euclidean distance between unit vectors, one per class: the self-derived metric of two-tower models."""

    def __init__(self, vectors: NDArray[Any], normalize: bool = True) -> None:
        vectors = np.asarray(vectors, dtype=np.float32)
        if normalize:
            norms = np.linalg.norm(vectors, axis=1, keepdims=True)
            vectors = vectors / np.maximum(norms, 1e-12)
        self.vectors = vectors

    def __len__(self) -> int:
        return len(self.vectors)

    def rows(self, index: IntArray) -> FloatArray:
        from scipy.spatial.distance import cdist

        return cdist(self.vectors[index].astype(np.float64), self.vectors.astype(np.float64))

    def take(self, index: IntArray) -> EmbeddingMetric:
        return EmbeddingMetric(self.vectors[index], normalize=False)
