"""Does it pay to train the last stages of the encoder, to look at several views, or to adapt batch by batch?

    python benchmarks/shifts/tuned.py             a case of each family of pictures, then a second one, ...; resumable
    python benchmarks/shifts/tuned.py --table     accuracy by family, from what has run

`compare` trains on features of a frozen network. Here the last two stages of that network (79 % of its weights) learn,
too, from the same samples, for at most a minute of a processor a method: on the source alone (the control), then by
SHOT, AaD and SF(DA)^2; by FixMatch with changed pictures; and on what the consensus says of the target. Tent adapts
all scales and offsets, batch by batch; views at test time are a picture, its mirror image and two crops. Beside them
stand the frozen network's own rows: `source-only`, the consensus, the best single candidate by the labels.

Figures lie below ``tuned/`` in the cache, and in ``docs/choosing-tuned.json`` after ``--table``.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from shifts.case import Case
from shifts.cases import FAMILIES, data_folder, keep_domain, key_of, root_of
from shifts.run import inputs_of
from unseen import encoders
from unseen.compare.consensus import OPINIONS, consensus_cells, pair_of, with_opinions
from unseen.compare.fits import run_all
from unseen.data.domain import Domain
from unseen.data.samplers import both_batches
from unseen.encoders.defaults import DEFAULT_ENCODER
from unseen.methods.adaptation.sfda2 import SFDA2
from unseen.methods.baselines.aad import AaD
from unseen.methods.baselines.fixmatch import FixMatch
from unseen.methods.baselines.shot import SHOT
from unseen.nn.bn_statistics import batch_norms
from unseen.nn.classifier import Classifier, Pooled, outputs, sgd, train_source
from unseen.nn.logistic import fit_logistic
from unseen.nn.train import Run, train
from unseen.scale import Engine

HERE = Path(__file__).resolve()
RECORD = HERE.parents[2] / "docs" / "choosing-tuned.json"
PICTURES = (
    "photo-to-drawing", "emoji-disjoint", "furniture", "corruptions", "digits-encoded", "edges-and-pencil",
    "emoji-groups", "fashion-encoded", "fonts-encoded", "emoji-styles",
)  # fmt: skip
LAST = 2
"""Stages that learn, of seven, with what stands behind them."""
SIDE = 14
"""Of the maps that the stages before give for 224 x 224 pixels."""
EPOCHS, BATCH, FIXMATCH_STEPS, TENT_BATCH = 12, 48, 60, 64


class Front(nn.Module):
    """The stages that stay as they are: maps, as rows."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        n = self.network
        x = F.relu6(n.bn1(n.conv_stem(x)))
        return n.blocks[:-LAST](x).flatten(1)


class Tail(nn.Module):
    """The last stages: features (b, 1280) of maps as rows."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.blocks = copy.deepcopy(network.blocks[-LAST:])
        self.conv_head, self.bn2 = copy.deepcopy(network.conv_head), copy.deepcopy(network.bn2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(x.unflatten(1, (-1, SIDE, SIDE)))
        return F.adaptive_avg_pool2d(F.relu6(self.bn2(self.conv_head(x))), 1).flatten(1)


class Whole(nn.Module):
    """Front and tail as one network for pictures; the front learns nothing and measures nothing."""

    def __init__(self, front: Front, tail: nn.Module) -> None:
        super().__init__()
        self.front, self.tail = front, tail

    def forward(self, x: Tensor) -> Tensor:
        self.front.eval()
        with torch.no_grad():
            maps = self.front(x)
        return self.tail(maps)


def fresh(tail: Tail, n_classes: int) -> Classifier:
    """Tail, bottleneck and head as SHOT has them."""
    bottleneck = nn.Sequential(nn.Linear(1280, 256), nn.BatchNorm1d(256))
    head = nn.utils.parametrizations.weight_norm(nn.Linear(256, n_classes))
    return Classifier(copy.deepcopy(tail), bottleneck, head)


@torch.no_grad()
def normalized_anew(network: Classifier, maps: Domain) -> Classifier:
    """A copy whose BatchNorm layers have the statistics of these samples."""
    network = copy.deepcopy(network).eval()
    layers = batch_norms(network).values()
    for layer in layers:
        layer.reset_running_stats()  # type: ignore[operator]
        layer.momentum = None  # type: ignore[assignment]
        layer.train()
    for piece in np.array_split(np.random.default_rng(0).permutation(len(maps)), -(-len(maps) // 128)):
        network(torch.from_numpy(maps.x[piece]))
    return network.eval()


def taught(network: Classifier, source: Domain, target: Domain, opinions: Tensor) -> Classifier:
    """Last stages that learn the source's labels and what the consensus says of the target, each domain in batches."""
    optimizer = sgd(network, 1e-2, train_head=True)
    network.train()
    per_epoch = max(1, min(len(source), len(target)) // BATCH)

    def objective(batch: Any, run: Run) -> Tensor:
        told = opinions[batch.unlabeled.index]
        own = F.cross_entropy(network(batch.labeled.x), batch.labeled.y, label_smoothing=0.1)
        return own + F.cross_entropy(network(batch.unlabeled.x), told)

    train(
        objective,
        name="taught",
        nets={"network": network},
        optimizers={"sgd": optimizer},
        batches=both_batches(source, target, BATCH, 1, EPOCHS * per_epoch, per_epoch),
        epochs=EPOCHS,
        steps_per_epoch=per_epoch,
    )
    return normalized_anew(network, target)


def tent(network: nn.Module, x: Tensor, steps: bool, rate: float = 1e-3) -> Tensor:
    """Labels of pictures as they come, batch by batch: statistics of the batch, and one step on the entropy of each."""
    network = copy.deepcopy(network).eval()
    layers = list(batch_norms(network).values())
    own = [p for layer in layers for p in layer.parameters(recurse=False)]
    for parameter in network.parameters():
        parameter.requires_grad_(any(parameter is p for p in own))
    for layer in layers:
        layer.track_running_stats, layer.running_mean, layer.running_var = False, None, None  # type: ignore[assignment]
    optimizer = torch.optim.Adam(own, rate)
    said = []
    for piece in torch.split(torch.arange(len(x)), TENT_BATCH):
        logits = network(x[piece])
        said.append(logits.argmax(dim=1))
        if steps and len(piece) > 1:
            log_p = torch.log_softmax(logits, dim=1)
            optimizer.zero_grad()
            (-(log_p.exp() * log_p).sum(dim=1).mean()).backward()
            optimizer.step()
    return torch.cat(said)


def batch_by_batch(network: nn.Module, source: Domain, x: Tensor, steps: bool) -> Tensor:
    """`tent` of pictures in a random order, under logistic regression on the source seen with its own statistics."""
    own = torch.from_numpy(source.columns["view"])
    head = fit_logistic(own, source.labels, len(source.classes))  # type: ignore[arg-type]
    shuffled = torch.from_numpy(np.random.default_rng(0).permutation(len(x)))
    said = torch.empty(len(x), dtype=torch.long)
    said[shuffled] = tent(Classifier(network, nn.Identity(), head), x[shuffled], steps)
    return said


def pixels(encoder: Any, domain: Domain) -> Tensor:
    """Pictures as the encoder takes them, (n, 3, 224, 224)."""
    return torch.cat([encoder.preprocess([domain.x[i] for i in piece.tolist()]) for piece in np.array_split(
        np.arange(len(domain)), -(-len(domain) // 64))])  # fmt: skip


@torch.no_grad()
def rows(network: nn.Module, x: Tensor) -> Tensor:
    """What a network gives for pictures, 64 at a time."""
    return torch.cat([network(piece) for piece in x.split(64)])


def seen_as(raw: Domain, encoder: Any) -> Domain:
    """Features and second view of raw pictures, by the cache of the benchmark."""
    keep_domain(raw)
    with np.load(root_of(None) / "domains" / f"{key_of(raw)}.npz") as kept:
        views = {key: kept[key].astype(np.float32) for key in kept}
    columns = {"item": raw.columns["item"], "view": views["view"]}
    return Domain(x=views["x"], y=raw.labels, classes=raw.classes, columns=columns, name=raw.name)


def frozen_rows(case: Case) -> tuple[dict[str, float], Any, dict[str, Any]]:
    """Accuracy of what `compare` would run on features, what the consensus says of all of the target, and inputs."""
    inputs = inputs_of(case)
    slugs = ("source-only", "standardize", "coral", "ot", "shot", "aad", "propagate")
    pairs = tuple((s, p) for s in slugs for p in (("default",) if s == "source-only" else ("default", "views")))
    cells = run_all(inputs, pairs, 1, None, Engine(workers=1))
    together = pair_of(pairs, inputs)
    assert together is not None
    all_cells = {**cells, together: consensus_cells(inputs, together, cells, None)}
    truth = inputs.exams["adapted"].open()
    accuracies = {
        f"{slug}:{preset}".removesuffix(":default"): float((group[0]["adapted"]["prediction"] == truth).mean())
        for (slug, preset), group in all_cells.items()
    }
    told = with_opinions(inputs.seen_by(*together), cells, 0)
    return accuracies, inputs, {"opinions": told.target.columns[OPINIONS], "truth": truth}  # type: ignore[union-attr]


def run(case: Case) -> dict[str, Any]:
    """Accuracy and processor seconds of each arm on the part of the target that is adapted to."""
    encoder = encoders.get(DEFAULT_ENCODER["image"])
    network = copy.deepcopy(encoder.module).eval()
    assert isinstance(network, Pooled)
    raw = {"source": case.source, "target": case.target}
    features = {side: seen_as(domain, encoder) for side, domain in raw.items()}
    seconds: dict[str, float] = {}
    accuracy: dict[str, float] = {}
    started = time.process_time()
    frozen, inputs, heard = frozen_rows(
        Case(case.family, features["source"], features["target"], case.tags, case.variant)
    )
    seconds["frozen"] = time.process_time() - started
    single = max(value for key, value in frozen.items() if not key.startswith("consensus"))
    accuracy |= {"source-only": frozen["source-only"], "consensus": frozen["consensus:views"]}
    accuracy["best single, by the labels"] = single
    truth = heard["truth"]

    # the samples that are adapted to, in the order of the inputs: found by their features
    place: dict[bytes, list[int]] = {}
    for i, row in enumerate(features["target"].x):
        place.setdefault(row.tobytes(), []).append(i)  # two samples may be one picture
    order = [place[row.tobytes()].pop(0) for row in np.asarray(inputs.target.x, dtype=np.float32)]
    front, tail = Front(network.network).eval(), Tail(network.network)
    x = {"source": pixels(encoder, raw["source"]), "target": pixels(encoder, raw["target"].take(np.array(order)))}
    maps = {side: Domain(x=rows(front, images).numpy(), name=side) for side, images in x.items()}
    source = maps["source"].with_labels(features["source"].labels, features["source"].classes)
    target = maps["target"]
    n_classes = len(features["source"].classes)  # type: ignore[arg-type]

    def graded(name: str, said: Any, since: float) -> None:
        seconds[name] = time.process_time() - since
        accuracy[name] = float((np.asarray(said) == truth).mean())
        print(f"  {name:34} {accuracy[name]:.3f}  {seconds[name]:5.0f} s", flush=True)

    def labels(net: Classifier) -> Tensor:
        return outputs(net, target)[1].argmax(dim=1)

    for name in ("source-only", "consensus", "best single, by the labels"):
        print(f"  {name:34} {accuracy[name]:.3f}", flush=True)

    # views at test time of the frozen network, beside the same classifier on one view
    since = time.process_time()
    half = fit_logistic(torch.from_numpy(features["source"].x), features["source"].labels, n_classes)
    probabilities = []
    for view in several(x["target"]):
        probabilities.append(torch.softmax(half(rows(network, view)), dim=1))
    graded("one view, logistic regression", probabilities[0].argmax(dim=1), since)
    graded("four views, logistic regression", torch.stack(probabilities).mean(dim=0).argmax(dim=1), since)

    for name, steps in (("statistics of each batch", False), ("tent, batch by batch", True)):
        since = time.process_time()
        graded(name, batch_by_batch(network, features["source"], x["target"], steps), since)

    # the last stages learn
    torch.manual_seed(0)
    since = time.process_time()
    tuned = train_source(fresh(tail, n_classes), source, epochs=EPOCHS, batch_size=BATCH)
    graded("tuned on the source", labels(tuned), since)
    graded("the same, target's statistics", labels(normalized_anew(tuned, target)), since)
    for method in (
        SHOT(epochs=EPOCHS, batch_size=BATCH),
        AaD(epochs=EPOCHS, batch_size=BATCH),
        SFDA2(epochs=EPOCHS, batch_size=BATCH),
    ):
        since = time.process_time()
        method.fit(model=tuned, target=target)
        graded(f"{method.card.slug}, last stages", labels(method.network_), since)
    since = time.process_time()
    opinions = torch.from_numpy(np.asarray(heard["opinions"], dtype=np.float32))
    learnt = taught(fresh(tail, n_classes), source, target, opinions)
    graded("taught by the consensus", labels(learnt), since)
    both = torch.softmax(outputs(learnt, target)[1], dim=1) + opinions
    graded("its mean with the opinions", both.argmax(dim=1), since)
    graded("the opinions", opinions.argmax(dim=1), time.process_time())

    # what compare does, on the features of the tuned network
    since = time.process_time()
    tuned_case = Case(
        case.family, *(again(features[side], tuned.backbone, rows(front, pixels(encoder, raw[side]))) for side in raw)
    )  # type: ignore[arg-type]
    again_rows = frozen_rows(tuned_case)[0]
    seconds["consensus on tuned features"] = time.process_time() - since
    accuracy["consensus on tuned features"] = again_rows["consensus:views"]
    print(f"  consensus on tuned features        {accuracy['consensus on tuned features']:.3f}", flush=True)

    # FixMatch on pictures: the dearest
    since = time.process_time()
    torch.manual_seed(0)
    body = Classifier(Whole(front, copy.deepcopy(tail)), nn.Identity(), nn.Linear(1280, n_classes))
    shots = {side: Domain(x=images.numpy(), name=side) for side, images in x.items()}
    support = shots["source"].with_labels(features["source"].labels, features["source"].classes)
    fixmatch = FixMatch(steps=FIXMATCH_STEPS, batch_size=16, ratio=2, learning_rate=0.03).fit(
        support=support, target=shots["target"], model=body
    )
    graded("fixmatch, last stages", rows(fixmatch.network_, x["target"]).argmax(dim=1), since)
    return {"case": case.name, "family": case.family, "samples": [len(source), len(truth)], "classes": n_classes,
            "accuracy": accuracy, "seconds": seconds}  # fmt: skip


def again(domain: Domain, tail: nn.Module, maps: Tensor) -> Domain:
    """The domain with features of other last stages, as they are and with its own statistics."""
    own = Domain(x=maps.numpy(), name=domain.name)
    plain = rows(tail.eval(), maps).numpy()
    body = Classifier(tail, nn.Identity(), nn.Identity())
    return domain.replace(x=plain, columns={**domain.columns, "view": rows(normalized_anew(body, own), maps).numpy()})


def several(x: Tensor) -> Iterator[Tensor]:
    """The pictures, their mirror images, their middle, and the mirror image of it."""
    edge = x.shape[-1] // 12
    middle = F.interpolate(x[..., edge:-edge, edge:-edge], size=x.shape[-2:], mode="bilinear", antialias=True)
    for view in (x, middle):
        yield view
        yield view.flip(-1)


def plain_cases(family: str) -> Iterator[Case]:
    """Cases in which both sides have all classes."""
    return (case for case in FAMILIES[family](data_folder()) if not {"open", "partial"} & set(case.tags))


def table(records: list[dict[str, Any]]) -> str:
    """Mean accuracy by arm over families, and its difference from the consensus of the frozen network."""
    families = sorted({record["family"] for record in records})
    arms = list(records[0]["accuracy"])
    by_family = {
        arm: [np.mean([r["accuracy"][arm] for r in records if r["family"] == family]) for family in families]
        for arm in arms
    }
    lines = [f"| arm | mean | {' | '.join(families)} |", "|---|---|" + "---|" * len(families)]
    lines += [f"| {arm} | {np.mean(v):.3f} | {' | '.join(f'{a:.3f}' for a in v)} |" for arm, v in by_family.items()]
    return "\n".join(lines)


def main() -> None:
    """Run cases round by round, or print what has run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", action="store_true", help="print what has run, and keep it in docs")
    parser.add_argument("--rounds", type=int, default=2, help="cases of each family")
    parser.add_argument("--families", nargs="+", choices=PICTURES, default=list(PICTURES))
    given = parser.parse_args()
    folder = root_of(None) / "tuned"
    folder.mkdir(parents=True, exist_ok=True)
    if given.table:
        records = [json.loads(file.read_text(encoding="utf-8")) for file in sorted(folder.glob("*.json"))]
        rows = ",\n".join(json.dumps(record) for record in records)
        RECORD.write_text(f"[\n{rows}\n]\n", encoding="utf-8")
        print(table(records))
        return
    for turn in range(given.rounds):
        for family in given.families:
            for case in islice(plain_cases(family), turn, turn + 1):
                file = folder / f"{case.name}.json"
                if file.exists():
                    continue
                print(case.name, len(case.source), len(case.target), flush=True)
                file.write_text(json.dumps(run(case)), encoding="utf-8")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
