"""How labels stayed out of reach, in words."""

from __future__ import annotations

from unseen.report.words import Results


def sealing(results: Results) -> list[str]:
    """How labels stayed out of reach of methods and of the choice, in sentences."""
    lines = {
        "exam": ["Labels found in the target were removed before any method, score or choice could read them."],
        "support": ["By request, labels found in the target were given to the methods as support."],
    }.get(
        results["labels"],
        [f"By request ({results['labels']}), a share of the target's labels was given as support."],
    )
    if not results["exam"]:
        return [*lines, "No label was left to grade by, and none was looked at."]
    return [
        *lines,
        "Those that grade were locked away where no method reaches them. All candidates were fitted and one was chosen "
        "first; only then were the labels looked at, once for each part, to grade them all.",
        "How often labels were used to grade is counted over all runs on this machine, by a hash of data and labels. "
        "The more often they were before a decision, the less the figures say about new data.",
    ]
