"""Bad input, found before work starts: argument, value and what was expected."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, get_overloads

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from unseen.data import samplers
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain, Lazy
from unseen.data.feature_names import alike, by_name, listed
from unseen.data.pairs import Pairs
from unseen.data.pixels import as_picture
from unseen.data.samples import unmasked
from unseen.data.tasks import task_of
from unseen.data.tasks.base import are_texts, text_array
from unseen.data.text_graphs import GraphBatch, batch_of
from unseen.methods.needs import REGIONS, Need, has_regions
from unseen.methods.vocabulary import VOCABULARY, Card, Word, signature_of
from unseen.nn.freezing import keep_frozen

log = logging.getLogger(__name__)

ROWS = 256
"""Samples whose regions are looked at together."""
LEARNT = "the data of fit"
"""Whose features those are that a method was fitted on, in messages."""


def in_one_order(inputs: Mapping[str, Any], learnt: Sequence[str] = ()) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The inputs of a learning verb, of which tables with names have the same features in one order; and these names.

    Parameters
    ----------
    inputs : mapping of words to inputs
        A table without names is taken as it is, as is a series, whose columns are times.
    learnt : sequence of str
        The names of an earlier fit, whose order all follow; else those of a saved model, or of the first table.

    Raises
    ------
    ValueError
        If a table lacks a column; the message names it.
    """
    tables = {k: v for k, v in inputs.items() if isinstance(v, Domain) and v.feature_names and v.kind != "series"}
    read = tuple(getattr(inputs.get("model"), "feature_names", ()))  # of a saved model (`Bundle.reader`)
    ready = alike(tables, (LEARNT, learnt), ("the model", read))
    for word, table in ready.items():
        _tell_new(tables[word], table, word)
    return {**inputs, **ready}, next((table.feature_names for table in ready.values()), tuple(learnt))


def as_learnt(x: Any, learnt: Sequence[str]) -> Any:
    """`x` with the features that a method was fitted on, in their order, if it is a `Domain` or frame with names."""
    if not learnt:
        return x
    if isinstance(x, Domain):
        ready = by_name(x, learnt, x.name, LEARNT)
        _tell_new(x, ready, x.name)
        return ready
    columns = list(x.columns) if hasattr(x, "columns") and hasattr(x, "__array__") else []  # of pandas or polars
    if not columns or not all(isinstance(name, str) for name in columns) or columns == list(learnt):
        return x
    missing = [name for name in learnt if name not in columns]
    if missing:
        lacks = f"the column{'s' if len(missing) > 1 else ''} {listed([repr(name) for name in missing])}"
        raise ValueError(f"x lacks {lacks} of {LEARNT}; it has: {listed(columns)}")
    return x[list(learnt)]


def _tell_new(before: Domain, after: Domain, called: str) -> None:
    for note in after.notes[len(before.notes) :]:
        log.warning("%s: %s", called, note)


def space_of(inputs: Mapping[str, Any]) -> ClassSpace | None:
    """The classes that labels of these inputs index: names, and which are seen; None where nothing names them."""
    labeled = [v for k, v in inputs.items() if VOCABULARY[k].labeled and isinstance(v, Domain) and v.task == "class"]
    given = [inputs.get("classes"), *(domain.classes for domain in labeled)]
    space = next((space for space in given if isinstance(space, ClassSpace)), None)
    return None if space is None else ClassSpace(names=space.names, seen=space.seen)


def as_input(x: Any, width: int | None = None, *, doubles: bool = False) -> Tensor:
    """`x` (a `Domain`, array, tensor or nested list) as a float tensor, found to be finite and of `width`.

    It is in single precision; with `doubles` what comes in double precision stays so.
    """
    if isinstance(x, Lazy):
        x = Domain(x=x, kind="image", name="x")
    if isinstance(x, Domain):
        x = samplers.tensor(x) if len(x) and isinstance(x.x, Lazy) else x.x
    tensor = x if isinstance(x, Tensor) else torch.as_tensor(_native(_numeric("x", np.asarray(unmasked(x, "x")))))
    if tensor.dtype not in (torch.float32, torch.bfloat16, *([torch.float64] if doubles else [])):
        tensor = tensor.float()
    if tensor.ndim < 2 or len(tensor) == 0:
        raise ValueError(f"x must hold at least one sample, of shape (n, ...); got {tuple(tensor.shape)}")
    if width is not None and (tensor.ndim != 2 or tensor.shape[1] != width):
        raise ValueError(f"x must be of shape (n, {width}), as in fit; got {tuple(tensor.shape)}")
    if not torch.isfinite(tensor).all():
        bad = int((~torch.isfinite(tensor)).sum())
        raise ValueError(f"x must be finite; {bad} values are NaN or infinite")
    return tensor


def as_pictures(x: Any) -> list[Tensor]:
    """`x` (a `Domain`, or an array, tensor or list of pictures) as float tensors (c, h, w), whose sizes may differ."""
    if isinstance(x, Domain):
        x = x.x
    ragged = isinstance(x, (Lazy, list, tuple)) or (isinstance(x, np.ndarray) and x.dtype.hasobject and x.ndim == 1)
    if not ragged or (isinstance(x, list) and x and isinstance(x[0], list)):
        x = as_input(x)
    if len(x) == 0:
        raise ValueError("x must hold at least one picture; it is empty")
    pictures = []
    for sample in x:
        array = sample if isinstance(sample, Tensor) or hasattr(sample, "convert") else np.asarray(sample)
        picture = as_picture(_native(_numeric("x", array)) if isinstance(array, np.ndarray) else array)
        if picture.ndim != 3 or 0 in picture.shape:
            raise ValueError(f"x must hold pictures of shape (channels, height, width); got {tuple(picture.shape)}")
        if not torch.isfinite(picture).all():
            raise ValueError("x must be finite; a picture holds NaN or infinity")
        pictures.append(picture)
    return pictures


def as_clips(x: Any) -> Domain:
    """`x` (a `Domain`, or an array, tensor or list of clips) as a domain of clips, each read when its turn comes."""
    if isinstance(x, Domain) and x.kind != "clip":
        raise ValueError(f"x must hold clips (kind clip); {x.name} is of kind {x.kind!r}")
    if not isinstance(x, Domain):
        if not isinstance(x, Lazy):
            x = x.detach().cpu().numpy() if isinstance(x, Tensor) else x
            x = _native(_numeric("x", np.asarray(x)))
            if x.ndim != 5:
                raise ValueError(f"x must be of shape (n, frames, 3, height, width); got {x.shape}")
        x = Domain(x=x, kind="clip", name="x")
    if not len(x):
        raise ValueError("x must hold at least one clip; it is empty")
    if isinstance(x.x, np.ndarray) and not x.x.dtype.hasobject and x.x.dtype.kind == "f" and not np.isfinite(x.x).all():
        raise ValueError(f"x must be finite; {int((~np.isfinite(x.x)).sum())} values are NaN or infinite")
    return x


def as_regions(x: Any, width: int | None = None) -> Tensor:
    """`x` as regions, (n, r, d): the column `regions` of a `Domain`, an array like that, or (n, d) as one region."""
    if isinstance(x, Domain) and has_regions(x):
        x = x.columns[REGIONS]
    tensor = as_input(x)
    if tensor.ndim == 2:
        tensor = tensor[:, None]
    if tensor.ndim != 3 or 0 in tensor.shape or (width is not None and tensor.shape[2] != width):
        expected = f"(n, {width}) or (n, regions, {width}), as in fit" if width else "(n, d) or (n, regions, d)"
        raise ValueError(f"x must be of shape {expected}; got {tuple(tensor.shape)}")
    return tensor


def as_subgraphs(x: Any, width: int | None = None) -> GraphBatch:
    """`x` as subgraphs side by side: a `Domain` of kind node, arrays (k, k + d), or rows (n, d), each a node alone."""
    batch = x if isinstance(x, GraphBatch) else batch_of(x.numpy() if isinstance(x, Tensor) else x)
    if width is not None and batch.x.shape[1] != width:
        raise ValueError(f"x must hold nodes of {width} features, as in fit; got {batch.x.shape[1]}")
    return batch


def as_texts(x: Any) -> NDArray[Any]:
    """`x` (a `Domain`, or an array or list of strings) as an array of texts, (n,); a text may be empty."""
    if isinstance(x, Domain):
        x = x.x
    several = isinstance(x, (Lazy, list, tuple)) or (isinstance(x, np.ndarray) and x.ndim == 1)
    texts = list(x) if several else [x]
    if not several or not all(isinstance(text, str) for text in texts):
        raise TypeError(f"x must be an array or list of strings; got {type(x).__name__}: {x!r:.60}")
    if not texts:
        raise ValueError("x must hold at least one text; it is empty")
    return text_array(texts)


def as_pairs(x: Any) -> Pairs:
    """`x`, found to be at least one pair of pictures; each is read when its turn comes."""
    if not isinstance(x, Pairs):
        raise TypeError(f"pairs must be a Pairs of pictures; got {type(x).__name__}")
    if not len(x):
        raise ValueError("pairs must hold at least one pair; it is empty")
    for side in (x.left, x.right):
        if side.kind != "image":
            raise ValueError(f"pairs must be of pictures (kind image); {side.name} is of kind {side.kind!r}")
    return x


def check_words(owner: str, verb: str, function: Callable[..., Any], inputs: Mapping[str, Any]) -> None:
    ways = [signature_of(f) for f in (get_overloads(function) or [function])]
    known = {word for way in ways for word in (*way.required, *way.optional)}
    for name in inputs:
        if name not in known:
            raise TypeError(f"{owner}.{verb} takes {', '.join(sorted(known))}; it does not take {name!r}")
    given = {name for name, value in inputs.items() if value is not None}
    if not any(given >= set(way.required) for way in ways):
        missing = min((sorted(set(way.required) - given) for way in ways), key=len)
        needed = "; ".join(f"{word}: {VOCABULARY[word].sentence}" for word in missing)
        raise TypeError(f"{owner}.{verb} needs {', '.join(missing)} ({needed})")


def prepare(inputs: Mapping[str, Any], card: Card) -> tuple[dict[str, Any], NDArray[np.intp] | None]:
    """The inputs as `fit` may see them, and the order in which it sees the target."""
    prepared: dict[str, Any] = {}
    order = None
    for name, value in inputs.items():
        if value is None:
            continue
        word = VOCABULARY[name]
        if not isinstance(value, word.type):
            expected = f"a {word.type.__name__}; got {type(value).__name__}. {word.sentence}"
            raise TypeError(f"{name} must be {expected}")
        if isinstance(value, Domain):
            _check_domain(name, value, word, card)
            if isinstance(value.x, np.ndarray) and value.kind != "text":
                value = value.replace(x=_native(value.x))
            value = _with_regions(name, value) if card.regions else without_regions(value)
        if isinstance(value, nn.Module):
            _check_network(name, value)
            if name == "model" and card.trains:
                value = keep_frozen(value)
        if name == "teachers":
            _check_teachers(value)
        if isinstance(value, Domain) and name == "target":
            seen = ("domain", *card.target_columns)
            value = value.unlabeled(seen)
            order = value.canonical_order()
            value = value.take(order).unlabeled(seen)  # once more: positions become ids
        prepared[name] = value
    _check_together(prepared)
    if not task_of(card.task).of_pairs:
        _check_labels(prepared)
    return prepared, order


def _check_domain(name: str, domain: Domain, word: Word, card: Card) -> None:
    if len(domain) == 0:
        raise ValueError(f"{name} must hold at least one sample; it is empty")
    needs = [need for need in card.needs if type(need).check_sample is not Need.check_sample]
    samples = _looked_at(name, domain, needs) if needs else domain.x
    read = card.reads.get(name, card.modalities)
    if domain.kind not in read:
        kinds = " or ".join(sorted(read))
        raise ValueError(f"{name} must be of kind {kinds}; got {domain.kind!r}")
    if word.labeled and not task_of(card.task).of_pairs:
        if not domain.labeled.all():
            missing = len(domain) - int(domain.labeled.sum())
            raise ValueError(f"{name} must be labelled; {missing} of its {len(domain)} samples have no label")
        _check_labels_of(name, domain, card.task, samples)
    if isinstance(domain.x, np.ndarray) and domain.kind == "text":
        if not are_texts(domain.x):
            raise TypeError(f"{name} must hold texts; got {domain.x.dtype} of shape {domain.x.shape}")
    elif isinstance(domain.x, np.ndarray):
        parts = list(domain.x) if domain.x.dtype.hasobject else [domain.x]  # samples of unlike sizes
        for part in parts:
            _numeric(name, np.asarray(part))
        finite = [np.isfinite(part) for part in parts]
        if not all(part.all() for part in finite):
            which = np.array([part.all() for part in finite]) if len(finite) > 1 else finite[0]
            bad = int(np.argwhere(~which)[0][0])
            raise ValueError(f"{name} must be finite; sample {str(domain.ids[bad])!r} holds NaN or infinity")  # type: ignore[index]
    for need in card.needs:
        need.check(name, domain)
    for _ in samples if needs else ():
        pass  # those that the check of the labels has not read


def _looked_at(name: str, domain: Domain, needs: Sequence[Need]) -> Iterator[Any]:
    """The samples, each read once and put before the needs that look at samples."""
    for i, sample in enumerate(domain.x):
        for need in needs:
            need.check_sample(name, i, sample)
        yield sample


def _check_labels_of(name: str, domain: Domain, task: str, samples: Any) -> None:
    """The labels are of the task that is learnt, fit the samples, and there is something to learn from them."""
    if domain.task != task:
        raise ValueError(f"{name} must carry labels of task={task!r}; its task is {domain.task!r}")
    try:
        task_of(task).check_learnable(domain.labels, samples)
    except ValueError as error:
        if str(error).startswith(f"{name} "):
            raise
        raise ValueError(f"{name} {error}") from error


def without_regions(domain: Domain) -> Domain:
    """The samples as methods see them that read one vector of each."""
    if not has_regions(domain):
        return domain
    return domain.replace(columns={key: value for key, value in domain.columns.items() if key != REGIONS})


def _with_regions(name: str, domain: Domain) -> Domain:
    """The samples, whose regions, if any, are found to be finite and as wide as the samples."""
    if not has_regions(domain) or not is_table(domain):
        return domain
    cells = domain.columns[REGIONS]
    if cells.ndim != 3 or cells.shape[1] < 1 or cells.shape[2] != domain.n_features:
        detail = f"(n, regions, {domain.n_features}), as wide as its samples; got {cells.shape}"
        raise ValueError(f"the column {REGIONS} of {name} must be of shape {detail}")
    for start in range(0, len(cells), ROWS):
        if not np.isfinite(cells[start : start + ROWS]).all():
            bad = start + int(np.argwhere(~np.isfinite(cells[start : start + ROWS]))[0][0])
            detail = f"sample {str(domain.ids[bad])!r} holds NaN or infinity"  # type: ignore[index]
            raise ValueError(f"the column {REGIONS} of {name} must be finite; {detail}")
    cells = cells.astype(cells.dtype.newbyteorder("="), copy=False)
    return domain.replace(columns={**domain.columns, REGIONS: cells})


def _numeric(name: str, x: NDArray[Any]) -> NDArray[Any]:
    if x.dtype.kind not in "fiub":
        raise TypeError(f"{name} must hold numbers; got {x.dtype}")
    return x


def _native(x: NDArray[Any]) -> NDArray[Any]:
    """`x` as torch takes it, and always alike: rows in order, in the processor's byte order, writable."""
    return np.require(x, x.dtype.newbyteorder("="), ["C", "W"])


def _check_network(name: str, network: nn.Module) -> None:
    for key, tensor in network.state_dict().items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise ValueError(f"{name} must have finite weights; {key} holds NaN or infinity")


def _check_teachers(teachers: Mapping[str, nn.Module]) -> None:
    """A zoo: at least one network, each under a name."""
    if not teachers:
        raise ValueError("teachers must hold at least one network; it is empty")
    for key, network in teachers.items():
        if not isinstance(key, str) or not isinstance(network, nn.Module):
            raise TypeError(f"teachers must map names to networks; {key!r} has a {type(network).__name__}")
        _check_network(f"teachers: {key!r}", network)


def _check_together(inputs: Mapping[str, Any]) -> None:
    widths = {k: v.n_features for k, v in inputs.items() if isinstance(v, Domain) and is_table(v)}
    if len(set(widths.values())) > 1:
        detail = ", ".join(f"{name} has {width}" for name, width in widths.items())
        raise ValueError(f"all inputs must have the same number of features; {detail}")
    _check_stack(inputs)
    if isinstance(inputs.get("model"), nn.Module):
        _check_reads(inputs["model"], inputs)
    if isinstance(inputs.get("encoder"), nn.Module):
        pictures = {k: v for k, v in inputs.items() if isinstance(v, Domain) and _is_pictures(v)}
        _check_reads(inputs["encoder"], pictures, "the encoder")
    for key, network in inputs.get("teachers", {}).items():
        _check_reads(network, inputs, f"teachers: {key!r}")
    classes = inputs.get("classes")
    for name, domain in inputs.items():
        if classes is None or not isinstance(domain, Domain) or domain.y is None or domain.task != "class":
            continue
        if domain.y.max(initial=-1) >= len(classes):
            raise ValueError(f"{name} has label {domain.y.max()}, but classes has {len(classes)} classes")
        if domain.classes is not None and domain.classes.names != classes.names[: len(domain.classes)]:
            detail = f"the classes of {name} are not the first of classes"
            raise ValueError(f"{detail}; align them with `unseen.data.classes.join`")


def _check_stack(inputs: Mapping[str, Any]) -> None:
    """Pictures of support and target, which stand in one batch, are of one shape."""
    domains = {name: inputs[name] for name in ("support", "target") if name in inputs}
    if len(domains) < 2 or any(domain.kind != "image" for domain in domains.values()):
        return
    shapes = {name: tuple(samplers.tensor(domain, slice(0, 1)).shape[1:]) for name, domain in domains.items()}
    if shapes["support"] != shapes["target"]:
        detail = f"support has {shapes['support']}, target {shapes['target']}"
        raise ValueError(f"support and target must hold pictures of one shape; {detail}")


def _check_labels(inputs: Mapping[str, Any]) -> None:
    """Labelled inputs speak of the same classes, and together of two at least."""
    domains = {name: value for name, value in inputs.items() if isinstance(value, Domain)}
    labeled = {k: v for k, v in domains.items() if VOCABULARY[k].labeled and v.task == "class"}
    if not labeled:
        return
    subject = " and ".join(labeled)
    spaces = {domain.classes.names for domain in labeled.values() if domain.classes is not None}
    if len(spaces) > 1:
        raise ValueError(f"{subject} must have the same classes; align them with `unseen.data.classes.realign`")
    present = np.unique(np.concatenate([domain.labels for domain in labeled.values()]))
    if len(present) < 2:
        names = next((domain.classes.names for domain in labeled.values() if domain.classes is not None), None)
        alone = repr(names[int(present[0])]) if names else f"class {int(present[0])}"
        raise ValueError(f"{subject} must hold at least two classes; all samples are of {alone}")


def _check_reads(model: nn.Module, inputs: Mapping[str, Any], called: str = "the model") -> None:
    """The model takes the features, or the pictures of an array, that it is given."""
    read = {k: v for k, v in inputs.items() if isinstance(v, Domain) and (is_table(v) or _is_pictures(v))}
    if not read:
        return
    probe = copy.deepcopy(model).cpu().eval()
    for name, domain in read.items():
        try:
            with torch.no_grad():
                probe(samplers.tensor(domain, slice(0, 1)))
        except RuntimeError as error:
            size = f"{domain.n_features} features" if is_table(domain) else _shape(domain)
            raise ValueError(f"{name} does not fit {called}: it has {size} ({error})") from error


def _is_pictures(domain: Domain) -> bool:
    return domain.kind == "image" and isinstance(domain.x, np.ndarray) and domain.x.ndim == 4 and len(domain) > 0


def _shape(domain: Domain) -> str:
    channels, height, width = domain.x.shape[1:]
    last = width in (1, 3, 4) and channels not in (1, 3, 4)
    way = "; x.transpose(0, 3, 1, 2) brings channels to where a network reads them" if last else ""
    return f"pictures of {channels} channels, {height} x {width}{way}"


def is_table(domain: Domain) -> bool:
    """Whether samples are rows of features."""
    return isinstance(domain.x, np.ndarray) and domain.x.ndim == 2


def width_of(inputs: Mapping[str, Any]) -> int | None:
    return next((v.n_features for v in inputs.values() if isinstance(v, Domain) and is_table(v)), None)
