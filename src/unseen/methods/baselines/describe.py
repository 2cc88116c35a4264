"""Zero-shot by description: the class whose text lies nearest."""

from typing import Self

import torch
import torch.nn.functional as F

from unseen.data.classes import ClassSpace
from unseen.methods.base import Card
from unseen.methods.baselines.prototypes import cosine_head
from unseen.methods.needs import SharedSpace
from unseen.methods.network import NetworkMethod
from unseen.methods.parameters import Positive


class Describe(NetworkMethod):
    """Predict the class whose description lies nearest in a shared space of pictures and texts [1].

    Parameters
    ----------
    scale : float, > 0
        Multiplies the cosine before the softmax; 100 for CLIP.

    References
    ----------
    [1] Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", ICML 2021.
    """

    card = Card(
        slug="describe",
        cost=0.1,
        title="Learning Transferable Visual Models From Natural Language Supervision",
        venue="ICML 2021",
        summary="Compare each sample with the description of each class; needs a two-tower encoder.",
        unseen={"classes", "domains"},
        protocols={"closed", "partial", "zsl", "gzsl"},
        baseline=True,
        needs=(SharedSpace(),),
    )

    scale: Positive = 100.0

    def fit(self, *, classes: ClassSpace) -> Self:
        """Take the embeddings of the classes, made by the text tower of the encoder."""
        if classes.embeddings is None:
            raise ValueError("classes must have embeddings; encode their descriptions with a two-tower encoder")
        network = cosine_head(classes.embeddings.shape[1], len(classes), self.scale)
        network.weight = F.normalize(torch.as_tensor(classes.embeddings), dim=1)
        self.network_ = network
        self.n_features_in_ = int(classes.embeddings.shape[1])
        return self
