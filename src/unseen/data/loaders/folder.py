"""Folders of pictures, videos, sounds or texts: one folder per class, flat, or with splits above the classes."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Collection, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from unseen.data import clips
from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain, Lazy, Skipped
from unseen.data.images import IMAGE_SUFFIXES, image_files, verify
from unseen.data.labels import encode_labels
from unseen.data.loaders.common import OnError, inspect, logger, settle
from unseen.data.reading import check_says, is_local, natural_key, open_file, read_bytes
from unseen.data.sounds import SOUND_SUFFIXES, check_sound, sound_files
from unseen.data.video_formats import VIDEO_SUFFIXES
from unseen.files import is_hidden, walk

SPLITS = frozenset({"train", "training", "val", "valid", "validation", "dev", "test", "testing", "eval"})
"""Folders called like this, if all top folders are, are splits and not classes."""

PICTURES = ("images", "image", "imgs", "img", "jpegimages", "leftimg8bit", "pictures", "rgb", "input")
MASKS = (
    "masks", "mask", "labels", "label", "annotations", "annotation", "segmentationclass", "gtfine", "gt", "target",
    "segmentation",
)  # fmt: skip
"""What folders of pictures and of their masks are called, in lower case."""

WORDS = {"image": "pictures", "clip": "videos", "audio": "sounds"}


def load_folder(
    fs: Any,
    root: str,
    *,
    name: str,
    classes: ClassSpace | Sequence[str] | None = None,
    on_error: OnError = "skip",
    check: bool = True,
    frames: int = clips.FRAMES,
) -> Domain:
    """Load the pictures under a folder, its videos if there are no more pictures than these, its sounds if there are
    more of them, or its ``.txt`` files.

    Where every picture lies two folders deep and those of each folder are called as frames are, one after the other
    (``class/clip/frame_0001.jpg``), each of these folders is a clip; one folder deep, where they are called frames in
    words (``clip/frame_0001.jpg``, not ``cat/0001.jpg``), each is a clip without a label. Of folders two deep, those
    that lack a frame are left out where most lack none.

    The class of a sample is the first folder on its path; samples directly in `root` have no label. If all
    top folders are called as splits (train, val, test, …), they become the column ``split`` and the classes
    are the folders below. Hidden files are passed over. Links are followed, each folder is read
    once (`unseen.files.walk`).
    """
    files, refused = files_below(fs, root)
    if not files and refused:
        raise ValueError(f"{name}: nothing in it can be read, the first {refused[0].where!r}: {refused[0].why}")
    kind, chosen = _choose_kind(files, root)
    if kind == "audio" and not is_local(fs):
        raise ValueError(f"{name} holds sounds, which are read from this machine alone: copy the folder here")
    whole, lacking = _frames_of(chosen, name) if kind == "image" else ({}, [])
    if whole:
        kind, chosen, refused = "clip", list(whole), refused + lacking
    logger.debug("%s: %d other files passed over", name, len(files) - len(chosen))
    full = {path: _joined(root, path) for path in chosen}
    if check:
        tests = {"image": _verify_image, "text": verify_text, "clip": _verify_clip, "audio": _verify_sound}
        first = {full[path]: inside[0] for path, inside in whole.items()}
        test = _frames_test(root, first) if whole else tests[kind]
        refused = refused + inspect(chosen, lambda path: test(fs, full[path]), lambda path: path)
        bad = {skipped.where for skipped in refused}
        chosen = [path for path in chosen if path not in bad]
    skipped = settle(refused, on_error, name)
    if not chosen:
        raise ValueError(f"{name}: none of the {len(skipped)} files can be read, the first: {skipped[0].why}")

    parts = [PurePosixPath(path).parts for path in chosen]
    tops = {part[0].lower() for part in parts if len(part) > 1}
    nested = bool(tops) and tops <= SPLITS
    columns = {"split": np.array([part[0] if len(part) > 1 else "" for part in parts])} if nested else {}
    below = [part[1:] if nested and len(part) > 1 else part for part in parts]
    if classes is None:
        _refuse_masks({part[0] for part in below if len(part) > 1}, name)
    y, space = encode_labels((part[0] if len(part) > 1 else None for part in below), classes)
    paths = [full[path] for path in chosen]
    if kind == "image":
        x = image_files(paths, fs)
    elif kind == "text":
        x = text_files(paths, fs)
    elif kind == "audio":
        x = sound_files(paths)
    elif whole:
        x = clips.frame_folders([[_joined(root, file) for file in whole[path]] for path in chosen], fs, frames=frames)
    else:
        x = clips.clip_files([clips.Segment(path) for path in paths], fs, frames=frames)
    ids = [unicodedata.normalize("NFC", path) for path in chosen]
    return Domain(
        x=x,
        y=y,
        kind=kind,
        classes=space,
        ids=np.array(ids if len(set(ids)) == len(ids) else chosen),
        columns=columns,
        name=name,
        skipped=skipped,
        notes=_hidden_classes(fs, root, sorted({part[0] for part in parts if len(part) > 1}) if nested else ()),
    )


def _refuse_masks(folders: Collection[str], name: str) -> None:
    """`ValueError` where the two folders are of pictures and of their masks, which are no classes."""
    pictures = [folder for folder in folders if folder.lower() in PICTURES]
    masks = [folder for folder in folders if folder.lower() in MASKS]
    if len(folders) == 2 and pictures and masks:
        raise ValueError(
            f"{name}: {pictures[0]!r} and {masks[0]!r} hold pictures and their masks, and are no classes: "
            "`unseen segment` reads them, in Python `unseen.data.loaders.masks.load_masks`"
        )


def _hidden_classes(fs: Any, root: str, splits: Sequence[str]) -> tuple[str, ...]:
    """What is said of folders that would be classes, but for a dot at the beginning of their names."""
    if not is_local(fs):
        return ()
    hidden = []
    for top in (Path(root), *(Path(root) / split for split in splits)):
        folders = sorted(entry for entry in top.iterdir() if entry.name.startswith(".") and entry.is_dir())
        hidden += [
            f"{folder.relative_to(root)} ({n} {'file' if n == 1 else 'files'})"
            for folder in folders
            if (n := _samples_in(folder))
        ]
    return (f"not read, as names that begin with a dot are hidden: {', '.join(hidden)}",) if hidden else ()


def _samples_in(folder: Path) -> int:
    """How many files stand in a folder that samples could be; none where it cannot be looked into."""
    known = {*IMAGE_SUFFIXES, *VIDEO_SUFFIXES, *SOUND_SUFFIXES, ".txt"}
    try:
        return sum(file.suffix.lower() in known for file in folder.iterdir())
    except OSError:  # such as what a system keeps of its own on a disk
        return 0


def text_files(paths: Sequence[str], fs: Any) -> Lazy:
    """UTF-8 files that are read when asked for; digests are of the texts, as those of texts in a table are."""
    return Lazy(list(paths), lambda path: read_bytes(fs, path).decode("utf-8-sig"))


def _choose_kind(files: list[str], root: str) -> tuple[Any, list[str]]:
    """The kind of files that is read, and these; `ValueError` says what there is instead.

    Videos if there are as many as pictures, else pictures, else texts: videos come with a cover or a still of each, and
    what has more pictures than that is pictures. Sounds where there are more of them than of either.
    """
    suffixes = [PurePosixPath(path).suffix.lower() for path in files]
    wanted = {"image": IMAGE_SUFFIXES, "clip": VIDEO_SUFFIXES, "audio": SOUND_SUFFIXES, "text": (".txt",)}
    of_kind = {
        kind: [path for path, suffix in zip(files, suffixes) if suffix in endings] for kind, endings in wanted.items()
    }
    pictures, videos, sounds = (len(of_kind[kind]) for kind in ("image", "clip", "audio"))
    order = ["clip", "image", "audio", "text"] if videos >= pictures else ["image", "clip", "audio", "text"]
    if sounds > max(pictures, videos):
        order.sort(key=lambda kind: kind != "audio")
    there = {WORDS[kind]: len(of_kind[kind]) for kind in ("clip", "image", "audio") if of_kind[kind]}
    if len(there) > 1:
        counts = " and ".join(f"{n} {word}" for word, n in there.items())
        logger.warning("%s holds %s; its %s are read", root or "the archive", counts, WORDS[order[0]])
    for kind in order:
        if of_kind[kind]:
            return kind, of_kind[kind]
    others = sorted({suffix or "no suffix" for suffix in suffixes})
    contents = f"{len(files)} files of other types ({', '.join(others[:5])})"
    tables = [p for p, s in zip(files, suffixes) if s in (".csv", ".tsv", ".parquet", ".jsonl", ".npz", ".npy", ".mat")]
    hint = f"; to load {tables[0]!r}, give its path" if tables else ""
    if not files:
        raise ValueError(f"{root or 'the archive'} is empty; expected pictures, videos, sounds or .txt files")
    raise ValueError(f"{root or 'the archive'} holds no pictures, videos, sounds or .txt files, but {contents}{hint}")


def _joined(root: str, path: str) -> str:
    return f"{root.rstrip('/')}/{path}" if root else path


def _frames_of(files: Sequence[str], name: str) -> tuple[dict[str, list[str]], list[Skipped]]:
    """The pictures of each folder, where most of these are frames of clips, and the folders that lack a frame; nothing
    where they are pictures."""
    folders: dict[str, list[str]] = {}
    for path in files:
        folders.setdefault(path.rpartition("/")[0], []).append(path)
    depths = {len(PurePosixPath(folder).parts) for folder in folders}
    if depths != {1} and (min(depths) < 2 or len(folders) < 2):
        return {}, []
    names = {folder: [PurePosixPath(path).name for path in paths] for folder, paths in folders.items()}
    called = {folder: clips.frame_numbers(inside, in_words=depths == {1}) for folder, inside in names.items()}
    lacking = {folder: "not called as frames" if n is None else clips.frames_missing(n) for folder, n in called.items()}
    lacking = {folder: why for folder, why in lacking.items() if why}
    most = 2 * len(lacking) < len(folders)
    if not lacking or (most and depths != {1} and None not in called.values()):
        whole = {folder: paths for folder, paths in folders.items() if folder not in lacking}
        return whole, [Skipped(folder, why) for folder, why in lacking.items()]
    if most or all(clips.frame_numbers(inside, in_words=True) for inside in names.values()):
        first, why = next(iter(lacking.items()))
        logger.warning(
            "%s: %d of its %d folders do not hold the frames of a clip, the first %s: %s; all are read as single "
            "pictures", name, len(lacking), len(folders), first, why,
        )  # fmt: skip
    return {}, []


def _frames_test(root: str, first: dict[str, str]) -> Callable[[Any, str], None]:
    """What looks at the first picture of a folder of frames, by the folder's full path."""

    def test(fs: Any, folder: str) -> None:
        _verify_image(fs, _joined(root, first[folder]))

    return test


def _verify_clip(fs: Any, path: str) -> None:
    clips.check_segment(fs, clips.Segment(path))


def _verify_sound(fs: Any, path: str) -> None:
    check_sound(path)


def files_below(fs: Any, root: str) -> tuple[list[str], list[Skipped]]:
    """Visible files below `root` as relative paths in natural order, links followed, and what of them is refused."""
    if is_local(fs):
        files, problems = walk(root, ignore=is_hidden)
        return sorted(files, key=natural_key), [Skipped(*problem) for problem in problems]
    prefix = root.rstrip("/") + "/" if root else ""
    files = [path.removeprefix(prefix) for path in fs.find(root)]
    refused = [Skipped(path, "the path leads out of its folder") for path in files if ".." in path.split("/")]
    bad = {skipped.where for skipped in refused}
    visible = [path for path in files if path not in bad and not is_hidden(path)]
    return sorted(visible, key=natural_key), refused


def _verify_image(fs: Any, path: str) -> None:
    with open_file(fs, path) as file:
        verify(file)


def verify_text(fs: Any, path: str) -> None:
    """Raise `ValueError` unless a file is text in UTF-8, and says something."""
    try:
        text = read_bytes(fs, path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"it is not UTF-8 text: {error.reason} at byte {error.start}; save it as UTF-8") from error
    try:
        check_says(text)
    except ValueError as error:
        raise ValueError(f"it {error}") from error
