"""Concept frequency: how often a corpus shows a concept, and what that means for zero-shot performance."""

from unseen.methods.base import Card
from unseen.methods.curation.concept_frequency.alignment import (
    Correlation,
    LongTail,
    Misalignment,
    corpus_correlation,
    long_tail_report,
    misaligned_samples,
    misalignment,
)
from unseen.methods.curation.concept_frequency.controls import (
    class_accuracy,
    generation_scores,
    retrieval_scores,
    without_similar,
)
from unseen.methods.curation.concept_frequency.counter import ConceptCounts, count_concepts
from unseen.methods.curation.concept_frequency.fit import (
    Intervals,
    LogLinearFit,
    bootstrap,
    fit_log_linear,
    permutation_p,
)
from unseen.methods.curation.concept_frequency.index import ConceptIndex, joint_counts, lemmas_of
from unseen.methods.curation.concept_frequency.lemmas import LEMMATIZERS, lemmatizer, nouns
from unseen.methods.curation.concept_frequency.long_tail import (
    LongTailSet,
    build_long_tail_set,
    perceptual_hash,
    rare_concepts,
    segments,
)
from unseen.methods.curation.concept_frequency.predict import (
    Curve,
    concepts_needed,
    count_interval,
    highest_level,
    learn_curve,
)
from unseen.methods.curation.concept_frequency.published import published_curve, published_curves
from unseen.methods.curation.concept_frequency.tags import TagTable

card = Card(
    slug="concept-frequency",
    kind="study",
    title='No "Zero-Shot" Without Exponential Data: Pretraining Concept Frequency Determines Multimodal Model '
    "Performance",
    venue="NeurIPS 2024",
    official_code="bethgelab/frequency_determines_performance",
    summary="Measure how often each concept occurs in a pretraining corpus and how zero-shot accuracy depends on it.",
    unseen={"classes", "data"},
    modalities={"text", "image"},
    protocols={"curation"},
    commands=("unseen concepts captions.csv --concepts classes.csv --out concepts",),
    parts=(
        "unseen.jobs.concepts.job",
        "unseen.jobs.concepts.pictures",
        "unseen.jobs.concepts.tail",
        "unseen.jobs.concepts.captions",
        "unseen.jobs.concepts.page",
    ),
    notes=(
        "Lemmas come from our own rules for English plurals unless simplemma or spaCy is asked for; captions and "
        "concepts go through the same rules. Hyphens part words, as blanks and underscores do.",
        "Empty bins of the fit, at which the official code stops, are left out.",
        "The index also keeps the order of words, so that concepts are counted as phrases, too.",
        "Tags are cut from probabilities of any tagger or two-tower encoder; the paper's RAM++ is one such.",
        "Nouns of retrieval captions and prompts are those of ImageNet-21k's synsets; the paper takes spaCy's tags.",
    ),
    left_out=(
        "RAM++ and the descriptions that a language model wrote for it: no download; its tags or probabilities are "
        "read from a table (`tags`).",
        "Collecting 130,500 pictures of 290 classes from the web: `build_long_tail_set` cleans and balances candidates "
        "that the user brings.",
        "A command for the controls: `without_similar` (nearness to the test set), `retrieval_scores`, "
        "`generation_scores`, `corpus_correlation` and `segments` are functions of the library only; what they give is "
        "fitted by `unseen concepts --concepts FILE --score NAME`.",
        "Cleaning by hand, and people's ratings of generated pictures: they are read as scores.",
    ),
)

__all__ = [
    "LEMMATIZERS",
    "ConceptCounts",
    "ConceptIndex",
    "Correlation",
    "Curve",
    "Intervals",
    "LogLinearFit",
    "LongTail",
    "LongTailSet",
    "Misalignment",
    "TagTable",
    "bootstrap",
    "build_long_tail_set",
    "card",
    "class_accuracy",
    "concepts_needed",
    "corpus_correlation",
    "count_concepts",
    "count_interval",
    "fit_log_linear",
    "generation_scores",
    "highest_level",
    "joint_counts",
    "learn_curve",
    "lemmas_of",
    "lemmatizer",
    "long_tail_report",
    "misaligned_samples",
    "misalignment",
    "nouns",
    "perceptual_hash",
    "permutation_p",
    "published_curve",
    "published_curves",
    "rare_concepts",
    "retrieval_scores",
    "segments",
    "without_similar",
]
