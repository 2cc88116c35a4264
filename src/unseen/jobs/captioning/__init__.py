"""Captions of sounds, by a captioner that has learnt from texts alone: `unseen caption`."""
