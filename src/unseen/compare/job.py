"""`compare` and `adapt`: from what a user brings to a chosen model, its figures and its report."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import logging
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from unseen import __version__, catalogue
from unseen import methods as methods_
from unseen.bundle import Bundle
from unseen.compare.asked import check_asked, check_out, check_types, method_names, named_preset
from unseen.compare.candidates import Plan, fit_seconds, in_units, name_of, pair_called, plan
from unseen.compare.cells import as_saved, as_sure_as, calibration, says_nothing
from unseen.compare.checks import check_saved_to
from unseen.compare.choice import choose
from unseen.compare.clips import check_clips, slugs_on_clips, with_whole_clips
from unseen.compare.consensus import (
    consensus_cells,
    forget_consensus_of_others,
    members,
    pair_of,
    with_opinions,
    without_few_labels,
)
from unseen.compare.crafted import crafted_checks
from unseen.compare.fits import alone_in, fit_whole, run_all, split
from unseen.compare.given_model import check_can_be_saved, why_unsaved
from unseen.compare.inputs import Inputs, Tower, prepare
from unseen.compare.introduction import what_to_mind
from unseen.compare.reading import Data, Names
from unseen.compare.results import may_be_right, summarize
from unseen.compare.validators import Cell
from unseen.compare.views import with_two_views
from unseen.compare.wanted import check_wanted
from unseen.data.decoded import forget, keeping
from unseen.data.domain import Domain
from unseen.data.ontology import Ontology
from unseen.data.taxonomies import Taxonomy
from unseen.diagnosis import diagnose
from unseen.files import read_object, sweep
from unseen.methods.base import Method
from unseen.nn.state import digest
from unseen.runtime import current, limited_threads, replacing
from unseen.scale import Engine

log = logging.getLogger(__name__)


@dataclasses.dataclass
class Comparison:
    """What `compare` found.

    Attributes
    ----------
    results : dict
        What stands in `results.json`.
    bundle : Bundle
        The chosen model.
    folder : Path or None
        The run folder, with `report.html`.
    """

    results: dict[str, Any]
    bundle: Bundle
    folder: Path | None

    def __repr__(self) -> str:
        place = "" if self.folder is None else f", folder={str(self.folder)!r}"
        return f"Comparison(chosen={self.chosen!r} of {len(self.results['candidates'])}{place}): {self.why}"

    @property
    def chosen(self) -> str:
        """Name of the chosen candidate, as `slug` or `slug:preset`."""
        return str(self.results["chosen"]["name"])

    @property
    def why(self) -> str:
        """By what it was chosen, in a sentence."""
        return str(self.results["chosen"]["why"])


@keeping()
def compare(
    *,
    source: Data | None = None,
    target: Data | None = None,
    support: Data | None = None,
    classes: Names | None = None,
    prompts: Sequence[str] | None = None,
    ontology: Ontology | str | os.PathLike[str] | None = None,
    taxonomy: Taxonomy | str | None = None,
    model: Any = None,
    teachers: Any = None,
    encoder: str | None = None,
    methods: str | Sequence[str] = "auto",
    protocol: str = "auto",
    labels: str = "exam",
    careful: bool | None = None,
    crafted: bool | None = None,
    refit: bool = True,
    seeds: int = 3,
    budget: str | float | None = None,
    out: str | os.PathLike[str] | None = None,
    on_error: str = "skip",
    precision: str = "auto",
    pictures: bool = True,
    trust: bool = False,
    with_encoder: bool = False,
    command: str = "",
    say: Any = log.info,
    engine: Engine | None = None,
) -> Comparison:
    """Run every method that fits, choose one without target labels, and report.

    Parameters
    ----------
    source, target, support : Domain, path or pandas.DataFrame
        Labelled samples of a domain you know; samples of the domain you care about; a few labelled ones of it.
    classes : ClassSpace, path or names
        A class file: names, descriptions, attributes, parents. Classes in it can be predicted without samples. Where
        neither source nor support is given, names are all that is known (zero-shot): a file, a list, or
        "cat,dog,horse".
    prompts : list of str, optional
        Sentences that a two-tower encoder reads the names in, such as "a photo of a {}."; their vectors are averaged.
    ontology : Ontology or path
        What relates the classes: triples (.tsv, .csv) or RDF (.ttl, .owl, ...), in which each class is a concept.
    taxonomy : Taxonomy or str, optional
        In which each class is a node, such as wordnet or obo:FILE (`unseen.data.taxonomies.FORMS`): their distance.
    model : Bundle, folder of one, or Module, optional
        A trained classifier, adapted instead of one trained on `source`, which then is not needed. A saved model brings
        its classes and its encoder; a network reads features of `encoder`, and `classes` name its outputs.
    teachers : mapping of name to Module, optional
        Trained networks on the same features, of any classes, to distil from (`unseen.bundle.read_zoo`).
    encoder : str, optional
        Name of a pretrained encoder; a default for the kind of the samples if absent.
    methods : "auto", "all" or names
        `slug` or `slug:preset`. "all" is whatever fits; "auto" is the same where candidates must be chosen from, and
        where there is a consensus what it is made of and a few to stand beside it. Where names hold enough that a
        consensus is made of, it is a candidate, too.
    protocol : str
        "auto", or closed, partial, open, open-partial, zsl, gzsl, base-to-new.
    labels : str
        What to do with labels in `target`: seal them as the exam, use them as support, or split:0.5.
    careful : bool, optional
        Stay with source-only unless a candidate is better by two label-free scores: harms less often, gains less. If
        None, it is so with features of your own, and not with those of a pretrained encoder.
    crafted : bool, optional
        Ask candidates about crafted copies of source pictures, which stand for domains never seen (crafted
        validation). If None, where there is no target; then they decide.
    refit : bool
        Fit the chosen candidate once more, on all labelled source samples: candidates leave out a fifth, to be told
        apart by. That one is saved.
    seeds : int, >= 1
    budget : str or float, optional
        Seconds, or "10m": the most expensive candidates are left out, and named.
    out : path, optional
        Run folder. A killed run with the same inputs goes on in it; another run's folder is refused. A network as
        `model` that cannot be built again from JSON leaves a report there, and no model.
    on_error : {"skip", "fail"}
        What to do with samples that cannot be read.
    precision : {"auto", "fp32"}
        Of the frozen encoder.
    pictures : bool
        Whether the report shows thumbnails.
    trust, with_encoder : bool
        Load encoders that can run code; put the encoder's weights into the saved model.
    command : str
        What the report shows as the way to repeat the run.
    say : callable (str) -> None
        Told what was read, before it is encoded, and what will run, before it does.
    engine : Engine, optional
        Where samples are encoded and fits run: on all cores of this machine by default, in one process
        (``Engine(workers=1)``), or on Ray. The results are the same bits.

    Returns
    -------
    Comparison
    """
    check_types("compare", **locals())
    seeds, methods = int(seeds), methods if isinstance(methods, str) else [str(name) for name in methods]
    engine = engine or Engine(workers=0)
    check_asked(
        data={"source": source, "target": target, "support": support, "ontology": ontology, "model": model},
        classes=classes, methods=methods, protocol=protocol, labels=labels, encoder=encoder, budget=budget,
        seeds=seeds, on_error=on_error, prompts=prompts,
        precision=precision, out=out,
    )  # fmt: skip
    folder = None if out is None else Path(out)
    wanted = [] if methods in ("auto", "all") else method_names(methods)
    on_clips = [catalogue.make(*pair_called(key)) for key in wanted if slugs_on_clips([key])]
    settings = {"protocol": protocol, "labels": labels, "seeds": seeds, "precision": precision}

    def before_encoding(read: Mapping[str, Domain], words: Collection[str], tower: Tower) -> None:
        check_wanted(wanted, words)
        check_clips(on_clips, read, tower, model)
        if folder is not None:
            _check_same(folder, {**settings, "given": {role: part.fingerprint()[:16] for role, part in read.items()}})

    inputs = prepare(
        source=source, target=target, support=support, classes=classes, prompts=prompts, ontology=ontology,
        taxonomy=taxonomy, encoder=encoder, labels=labels, on_error=on_error, precision=precision, trust=trust,
        model=model, teachers=teachers, engine=engine, distinct=True, before_encoding=before_encoding,
        say=say,
    )  # fmt: skip
    inputs = with_whole_clips(inputs, on_clips)
    for line in what_to_mind(inputs):
        say(line)
    with limited_threads():
        diagnosis = diagnose(inputs)
    todo = plan(inputs, methods, seeds, budget, protocol)
    for line in todo.lines():
        say(line)
    config = _config(inputs, todo, protocol, labels, seeds, precision)
    kept = folder  # where cells stand, for a run that is killed; nowhere if their network could not be read again
    if folder is not None:
        _claim_folder(folder, config)
        if why := why_unsaved(inputs.model):
            kept = None
            say(f"mind: the report will be in {folder}, and no model that holds the given network: {why}")
    inputs.crafted = crafted_checks(inputs, seeds, crafted)
    if any(preset in methods_.card(slug).two_views for slug, preset in todo.candidates):
        inputs = with_two_views(inputs)
    forget()
    with alone_in(folder):
        failed: dict[tuple[str, str], str] = {}
        found_cells = run_all(inputs, todo.candidates, seeds, kept, engine, failed, named=bool(wanted))
        for pair, error in failed.items():
            todo.left_out[name_of(*pair)] = f"could not be fitted: {error}"
            log.warning("%s could not be fitted and is left out: %s", name_of(*pair), error)
        heard = dict(found_cells)
        together = todo.consensus and pair_of(tuple(heard), inputs)  # of what could be fitted
        if kept is not None:
            forget_consensus_of_others(kept / "cells", members(heard))
        if together is not None:
            found_cells[together] = consensus_cells(inputs, together, heard, kept)
        cells = {name_of(*pair): group for pair, group in found_cells.items()}
        pairs = {name_of(*pair): pair for pair in found_cells}
        with limited_threads():
            choice = choose(cells, inputs, protocol, careful=careful)
        first = cells[choice.name][0]
        seen = inputs.seen_by(*pairs[choice.name])
        learnt = seen
        if pairs[choice.name] == together:
            learnt = with_opinions(without_few_labels(seen), heard)
        whole = fit_whole(learnt, pairs[choice.name], first, kept) if refit else None
        with limited_threads():
            fitted = whole or first
            right = may_be_right(inputs, choice) if inputs.named or pairs[choice.name] == together else None
            if right is not None:
                fitted = as_sure_as(fitted, seen, right, first.get("check"))
            saved = as_saved(fitted, seen)
            results = summarize(
                inputs, todo, cells, choice, whole, saved, protocol=protocol, labels=labels, seeds=seeds
            )  # fmt: skip
        results.update(unseen=__version__, command=command, config=config, settings=_settings(engine, inputs))
        results["diagnosis"] = None if diagnosis is None else diagnosis.to_json()
        bundle = make_bundle(seen, saved)
        if folder is not None:
            from unseen.compare.folder import write_run

            if why := why_unsaved(bundle.method):
                results["cautions"].append(f"the chosen model is not saved, only this report: {why}")
            with limited_threads():
                write_run(folder, results, seen, saved, bundle, pictures=pictures, with_encoder=with_encoder)
    return Comparison(results, bundle, folder)


def make_bundle(inputs: Inputs, cell: Cell) -> Bundle:
    """The saved form of one fitted candidate."""
    method: Method = cell["method"]
    return Bundle(
        method=method,
        classes=inputs.classes,
        encoder=inputs.encoder,
        temperature=cell["temperature"],
        threshold=cell["threshold"],
        whole=inputs.whole,
        feature_names=inputs.feature_names if inputs.encoder is None else (),
        sample_column=inputs.sample_column,
        credits=tuple(dict.fromkeys(c for record in inputs.records.values() for c in record["credits"])),
    )


def _config(inputs: Inputs, todo: Plan, protocol: str, labels: str, seeds: int, precision: str) -> dict[str, Any]:
    """What a run is: a folder that holds another one is refused.

    A precision that was named is part of its id; with auto the id is that of runs of before it was.
    """
    labeled = {"source": inputs.source, "support": inputs.support}
    sealed = {"target": inputs.target, "held out": inputs.held_out}
    data = {key: part.fingerprint(labels=True)[:16] for key, part in labeled.items() if part is not None}
    data |= {key: part.fingerprint()[:16] for key, part in sealed.items() if part is not None}
    known = {
        "data": data,
        "classes": digest(inputs.classes)[:16],
        "model": None if inputs.model is None else digest(dict(inputs.model.state_dict()))[:16],
        "encoder": None if inputs.encoder is None else inputs.encoder.name,
        "methods": todo.names(),
        "protocol": protocol,
        "labels": labels,
        "seeds": seeds,
    }
    if inputs.teachers is not None:
        known["teachers"] = {name: digest(dict(net.state_dict()))[:16] for name, net in inputs.teachers.items()}
    known["id"] = _id_of(known if precision == "auto" else {**known, "precision": precision})
    known["precision"] = precision
    known["given"] = {role: part.fingerprint()[:16] for role, part in inputs.raw.items()}
    return known


def _id_of(known: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()[:16]


def _is_same(other: Mapping[str, Any], config: Mapping[str, Any]) -> bool:
    """Whether a folder was begun with the same run; one of before the precision was kept has features to tell by."""
    if "precision" in other:
        return bool(other.get("id") == config["id"])
    kept = {key: value for key, value in config.items() if key not in ("id", "precision", "given")}
    return bool(other.get("id") == _id_of(kept))


def _check_same(folder: Path, asked: Mapping[str, Any]) -> None:
    """`ValueError` if the folder holds a run of other samples or settings, as far as can be told before encoding."""
    try:
        other = read_object(folder / "config.json")
    except (OSError, ValueError):
        return  # there is none, or it is damaged, which is told later
    differ = [key for key, value in asked.items() if key in other and other[key] != value]
    if differ:
        differing = ", ".join("samples" if key == "given" else key for key in differ)
        raise ValueError(f"out: {folder} holds another run (of other {differing}); choose another folder or remove it")


def _settings(engine: Engine, inputs: Inputs) -> dict[str, Any]:
    """What the bits of the results depend on, beside versions and the processor, and where the fits ran."""
    at = current()
    precision = at.precision if inputs.encoder is None else getattr(inputs.encoder, "precision", at.precision)
    return {"engine": engine.name, "threads": at.threads, "device": at.device, "precision": precision}


def _differing(other: Any, config: dict[str, Any]) -> str:
    """In what two runs differ, in words."""
    if not isinstance(other, dict):
        return "its config.json is none"
    differences = []
    for key, now in json.loads(json.dumps(config)).items():
        before = other.get(key)
        if before == now or key in ("id", "given") or (key == "precision" and before is None):
            continue
        if isinstance(before, list) and isinstance(now, list):
            only = ([str(entry) for entry in a if entry not in b] for a, b in ((before, now), (now, before)))
            sides = zip(("it has", "asked for now"), map(_few, only))
            differences.append(f"{key}: {', '.join(f'{side} {some}' for side, some in sides if some) or 'their order'}")
        else:
            differences.append(key)
    return "; ".join(differences) or "made by another version"


def _few(names: Sequence[str], most: int = 3) -> str:
    """The first of these names, and how many more there are."""
    return " and ".join([", ".join(names[:most]), *([f"{len(names) - most} more"] if len(names) > most else [])])


def _claim_folder(folder: Path, config: dict[str, Any]) -> None:
    """Make the run folder, or go on in one of the same run, or of one that never ended and had other candidates."""
    file = folder / "config.json"
    if file.exists():
        try:
            other = read_object(file)
        except ValueError as error:
            raise ValueError(f"{file} is damaged ({error}); choose another out") from error
        if _is_unended_with_others(folder, other, config):
            with alone_in(folder):
                _write_config(file, config)
        elif not _is_same(other, config):
            raise ValueError(f"out: {folder} holds another run ({_differing(other, config)}); choose another folder or "
                             "remove it")  # fmt: skip
        return
    if folder.is_dir():
        sweep(folder)  # a run that was killed before its first file was there
    check_out(folder)
    folder.mkdir(parents=True, exist_ok=True)
    _write_config(file, config)


def _write_config(file: Path, config: dict[str, Any]) -> None:
    with replacing(file) as temporary:
        temporary.write_text(json.dumps(config, indent=1))


def _is_unended_with_others(folder: Path, other: Mapping[str, Any], config: dict[str, Any]) -> bool:
    """Whether a run that left no results differs in its candidates alone: what it fitted serves this one, too."""
    now = json.loads(json.dumps(config))
    differing = [key for key in {*now, *other} - {"id"} if other.get(key) != now.get(key)]
    return differing == ["methods"] and not (folder / "results.json").exists()


def adapt(
    *,
    method: str,
    settings: dict[str, Any] | None = None,
    preset: str = "default",
    seed: int = 0,
    refit: bool = True,
    out: str | os.PathLike[str] | None = None,
    with_encoder: bool = False,
    say: Callable[[str], None] | None = None,
    **inputs: Any,
) -> Bundle:
    """Fit one method and save it; labels in the target are never used.

    Parameters
    ----------
    method, preset : str
        As two words, or the method as `slug:preset`.
    settings : mapping of hyperparameters
    seed : int, >= 0
    refit : bool
        Fit once without a fifth of the source, by which temperature and threshold are measured, and once more on all
        of the source and the target; else the first fit is saved, which took half as long.
    out : path, optional
        Where to save the model.
    say : callable, optional
        Takes what was read, in lines, before it is encoded.
    **inputs
        As in `compare`: source, target, support, classes, prompts, ontology, taxonomy, model, teachers, encoder,
        labels, on_error, precision, trust, engine.
    """
    check_types(
        "adapt", method=method, settings=settings, preset=preset, seed=seed, refit=refit, out=out,
        with_encoder=with_encoder, say=say, **inputs,
    )  # fmt: skip
    seed = int(seed)
    method, preset = named_preset(method, preset)
    check_asked(
        data={word: inputs.get(word) for word in ("source", "target", "support", "ontology", "model")},
        methods=[method],
        labels=inputs.get("labels", "exam"), encoder=inputs.get("encoder"), on_error=inputs.get("on_error", "skip"),
        precision=inputs.get("precision", "auto"), prompts=inputs.get("prompts"),
    )  # fmt: skip
    if out is not None:
        check_saved_to(out)
        check_can_be_saved(inputs.get("model"))
    make = functools.partial(catalogue.make, method, preset, seed, **(settings or {}))
    unfitted = make()  # settings that cannot be are refused before any work

    def refuse(read: Mapping[str, Domain], words: Collection[str], tower: Tower) -> None:
        check_wanted([method], words, "method")
        check_clips([unfitted], read, tower, inputs.get("model"), "method")

    ready = prepare(**inputs, before_encoding=refuse, say=say, graded=False, encoded=not unfitted.card.reads_clips)
    ready = with_whole_clips(ready, [unfitted])
    if preset in methods_.card(method).two_views:
        ready = with_two_views(ready)
    seconds = fit_seconds(ready, method, preset, unfitted)
    ready = ready.seen_by(method, preset)
    given, check = split(ready, seed)
    if say is not None:
        times = 2 if refit and check is not None else 1
        taken = in_units(times * seconds)
        spared = ", in two fits: refit=False spares one" * (times - 1)
        say(f"{name_of(method, preset)} takes {taken} on one core{spared}")
    fitted = given.fit(unfitted) if check is not None or not refit else unfitted
    cell = {"method": fitted, **calibration(fitted, check)}
    if refit:
        cell["method"] = ready.joined().given(ready.source, seed).fit(make())
    if nothing := says_nothing(cell, cell.get("check"), name_of(method, preset)):
        (say or log.warning)(f"mind: {nothing}")
    bundle = make_bundle(ready, cell)
    if out is not None:
        bundle.save(out, with_encoder=with_encoder)
    return bundle
