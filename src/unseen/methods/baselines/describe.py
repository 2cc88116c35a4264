"""Zero-shot by description: the class whose text lies nearest."""

from typing import Self

from unseen.data.classes import ClassSpace
from unseen.methods.base import Card
from unseen.methods.baselines._names import name_head
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
        self.network_ = name_head(classes, self.scale)
        self.n_features_in_ = self.network_.weight.shape[1]
        return self
