"""How well a trained network suits a task, from what it makes of a few labelled samples, without training."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from unseen.data.typing import IntArray

Similarity = Literal["parc", "leep", "nce", "h-score", "logme", "knn", "cka"]
TIES = 10
"""Decimals of a correlation that count: pairs of samples of the same classes are then exactly tied."""
PER_COMPONENT = 3
"""Samples that a principal component needs."""


def similarity(
    features: Float[np.ndarray, "n d"],
    labels: Int[np.ndarray, " n"],
    metric: Similarity = "parc",
    *,
    probabilities: Float[np.ndarray, "n s"] | None = None,
    n_dims: int | None = None,
) -> float:
    """How well a source's view of labelled samples suits their classes; larger is better.

    Parameters
    ----------
    features : array (n, d)
        phi_s(x).
    labels : int array (n,)
        Of at least two classes.
    metric : {"parc", "leep", "nce", "h-score", "logme", "knn", "cka"}
        See the functions of these names. `leep` and `nce` read `probabilities`, the others `features`.
    probabilities : array (n, s), optional
        h_s(phi_s(x)), over the source's own classes.
    n_dims : int, optional
        Features after PCA, where there are more, for all but `leep`, `nce` and `logme`. None keeps all, and so do fewer
        than 3 `n_dims` samples; H-score, which needs more samples than features, then takes n // 3.

    Raises
    ------
    ValueError
        If shapes differ, a value is not finite, the labels are of one class, or `leep` or `nce` has no probabilities.
    """
    if metric not in get_args(Similarity):
        raise ValueError(f"metric must be one of {', '.join(get_args(Similarity))}; got {metric!r}")
    if metric in ("leep", "nce"):
        if probabilities is None:
            raise ValueError(f"probabilities must be given for {metric}: it reads what the source predicts")
        return {"leep": leep, "nce": nce}[metric](probabilities, labels)
    if metric == "logme":
        return logme(features, labels)
    if n_dims is not None and (metric == "h-score" or len(features) >= PER_COMPONENT * n_dims):
        features = reduced(features, n_dims)
    return {"parc": parc, "h-score": h_score, "knn": knn_accuracy, "cka": cka}[metric](features, labels)


def parc(features: Float[np.ndarray, "n d"], labels: Int[np.ndarray, " n"], *, decimals: int | None = TIES) -> float:
    """PARC in [-100, 100]: Spearman's correlation of how far samples are apart in features and in labels.

    Columns are standardized; how far two samples are apart is 1 - the Pearson correlation of their rows.

    Parameters
    ----------
    features, labels : arrays (n, d), (n,)
    decimals : int, optional
        Of correlations that count. None keeps all, as in the authors' code: pairs of one kind, such as all pairs of
        two classes, then differ by rounding errors, and Spearman's ranks take these for an order.

    Returns
    -------
    float
        0 where features tell no pair from another.

    Source: Bolya, Mittapalli, Hoffman, "Scalable Diverse Model Selection for Accessible Transfer Learning", NeurIPS
    2021.
    """
    from scipy.stats import spearmanr

    x, classes = _checked(features, labels)
    upper = np.triu_indices(len(x), 1)
    apart = [1 - _correlations(rows)[upper] for rows in (standardized(x), np.eye(classes.max() + 1)[classes])]
    if decimals is not None:
        apart = [values.round(decimals) for values in apart]
    if any(np.ptp(values) == 0 for values in apart):
        return 0.0
    return float(100 * spearmanr(*apart).statistic)


def leep(probabilities: Float[np.ndarray, "n s"], labels: Int[np.ndarray, " n"]) -> float:
    """LEEP, <= 0: the mean log likelihood of labels by the source's predictions, through the classes they go with.

    P(y | z) is the empirical joint of label and source class over that of the source class; the likelihood of y_i is
    sum_z P(y_i | z) p_i(z).

    Source: Nguyen et al., "LEEP: A New Measure to Evaluate Transferability of Learned Representations", ICML 2020.
    """
    p, classes = _checked(probabilities, labels, "probabilities")
    if p.min() < 0 or not np.allclose(p.sum(axis=1), 1, atol=1e-4):
        raise ValueError("probabilities must have rows of numbers >= 0 that sum to 1")
    joint = np.eye(classes.max() + 1)[classes].T @ p / len(p)
    conditional = joint / np.maximum(joint.sum(axis=0), np.finfo(float).tiny)
    return float(np.log((p * conditional[classes]).sum(axis=1)).mean())


def nce(probabilities: Float[np.ndarray, "n s"], labels: Int[np.ndarray, " n"]) -> float:
    """NCE, <= 0: minus the conditional entropy of the labels, given the class that the source predicts.

    Source: Tran, Nguyen, Hassner, "Transferability and Hardness of Supervised Classification Tasks", ICCV 2019.
    """
    p, _ = _checked(probabilities, labels, "probabilities")
    return leep(np.eye(p.shape[1])[p.argmax(axis=1)], labels)


def logme(features: Float[np.ndarray, "n d"], labels: Int[np.ndarray, " n"], steps: int = 100) -> float:
    """LogME: the log evidence of Bayesian linear regression onto each one-hot label, per sample, mean over classes.

    Precisions alpha of the weights and beta of the noise are those of the largest evidence, found in at most `steps`
    steps of its fixed point. Features are as they are: neither centred nor scaled.

    Source: You, Liu, Wang, Long, "LogME: Practical Assessment of Pre-trained Models for Transfer Learning", ICML 2021,
    algorithm 1.
    """
    x, classes = _checked(features, labels)
    n, d = x.shape
    u, s, _ = np.linalg.svd(x, full_matrices=False)
    squares, evidences = s**2, []
    for y in np.eye(classes.max() + 1)[classes].T:
        z = (u.T @ y) ** 2
        outside = max(float(y @ y - z.sum()), 0.0)  # of y, what no weights reach
        alpha, beta = 1.0, 1.0
        for _ in range(steps):
            shrunk = alpha + beta * squares
            gamma = float((beta * squares / shrunk).sum())
            length = float((beta**2 * squares * z / shrunk**2).sum())  # of the weights m, squared
            error = float((z * (alpha / shrunk) ** 2).sum()) + outside
            if not 0 < length < np.inf or error <= 1e-9 * n:
                break
            before, alpha, beta = alpha / beta, gamma / length, (n - gamma) / error
            if abs(alpha / beta - before) <= 1e-6 * before:
                break
        shrunk = alpha + beta * squares
        length = float((beta**2 * squares * z / shrunk**2).sum())
        error = float((z * (alpha / shrunk) ** 2).sum()) + outside
        log_det = float(np.log(shrunk).sum()) + (d - len(s)) * np.log(alpha)
        evidence = n * np.log(beta / (2 * np.pi)) + d * np.log(alpha) - beta * error - alpha * length - log_det
        evidences.append(evidence / (2 * n))
    return float(np.mean(evidences))


def h_score(features: Float[np.ndarray, "n d"], labels: Int[np.ndarray, " n"]) -> float:
    """H-score in [0, classes - 1]: tr(cov(f)^+ cov(E[f | y])), how much of the spread lies between classes.

    With fewer samples than features it says nothing: reduce these first (`n_dims`).

    Source: Bao et al., "An Information-Theoretic Approach to Transferability in Task Transfer Learning", ICIP 2019.
    """
    x, classes = _checked(features, labels)
    x = standardized(x)
    means = np.stack([x[classes == label].mean(axis=0) for label in range(classes.max() + 1)])[classes]
    return float(np.trace(np.linalg.pinv(x.T @ x / len(x), hermitian=True) @ (means.T @ means / len(x))))


def knn_accuracy(features: Float[np.ndarray, "n d"], labels: Int[np.ndarray, " n"], k: int = 1) -> float:
    """Share of samples whose `k` nearest others by cosine vote for their class, in [0, 1]; ties go to the lowest."""
    x, classes = _checked(features, labels)
    x = standardized(x)
    x = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), np.finfo(float).tiny)
    near = x @ x.T
    np.fill_diagonal(near, -np.inf)
    nearest = np.argsort(-near, axis=1, kind="stable")[:, : min(k, len(x) - 1)]
    votes = np.eye(classes.max() + 1)[classes][nearest].sum(axis=1)
    return float((votes.argmax(axis=1) == classes).mean())


def cka(features: Float[np.ndarray, "n d"], labels: Int[np.ndarray, " n"]) -> float:
    """Linear CKA of standardized features and one-hot labels, in [0, 1].

    Source: Kornblith et al., "Similarity of Neural Network Representations Revisited", ICML 2019.
    """
    x, classes = _checked(features, labels)
    x, y = standardized(x), np.eye(classes.max() + 1)[classes]
    y = y - y.mean(axis=0)
    both = np.linalg.norm(x @ x.T) * np.linalg.norm(y @ y.T)
    return float(np.linalg.norm(x.T @ y) ** 2 / both) if both > 0 else 0.0


def reduced(features: Float[np.ndarray, "n d"], n_dims: int) -> NDArray[np.float64]:
    """The first `n_dims` principal components, at most n // 3 of n samples; fewer features stay as they are.

    Components are standardized later. Nearly as many of them as samples would then leave all samples equally far from
    each other: of n - 1 components nothing is left but noise.
    """
    from sklearn.decomposition import PCA

    if n_dims < 1:
        raise ValueError(f"n_dims must be at least 1; got {n_dims}")
    x = np.asarray(features, dtype=np.float64)
    if x.shape[1] <= n_dims:
        return x
    return np.asarray(PCA(max(min(n_dims, len(x) // PER_COMPONENT), 1), svd_solver="full").fit_transform(x))


def standardized(x: Float[np.ndarray, "n d"]) -> NDArray[np.float64]:
    """Every column with mean 0 and deviation 1; a column that is constant up to rounding becomes 0."""
    centred, std = x - x.mean(axis=0), x.std(axis=0)
    varies = std > 1e-12 * np.maximum(np.abs(x).max(axis=0), np.finfo(float).tiny)
    return np.where(varies, centred / np.where(varies, std, 1.0), 0.0)


def _correlations(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Pearson correlation of every two rows, (n, n); 0 with a row that does not vary."""
    if rows.shape[1] < 2:
        return np.zeros((len(rows), len(rows)))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.nan_to_num(np.atleast_2d(np.corrcoef(rows)), nan=0.0)


def _checked(
    x: Float[np.ndarray, "n d"], labels: Int[np.ndarray, " n"], name: str = "features"
) -> tuple[NDArray[np.float64], IntArray]:
    """The table in double precision, and labels as 0, 1, ... in the order of their values."""
    table, y = np.asarray(x, dtype=np.float64), np.asarray(labels)
    if table.ndim != 2 or y.shape != table.shape[:1]:
        raise ValueError(f"{name} must be (n, d) beside n labels; got {table.shape} and {y.shape}")
    if not np.isfinite(table).all():
        raise ValueError(f"{name} must be finite; {int((~np.isfinite(table)).sum())} values are not")
    values, classes = np.unique(y, return_inverse=True)
    if len(values) < 2:
        raise ValueError(f"labels must be of at least two classes; all are {values.tolist()}")
    return table, classes.astype(np.int64)
