"""The report: one self-contained page and a few lines for the terminal, from what a run wrote."""

from unseen.report.page import render
from unseen.report.tables import rich_table, teachers_table
from unseen.report.words import details, summary

__all__ = ["details", "render", "rich_table", "summary", "teachers_table"]
