"""Accuracy from a person's answers on a few random samples, which are then sealed."""

from unseen.verification.answers import left_unanswered, read_answers, read_times
from unseen.verification.grade import Grade, clopper_pearson, grade
from unseen.verification.page import ANSWERS, write_page
from unseen.verification.sample import Question, ask, learned_by
from unseen.verification.seals import seal, sealed, without_sealed
from unseen.verification.table import none_note, write_table

__all__ = [
    "ANSWERS",
    "Grade",
    "Question",
    "ask",
    "clopper_pearson",
    "grade",
    "learned_by",
    "left_unanswered",
    "none_note",
    "read_answers",
    "read_times",
    "seal",
    "sealed",
    "without_sealed",
    "write_page",
    "write_table",
]
