"""Vectors of the entities of a knowledge graph, by any model of pykeen."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray

from unseen.data.typing import IntArray
from unseen.runtime import current, reproducible


def entity_vectors(
    triples: IntArray,
    model: str = "TransE",
    *,
    dim: int = 64,
    epochs: int = 100,
    batch_size: int = 256,
    learning_rate: float = 1e-2,
    n_entities: int | None = None,
    random_state: int = 0,
) -> NDArray[np.float32]:
    """Train an embedding of a graph and give the vectors of its entities, (e, d).

    Parameters
    ----------
    triples : int array (m, 3)
        Head, relation, tail.
    model : str
        Such as TransE, DistMult, ComplEx, RotatE: a name that pykeen knows. Complex values become two real ones each.
    dim, epochs, batch_size, learning_rate
        Of pykeen's training with Adam and one negative per triple.
    n_entities : int, optional
        At least one more than the largest index; that, if absent.
    random_state : int

    Raises
    ------
    ImportError
        If pykeen is missing; the message is the command that installs it.
    ValueError
        If triples are not of shape (m, 3), name no entity that there is, or pykeen knows no such model.
    """
    try:
        from pykeen.models import model_resolver
        from pykeen.training import SLCWATrainingLoop
        from pykeen.triples import CoreTriplesFactory
    except ImportError as error:
        raise ImportError('vectors of graphs need: pip install "unseen[kg]"') from error
    rows = np.asarray(triples, dtype=np.int64)
    if rows.ndim != 2 or rows.shape[1] != 3 or not len(rows):
        raise ValueError(f"triples must be of shape (m, 3), at least one; got {rows.shape}")
    n = int(rows[:, [0, 2]].max()) + 1 if n_entities is None else n_entities
    if rows.min() < 0 or rows[:, [0, 2]].max() >= n:
        raise ValueError(f"triples must name entities in [0, {n}); got {rows.min()}..{rows[:, [0, 2]].max()}")
    if model_resolver.normalize(model) not in model_resolver.lookup_dict:
        raise ValueError(f"model must be one of pykeen's, such as TransE or DistMult; got {model!r}")
    graph = CoreTriplesFactory(torch.as_tensor(rows), num_entities=n, num_relations=int(rows[:, 1].max()) + 1)
    with reproducible(random_state), _quiet():
        network = model_resolver.make(model, triples_factory=graph, embedding_dim=dim, random_seed=random_state)
        network = network.to(current().device)
        adam = torch.optim.Adam(network.get_grad_params(), lr=learning_rate)
        loop = SLCWATrainingLoop(model=network, triples_factory=graph, optimizer=adam)
        loop.train(triples_factory=graph, num_epochs=epochs, batch_size=batch_size, use_tqdm=False)
        with torch.no_grad():
            vectors = network.entity_representations[0](indices=None).detach().cpu()
    if vectors.is_complex():
        vectors = torch.view_as_real(vectors)
    return vectors.reshape(n, -1).float().numpy()


@contextmanager
def _quiet() -> Iterator[None]:
    """pykeen logs and warns of what is as it should be here."""
    log = logging.getLogger("pykeen")
    before, log.level = log.level, logging.ERROR
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.level = before
