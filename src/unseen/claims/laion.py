"""LAION-5B's claim: pairs that a two-tower encoder filters from a noisy web are clean enough to train on, and scored.

The web is a local site of emoji and stamps with captions in ten languages, half of them wrong, and with every fault
planted; the encoder has seen other vendors' drawings only. What a confirmation has not looked at are vendors and their
drawings: names, languages and forms of captions are those of development. What it keeps is trained on, searched
and scored.
"""

from __future__ import annotations

import functools
from typing import Any

from unseen.claims.base import Assertion, Claim, Experiment, at_least, better, equals, not_worse
from unseen.claims.laion_heads import run_scores
from unseen.claims.laion_site import run_filter, run_restart
from unseen.claims.laion_uses import run_retrieval, run_training

# -- the ledger ----------------------------------------------------------------------------------------------

mechanism = functools.partial(Assertion, level="mechanism")
effect = functools.partial(Assertion, level="effect")
paper_scale = functools.partial(Assertion, level="paper scale")
not_testable = functools.partial(Assertion, level="not testable")

DEVELOPMENT = ("noto", "openmoji")
CONFIRMATION = ("emojione", "fxemoji")
ONCE: dict[str, Any] = {"seeds": (0,), "fresh_seeds": (100,)}
"""A site of a vendor is crawled once: vendors are what varies."""

claim = Claim(
    slug="laion",
    parts=(
        "unseen.claims.laion_heads",
        "unseen.claims.laion_site",
        "unseen.claims.laion_uses",
        "unseen.claims.small_web",
        "unseen.data.simulate.web",
    ),
    experiments={
        "filter": Experiment(run=run_filter, development=DEVELOPMENT, confirmation=CONFIRMATION, unit="vendor", **ONCE),
        "training": Experiment(
            run=run_training,
            development=("noto to openmoji", "openmoji to noto"),
            confirmation=("emojione to fxemoji", "fxemoji to emojione"),
            unit="vendors of site and exam",
        ),
        "scores": Experiment(run=run_scores, development=DEVELOPMENT, confirmation=CONFIRMATION, unit="vendor"),
        "retrieval": Experiment(
            run=run_retrieval, development=DEVELOPMENT, confirmation=CONFIRMATION, unit="vendor", **ONCE
        ),
        "restart": Experiment(
            run=run_restart, development=("noto",), confirmation=("emojione",), unit="vendor", **ONCE
        ),
    },
    ledger=(
        not_testable(
            text="Large noisy sets of image-text pairs have proved their use in training without expensive labels.",
            reason="Background, about CLIP and DALL-E.",
        ),
        not_testable(
            text="Models trained so generate from text, transfer, classify zero-shot and are robust.",
            reason="Background, about other work.",
        ),
        not_testable(
            text="Later models (ALIGN, BASIC, GLIDE, Flamingo, Imagen) improved on them.",
            reason="Background, about other work.",
        ),
        not_testable(
            text="Such models need billions of pairs, and no set of that size was open to all.",
            reason="About the state of the field in 2022.",
        ),
        mechanism(
            text="Pairs are filtered by CLIP: similarity ranks true captions before wrong ones on a vendor that the "
            "encoder has not seen, by 15 points of average precision above chance.",
            experiment="filter",
            holds=better("similarity", "random", metric="average precision", by=0.15),
        ),
        effect(
            text="Similarity of this small encoder reaches an average precision of 0.85 where half of the captions are "
            "wrong.",
            experiment="filter",
            holds=at_least("similarity", metric="average precision", value=0.85),
        ),
        mechanism(
            text="Half of the pairs kept are cleaner than half drawn at random, by 10 points of precision.",
            experiment="filter",
            holds=better("similarity", "random", metric="precision", by=0.1),
        ),
        effect(
            text="Half of the pairs kept are cleaner than half drawn at random, by 20 points of precision, which was "
            "asked for first.",
            experiment="filter",
            holds=better("similarity", "random", metric="precision", by=0.2),
        ),
        mechanism(
            text="Every link of a crawled site of 1,500 pages is accounted for: the report's counts of 24 reasons "
            "equal those planted.",
            experiment="filter",
            holds=equals("books", metric="links counted otherwise than planted", value=0),
        ),
        mechanism(
            text="A run that is killed and started again leaves the same files.",
            experiment="restart",
            holds=equals("killed", metric="files that differ", value=0),
        ),
        mechanism(
            text="The run of that test was killed in the middle: three shards of its downloads were there.",
            experiment="restart",
            holds=at_least("killed", metric="shards before the kill", value=3),
        ),
        paper_scale(
            text="5.85 billion pairs, of which 2.32 billion are English.",
            reason="Common Crawl's WAT files and a cluster: `unseen curate wat/ --out pairs --encoder "
            "open_clip:ViT-B-32/openai --engine ray --address auto --shard-size 10000`.",
        ),
        mechanism(
            text="The exam can tell: two towers trained on the true pairs name 29 classes of new pictures 10 points "
            "above chance.",
            experiment="training",
            holds=better("oracle", "chance", metric="classification", by=0.1),
        ),
        mechanism(
            text="Two towers trained on the true pairs find a picture's name among 100, and a name's picture, 10 "
            "points above chance.",
            experiment="training",
            holds=better("oracle", "chance", metric="R@1", by=0.1),
        ),
        effect(
            text="CLIP is replicated on what was filtered, in the small form: for equal steps it classifies 3 points "
            "more than one trained on everything.",
            experiment="training",
            holds=better("filtered", "unfiltered", metric="classification", by=0.03),
        ),
        effect(
            text="In retrieval, R@1 both ways, filtered pairs teach 3 points more than all.",
            experiment="training",
            holds=better("filtered", "unfiltered", metric="R@1", by=0.03),
        ),
        effect(
            text="Robust to a shift: of a vendor that no pair showed, filtered pairs teach 3 points more than all.",
            experiment="training",
            holds=better("filtered", "unfiltered", metric="shift, classification", by=0.03),
        ),
        effect(
            text="What helps is the filter, not the smaller number: as many pairs drawn at random teach 3 points less.",
            experiment="training",
            holds=better("filtered", "random half", metric="classification", by=0.03),
        ),
        effect(
            text="Filtered data are as good as clean ones, within 3 points.",
            experiment="training",
            holds=not_worse("filtered", "oracle", metric="classification", within=0.03),
        ),
        effect(
            text="Subsets carry further experiments: pruned by concept to 60 % without near duplicates, filtered pairs "
            "lose at most 3 points for equal steps.",
            experiment="training",
            holds=not_worse("pruned", "filtered", metric="classification", within=0.03),
        ),
        effect(
            text="Filtered pairs pruned by concept to 60 % lose at most 3 points for equal epochs, 60 % of the cost.",
            experiment="training",
            holds=not_worse("pruned, equal epochs", "filtered", metric="classification", within=0.03),
        ),
        paper_scale(
            text="CLIP ViT-B/32, B/16 and L/14 trained on LAION-400M and 2B reach OpenAI's zero-shot accuracy.",
            reason="Months of many GPUs: open_clip's training on the shards that `unseen curate` writes.",
        ),
        paper_scale(
            text="GLIDE is fine-tuned and Stable Diffusion trained on it.",
            reason="Months of many GPUs; diffusion models are not trained here. Theirs read the WebDataset shards that "
            "`unseen curate` writes.",
        ),
        *(
            mechanism(
                text=f"Nearest-neighbour indices: {told} over the curated pictures has recall@10 of {least:g} for "
                "pictures and words that it was not tuned on.",
                experiment="retrieval",
                holds=at_least(f"index {family}", metric="recall@10", value=least),
            )
            for family, told, least in (
                ("flat", "exact search", 1.0),
                ("hnsw", "a graph", 0.9),
                ("ivf", "lists", 0.9),
                ("pq", "compressed lists", 0.9),
            )
        ),
        effect(
            text="Exploration by words: for 100 exact names the first picture shows that thing, 60 % of them.",
            experiment="retrieval",
            holds=at_least("service", metric="names found, pictures", value=0.6),
        ),
        effect(
            text="The same names find their caption first among all captions, 60 % of them.",
            experiment="retrieval",
            holds=at_least("service", metric="names found, captions", value=0.6),
        ),
        mechanism(
            text="Near duplicates are removed from results: of pictures with a copy in the collection no first 20 show "
            "a thing twice.",
            experiment="retrieval",
            holds=equals("duplicates removed", metric="repeated", value=0),
        ),
        mechanism(
            text="Without removal of near duplicates the first 20 do show a thing twice, more than once in all.",
            experiment="retrieval",
            holds=better("duplicates removed", "duplicates left", metric="repeated", by=1, lower=True),
        ),
        mechanism(
            text="Safe search returns no item that is flagged as unsafe.",
            experiment="retrieval",
            holds=equals("toggle on", metric="flagged items returned", value=0),
        ),
        mechanism(
            text="Without the toggle for safe search the same queries return flagged items, more than one a query.",
            experiment="retrieval",
            holds=at_least("toggle off", metric="flagged items returned", value=20),
        ),
        not_testable(
            text="The web interface for exploration and subset generation is improved.",
            reason="What improved on an earlier interface is a judgement; `unseen explore pairs` is the interface, and "
            "the service behind it is what the lines above measure.",
        ),
        mechanism(
            text="Scores for watermarks: a head learnt on one vendor finds them on another, AUC 0.95.",
            experiment="scores",
            holds=at_least("watermark", metric="AUC", value=0.95),
        ),
        effect(
            text="Scores for unsafe pictures, with animals in their place: AUC 0.9 on another vendor.",
            experiment="scores",
            holds=at_least("unsafe", metric="AUC", value=0.9),
        ),
        effect(
            text="Scores for toxic captions, with those of unhappy faces in their place: AUC 0.9.",
            experiment="scores",
            holds=at_least("toxicity", metric="AUC", value=0.9),
        ),
        paper_scale(
            text="Balanced accuracy of the unsafe head, 0.96.",
            reason="Needs LAION's labelled pictures: `unseen head train unsafe/ --out unsafe --name unsafe --encoder "
            "open_clip:ViT-L-14/openai`.",
        ),
    ),
    licences=(
        "Noto Emoji: Apache-2.0; OpenMoji: CC BY-SA 4.0; EmojiOne 2 (EmojiTwo): CC BY 4.0; FxEmojis: Apache-2.0",
        "Twemoji: CC BY 4.0; Fluent Emoji: MIT; emojibase-data: MIT",
        "Tux Paint's stamps: GPL-2",
    ),
)
