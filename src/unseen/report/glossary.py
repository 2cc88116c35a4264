"""The words of reports, terminal and documentation, each with what it means: `unseen words` prints them."""

from __future__ import annotations

GLOSSARY = {
    "source": "data with labels, of the domain that you know",
    "target": "data to work on. Labels that it has are taken away before any method sees it, and grade at the end",
    "support": "a handful of labelled samples of the target",
    "candidate": "a method with its settings (`coral`, `shot:views`), fitted on your data",
    ":views": "reads pictures twice: as the frozen network sees them, and as it sees them with the batch "
    "statistics of their own domain",
    "source-only": "the model of the source as it is: doing nothing",
    "consensus": "one model that learnt what six unlike methods say of the target together",
    "adapted, held out": "the four fifths of the target that methods saw (without labels), and the fifth that none saw",
    "exam": "the target's labels, locked away until the choice is made; a report says how many runs they have "
    "graded, as each look makes a figure easier to fool",
    "guessing (chance)": "what guessing reaches",
    "ceiling": "what a plain model reaches that learnt the target's own labels: on these features hardly anybody "
    "does much better",
    "oracle": "a choice, or a model, that looked at the labels: for comparison only",
    "score without labels": "how often a candidate says what the chosen one says, where one model learnt what "
    "others agree on; else how well it does by the rule that chose",
    "source learnt back": "learn from what a model says of the target, go back, and see how much of the source is "
    "right (reverse validation): no target label is needed",
    "agreement": "how often methods that were trained apart say the same",
    "validator": "any such score that needs no label of the target",
    "estimate, interval": "the accuracy to expect where no label tells, and how far off it has been on other kinds "
    "of data",
    "calibrated": "a probability of 80 % is right in about 80 of 100 cases, on labelled samples held out",
    "unknown": "the model is not sure enough to name a class",
    "novel": "of none of the classes that have labels",
    "seen, unseen classes": "those with labelled samples, and those with words only",
    "closed, partial, open, open-partial": "whether source and target have the same classes, the target fewer, "
    "more, or each some that the other lacks",
    "H-score": "high only where known classes are named right and others are recognized as unknown: the harmonic "
    "mean of both",
    "class shares": "how many of all samples each class has; MLLS and BBSE are two ways to estimate them without "
    "labels",
    "told apart (AUC)": "how surely a classifier tells source from target: .5 is a guess, 1 always right. It says "
    "nothing of what that costs",
    "width of a class": "how far samples of a class lie from its mean: the unit in which distances are told",
    "features, encoder": "the numbers that a pretrained network makes of a sample, and that network; it is not changed",
    "harm": "more than one point below doing nothing",
    "seed": "a number that fixes all that is left to chance; several show how much chance decides",
    "nats": "the unit of entropies: 0 is certain, ln(number of classes) is a uniform guess",
    "zero-shot": "classes are known by their names, descriptions or attributes, and no sample of them has a label",
    "two-tower encoder": "a network that puts pictures (or other samples) and texts into one space, such as CLIP: "
    "names can be compared with samples",
    "card": "what is known of a system before it runs: its paper, what it needs, what was left out",
    "claim, ledger": "the assertions of a paper, and what became of each here",
    "confirmed, explored": "judged on data that nobody had opened before, or on data that had been",
    "stamp": "a digest of what a system gives: as long as it is the same, its evidence is of this code",
}
"""Word by word; docs/words.md holds the same table."""

REPORT_WORDS = {
    word: GLOSSARY[word]
    for word in (
        "source", "target", "support", "candidate", ":views", "source-only", "consensus", "adapted, held out",
        "guessing (chance)", "ceiling", "score without labels", "source learnt back", "agreement", "estimate, interval",
        "calibrated", "unknown", "seen, unseen classes", "closed, partial, open, open-partial", "H-score",
        "class shares", "told apart (AUC)", "width of a class", "features, encoder", "seed", "zero-shot",
    )
}  # fmt: skip
"""Those that the page of a run may use."""
