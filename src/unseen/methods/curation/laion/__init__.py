"""LAION-5B's pipeline: from crawled pages to filtered, scored image-text pairs.

The decisions stand here, without network and disk: `unseen.curation` runs them over shards.
"""

from unseen.methods.curation.laion.accept import Acceptance, look, resized
from unseen.methods.curation.laion.bloom import BloomFilter
from unseen.methods.curation.laion.heads import Head, propose, train_head
from unseen.methods.curation.laion.language import languages, py3langid, stream_of
from unseen.methods.curation.laion.parse import Candidate, Page, clean, parse_page, parse_pages, uid
from unseen.methods.curation.laion.safety import Rule, judge, tag
from unseen.methods.curation.laion.similarity import THRESHOLDS, cosine, one_of_each, passes, thresholds
from unseen.methods.vocabulary import Card

__all__ = [
    "THRESHOLDS",
    "Acceptance",
    "BloomFilter",
    "Candidate",
    "Head",
    "Page",
    "Rule",
    "clean",
    "cosine",
    "judge",
    "languages",
    "look",
    "one_of_each",
    "parse_page",
    "parse_pages",
    "passes",
    "propose",
    "py3langid",
    "resized",
    "stream_of",
    "tag",
    "thresholds",
    "train_head",
    "uid",
]

card = Card(
    slug="laion",
    title="LAION-5B: An open large-scale dataset for training next generation image-text models",
    venue="NeurIPS 2022 Datasets and Benchmarks",
    kind="pipeline",
    official_code="rom1504/img2dataset",
    summary="Turn crawled pages, link tables or shards into filtered, scored image-text pairs; each drop has a reason.",
    unseen={"data"},
    modalities={"image", "text"},
    protocols={"curation"},
    commands=(
        "unseen curate crawl/ --out pairs --target-keep 0.5",
        "unseen explore pairs",
        "unseen head train watermarks/ --out watermark --name watermark",
        "unseen head propose pairs --prompt 'a picture with a watermark' --out label.csv",
    ),
    parts=(
        "unseen.curation.units",
        "unseen.curation.crawls",
        "unseen.curation.tables",
        "unseen.curation.samples",
        "unseen.curation.sources",
        "unseen.curation.fetch",
        "unseen.curation.hosts",
        "unseen.curation.settings",
        "unseen.curation.stages",
        "unseen.curation.attempts",
        "unseen.curation.planning",
        "unseen.curation.deciding",
        "unseen.curation.books",
        "unseen.curation.pipeline",
        "unseen.curation.accounting",
        "unseen.curation.statistics",
        "unseen.curation.collection",
        "unseen.curation.columns",
        "unseen.curation.vectors",
        "unseen.curation.index",
        "unseen.curation.index_choice",
        "unseen.curation.index_file",
        "unseen.curation.index_training",
        "unseen.curation.query",
        "unseen.curation.retrieval",
        "unseen.curation.retrieval_encoders",
        "unseen.curation.results",
    ),
    notes=(
        "Languages by py3langid, believed from a probability of 0.5, in place of CLD3; another detector can be given.",
        "Zero-width joiners stay in captions: they are spelling in Persian and Hindi; all other marks that are not "
        "printable go, those of direction among them.",
        "Pictures come to the encoder through its own preprocessing, which for CLIP is step 7's shrinking and crop.",
        "Near duplicates are looked for by embedding and confirmed by pixels, everywhere in the picture and with the "
        "one that stays; the pair of best similarity stays; "
        "LAION-5B itself removes equal URLs and equal pairs of URL and caption only.",
        "The picture's own bytes are kept unless a resize mode is named; img2dataset pads to 256 pixels by default.",
        "A threshold holds for the encoder that it was found on: 0.28 and 0.26 are CLIP ViT-B/32's; with another one "
        "say a share to keep.",
        "Pairs that are not English need a text encoder that reads their language (`multilingual_encoder`) in the "
        "space of the same image encoder; an English one gives cosines that mean nothing there, and a warning.",
        "A compressed index finds candidates, and the exact vectors on disk order them; duplicates and violence are "
        "judged by exact vectors, too. Filters on columns act before the search, so that k results come back.",
        "A graph or lists are tuned until held-out queries of both sides reach the recall that was asked for, then "
        "to the latency; autofaiss tunes to a latency alone. Quantizers learn by fewer rounds than faiss's defaults.",
        "Rating embeddings for steering by aesthetics are means over the collection's own pictures of that score.",
    ),
    left_out=(
        "The watermark classifier's own body (a fine-tuned EfficientNet-B3 on 256 pixels): a head over the frozen "
        "embeddings is learnt in its place, with the same hidden layers if wanted; the paper's 90,000 labelled "
        "pictures are not to be had offline.",
        "Detoxify's categories of toxicity: its weights are a download; a text head is learnt from the user's labels.",
        "The prompt lists and keywords of step 10: they are the user's, in a JSON file.",
        "Re-encoding with a second, larger encoder (step 11): the encoder that filters is the one whose embeddings are "
        "kept; name the larger one at once.",
        "Queries by the URL of a picture (step 18): the server would have to fetch foreign addresses for whoever asks.",
    ),
)
