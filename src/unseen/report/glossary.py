"""The words of reports, terminal and documentation, each with what it means: `unseen words` prints them."""

from __future__ import annotations

GLOSSARY = {
    "source": "labelled data from the domain that you know",
    "target": "the data to predict. If it has labels, they are removed before any method sees it, and are used only "
    "to grade at the end",
    "support": "a handful of labelled samples of the target",
    "candidate": "a method with its settings (`coral`, `shot:views`), fitted on your data",
    ":views": "features of each picture taken twice: by the frozen network, and by the same network with the batch "
    "statistics of that domain",
    "source-only": "the model trained on the source, with no adaptation: doing nothing",
    "consensus": "one model trained on the combined predictions of six different methods on the target; with a "
    "few labels and no source, of logistic regression and of labels spread over neighbours",
    "adapted, held out": "the four fifths of the target that methods saw (without labels), and the fifth that no "
    "method saw",
    "exam": "the target's labels, which nothing reads before the choice is made. A report says how many runs they "
    "have graded, because each look at them makes the figures less reliable",
    "guessing (chance)": "the accuracy of guessing",
    "ceiling": "the accuracy of a plain model trained on the target's own labels: with these features hardly any "
    "method does much better",
    "oracle": "a choice, or a model, that used the labels: for comparison only",
    "score without labels": "how often a candidate agrees with the chosen one, if no score ranks them all (a "
    "consensus, names alone, one label a class); otherwise its score by the rule that chose",
    "source learnt back": "train on a model's predictions on the target, predict the source with that, and count how "
    "much is right (reverse validation): this needs no target label",
    "agreement": "how often methods that were trained separately give the same answer",
    "validator": "a score of candidates that needs no target label",
    "estimate, interval": "the accuracy to expect where no label is known, and how far off that was on other kinds "
    "of data",
    "calibrated": "a probability of 80 % is right in about 80 of 100 cases, measured on held-out labelled samples; on "
    "a target without labels, as sure on the mean as the estimate says",
    "temperature": "what scores are divided by before they become probabilities: above 1 makes a model less sure, "
    "below 1 surer, and the order of classes stays",
    "threshold": "of a saved model: samples whose probabilities are spread more than this (their entropy as a share "
    "of the largest, 0 to 1) are marked unknown",
    "ECE": "expected calibration error: how far probabilities are on the mean from the share that is right; 0 is best",
    "unknown": "the model is not sure enough to name a class",
    "novel": "belongs to none of the classes that have labels",
    "seen, unseen classes": "classes with labelled samples, and classes known only by words",
    "closed, partial, open, open-partial": "source and target have the same classes; the target has fewer; the "
    "target has more; or each has some that the other lacks",
    "H-score": "the harmonic mean of the accuracy on known classes and the share of unknown samples that are "
    "recognized: it is high only if both are",
    "class shares": "the share of all samples that belongs to each class; a report estimates those of the target in "
    "two ways, without labels",
    "told apart (AUC)": "how well a classifier separates source from target: .5 is guessing, 1 is always right. It "
    "does not say how much accuracy that costs",
    "width of a class": "the typical distance of a class's samples from their mean: distances are given in this unit",
    "features, encoder": "the numbers that a pretrained network computes for a sample, and that network, which is "
    "not changed",
    "harm": "more than one percentage point below doing nothing",
    "seed": "a number that fixes everything that depends on chance; several seeds show how much chance matters",
    "nats": "the unit of entropies: 0 is certain, ln(number of classes) is a uniform guess",
    "zero-shot": "classes are known by names, descriptions or attributes, and no sample of them is labelled",
    "two-tower encoder": "a network that puts pictures (or other samples) and texts into one space, such as CLIP, so "
    "that names can be compared with samples",
    "card": "the description of a system: its paper, what it needs, what was left out",
    "claim, ledger": "the statements of a paper that are tested here, and the result of each test",
    "confirmed, explored": "tested on data that had not been used before, or on data that had",
    "stamp": "a digest of what a system computes: while it stays the same, the evidence is of the present code",
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
