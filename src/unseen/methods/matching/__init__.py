"""Matches between pictures: of other modalities, other scenes."""
