"""Pictures as people have them: every mode, orientation and format becomes an upright RGB image."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io
import os
import threading
import warnings
from collections.abc import Sequence
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from unseen.data.domain import Lazy
from unseen.data.reading import read_bytes
from unseen.data.upright import to_rgb, upright
from unseen.files import sentence

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_PIXELS = 100_000_000
"""Pictures with more pixels than this are refused unless told otherwise."""

IMAGE_SUFFIXES = frozenset(
    f".{suffix}"
    for suffix in (
        *(
            "jpg",
            "jpeg",
            "jpe",
            "jfif",
            "png",
            "apng",
            "gif",
            "bmp",
            "dib",
            "webp",
            "tif",
            "tiff",
            "ppm",
            "pgm",
        ),
        *("pbm", "pnm", "tga", "ico", "jp2", "avif", "heic", "heif", "hif"),
    )
)
"""File names that end like this (in any case) are taken for pictures."""

FORMATS = ("JPEG", "PNG", "GIF", "BMP", "DIB", "WEBP", "TIFF", "PPM", "TGA", "ICO", "JPEG2000", "AVIF")
"""What Pillow may take a file for, whatever it is called; HEIC is read by pillow-heif. Its other readers, of which that
of PostScript runs a program, are never asked."""


def decode(source: bytes | str | os.PathLike[str] | IO[bytes], *, max_pixels: int = MAX_PIXELS) -> Image:
    """Read one picture as RGB, the way a person would see it.

    EXIF orientation is applied, transparency composited on white, 16-bit and floating-point greys scaled to
    eight bits, and of an animation the first frame taken.

    Parameters
    ----------
    source : bytes, path or binary file
        The encoded picture.
    max_pixels : int
        Width times height above which the picture is refused before it is decoded.

    Raises
    ------
    ValueError
        If it is no picture, is truncated or damaged, or has too many pixels.
    ImportError
        If it is HEIC and ``pillow-heif`` is not installed.
    """
    return upright(_open(source, max_pixels))


def open_header(source: bytes | str | os.PathLike[str] | IO[bytes], formats: Sequence[str] = FORMATS) -> Image:
    """A picture of one of `formats` with its header read and nothing decoded; every picture file is opened here.

    Raises
    ------
    PIL.UnidentifiedImageError
        If it is of no such format.
    PIL.Image.DecompressionBombError
        If it has many more pixels than Pillow likes.
    ValueError
        If its header is damaged.
    """
    import PIL
    import PIL.Image

    if not set(formats) <= set(FORMATS):
        raise ValueError(f"formats must be among {', '.join(FORMATS)}; got {', '.join(formats)}")
    file: Any = io.BytesIO(source) if isinstance(source, bytes) else source
    PIL.Image.init()
    _warn_not_of_size()
    try:
        return PIL.Image.open(file, formats=[name for name in formats if name in PIL.Image.OPEN])  # AVIF of some builds
    except (PIL.UnidentifiedImageError, PIL.Image.DecompressionBombError, FileNotFoundError):
        raise
    except Exception as error:
        raise ValueError(f"the file is not a picture that can be read: {sentence(error)}") from error


def _warn_not_of_size() -> None:
    """Keep Pillow from warning of large pictures: callers look at the size, and refuse with a reason.

    Once for all, since filters of warnings are no matter of one thread; a filter of the user's for it stays.
    """
    import PIL.Image

    category = PIL.Image.DecompressionBombWarning
    if not any(entry[2] is category for entry in warnings.filters):
        warnings.simplefilter("ignore", category)


MASK_FORMATS = ("PNG", "BMP", "DIB", "GIF", "TIFF", "PPM", "WEBP")
"""Formats of masks: those that keep every value; JPEG invents classes along every border."""


def decode_indices(source: bytes | IO[bytes], *, max_pixels: int = MAX_PIXELS) -> np.ndarray[Any, Any]:
    """Read the values of a mask as they are stored, (h, w): indices of a palette, greys of 8 or 16 bits, or bits.

    A mask in colours gives 65,536 red + 256 green + blue; transparency and orientation are not looked at.

    Raises
    ------
    ValueError
        If it is no picture of `MASK_FORMATS`, is damaged, has too many pixels, or holds fractions.
    """
    import PIL
    import PIL.Image

    try:
        image = open_header(source, MASK_FORMATS)
    except PIL.UnidentifiedImageError as error:
        raise ValueError(f"a mask must be one of {', '.join(MASK_FORMATS)}, which keep every value") from error
    except PIL.Image.DecompressionBombError as error:
        raise ValueError(f"the mask is refused: {error}") from error
    width, height = image.size
    if width * height > max_pixels:
        raise ValueError(f"the mask is refused: it has {width} x {height} pixels, at most {max_pixels:,} are read")
    try:
        image.load()
    except Exception as error:
        raise ValueError(f"the mask is truncated or damaged: {sentence(error)}") from error
    if image.mode in ("RGB", "RGBA", "RGBX"):
        red, green, blue = (np.asarray(image)[..., i].astype(np.int32) for i in range(3))
        return 65536 * red + 256 * green + blue
    if image.mode not in ("L", "P", "1", "I", "I;16", "I;16B", "I;16L", "LA", "PA"):
        raise ValueError(f"a mask must hold whole numbers or colours; it is of mode {image.mode}")
    values = np.asarray(image)
    return (values[..., 0] if values.ndim == 3 else values).astype(np.int32)


def verify(source: bytes | IO[bytes], *, max_pixels: int = MAX_PIXELS) -> None:
    """Raise what `decode` would raise: no header tells of damage behind it.

    Of JPEG an eighth of the size is decoded, in half the time.
    """
    from PIL import ImageOps

    image = _open(source, max_pixels)
    image.draft("L", (1, 1))  # of other formats nothing
    with _LARGE if image.width * image.height > LARGE else contextlib.nullcontext():
        try:
            image.load()
            ImageOps.exif_transpose(image, in_place=True)
            if image.mode.startswith(("I", "F")):
                to_rgb(image)
        except Exception as error:
            raise ValueError(f"the picture is truncated or damaged: {sentence(error)}") from error


def verify_ends(source: bytes | IO[bytes], *, max_pixels: int = MAX_PIXELS) -> None:
    """Raise what `decode` would raise, at the cost of reading a header; damage inside is not seen.

    JPEG, PNG, GIF and WebP files that end as they should are not decoded; all others are.
    """
    file = io.BytesIO(source) if isinstance(source, bytes) else source
    _open(file, max_pixels)
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    head = file.read(12)
    file.seek(max(0, size - 32))
    if not _ends_well(head, file.read(), size):
        file.seek(0)
        decode(file, max_pixels=max_pixels)


LARGE = 1 << 24
"""Pixels above which pictures are verified after each other, whatever the number of threads."""
_LARGE = threading.Lock()


def image_files(paths: Sequence[str | os.PathLike[str]], fs: Any = None, *, max_pixels: int = MAX_PIXELS) -> Lazy:
    """Return picture files that are read when asked for, with the SHA-256 of their bytes as digest.

    Parameters
    ----------
    paths : sequence of paths or fsspec URLs
        All on one file system.
    fs : fsspec file system, optional
        Where `paths` lie; taken from the first path if absent.
    max_pixels : int
        See `decode`.
    """
    import fsspec

    items = [os.fspath(path) for path in paths]
    if fs is None:
        fs = fsspec.core.url_to_fs(items[0] if items else ".")[0]
        items = [fs._strip_protocol(item) for item in items]
    files = _Files(fs, max_pixels)
    return Lazy(items, files.read, files.digest)


@dataclasses.dataclass(frozen=True)
class _Files:
    """Picture files of one file system."""

    fs: Any
    max_pixels: int
    _digests: dict[str, tuple[tuple[int, int], str]] = dataclasses.field(default_factory=dict, compare=False)

    def read(self, path: str) -> Image:
        return self.decode((path, read_bytes(self.fs, path)))

    def digest(self, path: str) -> str:
        """Of a file on this machine that has not changed since, what was found before."""
        stamp = self._stamp(path)
        known = self._digests.get(path)
        if known is None or stamp is None or known[0] != stamp:
            digest = hashlib.sha256(read_bytes(self.fs, path)).hexdigest()
            if stamp is None:
                return digest
            self._digests[path] = known = (stamp, digest)
        return known[1]

    def _stamp(self, path: str) -> tuple[int, int] | None:
        """Size and time of change; None where files are elsewhere."""
        if "file" not in getattr(self.fs, "protocol", ()):
            return None
        try:
            about = os.stat(path)  # noqa: PTH116
        except OSError:
            return None
        return about.st_mtime_ns, about.st_size

    def decode(self, file: tuple[str, bytes]) -> Image:
        path, content = file
        try:
            return decode(content, max_pixels=self.max_pixels)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error


def are_files(samples: Any) -> bool:
    """Whether samples are picture files that are read by their paths, as `image_files` gives them."""
    return isinstance(samples, Lazy) and getattr(samples.read, "__func__", None) is _Files.read


def with_contents(samples: Lazy) -> Lazy:
    """Pictures of `image_files` with the contents of the files, which are not needed any more."""
    files: _Files = samples.read.__self__  # type: ignore[attr-defined]
    return Lazy([(path, read_bytes(files.fs, path)) for path in samples.items], files.decode)


def as_pixels(sample: Any) -> NDArray[np.uint8]:
    """A picture of any kind as bytes in RGB, (h, w, 3).

    Parameters
    ----------
    sample : PIL image, array or tensor
        Arrays are (h, w), (h, w, 1) or (h, w, 3) of bytes, or (1, h, w) or (3, h, w) of numbers from 0 to 1.

    Raises
    ------
    ValueError
        If it is of another shape, or holds numbers that are NaN, infinite or beyond 0 to 1.
    TypeError
        If it is no picture.
    """
    if hasattr(sample, "detach"):
        sample = sample.detach().cpu().numpy()
    if not isinstance(sample, np.ndarray):
        if not hasattr(sample, "getbands"):
            raise TypeError(f"a picture must be a PIL image, an array or a tensor; got {type(sample).__name__}")
        return np.array(upright(sample), dtype=np.uint8)
    array = sample
    if array.dtype.kind == "f":
        if array.ndim != 3 or array.shape[0] not in (1, 3) or 0 in array.shape:
            raise ValueError(f"a picture of numbers must be of shape (1 or 3, h, w); got {array.shape}")
        if not np.isfinite(array).all() or array.min() < 0 or array.max() > 1:
            raise ValueError("a picture of numbers must hold numbers from 0 to 1; some are beyond, NaN or infinite")
        array = np.rint(255 * array).astype(np.uint8).transpose(1, 2, 0)
    if array.dtype != np.uint8:
        raise ValueError(f"a picture must hold bytes, or numbers from 0 to 1; got {array.dtype}")
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.shape[2] not in (1, 3) or 0 in array.shape:
        raise ValueError(f"a picture of bytes must be of shape (h, w), (h, w, 1) or (h, w, 3); got {array.shape}")
    return np.ascontiguousarray(np.repeat(array, 3, axis=2) if array.shape[2] == 1 else array)


def thumbnail(image: Image, size: int = 160, format: str = "JPEG") -> bytes:
    """Return the picture, at most `size` pixels wide and high, encoded anew without any metadata.

    Parameters
    ----------
    format : {"JPEG", "PNG"}
        How to encode it.
    """
    import PIL.Image

    if size < 1:
        raise ValueError(f"size must be at least 1 pixel; got {size}")
    if format not in ("JPEG", "PNG"):
        raise ValueError(f"format must be 'JPEG' or 'PNG'; got {format!r}")
    small = to_rgb(image).copy()
    small.thumbnail((size, size), PIL.Image.Resampling.LANCZOS)
    bare = PIL.Image.fromarray(np.asarray(small))
    out = io.BytesIO()
    bare.save(out, format, quality=85, optimize=True)
    return out.getvalue()


def _open(source: bytes | str | os.PathLike[str] | IO[bytes], max_pixels: int) -> Image:
    """The picture with its header read, upright and small enough, not yet decoded."""
    import PIL.Image

    file: Any = io.BytesIO(source) if isinstance(source, bytes) else source
    try:
        image = open_header(file)
    except PIL.Image.DecompressionBombError as error:
        raise ValueError(f"the picture is refused: {error}") from error
    except PIL.UnidentifiedImageError:
        image = _open_heif(file)
    width, height = image.size
    if width * height > max_pixels:
        raise ValueError(f"the picture is refused: it has {width} x {height} pixels, at most {max_pixels:,} are read")
    return image


def _open_heif(file: Any) -> Image:
    """A HEIC or AVIF picture by pillow-heif; `ValueError` if the file is something else."""
    stream = open(file, "rb") if isinstance(file, (str, os.PathLike)) else file  # noqa: SIM115, PTH123
    try:
        stream.seek(0)
        head = stream.read(16)
        if head[4:8] != b"ftyp":
            raise ValueError("the file is not a picture that can be read" + (": it is empty" if not head else ""))
        try:
            import pillow_heif
        except ImportError as error:
            raise ImportError('reading HEIC pictures needs: pip install "unseen[heif]"') from error
        stream.seek(0)
        try:
            return pillow_heif.open_heif(stream.read(), convert_hdr_to_8bit=True).to_pillow()
        except Exception as error:
            raise ValueError(f"the file is not a picture that can be read: {sentence(error)}") from error
    finally:
        if stream is not file:
            stream.close()


def _ends_well(head: bytes, tail: bytes, size: int) -> bool:
    """Whether a file of a common format carries its end mark."""
    if head[:3] == b"\xff\xd8\xff":
        return b"\xff\xd9" in tail
    if head[:8] == b"\x89PNG\r\n\x1a\n":
        return b"IEND" in tail
    if head[:4] == b"GIF8":
        return b"\x3b" in tail[-2:]
    if head[:4] == b"RIFF":
        return int.from_bytes(head[4:8], "little") + 8 <= size
    return False
