"""TinyCLIP: a two-tower model made small by inheriting some of its weights and mimicking its affinities."""

from unseen.methods.compression.tinyclip.gates import MaskedDualEncoder
from unseen.methods.compression.tinyclip.inheritance import inherit_weights
from unseen.methods.compression.tinyclip.method import TinyCLIP
from unseen.nn.affinity import AffinityDistillation, Features

__all__ = ["AffinityDistillation", "Features", "MaskedDualEncoder", "TinyCLIP", "inherit_weights"]
