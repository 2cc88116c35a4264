"""PBadv: compositions of attribute and object that were never seen together."""

from unseen.methods.zero_shot.pbadv.attack import primitive_attack
from unseen.methods.zero_shot.pbadv.method import PBAdv

__all__ = ["PBAdv", "primitive_attack"]
