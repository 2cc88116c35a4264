"""The figures of taxonomies.md on names with several senses: which node of WordNet a class is.

    python docs/senses_study.py [DESCRIPTIONS]

DESCRIPTIONS is the folder gpt_descriptions of github.com/bethgelab/frequency_determines_performance: sentences that a
language model wrote of the classes of CIFAR-100, Caltech-101 and others, of which the first is given to each class.
ImageNet's right synsets are its own identifiers; those of the other lists were put down by hand, before anything was
run. The weights were chosen on ImageNet and CIFAR-100, and not on the others.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from timm.data import ImageNetInfo
from torchvision.models import ResNet18_Weights

from unseen.data.taxonomies import Taxonomy, find, senses, wordnet
from unseen.data.taxonomies.base import candidates

BY_HAND = {
    "cifar100": """apple 1;baby 1;bear 1;beaver 7;bed 1;bee 1;beetle 1;bottle 1;bowl 1,3;boy male_child.n.01;bridge 1;
        bus 1;butterfly 1;can 1;castle 2,palace.n.01;caterpillar 1;chair 1;cloud 2;couch sofa.n.01;cup 1;dolphin 2;
        elephant 1;
        flatfish 2;forest 1,2;fox 1;girl 1,female_child.n.01;house 1;keyboard 1;lamp 1,2;leopard 2;lion 1;lizard 1;
        lobster 2;man 1;mountain 1;mouse 1;mushroom 1,3,5;orange 1;otter 2;pear 1;plain 1;plate 4;possum opossum.n.02;
        rabbit 1;raccoon 2;ray 7;road 1;rocket 1;rose 1;sea 1;seal 9;shark 1;shrew 2;skunk 4;snail 1;snake 1;spider 1;
        squirrel 1;sweet_pepper 2;table 2,3;tank 1;telephone 1;television television_receiver.n.01;tiger 2;tractor 1;
        train 1;trout 2;turtle 2;wardrobe 1;whale 2;wolf 1;woman 1;worm 1""",
    "caltech101": """face 1;leopard 2;anchor 1;barrel 2;bass freshwater_bass.n.01,8;beaver 7;brain 1;
        buddha Buddha.n.01,Buddha.n.02;butterfly 1;camera 1;cannon 1;chair 1;crab 1;crayfish 3;cup 1;dalmatian 2;
        dolphin 2;elephant 1;emu 2;ferry 1;hedgehog 2;lamp 1,2;lobster 2;lotus 1;nautilus chambered_nautilus.n.01;
        octopus 2;panda giant_panda.n.01;pyramid Pyramid.n.03;revolver 1;schooner 2;scissors 1;scorpion 3;
        sea_horse seahorse.n.02;strawberry 1;tick 2;umbrella 1;watch 1;wrench 3""",
    "flowers102": """tiger lily 1;bird of paradise 2;fritillary 1;artichoke 1,2;carnation 1;sword lily gladiolus.n.01;
        wallflower 1,2;oxeye daisy 2;petunia 1;black-eyed susan black-eyed_Susan.n.03;rose 1;lotus 1;magnolia 2;
        bee balm 1,2""",
    "oxfordpets": """boxer 4;chihuahua Chihuahua.n.03;newfoundland Newfoundland.n.01;samoyed Samoyed.n.03;
        siamese Siamese_cat.n.01""",
    "food101": "cheesecake 1;hamburger 1;hot_dog hotdog.n.02;lasagna 1",
}
"""The senses that are right, of names with several: numbers of the word itself, or identifiers."""

Right = dict[str, set[int]]


def by_hand(told: str, tree: Taxonomy) -> Right:
    """The right nodes of each name."""
    out: Right = {}
    for entry in told.split(";"):
        name, _, right = entry.strip().rpartition(" ")
        called = [n if not n.isdigit() else f"{name.replace(' ', '_')}.n.{int(n):02d}" for n in right.split(",")]
        out[name] = set(find(called, tree).tolist())
    return out


def imagenet(tree: Taxonomy) -> Right:
    """Names of the 1,000 classes as torchvision writes them, without those that stand twice."""
    names = [str(name) for name in ResNet18_Weights.DEFAULT.meta["categories"]]
    nodes = find(ImageNetInfo("imagenet1k").label_names(), tree).tolist()
    count = {name: sum(name.casefold() == other.casefold() for other in names) for name in names}
    return {name: {node} for name, node in zip(names, nodes) if count[name] == 1}


def others(tree: Taxonomy) -> Right:
    """First words of the synsets of ImageNet-12k that are none of the 1,000, without those that stand twice."""
    known, taken = ImageNetInfo("imagenet12k"), set(ImageNetInfo("imagenet1k").label_names())
    ids = [identity for identity in known.label_names() if identity not in taken]
    names = [known.label_name_to_description(identity, detailed=False).split(", ")[0] for identity in ids]
    count: dict[str, int] = {}
    for name in names:
        count[name.casefold()] = count.get(name.casefold(), 0) + 1
    found = zip(names, find(ids, tree).tolist(), candidates(names, tree))
    return {name: {node} for name, node, may in found if count[name.casefold()] == 1 and node in may}


def hits(names: list[str], right: Right, tree: Taxonomy, descriptions: dict[str, str]) -> dict[str, list[bool]]:
    """For names of several nodes whose right one is known: whether the first is it, that of names, that of texts."""
    names = [name for name, may in zip(names, candidates(names, tree)) if may]
    several = [i for i, may in enumerate(candidates(names, tree)) if len(may) > 1 and names[i] in right]
    texts = [descriptions.get(name.casefold().replace("_", " "), "") for name in names]
    arms = {"first": find(names, tree), "names": senses(names, tree)}
    if descriptions:
        arms["descriptions"] = senses(names, tree, texts)
        several = [i for i in several if texts[i]]
    return {arm: [int(nodes[i]) in right[names[i]] for i in several] for arm, nodes in arms.items()}


def row(title: str, found: dict[str, list[bool]]) -> None:
    """Print shares of right nodes."""
    shares = [f"{np.mean(found[arm]):.2f}" if arm in found else "" for arm in ("first", "names", "descriptions")]
    print(f"| {title} | {len(found['first'])} | {' | '.join(shares)} |", flush=True)


def main() -> None:
    """Print a row per list."""
    tree = wordnet()
    print("| list | names with several senses | the first | by the list | and by descriptions |")
    print("| --- | --- | --- | --- | --- |")
    texts: dict[str, dict[str, str]] = {}
    for file in sorted(Path(sys.argv[1]).glob("*_descriptions.json")) if len(sys.argv) > 1 else ():
        told = json.loads(file.read_text(encoding="utf-8"))
        texts[file.stem.partition("_")[0]] = {
            name.replace("_", " ").casefold(): own[name][1] for name, own in told.items()
        }
    right = imagenet(tree)
    row("ImageNet", hits(list(right), right, tree, {}))
    if texts:
        every = {name: text for own in reversed(texts.values()) for name, text in own.items()}
        row("ImageNet, those described", hits(list(right), right, tree, every))
    for title in BY_HAND if texts else ():
        names = list(json.loads((Path(sys.argv[1]) / f"{title}_descriptions.json").read_text(encoding="utf-8")))
        row(title, hits(names, by_hand(BY_HAND[title], tree), tree, texts[title]))
    right, rng = others(tree), np.random.default_rng(0)
    for size, times in ((20, 50), (100, 20), (1000, 5)):
        total: dict[str, list[bool]] = {"first": [], "names": []}
        for _ in range(times):
            drawn = [list(right)[i] for i in rng.permutation(len(right))[:size]]
            for arm, own in hits(drawn, right, tree, {}).items():
                total[arm] += own
        row(f"{size} of ImageNet-12k, {times} draws", total)


if __name__ == "__main__":
    main()
