"""Pipelines over image-text pairs on disk: shard by shard, resumable, with a count for every pair that is dropped."""

from unseen.curation.collection import COLUMNS, Collection, EncoderRecord, Shard, write_shard

__all__ = ["COLUMNS", "Collection", "EncoderRecord", "Shard", "write_shard"]
