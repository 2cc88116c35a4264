"""Meta-DMoE: a student that one step of distillation from a mixture of experts moves to a domain never seen."""

from unseen.methods.adaptation.meta_dmoe.method import MetaDMoE

__all__ = ["MetaDMoE"]
