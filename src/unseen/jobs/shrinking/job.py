"""`unseen shrink`: a two-tower model made small, saved, exported, and measured beside the large one."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unseen import encoders
from unseen import methods as registry
from unseen.data.domain import Domain
from unseen.data.pairs import Pairs, read_captioned
from unseen.data.samplers import tensor
from unseen.encoders.prunable import prunable_towers, towers_by_size
from unseen.encoders.towers import TOWERS, ImageSide, TextSide, TextTokens, save_towers
from unseen.encoders.unread import unread
from unseen.evaluation.drive import HeldOut, Together, by_accuracy
from unseen.evaluation.exam import Exam
from unseen.evaluation.metrics.retrieval import both_ways, both_ways_by_chance
from unseen.files import place_of_bundle
from unseen.methods.listing import of_kind
from unseen.methods.tower_shrinkers import TowerShrinker
from unseen.nn.dual_encoder import DualEncoder, class_vectors, in_parts, templates_of
from unseen.nn.export import export_onnx
from unseen.nn.state import refuse_foreign, write_folder
from unseen.report.words import seconds as seconds_of
from unseen.runtime import stage, stages
from unseen.strict_json import strict_json

ABOUT, PAGE = "shrink.json", "report.html"
WRITTEN = (TOWERS, ABOUT, PAGE, "image.onnx", "text.onnx")
IN_MEMORY = 2**29
"""Bytes of pictures that are kept as they are read, instead of reading them again in each pass."""
MOST_ASKED = 1000
"""Pairs that both models are asked about at most."""
FEW_ASKED = 50
"""Pairs below which it is told how coarse a recall of them is."""
DEFAULT = TINYCLIP = "tinyclip"
CPU = "cpu"
INHERIT = ("manual", "auto", "none")
LEAST = 8
"""Pairs that are enough to begin with."""
REPEATS = 5
PROBED = 8
"""Pairs that the large model reads to tell beforehand how long learning takes."""


def shrink(
    model: str,
    pairs: str | os.PathLike[str] | Pairs,
    *,
    out: str | os.PathLike[str],
    size: float = 0.5,
    method: str | None = None,
    inherit: str | None = None,
    stages: int | None = None,
    image: str | None = None,
    text: str | None = None,
    held_out: float = 0.1,
    classes: str | os.PathLike[str] | Domain | None = None,
    prompts: Sequence[str] | None = None,
    preset: str | None = None,
    settings: Mapping[str, Any] | None = None,
    onnx: bool = True,
    seed: int = 0,
    trust: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Make a two-tower model small.

    Parameters
    ----------
    model : str
        ``open_clip:ARCH/FILE`` (or a tag of the hub), or ``towers:FOLDER``.
    pairs : path or Pairs
        Pictures and a text of each. Rows without a text are left out and counted.
    out : path
        Folder of the small model, written whole or not at all: the towers, `shrink.json`, `report.html`, and both
        towers as ONNX. It is the encoder ``towers:FOLDER``.
    size : float in (0, 1)
        Share of the parameters.
    method : str, optional
        Slug of a method that makes towers small, one of `shrinkers`; "tinyclip" if absent.
    inherit, stages
        `inheritance` and `stages` of tinyclip: "manual" and 1 if absent.
    image, text : str, optional
        Columns of the table.
    held_out : float in (0, 1)
        Share of the pairs, by a hash of their texts, that nothing is learnt from and both models are asked about. All
        pairs that a picture or a text connects are on one side.
    classes : path or Domain, optional
        Labelled pictures, for zero-shot accuracy.
    prompts : sequence of str, optional
        Templates with {} for the name of a class.
    preset, settings, seed
        Of the method; of tinyclip the preset "cpu" if none is named.
    onnx : bool
    trust : bool
        As in `unseen.encoders.get`.
    say : callable (line) -> None

    Returns
    -------
    dict
        What `shrink.json` holds; `unseen.jobs.shrinking.page.facts` puts it into words.

    Raises
    ------
    ValueError
        If an argument cannot be, pairs lack a side or are too few, or the size is below the smallest student.
    FileExistsError
        If `out` is a folder of other things.
    """
    learner = _learner(method, size, inherit, stages, preset, settings or {}, seed)
    if not 0 < held_out < 1:
        raise ValueError(f"held_out must lie in (0, 1); got {held_out!r}")
    _refuse(model)
    templates = templates_of(prompts)
    refuse_foreign(Path(out), WRITTEN)
    if (sizes := towers_by_size(model)) is not None:
        _fits(sizes, learner, model)  # before weights are read, or downloaded
    labelled = _labelled(classes)
    captioned, skipped = _pairs(pairs, image, text)
    encoder = encoders.get(model, trust=trust, precision="fp32")
    teacher = _fits(prunable_towers(encoder), learner, encoder.name)
    preprocess: Any = encoder.preprocess
    learnt, asked, groups = _parted(captioned, held_out)
    say(f"{len(learnt)} pairs to learn from, {len(asked)} to ask about; {skipped} left out")
    for line in (notes := unread(teacher.reader, captioned.right.x, encoder.name).lines()):
        say(line)
    if len(asked) < FEW_ASKED:
        each = 100 / len(asked)
        say(f"recall of {len(asked)} pairs is coarse (each is {each:.1f} points): a larger `held_out` asks more")
    say(
        _beforehand(
            learner, teacher, _preprocessed(learnt.take(np.arange(min(PROBED, len(learnt)))), preprocess), len(learnt)
        )
    )
    with _timed() as seconds:
        with stage("learning"):
            learner.fit(pairs=_preprocessed(learnt, preprocess), model=teacher)
        student: Any = learner.student_
        with stage("asking both"):
            exam = _preprocessed(asked, preprocess)
            scores = {name: _scores(towers, exam) for name, towers in (("teacher", teacher), ("student", student))}
            results = Together(_recalled)(HeldOut(exam, groups[:, None] == groups[None]), scores)
            if labelled is not None:
                truth = Exam(labelled.take(labelled.labeled), labelled.classes)
                predictions = {
                    name: _zero_shot(towers, truth, preprocess, templates)
                    for name, towers in (("teacher", teacher), ("student", student))
                }
                for name, figures in Together(by_accuracy)(truth, predictions).items():
                    results[name] |= figures
        with stage("speed"):
            for name, towers in (("teacher", teacher), ("student", student)):
                results[name] |= _measured(towers, exam)
    about = {
        "model": encoder.name,
        "method": repr(learner),
        "slug": learner.card.slug,
        "size": learner.size_,
        "asked": size,
        "stages": list(learner.stages_),
        "layers": list(learner.report_),
        "pairs": {"learnt": len(learnt), "asked": len(asked), "left out": skipped},
        "notes": notes,
        **results,
        "seconds": {key: round(value, 2) for key, value in seconds.items()},
    }
    _save(Path(out), student, preprocess, about, exam, onnx)
    return about


# -- what comes in -----------------------------------------------------------------------------------------


def shrinkers() -> tuple[str, ...]:
    """All methods that make two towers small, by slug, those of other packages, too."""
    return of_kind(TowerShrinker, "pairs")


def _learner(
    method: str | None,
    size: float,
    inherit: str | None,
    stages: int | None,
    preset: str | None,
    settings: Mapping[str, Any],
    seed: int,
) -> TowerShrinker:
    """The method with what it is told; `ValueError` where one of two arguments would silently win."""
    if not (isinstance(size, (int, float)) and 0 < size < 1):
        raise ValueError(f"size must be a share of the parameters in (0, 1), such as 0.3; got {size!r}")
    if inherit is not None and inherit not in INHERIT:
        raise ValueError(f"inherit must be one of {', '.join(INHERIT)}; got {inherit!r}")
    options = {"inherit": inherit, "stages": stages, "preset": preset}
    named = [name for name, value in options.items() if value is not None]
    slug = DEFAULT if method is None else method
    if slug not in (known := shrinkers()):
        raise ValueError(f"method must be one of {', '.join(known)}; got {method!r}")
    kind = registry.get(slug)
    if slug != TINYCLIP and (alone := [name for name in named if name != "preset"]):
        raise ValueError(f"{alone[0]} is of method={TINYCLIP}; {slug} has no such thing")
    presets = kind.card.presets
    name = preset if preset is not None else CPU if slug == TINYCLIP else next(iter(presets))
    if name not in presets:
        raise ValueError(f"preset must be one of {', '.join(presets)}, those of {slug}; got {preset!r}")
    twice = {"size": "size", "inheritance": "inherit", "stages": "stages", "random_state": "seed"}
    known = tuple(kind().get_params())
    for key in settings:
        if key in twice:
            raise ValueError(f"{twice[key]} says it already; leave {key} out of the settings")
        if key not in known:
            raise ValueError(f"{slug} has no parameter {key!r}; it has {', '.join(known)}{_other(slug, key)}")
    params: dict[str, Any] = {**presets[name], **settings, "size": float(size), "random_state": seed}
    if slug == TINYCLIP:
        params |= {"inheritance": inherit or "manual", "stages": 1 if stages is None else stages}
    shrinker = kind(**params)
    assert isinstance(shrinker, TowerShrinker)
    return shrinker


def _other(slug: str, key: str) -> str:
    """Which other methods have a parameter, for those who are used to them."""
    have = [other for other in shrinkers() if other != slug and key in registry.get(other)().get_params()]
    return f"; method={have[0]} has it" if have else ""


def _refuse(model: str) -> None:
    """Raise `ValueError` for what has no towers from which parts can be taken, and say what does instead."""
    scheme, _, argument = model.partition(":")
    place = Path(argument if scheme == "towers" else model).expanduser()
    saved = place_of_bundle(place) / "bundle.json"
    if scheme == "open_clip" or (scheme == "towers" and ((place / TOWERS).is_dir() or not saved.exists())):
        return
    if (place / TOWERS).is_dir():
        raise ValueError(f"model: {model!r} is a folder of towers; name it towers:{model}")
    wanted = f"model must be open_clip:ARCH/FILE, open_clip:ARCH/TAG or towers:FOLDER; got {model!r}"
    if saved.exists():
        raise ValueError(
            f"{wanted}, which holds the model that a command saved, not two towers. What `unseen align` saves is small "
            "layers on encoders that stay as they are: an encoder that is smaller makes it smaller, such as "
            f"towers:FOLDER of an open_clip model that was shrunk; or `unseen quantize {model}` stores an EfficientNet "
            "or one of timm's networks in fewer bits"
        )
    if scheme == "lite-clip":
        raise ValueError(
            f"{wanted}. lite-clip has no towers from which parts can be taken: it sees by EfficientNet-Lite0, whose "
            "1,000 classes it compares with names by MiniLM"
        )
    raise ValueError(f"{wanted}, from which nothing can be taken")


def _fits(towers: DualEncoder, learner: TowerShrinker, name: str) -> DualEncoder:
    """The same towers; `ValueError` where the method cannot make them small, or not so small."""
    try:
        learner.refuse(towers)
    except TypeError as error:
        raise ValueError(f"from the towers of {name!r} {learner.card.slug} can take nothing: {error}") from error
    return towers


def _labelled(classes: Any) -> Domain | None:
    if classes is None:
        return None
    from unseen.data.loaders import samples_of

    domain = samples_of(classes)
    if domain.kind != "image" or domain.y is None or domain.classes is None:
        raise ValueError(f"classes must be labelled pictures; {domain.name} is none")
    return domain


def _pairs(pairs: Any, image: str | None, text: str | None) -> tuple[Pairs, int]:
    """Pairs with both sides, and how many had not."""
    skipped = 0
    if not isinstance(pairs, Pairs):
        pairs = read_captioned(pairs, image=image, text=text)
        skipped += len(pairs.left.skipped)
    if pairs.left.kind == "text" and pairs.right.kind == "image":
        pairs = pairs.swap()
    if pairs.left.kind != "image" or pairs.right.kind != "text":
        raise ValueError(f"pairs must be of pictures and texts; got {pairs.left.kind} and {pairs.right.kind}")
    has_text = np.array([bool(str(value).strip()) for value in pairs.right.x])
    skipped += int((~has_text).sum())
    if has_text.sum() < LEAST:
        raise ValueError(f"pairs must be at least {LEAST} pictures with a text each; {int(has_text.sum())} are")
    return pairs.take(np.flatnonzero(has_text)), skipped


def _parted(pairs: Pairs, share: float) -> tuple[Pairs, Pairs, NDArray[Any]]:
    """Pairs to learn from and to ask about, and the group of each of these: a group is on one side."""
    import hashlib

    texts = np.array([str(text) for text in pairs.right.x])
    groups = _connected(pairs.left.digests(), texts)
    _, first, sizes = np.unique(groups, return_index=True, return_counts=True)
    if len(sizes) < 4:
        raise ValueError(
            f"pairs must have at least four unlike texts of unlike pictures, to be asked about what nothing was "
            f"learnt from; pairs that share one of them count as one: got {len(sizes)}"
        )
    drawn = [hashlib.sha256(text.encode()).hexdigest() for text in texts[first].tolist()]
    taken: list[int] = []
    most, total = share * len(pairs), 0
    for group in sorted(range(len(sizes)), key=drawn.__getitem__):
        if total + sizes[group] <= most and len(taken) < len(sizes) - 2:
            taken.append(group)
            total += int(sizes[group])
    if len(taken) < 2:  # few or large groups: the two smallest
        taken = sorted(range(len(sizes)), key=lambda group: (sizes[group], drawn[group]))[:2]
    out = np.isin(groups, taken)
    asked = np.flatnonzero(out)[:MOST_ASKED]
    return pairs.take(np.flatnonzero(~out)), pairs.take(asked), groups[asked]


def _connected(pictures: NDArray[Any], texts: NDArray[Any]) -> NDArray[Any]:
    """A number for each pair, one for all that a picture or a text connects, in the order of first texts."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    (names, left), (captions, right) = (np.unique(side, return_inverse=True) for side in (pictures, texts))
    n = len(names) + len(captions)
    edges = coo_array((np.ones(len(left)), (left, len(names) + right)), shape=(n, n))
    return np.asarray(connected_components(edges, directed=False)[1][left])


def _preprocessed(pairs: Pairs, preprocess: Any) -> Pairs:
    """Pictures as the towers read them: at once where they are few, else when their turn comes."""
    height, width = preprocess.size
    if len(pairs) * 12 * height * width <= IN_MEMORY:
        x: Any = np.concatenate([preprocess(list(part.x)).numpy() for part in pairs.left.batches(64)])
        x = np.ascontiguousarray(x)
    else:
        x = pairs.left.x.map(lambda sample: preprocess([sample])[0])
    return pairs.replace(left=pairs.left.replace(x=x))


@torch.no_grad()
def _beforehand(learner: TowerShrinker, teacher: DualEncoder, some: Pairs, n: int) -> str:
    """How long learning will take, by the seconds in which the large model reads some pairs."""
    x, tokens = tensor(some.left, slice(None)), TextTokens(teacher)([str(text) for text in some.right.x])
    each = (_clocked(lambda: teacher.encode_image(x)) + _clocked(lambda: teacher.encode_text(tokens))) / len(some)
    steps, reads = learner.work(n)
    work = f"{steps:,} steps of {min(learner.batch_size, n):,} pairs"
    return f"learning takes about {seconds_of(each * reads)}: {work}, by the speed of the large model here"


# -- what is measured --------------------------------------------------------------------------------------


@torch.no_grad()
def _scores(towers: DualEncoder, exam: Pairs) -> NDArray[np.float32]:
    """How well each picture of the pairs that nothing was learnt from fits each text."""
    vectors = [in_parts(towers.encode_image, part) for part in _pictures(exam)]
    z, w = torch.cat(vectors), in_parts(towers.encode_text, towers.tokenize([str(t) for t in exam.right.x]))
    return (z @ w.T).numpy()


def _recalled(right: NDArray[np.bool_], scores: NDArray[np.float32]) -> dict[str, Any]:
    return {"recall": both_ways(scores, right), "chance": both_ways_by_chance(right)}


def _pictures(exam: Pairs) -> list[Tensor]:
    return [tensor(exam.left, slice(i, i + 256)) for i in range(0, len(exam), 256)]


@torch.no_grad()
def _zero_shot(towers: DualEncoder, exam: Exam, preprocess: Any, templates: Sequence[str]) -> NDArray[np.int64]:
    w = class_vectors(towers, exam.classes.names, templates)
    predictions = [
        (towers.encode_image(preprocess(list(part.x))) @ w.T).argmax(dim=1) for part in exam.samples.batches(64)
    ]
    return torch.cat(predictions).numpy()


@torch.no_grad()
def _measured(towers: DualEncoder, exam: Pairs) -> dict[str, Any]:
    """Parameters, megabytes in float32, and milliseconds of a picture and of a text, one after the other."""
    n = sum(p.numel() for p in towers.parameters())
    x = tensor(exam.left, slice(0, 8))
    tokens = TextTokens(towers)([str(t) for t in exam.right.x[:8]])
    took = {"picture": _clocked(lambda: towers.encode_image(x)), "text": _clocked(lambda: towers.encode_text(tokens))}
    parts = {side: sum(p.numel() for p in getattr(towers, side).parameters()) for side in ("image", "text")}
    milliseconds = {key: 1000 * value / len(x) for key, value in took.items()}
    return {"parameters": n, "parts": parts, "megabytes": 4 * n / 1e6, "milliseconds": milliseconds}


def _clocked(work: Callable[[], Any]) -> float:
    """The best of some repeats, in seconds."""
    work()
    best = float("inf")
    for _ in range(REPEATS):
        started = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - started)
    return best


# -- what goes out -----------------------------------------------------------------------------------------


def _save(out: Path, student: DualEncoder, preprocess: Any, about: dict[str, Any], exam: Pairs, onnx: bool) -> None:
    from unseen.jobs.shrinking.page import page

    def write(folder: Path) -> None:
        save_towers(folder, student, preprocess.to_json())
        if onnx:
            about["onnx"] = _exported(folder, student, exam)
        about["folder"] = str(out)
        (folder / ABOUT).write_text(strict_json(about))
        (folder / PAGE).write_bytes(page(about))

    write_folder(out, write, also=WRITTEN)


def _exported(folder: Path, student: DualEncoder, exam: Pairs) -> dict[str, float]:
    """Both towers as ONNX: unit vectors of pictures, and of tokens; the largest difference from torch."""
    x = tensor(exam.left, slice(0, 2))
    half = TextTokens(student).context // 2  # the exporter also tries texts that are twice as long
    tokens = TextTokens(student)(["a photo", "a drawing"])[:, :half].clamp(min=0)
    return {
        "image": export_onnx(ImageSide(student), x, folder / "image.onnx", output="vectors"),
        "text": export_onnx(TextSide(student), tokens, folder / "text.onnx", output="vectors"),
    }


_timed = stages
