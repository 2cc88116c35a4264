"""OntoZSL: what an ontology says of classes or relations never seen, and generators that are told it."""

from unseen.methods.zero_shot.ontozsl.encoder import OntologyEncoder
from unseen.methods.zero_shot.ontozsl.method import OntoZSL
from unseen.methods.zero_shot.ontozsl.relations import RelationOntoZSL

__all__ = ["OntoZSL", "OntologyEncoder", "RelationOntoZSL"]
