"""The examples on the method pages, put together from what a card and the signature of `fit` ask for."""

from __future__ import annotations

from typing import Any

from unseen import methods
from unseen.compare.moves import moves
from unseen.methods.explanation import explains
from unseen.methods.multimodal.attached import AttachablePairs
from unseen.methods.needs import (
    Compositions,
    Domains,
    NamedTowers,
    Regions,
    SharedSpace,
    TrainableTowers,
    TwoTowers,
)
from unseen.report.explain import maps

LIT = "1111110 0110000 1101101 1111001 0110011 1011011 1011111 1110000 1111111 1111011"
SEGMENTS = dict(zip("0123456789", LIT.split()))
"""Which of seven segments each digit lights: attributes by which a digit is known without a picture."""

SIDES = ("top", "upper right", "lower right", "bottom", "lower left", "upper left", "middle")
ITALIAN = "zero uno due tre quattro cinque sei sette otto nove"
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

ANIMALS = """\
name,parent,synonyms
animal,,living thing
bird,animal,feathered animal
owl,bird,night bird|barn owl
eagle,bird,sea eagle
fish,animal,animal with fins
carp,fish,koi|pond fish
shark,fish,white shark"""
"""A small taxonomy; what stands between | are synonyms."""

COLLECTION = """\
animals, places = ("cat", "dog", "owl", "eel", "fox"), ("house", "river", "forest", "harbour", "meadow")
texts = [f"The {a} number {n} lives by the {p}." for n in range(4) for a in animals for p in places]
corpus = Domain(x=np.array(texts), kind="text")  # or read_corpus("documents.csv")"""
"""Small documents."""

BOTH = 'source, target = digits("printed", size=8, flat=True), digits("handwritten", size=8, flat=True)'
DESCRIBED = f"""\
segments = {LIT!r}.split()
classes = ClassSpace(
    names="0123456789", attributes=[[int(lit) for lit in code] for code in segments], seen=range(8)
)
source = source.take(source.y < 8)  # no picture of 8 and 9"""

PAIRS = """\
classes = compositions(
    [("odd" if n % 2 else "even", f"{n % 5} or {n % 5 + 5}") for n in range(10)], names="0123456789", seen=range(8)
)
source = source.take(source.y < 8)  # no picture of 8 and 9"""
"""Digits as pairs of two words each."""

REGIONS = "efficientnet-lite0?crop=1&layer=4&regions=14"
"""An encoder that gives features of 14 x 14 regions."""

COARSE = "efficientnet-lite0?layer=5&regions=7"
"""One of 7 x 7 regions, where every region of a picture meets every region of another."""

PAIRED = ("cwcl", "ridge-map", "prefix-conditioning", "rs-m-clip")
"""What learns from pictures with captions."""

TEACHERS = """\
odd = source.replace(y=source.y % 2, classes=None)
teachers = {"digits": source_model(source), "odd": source_model(odd)}  # of any classes"""


def quick(about: dict[str, Any]) -> dict[str, float]:
    """Settings that make an example short where the defaults take minutes."""
    short = {"iterations": 20, "batch_size": 8} if "iterations" in about["parameters"] else {}
    if "compression" in about["protocols"]:
        short = {"steps": 50, "warm_up": 5, "batch_size": 24}
    if about["slug"] == "graphclip":
        short = {"epochs": 5, "batch_size": 16}
    if about["slug"] in ("x-clip", "zeroi2v"):
        short = {"epochs": 2, "warm_up": 1}
    if about["slug"] == "mug-stan":
        short = {"epochs": 2, "warm_up": 1, "depth": 2}
    if about["slug"] == "rs-m-clip":
        short = {"epochs": 30, "batch_size": 64, "learning_rate": 1e-2}
    if about["slug"] == "cdfsl-v":
        short = {"frames": 4, "patch": 4, "width": 16, "heads": 2, "mlp": 16, "layers": 1, "pretrain_epochs": 1}
        short |= {"epochs": 1, "decoder_width": 8, "decoder_heads": 2, "decoder_layers": 1}
    if about["slug"] == "dafosnet":
        short = {"epochs": 10, "fine_tune_epochs": 1}
    if about["slug"] == "genecis":
        short = {"triplets": 200, "epochs": 2, "batch_size": 16, "project": 32, "hidden": 32}
    if "query_tokens" in about["parameters"]:
        short |= {"clusters": 20, "samples": 20, "shortest": 15}
    if "synthesis_steps" in about["parameters"]:
        short |= {"samples": 16, "synthesis_batch": 16, "synthesis_steps": 20}
    return short


def compositional(about: dict[str, Any]) -> bool:
    """Whether the classes must be pairs of words."""
    return methods.get(about["slug"]).card.needed(Compositions) is not None


def of_domains(about: dict[str, Any]) -> bool:
    """Whether the source must be of several domains: here the fonts of the printed digits."""
    return methods.get(about["slug"]).card.needed(Domains) is not None


def of_regions(about: dict[str, Any]) -> bool:
    """Whether pictures must come as features of their regions."""
    return methods.get(about["slug"]).card.needed(Regions) is not None


def of_names(about: dict[str, Any]) -> bool:
    """Whether names among the samples are all that is needed."""
    return methods.get(about["slug"]).card.needed(SharedSpace) is not None


def of_towers(about: Any) -> bool:
    """Whether it reads names by the two towers that samples were read by."""
    return methods.get(about["slug"]).card.needed(NamedTowers) is not None


def adapts_later(about: dict[str, Any]) -> bool:
    """Whether a fitted method adapts to another target in a cheap second step."""
    return moves(methods.get(about["slug"]))


def python(about: dict[str, Any], arguments: str = "") -> str:
    """A program that fits a method on digits and predicts; `about` is from `catalogue.describe`."""
    name = methods.get(about["slug"]).__name__
    words = list(about["needs"][0]["required"])
    arguments = arguments or ", ".join(f"{key}={value}" for key, value in quick(about).items())
    fit = f"method = {name}({arguments}).fit({', '.join(f'{word}={word}' for word in words)})"
    score = "print((method.predict(target) == target.y).mean())"
    if "quantization" in about["protocols"]:
        lines = [
            "from unseen import encoders",
            f"from unseen.methods import {name}",
            "",
            'model = encoders.get("efficientnet-lite0").module.network  # or any network with BatchNorm',
            fit,
            "small = method.network()",
        ]
    elif "compression" in about["protocols"]:
        lines = [
            f"from unseen.methods import {name}",
            "from unseen.methods.tower_shrinkers import pairs_of_a_moment, towers_of_a_moment",
            "",
            "model = towers_of_a_moment()  # or prunable_towers(encoders.get('open_clip:ViT-B-32/<file>'))",
            'pairs = pairs_of_a_moment()  # or read_captioned("pairs.csv"), its pictures as the encoder reads them',
            fit,
            "print(method.size_)  # the share of the parameters that is left; method.student_ has both towers",
        ]
    elif "composed" in about["protocols"]:
        lines = [
            "import torch",
            "",
            f"from unseen.methods import {name}",
            "from unseen.methods.multimodal.genecis.needs import ComposedTowers",
            "",
            "small = ComposedTowers().example({'model': None})  # towers and captioned pictures of a moment",
            "pairs, model = small['pairs'], small['model']",
            fit,
            "x = torch.as_tensor(pairs.left.x[:1])  # the first picture, but on the sofa",
            "found = method.embed_query(x, ['on sofa']) @ method.gallery_.T",
            "print(float(found.max()) / 2 + 0.5)  # the cosine of the nearest picture, from 0 to 1",
        ]
    elif about["slug"] == "graphclip":
        lines = [
            "import numpy as np",
            "",
            "from unseen import ClassSpace, Domain",
            "from unseen.data.pairs import Pairs",
            "from unseen.data.text_graphs import TextAttributedGraph, random_walks",
            "from unseen.encoders import get",
            "from unseen.methods import GraphCLIP",
            "from unseen.data.graph_summaries import summarize",
            "",
            'read = lambda texts: get("minilm").encode(Domain(x=texts, kind="text"), precision="fp32").x',
            'said = {"music": "song concert melody opera", "sea": "ship harbour wave fish"}  # texts of two kinds',
            'texts = [f"a {a} and a {b}" for words in said.values() for a in words.split() for b in words.split()]',
            'edges = [(i, i + 1) for i in range(31) if i != 15]  # or read_graph("nodes.csv", "edges.csv")',
            "graph = TextAttributedGraph(texts=texts, edges=edges)",
            "places = random_walks(graph, np.arange(32), steps=16)",
            "summaries = Domain(x=read(summarize(graph, places)))  # extracted; a language model may write them",
            "pairs = Pairs(places.domain(graph, read(texts)), summaries)",
            fit,
            'classes = ClassSpace(names=list(said), embeddings=read([f"this is about {name}" for name in said]))',
            "silent = places.domain(graph, read(texts), hide_roots=True)  # nodes that say nothing themselves",
            "print((method.adapt(classes=classes).predict(silent) == np.arange(32) // 16).mean())",
        ]
    elif "curation" in about["protocols"]:
        lines = [
            "from unseen.data.sources import digits",
            f"from unseen.methods import {name}",
            "",
            'target = digits("handwritten", size=8, flat=True)  # or embeddings of pictures, (n, d)',
            fit,
            "chosen = method.select(fraction=0.2)  # any other number, without clustering again",
            "print(chosen.mask.mean())",
        ]
    elif methods.get(about["slug"]).card.task == "mask":
        lines = [
            "from sklearn.datasets import load_sample_images",
            "",
            "from unseen.data.simulate.collages import collages, ink_cutouts",
            "from unseen.data.sources import digits",
            "from unseen.evaluation.tasks import grades_of",
            f"from unseen.methods import {name}",
            "from unseen.nn.segmenters import small_unet, train_segmenter",
            "",
            "photos = load_sample_images().images  # digits on photographs, or your own: load_masks(folder)",
            'source = collages(ink_cutouts(digits("printed", size=32, copies=1)), photos, 200)',
            'drawn = ink_cutouts(digits("handwritten", size=32))',
            'test = collages(drawn, photos, 40, light="dusk", random_state=1)',
            "model = train_segmenter(small_unet(11), source, steps=100)",
            "target = test.take([0])  # one picture, whose mask is not looked at",
            fit,
            'grade = grades_of("mask").grade(test.y, method.predict(test), test.classes)',
            'print(grade["mIoU"])',
        ]
    elif methods.get(about["slug"]).card.task == "value":
        lines = [
            "from scipy.stats import kendalltau",
            "",
            "from unseen.data.sources.architectures import architectures",
            f"from unseen.methods import {name}",
            "",
            'table = architectures("cells-digits").domain()  # 200 networks that were trained for real',
            "known, others = table.take(slice(0, 40)), table.take(slice(40, None))",
            f"method = {name}({arguments}).fit(source=known)",
            "tau = kendalltau(method.predict(others), others.y).statistic",
            "print((1 + tau) / 2)  # share of pairs in the right order",
        ]
    elif methods.get(about["slug"]).card.task == "matches":
        fitted = {"MINIMA": "source=photographs, model=", "GIM": "source=video, model="}.get(name, "model=")
        filmed = [
            "way = Way(roll=10, lean=8, near=1.0, far=1.2, drift=0.2)",
            "video = flight(first, frames=24, layers=2, way=way).domain()  # or unseen.data.frames.videos([...])",
        ]
        lines = [
            "import numpy as np",
            "",
            "from unseen import Domain",
            "from unseen.data.homographies import correspondences, moved_corners, warped",
            "from unseen.data.pairs import Pairs",
            *(["from unseen.data.simulate.flights import Way, flight"] if name == "GIM" else []),
            "from unseen.data.simulate.modalities import render",
            "from unseen.data.sources.photographs import photographs as shipped",
            "from unseen.evaluation.tasks.matches import right",
            f"from unseen.methods import {name}",
            "from unseen.nn.matchers import matcher",
            "",
            'photographs = shipped("shipped", longest=400)  # or unseen.jobs.matching.job.photographs("folder")',
            "first = np.asarray(photographs.x[2])",
            "size = first.shape[1], first.shape[0]",
            "homography = moved_corners(np.random.default_rng(0), *size, 0.1)",
            'second = warped(render(first, "sketch"), homography, *size)  # a drawing, seen from elsewhere',
            'pairs = Pairs(Domain(x=[first], kind="image"), Domain(x=[second], kind="image"))',
            *(filmed if name == "GIM" else []),
            f'method = {name}({arguments}).fit({fitted}matcher("xfeat"))',
            "points = method.match(pairs)[0]  # rows of x, y in the first and x, y in the second",
            "print(right(correspondences(homography, *size), points).mean())",
        ]
    elif methods.get(about["slug"]).card.task == "text":
        lines = [
            "import numpy as np",
            "",
            "from unseen import Domain",
            f"from unseen.methods import {name}",
            "from unseen.methods.multimodal.audio_captioning.needs import HashedSpace",
            "",
            'animals, places = ("dog", "bird", "cow", "frog"), ("house", "river", "road", "garden")',
            'texts = [f"a {animal} calls near the {place}" for animal in animals for place in places]',
            'corpus = Domain(x=np.array(texts), kind="text")  # captions alone: no sound is heard',
            "space = HashedSpace()  # stands for one of texts and sounds, such as CLAP",
            f"method = {name}({arguments}).fit(corpus=corpus, encoder=space)",
            'asked = space.encode_text([f"a {animal} calls" for animal in animals])  # or space.encode_audio(waves)',
            "said = method.predict(asked)",
            "print(np.mean([animal in caption for animal, caption in zip(animals, said)]))",
        ]
    elif methods.get(about["slug"]).card.task == "spans":
        lines = [
            "import numpy as np",
            "",
            "from unseen import Domain",
            "from unseen.data.tasks.base import objects",
            f"from unseen.methods import {name}",
            "from unseen.methods.span_taggers import Backwards",
            "",
            'said = [f"the {a} helps because {b} falls ." for a in ("dose", "drug") for b in ("risk", "pain", "cost")]',
            'rows = [np.array([[text.index("because"), len(text) - 2, 0]]) for text in said]',
            'source = Domain(x=np.array(said), y=objects(rows), kind="text", task="spans")',
            'translator = Backwards()  # or unseen.nn.translators.translator("apertium:eng-spa"), or pairs=Pairs(...)',
            f"method = {name}(least_count=1).fit(source=source, translator=translator)",
            'text = translator.translate(["the drug fails because cost falls ."])[0]',
            "found = method.predict([text])[0]  # rows of first character, the one behind the last, class",
            "print(sum(stop - start for start, stop, _ in found) / len(text))",
        ]
    elif methods.get(about["slug"]).card.task == "ranking":
        lines = ["import numpy as np", "", *(["from unseen import encoders"] if "encoder" in words else [])]
        lines += ["from unseen.data.domain import Domain", f"from unseen.methods import {name}"]
        lines += ["from unseen.nn import rankers"] if "model" in words else []
        lines += ["from unseen.nn import writers"] if "writer" in words else []
        lines += ["", COLLECTION]
        lines += ["model = rankers.minilm()  # its upper two layers train"] if "model" in words else []
        lines += ['encoder = encoders.get("minilm")'] if "encoder" in words else []
        lines += ['writer = writers.writer("first-words")  # or writers.smollm2()'] if "writer" in words else []
        lines += [
            fit,
            'found = method.rank(["owl number 2 by the river"], k=3)',
            'print(np.mean(["owl" in texts[place] for place in found.documents[0]]))',
        ]
    elif about["modalities"] == ["series"]:
        lines = [
            "import numpy as np",
            "",
            "from unseen.data.series import forecast_frame, part, series_domain",
            "from unseen.data.simulate.series import simulated_series",
            f"from unseen.methods import {name}",
            "",
            'series = simulated_series(8, 1500)  # or read_series("demand.csv")',
            fit,
            "past, truth = part(series, 0, -8), part(series, -8, None)  # or pretrained() in the place of a fit",
            "forecast = method.forecast(past, horizon=8)",
            "table = forecast_frame(past, forecast)  # with the true times",
            "errors = np.abs(forecast - np.stack(list(truth.x))).ravel()",
            "print((errors < 2).mean())",
        ]
    elif {"pairs", "source", "model"} <= set(words):
        lines = [
            "import numpy as np",
            "",
            "from unseen import Domain",
            "from unseen.data.pairs import Pairs",
            "from unseen.data.sources import digits",
            "from unseen.encoders.trainable import fresh_towers",
            "from unseen.encoders import get",
            f"from unseen.methods import {name}",
            "",
            'model, reading = fresh_towers(get("efficientnet-lite0"))  # two small towers that have learnt nothing yet',
            'source = reading.encode(digits("printed", copies=1).take(slice(0, None, 6)))  # with labels',
            'target = reading.encode(digits("handwritten").take(slice(0, 60)))',
            f"names = {list(WORDS)!r}",
            "said = [f'somebody wrote {names[label]} by hand' for label in target.y[:30]]",
            'pairs = Pairs(target.take(slice(0, 30)).unlabeled(), Domain(x=said, kind="text"))  # with captions',
            "target = target.take(slice(30, 60))",
            fit,
            score,
        ]
    elif methods.get(about["slug"]).card.needed(TwoTowers) is not None:
        lines = [
            "from unseen import encoders",
            "from unseen.data.sources import digits",
            "from unseen.encoders.promptable import promptable, reading",
            f"from unseen.methods import {name}",
            "",
            'lite = encoders.get("lite-clip")  # or "open_clip:ViT-B-16/<file>"',
            "encoder = promptable(lite)",
            "layers = reading(encoder, lite)  # what the layers say of each picture, read once",
            'source = layers.encode(digits("handwritten").take(slice(0, 30)))  # few: each has K texts',
            'target = layers.encode(digits("printed", copies=1).take(slice(0, None, 12)))',
            fit + "  # without the labels of target",
            score,
        ]
    elif methods.get(about["slug"]).card.needed(TrainableTowers) is not None:
        lines = [
            "from unseen import encoders",
            "from unseen.data.sources import digits",
            "from unseen.encoders.trainable import tower_heads",
            f"from unseen.methods import {name}",
            "",
            'model, reading = tower_heads(encoders.get("lite-clip"))  # or "open_clip:ViT-B-16/<file>"',
            'source = reading.encode(digits("printed", copies=1).take(slice(0, None, 6)))',
            'target = reading.encode(digits("handwritten").take(slice(0, 30)))',
            fit,
            "before = method.predict(target, classes=target.classes)  # of a task that is still to come",
            "print((before == target.y).mean())",
            "method.partial_fit(source=target)",
        ]
    elif of_towers(about):
        lines = [
            "from unseen import encoders",
            "from unseen.data.sources import digits",
            "from unseen.encoders.trainable import shared_space",
            f"from unseen.methods import {name}",
            "",
            'lite = encoders.get("lite-clip")  # or "open_clip:ViT-B-16/<file>"',
            "encoder = shared_space(lite)",
            'source = lite.encode(digits("printed", copies=1).take(slice(0, None, 6)))',
            'target = lite.encode(digits("handwritten").take(slice(0, 30)))',
            "classes = target.classes.replace(seen=range(8))  # of eight and nine there are names alone",
            "source = source.take(source.y < 8)",
            fit,
            score,
        ]
    elif about["slug"] == "rs-m-clip":
        lines = [
            "import numpy as np",
            "",
            "from unseen import ClassSpace, Domain",
            "from unseen.data.pairs import Pairs",
            "from unseen.data.sources import digits",
            f"from unseen.methods import {name}",
            "from unseen.nn.small_towers import small_dual_encoder",
            "",
            f"english, italian = {list(WORDS)!r}, {ITALIAN!r}.split()",
            'source, target = digits("printed", size=8, copies=4, flat=True), digits("handwritten", size=8, flat=True)',
            "said = np.array([word for label in source.y for word in (english[label], italian[label])])",
            'columns = {"language": np.tile(["en", "it"], len(source))}  # every picture has a caption in each',
            'pairs = Pairs(Domain(x=np.repeat(source.x, 2, axis=0)), Domain(x=said, kind="text"), columns=columns)',
            "model = small_dual_encoder(width=64)  # begins at nothing; or two towers of open_clip",
            "classes = ClassSpace(names=english)",
            fit.replace("model=model", 'model=model, classes=classes, prompts={"en": english, "it": italian}'),
            score,
        ]
    elif methods.get(about["slug"]).card.needed(AttachablePairs) is not None and "source" not in words:
        lines = [
            "import numpy as np",
            "",
            "from unseen import ClassSpace, Domain",
            "from unseen.data.pairs import Pairs",
            "from unseen.data.sources import digits",
            "from unseen.encoders import get",
            f"from unseen.methods import {name}",
            "",
            f"names = {list(WORDS)!r}",
            'read = lambda texts: get("minilm").encode(Domain(x=texts, kind="text"), precision="fp32").x',
            'source, target = digits("printed", size=8, flat=True), digits("handwritten", size=8, flat=True)',
            'texts = read([f"the digit {names[label]}" for label in source.y])  # one side of the pairs, frozen',
            "pairs = Pairs(source.unlabeled(), Domain(x=texts))  # the other side learns to live among them",
            fit,
            "classes = ClassSpace(names=names, embeddings=read(names))  # any names; nothing is trained for them",
            "print((method.adapt(classes=classes).predict(target) == target.y).mean())",
        ]
    elif about["modalities"] == ["image"]:
        lines = [
            "import numpy as np",
            "",
            "from unseen.data.sources import digits",
            f"from unseen.methods import {name}",
            "",
            "def pixels(picture):",
            "    return np.asarray(picture, dtype=np.float32).transpose(2, 0, 1) / 255",
            "",
            'source = digits("handwritten", size=16).take(slice(0, 500))',
            "source = source.replace(x=np.stack([pixels(picture) for picture in source.x]))",
            'target = digits("printed", size=16, copies=1)',
            "target = target.replace(x=target.x.map(pixels))  # nobody has seen it",
            fit,
            score,
        ]
    elif about["modalities"] == ["probabilities"]:
        lines = [
            "from unseen import ClassSpace",
            "from unseen.data.sources import digits",
            f"from unseen.methods import {name}, SourceOnly",
            "",
            BOTH,
            DESCRIBED,
            "known = SourceOnly().fit(source=source.with_labels(source.y, classes.take(classes.seen)))",
            fit,
            "predicted = method.predict(known.predict_proba(target))  # among all ten",
            "print((predicted == target.y).mean())",
        ]
    elif about["modalities"] == ["text"]:
        lines = [
            "from unseen.data.taxonomies import build  # or icd10cm, hpo, obo, owl, rf2, table",
            f"from unseen.methods import {name}",
            "",
            f'rows = [line.split(",") for line in """\\\n{ANIMALS}""".splitlines()[1:]]',
            "names = [name for name, _, _ in rows]",
            "parents = [[parent] if parent else [] for _, parent, _ in rows]",
            'phrases = [(i, text) for i, row in enumerate(rows) for text in (row[0], *row[2].split("|"))]',
            'tree = build(names, parents, names, phrases, name="animals")',
            f"method = {name}({arguments}).fit(source=tree.phrases, classes=tree.classes)",
            'phrases, right = ["a white owl", "koi in a pond"], ["owl", "carp"]',
            "found = [tree.classes.names[i] for i in method.predict(phrases)]",
            "print(sum(a == b for a, b in zip(found, right)) / len(right))",
        ]
    elif about["modalities"] == ["node"]:
        lines = [
            "from unseen import ClassSpace",
            "from unseen.data.sources.graphs import graph",
            f"from unseen.methods import {name}",
            "",
            'likes = [("ann", "likes food", "soup"), ("bob", "likes food", "cake"), ("ann", "likes music", "jazz")]',
            'known = graph([*likes, ("eve", "likes sport", "golf"), ("eve", "likes food", "rice")], name="tastes")',
            'relations = ClassSpace(names=(*known.relations.names, "loves food"), seen=range(3))  # one has no triple',
            "source = known.pairs.replace(classes=relations)",
            f"method = {name}({arguments}).fit(source=source, classes=relations)",
            'query = [known.places["ann"], relations.index("loves food")]',
            "tails = [known.entities[tail] for tail in method.rank([query], k=3).tails[0]]",
            'print(len({"soup", "cake", "rice"} & set(tails)) / 3)',
        ]
    elif about["slug"] == "cdfsl-v":
        lines = [
            "import numpy as np",
            "",
            "from unseen import ClassSpace, Domain",
            "from unseen.data.simulate.motions import MOTIONS, clips_of",
            "from unseen.data.sources import digits",
            f"from unseen.methods import {name}",
            "",
            'pictures = [np.asarray(x.convert("RGB")) for x in digits("printed", copies=1).take(slice(0, 20)).x]',
            "motions, classes = np.arange(40) % 4, ClassSpace(names=MOTIONS)",
            "",
            "",
            "def moving(y, seed):  # or ready(load(folder), (112, 112))",
            "    x = clips_of(pictures, np.arange(len(y)) % 20, y, seed=seed, frames=4, side=16)",
            '    return Domain(x=x.astype(np.float32) / 255, y=y, kind="clip", classes=classes)',
            "",
            "",
            "source, target = moving(motions, 0), moving(motions + 4, 1)  # other motions",
            "support = moving(motions[:20] + 4, 2)",
            fit,
            score,
        ]
    elif about["modalities"] == ["clip"]:
        lines = [
            "import numpy as np",
            "",
            "from unseen import ClassSpace, Domain",
            "from unseen.data.segments import ready",
            "from unseen.data.simulate.motions import MOTIONS, clips_of",
            "from unseen.data.sources import digits",
            f"from unseen.methods import {name}",
            "from unseen.methods.video.needs import small_frame_towers",
            "",
            'pictures = [np.asarray(x.convert("RGB")) for x in digits("printed", copies=1).take(slice(0, 20)).x]',
            "motions = np.arange(40) % 4",
            "x = clips_of(pictures, np.arange(40) % 20, motions, seed=0, frames=8, side=32)",
            'clips = Domain(x=x, y=motions, kind="clip", classes=ClassSpace(names=MOTIONS[:4]))  # or load(folder)',
            "source = ready(clips, (8, 8), mean=(0.5,) * 3, std=(0.5,) * 3)",
            "model = small_frame_towers()  # or prunable_towers of an open_clip encoder",
            f"method = {name}({arguments}).fit(source=source, model=model)",
            "print((method.predict(source) == motions).mean())",
        ]
    elif about["slug"] == "crlnet":
        lines = [
            "from unseen import encoders",
            "from unseen.data.sources import digits",
            f"from unseen.methods import {name}",
            "",
            f'encoder = encoders.get("{COARSE}")',
            'source = encoder.encode(digits("printed", copies=1).take(slice(0, 100)))  # 7 x 7 regions',
            'target = encoder.encode(digits("handwritten").take(slice(0, 60)))',
            fit,
            "method = method.adapt(support=target.take(slice(0, 30)))  # a handful of any classes",
            "target = target.take(slice(30, None))",
            score,
        ]
    elif of_regions(about):
        lines = [
            "from unseen import encoders",
            "from unseen.data.sources import digits",
            f"from unseen.methods import {name}",
            "",
            f'encoder = encoders.get("{REGIONS}")',
            'source = encoder.encode(digits("printed", copies=1).take(slice(0, 100)))  # 14 x 14 regions',
            'target = encoder.encode(digits("handwritten").take(slice(0, 60)))',
            fit + "  # without the labels of target",
            "evidence = method.evidence_maps(target)  # (60, 14, 14): what speaks for the predicted class",
            "occluded = method.occlusion_maps(target) > 0  # where something else stands before it",
            score,
        ]
    elif of_names(about):
        lines = [
            "from unseen import encoders",
            "from unseen.data.sources import digits",
            f"from unseen.methods import {name}",
            "",
            'encoder, pictures = encoders.get("lite-clip"), digits("handwritten").take(slice(0, 200))',
            "target, classes = encoder.encode(pictures), encoder.embed(pictures.classes)",
            fit,
            score,
        ]
    else:
        lines = ["from unseen.data.sources import digits", f"from unseen.methods import {name}", "", BOTH]
        if compositional(about):
            lines = ["from unseen.data.compositions import compositions", *lines, PAIRS]
        elif "classes" in words:
            lines = ["from unseen import ClassSpace", *lines, DESCRIBED]
        if of_domains(about):
            lines += ['source = source.replace(columns={"domain": source.columns["font"]})']
        if "model" in words:
            start = "new_model" if set(words) == {"source", "model"} else "source_model"
            lines = [f"from unseen.catalogue import {start}", *lines, f"model = {start}(source)"]
        if "teachers" in words:
            lines = ["from unseen.catalogue import source_model", *lines, TEACHERS]
        if "support" in words:
            lines += ["support = target.take(slice(0, 100))"]
        lines += [fit + ("  # without the labels of target" if "target" in words else "")]
        if adapts_later(about):
            lines += ["method = method.adapt(target=target.take(slice(0, 24)))  # unlabeled: seconds, for any target"]
        lines += [score]
    return "\n".join(lines)


def captioned(slug: str) -> str:
    """How to learn from pictures with captions, in one language or two, and perhaps from labels as well."""
    table, header, more = "pairs.csv", "image,caption", f"--method {slug}"
    say = '  n=${f#*/}; n=${n%%/*}; echo "$f,the digit $n"'
    if slug == "rs-m-clip":
        table, header, more = "captions.csv", "image,caption,language", "--languages en,de"
        say = '  n=${f#*/}; n=${n%%/*}; echo "$f,the digit $n,en"; echo "$f,die Ziffer $n,de"'
    lines = ["unseen data get digits:handwritten --out handwritten"]
    if slug == "prefix-conditioning":
        lines += ["unseen data get digits:printed --out printed"]
        more = "--classification printed --set iterations=200"
    lines += [
        f"echo {header} > {table}", "for f in handwritten/*/*.png; do", say, f"done >> {table}",
        f"unseen align {table} {more} --out models/{slug}", f"unseen predict models/{slug} handwritten/3 --top 3",
    ]  # fmt: skip
    return "\n".join(lines)


def of_clips(about: dict[str, Any]) -> str:
    """How to learn from labelled clips in two folders of your own."""
    slug, towers = about["slug"], "frames:open_clip:ViT-B-32/openai"
    if slug == "cdfsl-v":
        return f"unseen adapt --method {slug} --source gym --target street --support few --out models/{slug}"
    encoder = "frames:timm:vit_small_patch16_224" if slug == "zeroi2v" else towers
    return (
        f"unseen compare --source gym --target street --encoder {encoder} --methods source-only,{slug} --out run\n"
        "unseen predict run new.mp4 --stride 2 --window 4"
    )


def shell(about: dict[str, Any]) -> str:
    """The same on the command line, on pictures, starting in an empty folder."""
    slug, words = about["slug"], list(about["needs"][0]["required"])
    if "quantization" in about["protocols"]:
        settings = "".join(f" --set {key}={value}" for key, value in quick(about).items())
        return f"unseen quantize efficientnet-lite0 --method {slug} --bits 8/8{settings} --out models/{slug}"
    if "compression" in about["protocols"]:
        how = "" if slug == "tinyclip" else f" --method {slug}"
        return f"unseen shrink open_clip:ViT-B-32/weights.bin --size 0.3 --pairs pairs.csv{how} --out models/small"
    if slug == "graphclip":
        words = "for a in song concert melody opera; do for b in song concert melody opera; do"
        return (
            f"echo id,text > nodes.csv; echo source,target > edges.csv\n{words}\n"
            '  echo "$a-$b,a $a and a $b" >> nodes.csv; echo "$a-$b,$b-$a" >> edges.csv\ndone; done\n'
            'unseen nodes nodes.csv --edges edges.csv --classes "music,food" --set epochs=2 --out runs/nodes'
        )
    if slug in PAIRED:
        return captioned(slug)
    if slug in ("audio-captioning", "mug-stan"):
        return ""  # its card names commands for sounds and videos of your own
    if about["modalities"] == ["clip"]:
        return of_clips(about)
    if slug == "genecis":
        return (
            "unseen data get digits:handwritten --out handwritten\n"
            'unseen find handwritten --text "a photo of a seven" --top 3\nunseen methods genecis'
        )
    if "curation" in about["protocols"]:
        how = "" if slug == "concept-pruning" else f" --method {slug}"
        pictures = "unseen data get digits:handwritten --out handwritten"
        return f"{pictures}\nunseen prune handwritten --keep 0.3{how} --out pruned"
    if methods.get(slug).card.task == "value":
        how, more = ("", "") if slug == "forest-ranker" else (f" --method {slug}", f"\nunseen reproduce {slug} --quick")
        return f"unseen nas rank cells-digits --trained 40{how} --out nas{more}"
    if methods.get(slug).card.task == "matches":
        return f"unseen methods {slug}" + (f"\nunseen reproduce {slug} --quick" if slug in ("minima", "gim") else "")
    if methods.get(slug).card.task == "spans":
        how = "" if slug == "crosslingual-am" else f" --method {slug}"
        return (
            "for a in dose drug; do for b in risk pain cost; do\n"
            '  printf "%s\\n" "the O" "$a O" "helps O" "because B-reason" "$b I-reason" "falls I-reason" ". O" ""\n'
            "done; done > english.conll\n"
            "echo 'The dose fails because pain falls.' > notes.txt\n"
            f"unseen tag train english.conll{how} --set least_count=1 --model models/{slug}\n"
            f"unseen tag run notes.txt --model models/{slug} --out notes.html"
        )
    if methods.get(slug).card.task == "ranking":
        tried = {"bm25": "bm25", "neural-search": "minilm", "rank-fusion": "fusion"}.get(slug, "bm25,minilm,duqgen")
        written = " --writer first-words --set shortest=15" if slug == "duqgen" else ""
        documents = "for a in cat dog owl eel fox; do for p in house river forest harbour meadow; do"
        return (
            f'mkdir texts\n{documents}\n  echo "The $a lives by the $p." > texts/$a-$p.txt\ndone; done\n'
            'echo "owl by the river" > queries.txt\n'
            f"unseen rank texts queries.txt --with {tried}{written} --out ranking.html --model models/{slug}"
        )
    if about["modalities"] == ["series"]:
        how = "" if slug == "ttm" else f" --method {slug}"
        rows = "for day in 01 02 03 04 05 06 07 08 09 10 11 12; do for hour in 00 06 12 18; do"
        return (
            f"echo time,demand > demand.csv\n{rows}\n"
            '  echo "2024-01-$day $hour:00:00,$((10#$hour * 3 + 10#$day))" >> demand.csv\ndone; done\n'
            f"unseen forecast demand.csv --horizon 8{how} --out forecast"
        )
    if methods.get(slug).card.needed(TrainableTowers) is not None:
        short = " --set iterations=20" if slug == "zscl" else ""
        return (
            "unseen data get digits:handwritten --out handwritten\n"
            f"unseen continue lite-clip handwritten --method {slug}{short} --out models/{slug}\n"
            f"unseen predict models/{slug} handwritten/3 --top 3"
        )
    if methods.get(slug).card.task == "mask":
        return f"unseen segment labelled --target new.png --methods source-only,{slug} --out runs/{slug}"
    if about["modalities"] == ["image"] or methods.get(slug).card.needed(TwoTowers) is not None:
        return f"unseen methods {slug}\nunseen reproduce {slug} --quick"
    if about["modalities"] == ["text"]:
        phrases = "cat > phrases.txt <<'END'\na white owl\nkoi in a pond\nEND"
        return (
            f"cat > animals.csv <<'END'\n{ANIMALS}\nEND\n{phrases}\n"
            f"unseen map phrases.txt --taxonomy csv:animals.csv --model models/{slug} --k 2 --out mapped.csv"
        )
    if about["modalities"] == ["node"]:
        return (
            "cat > graph.csv <<'END'\nann,likes food,soup\nbob,likes food,cake\nann,likes music,jazz\n"
            "eve,likes sport,golf\nEND\necho 'loves food,subPropertyOf,likes food' > relations.csv\n"
            "echo 'ann,loves food' > queries.csv\n"
            "for name in 'likes food' 'likes music' 'likes sport'; do\n"
            '  echo "$name,domain,person" >> relations.csv\ndone\n'
            f"unseen complete graph.csv --ontology relations.csv --queries queries.csv --methods {slug}"
        )
    lines = ["unseen data get digits:handwritten --out handwritten"]
    if of_names(about):
        names = ",".join(SEGMENTS)
        lines += [f'unseen adapt --method {slug} --target handwritten --classes "{names}" --out models/{slug}']
        return "\n".join([*lines, f"unseen predict models/{slug} handwritten/3 --top 3"])
    options = ["--target handwritten"]
    if "support" in words:
        lines += [
            "for n in 0 1 2 3 4 5 6 7 8 9; do  # five of each are labelled for us",
            "  mkdir -p few/$n && ls -d handwritten/$n/* | head -5 | xargs -I FILE mv FILE few/$n",
            "done",
        ]
        options += ["--support few"]
        if "source" in words:
            lines, options = ["unseen data get digits:printed --out printed", *lines], ["--source printed", *options]
        if "teachers" in words:
            lines = [
                "unseen data get digits:printed --out printed",
                "unseen adapt --method source-only --source printed --out zoo/printed  # models of any classes",
                *lines,
            ]
            options += ["--teachers zoo"]
    else:
        lines = ["unseen data get digits:printed --out printed", *lines]
        options = ["--source printed", *options]
        if of_domains(about):
            lines += [
                "echo path,label,domain > fonts.csv  # each font is a domain",
                "for f in printed/*/*.png; do",
                "  n=${f#*/} font=${f##*printed-}; echo $f,${n%%/*},${font%%-[0-9]*} >> fonts.csv",
                "done",
            ]
            options[0] = "--source fonts.csv"
    if "classes" in words:
        rows = [f"{n},the digit {word},{','.join(SEGMENTS[n])}" for n, word in zip(SEGMENTS, WORDS)]
        header = f"name,description,{','.join(SIDES)}"
        if compositional(about):
            rows = [f"{n},{'odd' if n % 2 else 'even'},{n % 5} or {n % 5 + 5}" for n in range(10)]
            header = "name,attribute,object"
        lines += ["rm -r printed/8 printed/9", "cat > classes.csv <<'END'", header, *rows, "END"]
        options += ["--classes classes.csv"]
    if adapts_later(about):
        options.remove("--target handwritten")
    if of_regions(about):
        options += [f'--encoder "{COARSE if slug == "crlnet" else REGIONS}"']
    if of_towers(about):
        options += ["--encoder lite-clip"]
    lines += [f"unseen adapt --method {slug} {' '.join(options)} --out models/{slug}"]
    if adapts_later(about):
        lines += [
            f"unseen adapt --model models/{slug} --target handwritten --out models/handwritten  # in seconds",
            "unseen predict models/handwritten handwritten/3 --top 3",
        ]
        return "\n".join(lines)
    if of_regions(about) and (explains(methods.get(slug)) or maps(methods.get(slug))):
        lines += [f"unseen explain models/{slug} handwritten/3/handwritten-0003.png --out why.html"]
    return "\n".join([*lines, f"unseen predict models/{slug} handwritten/3 --top 3"])
