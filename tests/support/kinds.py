"""Pictures of every kind, as bytes: made by Pillow where it writes them, else value by value."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from PIL import Image

WHITE = 341
"""The tag SMaxSampleValue."""


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">L", len(data)) + name + data + struct.pack(">L", zlib.crc32(name + data))


def png(bits: int, colour: int, row: bytes, size=(4, 4), extra: bytes = b"", pixels: bytes | None = None) -> bytes:
    """A PNG whose rows are all `row`; or whose compressed pixels are `pixels`, whatever its head promises."""
    width, height = size
    data = zlib.compress((b"\0" + row) * height) if pixels is None else pixels
    head = chunk(b"IHDR", struct.pack(">LLBBBBB", width, height, bits, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + extra + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def tiff(value, dtype: str, bits: int, form: int, *, photometric=1, channels=1, white=None, raw: bytes = b"") -> bytes:
    """A TIFF of 4 x 4 pixels of one value; `form` is its SampleFormat: 1 unsigned, 2 signed, 3 fractions."""
    order = ">" if dtype.startswith(">") else "<"
    data = raw or np.full((4, 4, channels), value, dtype).tobytes()
    tags = {256: (4, [4]), 257: (4, [4]), 258: (3, [bits] * channels), 259: (3, [1]), 262: (3, [photometric])}
    tags |= {273: (4, [0]), 277: (3, [channels]), 278: (4, [4]), 279: (4, [len(data)]), 339: (3, [form] * channels)}
    if white is not None:
        tags[WHITE] = (11 if form == 3 else 4, [white])
    codes = {3: "H", 4: "L", 11: "f"}
    packed = {number: struct.pack(order + codes[kind] * len(v), *v) for number, (kind, v) in sorted(tags.items())}
    start = 8 + 2 + 12 * len(tags) + 4
    entries, beside = b"", b""
    far = sum(len(value) for value in packed.values() if len(value) > 4)
    packed[273] = struct.pack(order + "L", start + far)
    for number, content in packed.items():
        kind, values = tags[number]
        entries += struct.pack(order + "HHL", number, kind, len(values))
        if len(content) > 4:
            entries += struct.pack(order + "L", start + len(beside))
            beside += content
        else:
            entries += content.ljust(4, b"\0")
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "LH", 8, len(tags))
    return head + entries + struct.pack(order + "L", 0) + beside + data


def _palette() -> Image.Image:
    image = Image.new("P", (4, 4), 0)
    image.putpalette([10, 20, 30] * 256)
    return image


def _turned() -> bytes:
    image = Image.new("RGB", (32, 16), "red")
    image.paste("blue", (16, 0, 32, 16))
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(image, "JPEG", exif=exif, quality=100, subsampling=0)


def frames(kind: str, colours=("red", "lime", "blue"), **options) -> bytes:
    """A file of several pictures, 8 x 8."""
    first, *later = (Image.new("RGB", (8, 8), colour) for colour in colours)
    return encoded(first, kind, save_all=True, append_images=later, **options)


COLOUR = Image.new("RGB", (16, 16), (10, 20, 30))
DEEP, RGB_DEEP = struct.pack(">4H", *[30000] * 4), struct.pack(">12H", *[30000] * 12)

KINDS = {
    "PNG, grey, 1 bit, a 1": lambda: png(1, 0, b"\xf0"),
    "PNG, grey, 2 bits, a 1 of 3": lambda: png(2, 0, b"\x55"),
    "PNG, grey, 4 bits, a 7 of 15": lambda: png(4, 0, b"\x77\x77"),
    "PNG, grey, 8 bits, 77": lambda: png(8, 0, bytes([77] * 4)),
    "PNG, grey, 16 bits, 30000": lambda: png(16, 0, DEEP),
    "PNG, grey, 16 bits, 200": lambda: png(16, 0, struct.pack(">4H", *[200] * 4)),
    "PNG, grey, 16 bits, its one transparent value": lambda: png(16, 0, DEEP, extra=chunk(b"tRNS", DEEP[:2])),
    "PNG, grey and alpha, black half transparent": lambda: encoded(Image.new("LA", (4, 4), (0, 128)), "PNG"),
    "PNG, grey and alpha, 16 bits, transparent": lambda: png(16, 4, struct.pack(">8H", *[30000, 0] * 4)),
    "PNG, palette": lambda: encoded(_palette(), "PNG"),
    "PNG, palette, a transparent entry": lambda: encoded(_palette(), "PNG", transparency=0),
    "PNG, RGB, 8 bits": lambda: encoded(COLOUR, "PNG"),
    "PNG, RGB, 8 bits, its one transparent colour": lambda: encoded(COLOUR, "PNG", transparency=(10, 20, 30)),
    "PNG, RGB, 16 bits, 30000": lambda: png(16, 2, RGB_DEEP),
    "PNG, RGB, 16 bits, its one transparent colour 30000": lambda: png(
        16, 2, RGB_DEEP, extra=chunk(b"tRNS", RGB_DEEP[:6])
    ),
    "PNG, RGBA, transparent": lambda: encoded(Image.new("RGBA", (4, 4), (255, 0, 0, 0)), "PNG"),
    "PNG, RGBA, 16 bits, 30000 opaque": lambda: png(16, 6, struct.pack(">16H", *[30000, 30000, 30000, 65535] * 4)),
    "JPEG, grey": lambda: encoded(Image.new("L", (16, 16), 77), "JPEG", quality=100),
    "JPEG, RGB turned by EXIF, its left side red": _turned,
    "JPEG, CMYK inverted as Adobe writes it, red": lambda: encoded(
        Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG", quality=100
    ),
    "JPEG, two pictures in one file (MPO)": lambda: frames("MPO"),
    "GIF, palette": lambda: encoded(_palette(), "GIF"),
    "GIF, three frames": lambda: frames("GIF"),
    "WebP, lossless, transparent": lambda: encoded(Image.new("RGBA", (4, 4), (1, 2, 3, 0)), "WEBP", lossless=True),
    "WebP, lossless, three frames": lambda: frames("WEBP", lossless=True),
    "BMP, RGB": lambda: encoded(COLOUR, "BMP"),
    "AVIF, white": lambda: encoded(Image.new("RGB", (16, 16), "white"), "AVIF"),
    "PBM, a 1": lambda: b"P4 8 1\n\xf0",
    "PGM, 100 of 200": lambda: b"P5 4 4 200\n" + bytes([100] * 16),
    "PGM, 2048 of 4095": lambda: b"P5 4 4 4095\n" + struct.pack(">16H", *[2048] * 16),
    "PGM, 30000 of 65535": lambda: b"P5 4 4 65535\n" + struct.pack(">16H", *[30000] * 16),
    "PPM, 30000 of 65535": lambda: b"P6 4 4 65535\n" + struct.pack(">48H", *[30000] * 48),
    "PFM, 0.5": lambda: b"Pf 4 4 -1.0\n" + struct.pack("<16f", *[0.5] * 16),
    "PFM, NaN": lambda: b"Pf 4 4 -1.0\n" + struct.pack("<16f", *[float("nan")] * 16),
    "TIFF, grey, 8 bits, 200 where 0 is white": lambda: tiff(200, "u1", 8, 1, photometric=0),
    "TIFF, grey, 12 bits, 2048": lambda: tiff(0, "u1", 12, 1, raw=bytes([0x80, 0x08, 0x00]) * 8),
    "TIFF, grey, 16 bits, 200": lambda: tiff(200, "<u2", 16, 1),
    "TIFF, grey, 16 bits, 30000": lambda: tiff(30000, "<u2", 16, 1),
    "TIFF, grey, 16 bits, 30000, big-endian": lambda: tiff(30000, ">u2", 16, 1),
    "TIFF, grey, 16 bits, 30000 where 0 is white": lambda: tiff(30000, "<u2", 16, 1, photometric=0),
    "TIFF, grey, 16 bits, 2048, SMaxSampleValue 4095": lambda: tiff(2048, "<u2", 16, 1, white=4095),
    "TIFF, grey, 16 bits, 5000, SMaxSampleValue 4095": lambda: tiff(5000, "<u2", 16, 1, white=4095),
    "TIFF, grey, 32 bits, 3000000000": lambda: tiff(3000000000, "<u4", 32, 1),
    "TIFF, grey, 32 bits, 2^31, SMaxSampleValue 2^32 - 1": lambda: tiff(2**31, "<u4", 32, 1, white=2**32 - 1),
    "TIFF, signed, 8 bits, -1": lambda: tiff(-1, "i1", 8, 2),
    "TIFF, signed, 16 bits, 30000": lambda: tiff(30000, "<i2", 16, 2),
    "TIFF, signed, 16 bits, 2048, SMaxSampleValue 4095": lambda: tiff(2048, "<i2", 16, 2, white=4095),
    "TIFF, signed, 16 bits, -5, SMaxSampleValue 4095": lambda: tiff(-5, "<i2", 16, 2, white=4095),
    "TIFF, signed, 32 bits, -7": lambda: tiff(-7, "<i4", 32, 2),
    "TIFF, fractions of 32 bits, 0.5": lambda: tiff(0.5, "<f4", 32, 3),
    "TIFF, fractions of 32 bits, 0.5, big-endian": lambda: tiff(0.5, ">f4", 32, 3),
    "TIFF, fractions of 32 bits, 0.25 where 0 is white": lambda: tiff(0.25, "<f4", 32, 3, photometric=0),
    "TIFF, fractions of 32 bits, 1.5": lambda: tiff(1.5, "<f4", 32, 3),
    "TIFF, fractions of 32 bits, -0.1": lambda: tiff(-0.1, "<f4", 32, 3),
    "TIFF, fractions of 32 bits, NaN": lambda: tiff(np.nan, "<f4", 32, 3),
    "TIFF, fractions of 32 bits, infinite": lambda: tiff(np.inf, "<f4", 32, 3),
    "TIFF, fractions of 32 bits, 500, SMaxSampleValue 1000": lambda: tiff(500, "<f4", 32, 3, white=1000),
    "TIFF, fractions of 64 bits, 0.5": lambda: tiff(0.5, "<f8", 64, 3),
    "TIFF, RGB, 16 bits, 30000": lambda: tiff(30000, "<u2", 16, 1, photometric=2, channels=3),
    "TIFF, RGB, fractions of 32 bits, 0.5": lambda: tiff(0.5, "<f4", 32, 3, photometric=2, channels=3),
    "TIFF, CMYK, red": lambda: encoded(Image.new("CMYK", (4, 4), (0, 255, 255, 0)), "TIFF"),
    "TIFF, YCbCr, grey 128": lambda: encoded(Image.new("YCbCr", (4, 4), (128, 128, 128)), "TIFF"),
    "TIFF, Lab, lightness 128 of 255": lambda: encoded(Image.new("LAB", (4, 4), (128, 128, 128)), "TIFF"),
    "TIFF, three pages": lambda: frames("TIFF"),
}
"""A picture of every kind, by the words of the table in docs/pictures.md."""


def photographs() -> list[bytes]:
    """Larger pictures of every format that is read, with the options that make files differ inside."""
    Image.init()
    x = np.linspace(0, 255, 48)
    image = Image.fromarray(
        np.stack([x[:, None] + 0 * x, x + 0 * x[:, None], (x * x[:, None]) % 256], -1).astype("u1")
    )
    grey, clear = image.convert("L"), image.convert("RGBA")
    clear.putalpha(grey)
    made = [encoded(image, "JPEG"), encoded(image, "JPEG", progressive=True), encoded(image.convert("CMYK"), "JPEG")]
    made += [encoded(one, "PNG") for one in (image, grey, clear, image.convert("P"), grey.convert("1"))]
    made += [
        encoded(image, "WEBP"),
        encoded(clear, "WEBP", lossless=True),
        encoded(image, "GIF"),
        encoded(image, "BMP"),
    ]
    ways = ("tiff_deflate", "tiff_lzw", "packbits", "jpeg", "raw")
    made += [encoded(image, "TIFF", compression=way) for way in ways]
    made += [encoded(grey.convert("1"), "TIFF", compression=way) for way in ("group3", "group4")]
    made += [encoded(grey, "PPM"), encoded(grey.convert("1"), "PPM")]
    return made + ([encoded(image, "AVIF"), encoded(clear, "AVIF")] if "AVIF" in Image.SAVE else [])
