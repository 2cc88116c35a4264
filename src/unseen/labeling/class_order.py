"""Which classes to get a first label for, so that all can be predicted: Loki's active selection."""

from __future__ import annotations

from unseen.data.classes import ClassSpace
from unseen.data.label_metrics import CompleteMetric


def classes_to_label(classes: ClassSpace) -> list[str]:
    """Classes without a label in the order in which they widen most what can be predicted [1].

    The order ends where every class can be predicted as a Fréchet mean of labelled ones, so it is often shorter than
    the list of classes without a label. It is empty where all classes are equally far apart, as no class then tells of
    another.

    Parameters
    ----------
    classes : ClassSpace
        `seen` are the classes with labels, at least one; with a taxonomy, a graph, attributes or embeddings.

    References
    ----------
    [1] Roberts et al., "Geometry-Aware Adaptation for Pretrained Models", NeurIPS 2023, section 3.3.
    """
    from unseen.methods.zero_shot.loki.locus import active_classes

    if isinstance(classes.metric, CompleteMetric) or not len(classes.seen):
        return []
    return [classes.names[i] for i in active_classes(classes.metric, classes.seen)]
