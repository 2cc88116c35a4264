"""GeneCIS: find the picture that is like another with respect to a text, learnt from captions alone."""

from unseen.methods.multimodal.genecis.combiner import Combiner
from unseen.methods.multimodal.genecis.method import GeneCIS
from unseen.methods.multimodal.genecis.parser import PatternParser, Relation
from unseen.methods.multimodal.genecis.triplets import Triplet, TripletMiner

__all__ = ["Combiner", "GeneCIS", "PatternParser", "Relation", "Triplet", "TripletMiner"]
