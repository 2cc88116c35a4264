"""Pictures of every mode, orientation and format, and those that must be refused."""

import io
import struct
import sys
import warnings
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

import unseen
from unseen.data.images import decode, image_files, thumbnail, verify
from unseen.encoders.vision import as_image

RED = (255, 0, 0)


def encoded(image: Image.Image, format: str = "PNG", **options) -> bytes:
    out = io.BytesIO()
    image.save(out, format, **options)
    return out.getvalue()


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_is_composited_on_white(mode):
    image = Image.new("RGBA", (4, 4), (0, 0, 0, 0))
    image.putpixel((1, 1), (0, 0, 0, 255))
    if mode == "P":
        palette = Image.new("P", (4, 4), 0)
        palette.putpalette([9, 9, 9, 0, 0, 0])
        palette.putpixel((1, 1), 1)
        data = encoded(palette, transparency=0)
    else:
        data = encoded(image.convert(mode))
    seen = decode(data)
    assert seen.mode == "RGB"
    assert seen.getpixel((0, 0)) == (255, 255, 255)
    assert seen.getpixel((1, 1)) == (0, 0, 0)


def test_half_transparency_mixes_with_white():
    seen = decode(encoded(Image.new("RGBA", (2, 2), (0, 0, 0, 128))))
    assert seen.getpixel((0, 0)) == (127, 127, 127)


def test_a_transparent_colour_of_an_opaque_mode_becomes_white():
    data = encoded(Image.new("RGB", (2, 2), (1, 2, 3)), transparency=(1, 2, 3))
    assert decode(data).getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize(("orientation", "corner"), [(1, (0, 0)), (3, (5, 3)), (6, (3, 0)), (8, (0, 5))])
def test_exif_orientation_is_applied(orientation, corner):
    image = Image.new("RGB", (6, 4), "white")
    image.putpixel((0, 0), RED)
    exif = Image.Exif()
    exif[0x0112] = orientation
    seen = decode(encoded(image, exif=exif))
    assert seen.size == ((6, 4) if orientation < 5 else (4, 6))
    assert seen.getpixel(corner) == RED


def test_sixteen_bit_greys_are_scaled_and_not_clipped():
    ramp = np.array([[0, 32768, 65535]], dtype=np.uint16)
    expected = [[0, 128, 255]]
    assert np.asarray(decode(encoded(Image.fromarray(ramp))))[..., 0].tolist() == expected
    assert np.asarray(decode(encoded(Image.fromarray(ramp), "TIFF")))[..., 0].tolist() == expected
    wide = Image.fromarray(ramp.astype(np.int32))
    assert np.asarray(decode(encoded(wide, "TIFF")))[..., 0].tolist() == expected


def test_floating_point_greys_are_scaled():
    unit = Image.fromarray(np.array([[0.0, 0.5, 1.0]], dtype=np.float32))
    assert np.asarray(decode(encoded(unit, "TIFF")))[..., 0].tolist() == [[0, 128, 255]]
    other = Image.fromarray(np.array([[-10.0, 0.0, 10.0]], dtype=np.float32))
    assert np.asarray(decode(encoded(other, "TIFF")))[..., 0].tolist() == [[0, 128, 255]]
    with pytest.raises(ValueError, match="not finite"):
        decode(encoded(Image.fromarray(np.array([[np.nan, 1]], dtype=np.float32)), "TIFF"))


def test_cmyk_grey_bilevel_and_palette_pictures_become_rgb():
    assert decode(encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG")).getpixel((4, 4))[0] > 200
    assert decode(encoded(Image.new("L", (2, 2), 77))).getpixel((0, 0)) == (77, 77, 77)
    assert decode(encoded(Image.new("1", (2, 2), 1))).getpixel((0, 0)) == (255, 255, 255)
    assert decode(encoded(Image.new("RGB", (2, 2), RED).quantize(4))).getpixel((0, 0)) == RED


def test_an_animation_gives_its_first_frame():
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "lime")]
    for format in ("GIF", "WEBP"):
        data = encoded(
            frames[0],
            format,
            save_all=True,
            append_images=frames[1:],
            **{"lossless": True} if format == "WEBP" else {},
        )
        assert decode(data).getpixel((0, 0)) == RED


@pytest.mark.parametrize("format", ["HEIF", "AVIF"])
def test_heic_and_avif_are_read(format):
    heif = pytest.importorskip("pillow_heif")
    image = Image.new("RGB", (64, 64), RED)
    if format == "HEIF":
        out = io.BytesIO()
        heif.from_pillow(image).save(out, quality=-1)
        data = out.getvalue()
    else:
        data = encoded(image, "AVIF")
    verify(data)
    seen = decode(data).getpixel((32, 32))
    assert seen[0] > 240
    assert max(seen[1:]) < 15


def test_heic_without_its_extra_names_the_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    head = b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic"
    with pytest.raises(ImportError, match=r'pip install "unseen\[heif\]"'):
        decode(head + bytes(64))


def bomb(side: int) -> bytes:
    """A PNG of a few bytes that claims to have side x side pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"0")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [11_000, 60_000])
def test_image_bombs_are_refused(side):
    for read in (decode, verify):
        with pytest.raises(ValueError, match="refused"):
            read(bomb(side))


def test_pillow_says_nothing_of_sizes_that_are_looked_at_here(recwarn):
    warnings.simplefilter("always")
    with pytest.raises(ValueError, match="at most 100,000,000 are read"):
        decode(bomb(11_000))
    assert not [str(entry.message) for entry in recwarn if "decompression bomb" in str(entry.message)]


def test_max_pixels_can_be_set():
    with pytest.raises(ValueError, match="10 x 10 pixels, at most 99"):
        decode(encoded(Image.new("RGB", (10, 10))), max_pixels=99)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF"])
def test_truncated_files_are_found_by_verify_and_decode(format):
    pixels = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    data = encoded(Image.fromarray(pixels), format)
    verify(data)
    for read in (decode, verify):
        with pytest.raises(ValueError, match=r"truncated|damaged|cannot|not a picture|can be read"):
            read(data[: len(data) // 2])


@pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "WEBP"])
def test_damage_behind_a_right_header_and_before_a_right_end_is_seen_by_verify(format):
    pixels = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    data = bytearray(encoded(Image.fromarray(pixels), format))
    start = {"JPEG": data.find(b"\xff\xc4") + 5, "WEBP": 30}.get(format, len(data) // 2)  # a table, the first part
    data[start : start + 16] = bytes(range(200, 216))
    for read in (decode, verify):
        with pytest.raises(ValueError, match="truncated or damaged"):
            read(bytes(data))


def test_a_picture_that_is_damaged_inside_is_skipped_and_counted_and_ends_nothing(tmp_path):
    data = encoded(Image.new("RGB", (16, 16), RED))
    (tmp_path / "fine.png").write_bytes(data)
    begin, end = data.index(b"IDAT") - 4, data.index(b"IEND") - 4
    (tmp_path / "empty.png").write_bytes(data[:begin] + data[end:])
    (tmp_path / "hurt.png").write_bytes(data[: begin + 8] + bytes(end - begin - 8) + data[end:])
    domain = unseen.load(tmp_path)
    assert [sample.size for sample in domain.x] == [(16, 16)]
    assert {skipped.where for skipped in domain.skipped} == {"empty.png", "hurt.png"}
    assert all("damaged" in skipped.why for skipped in domain.skipped)
    with pytest.raises(ValueError, match=r"2 unreadable, the first 'empty\.png': the picture is truncated or damaged"):
        unseen.load(tmp_path, on_error="fail")


@pytest.mark.parametrize("data", [b"", b"no picture at all", b"<svg></svg>", bytes(200)])
def test_what_is_no_picture_is_named(data):
    with pytest.raises(ValueError, match="not a picture"):
        decode(data)


def test_a_jpeg_with_trailing_bytes_is_accepted():
    data = encoded(Image.new("RGB", (32, 32), RED), "JPEG") + bytes(500)
    verify(data)
    assert decode(data).size == (32, 32)


def test_files_are_read_lazily_and_hashed_by_content(tmp_path):
    Image.new("RGB", (3, 2), RED).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes((tmp_path / "a.png").read_bytes())
    (tmp_path / "c.png").write_bytes(b"broken")
    files = image_files([tmp_path / name for name in ("a.png", "b.png", "c.png")])
    assert files[0].size == (3, 2)
    assert files.digest(0) == files.digest(1) != files.digest(2)
    with pytest.raises(ValueError, match=r"c\.png"):
        files[2]


@pytest.mark.parametrize("format", ["JPEG", "PNG"])
def test_thumbnails_are_small_and_carry_no_metadata(format):
    image = Image.new("RGB", (400, 200), RED)
    exif = Image.Exif()
    exif[0x010E] = "a secret"
    image = Image.open(io.BytesIO(encoded(image, "JPEG", exif=exif, comment=b"a secret")))
    data = thumbnail(image, 100, format)
    seen = Image.open(io.BytesIO(data))
    assert seen.size == (100, 50)
    assert b"secret" not in data
    assert not seen.getexif()
    with pytest.raises(ValueError, match="size"):
        thumbnail(image, 0)


MODES = [
    *(("RGB", "PNG"), ("RGBA", "PNG"), ("P", "PNG"), ("P", "GIF"), ("L", "PNG"), ("LA", "PNG"), ("1", "PNG")),
    *(("CMYK", "JPEG"), ("LAB", "TIFF"), ("I", "TIFF"), ("F", "TIFF"), ("I;16", "TIFF")),
]


def photograph() -> Image.Image:
    values = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(values).resize((48, 36), Image.Resampling.BILINEAR)


@pytest.mark.parametrize(("mode", "format"), MODES)
def test_an_opened_picture_is_read_as_its_file(mode, format):
    image = photograph()
    data = encoded((image.convert("L") if mode in ("LA", "I;16") else image).convert(mode), format)
    opened = Image.open(io.BytesIO(data))
    expected = np.asarray(decode(data))
    before = opened.mode
    (seen,) = unseen.Domain(x=[opened], kind="image").x
    assert np.array_equal(seen, expected)
    assert np.array_equal(as_image(opened), expected)
    assert opened.mode == before


@pytest.mark.parametrize("mode", ["HSV", "YCbCr", "RGBX", "RGBa", "La", "PA"])
def test_modes_that_no_file_has_are_read_in_their_own_colours(mode):
    image = Image.new("RGB", (8, 8), (200, 200, 200) if mode == "La" else (255, 0, 0))
    via = {"La": "LA", "RGBa": "RGBA"}.get(mode)
    seen = unseen.Domain(x=[(image.convert(via) if via else image).convert(mode)], kind="image").x[0]
    assert np.abs(seen.astype(int) - np.asarray(image)).max() <= 2


def test_an_opened_picture_is_turned_as_its_file_is():
    exif = Image.Exif()
    exif[0x0112] = 6
    opened = Image.open(io.BytesIO(encoded(photograph(), exif=exif)))
    clips = unseen.Domain(x=[[opened, opened]], kind="clip").x
    assert clips.shape == (1, 2, 48, 36, 3)
    (seen,) = unseen.Domain(x=[opened], kind="image").x
    (kept,) = unseen.Domain(x=np.array([opened, None], dtype=object)[:1], kind="image").x
    assert kept is opened
    assert np.array_equal(seen, np.rot90(np.asarray(photograph()), -1))
    assert np.array_equal(as_image(opened), seen)
    assert np.array_equal(clips[0, 1], seen)
    assert opened.size == (48, 36)


def test_opened_pictures_of_unlike_sizes_and_damaged_ones():
    small = Image.new("P", (2, 3))
    assert [x.shape for x in unseen.Domain(x=[photograph(), small], kind="image").x] == [(36, 48, 3), (3, 2, 3)]
    cut = Image.open(io.BytesIO(encoded(photograph())[:300]))
    with pytest.raises(ValueError, match="x: picture 1: the picture is truncated or damaged"):
        unseen.Domain(x=[small, cut], kind="image")
    with pytest.raises(TypeError, match=r"x must be a sequence of samples; got one picture: give \[x\]"):
        unseen.Domain(x=small, kind="image")


@pytest.mark.parametrize("shape", [(36, 48, 3), (36, 48, 4), (36, 48, 1), (36, 48)])
def test_one_picture_is_not_taken_for_its_rows(shape):
    one = np.zeros(shape, dtype=np.uint8)
    for x in (one, torch.as_tensor(one)):
        with pytest.raises(
            ValueError, match=r"x must hold pictures.* got one picture of shape .*: give \[x\] or x\[No"
        ):
            unseen.Domain(x=x, kind="image")
    for x in ([one], one[None], torch.as_tensor(one)[None]):
        assert len(unseen.Domain(x=x, kind="image")) == 1
    assert len(unseen.Domain(x=np.zeros((5, 36, 48)), kind="image")) == 5  # grey ones


def test_one_picture_as_torch_has_it_is_not_three_grey_ones():
    picture = torch.zeros(3, 24, 32)
    with pytest.raises(ValueError, match=r"as torch has one picture: give x\.permute\(1, 2, 0\)"):
        unseen.Domain(x=picture, kind="image")
    assert len(unseen.Domain(x=picture[..., None], kind="image")) == 3
    assert unseen.Domain(x=picture.permute(1, 2, 0)[None], kind="image").x.shape == (1, 24, 32, 3)


def test_a_file_of_one_picture_is_not_taken_for_its_rows(tmp_path):
    np.save(tmp_path / "one.npy", np.zeros((36, 48, 3), dtype=np.uint8))
    with pytest.raises(ValueError, match=r"got one picture of shape \(36, 48, 3\): save it as x\[None\]"):
        unseen.load(tmp_path / "one.npy")
