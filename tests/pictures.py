"""Files that a visitor of the page might upload: whole ones, and others that are to be refused."""

import functools
import io
import struct
import zlib

import numpy as np
from PIL import Image


def file_of(picture, kind="PNG", **options):
    """The bytes of a picture as a file."""
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def digit(side=280, mode="L", paper=255, ink=0):
    """A picture of a one: a vertical bar off the middle."""
    pixels = np.full((side, side), paper, np.uint8)
    pixels[side // 5 : side * 3 // 5, side * 3 // 5 : side * 7 // 10] = ink
    return Image.fromarray(pixels).convert(mode)


def png_of_size(width, height):
    """A small PNG file that claims to be large, with all its checksums right."""

    def chunk(kind, content):
        checksum = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    pixels = zlib.compress(bytes(1000))
    signature = b"\x89PNG\r\n\x1a\n"
    return signature + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def camera(picture, **options):
    """A camera's JPEG file with a preview inside (MPO)."""
    options |= {"save_all": True, "append_images": [Image.new(picture.mode, (40, 30), "red")]}
    return file_of(picture, "MPO", **options)


@functools.cache
def bad_uploads():
    """{name of a file: (its bytes, part of what is said about it)}."""
    png, jpeg = file_of(digit()), file_of(digit(mode="RGB"), "JPEG")
    frames = [digit(60, ink=grey) for grey in (0, 80, 160)]
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (1700, 1700, 3), np.uint8))
    text_bomb = png[:33] + _text_chunk(2**26) + png[33:]
    no, damaged = "is no picture", "damaged or cut short"
    return {
        "empty.png": (b"", "is empty"),
        "text.png": (b"not a picture\n" * 100, no),
        "page.png": (b"<html><body onload=alert(1)></body></html>", no),
        "drawing.png": (b'<svg xmlns="http://www.w3.org/2000/svg"><rect width="9" height="9"/></svg>', no),
        "paper.jpg": (b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\n", no),
        "archive.png": (b"PK\x03\x04" + bytes(400), no),
        "program.png": (b"\x7fELF" + bytes(400), no),
        "pickle.png": (b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00\x8c\x02os\x94.", no),
        "zeros.bmp": (bytes(5000), no),
        "signature.png": (png[:8], no),
        "truncated.png": (png[: len(png) // 2], damaged),
        "truncated.jpg": (jpeg[: len(jpeg) // 2], damaged),
        "truncated.webp": (file_of(digit(mode="RGB"), "WEBP")[:60], "picture"),
        "flipped.png": (png[:60] + bytes(40) + png[100:], damaged),
        "wide.png": (png_of_size(60_000, 60_000), "too many pixels"),
        "long.png": (png_of_size(1, 30_000_000), "pixels, expected at most"),
        "large.png": (png_of_size(9_000, 9_000), "9,000 x 9,000 pixels, expected at most"),
        "text_bomb.png": (text_bomb, "picture"),
        "heavy.png": (file_of(noise), "megabytes, expected at most"),
        "dance.gif": (file_of(frames[0], "GIF", save_all=True, append_images=frames[1:]), "animation"),
        "dance.webp": (file_of(frames[0], "WEBP", save_all=True, append_images=frames[1:]), "animation"),
        "dance.png": (file_of(frames[0], "PNG", save_all=True, append_images=frames[1:]), "animation"),
        "telephone.heic": (b"\0\0\0\x18ftypheic" + bytes(400), "HEIC or AVIF.*save it as JPEG"),
        "scan.tif": (file_of(Image.new("F", (60, 60), 0.5), "TIFF"), no),
        "nothing.png": (png_of_size(0, 0), no),
        "no_width.bmp": (
            b"BM" + file_of(digit(60), "BMP")[2:18] + bytes(4) + file_of(digit(60), "BMP")[22:],
            "pic",
        ),
        "transparent.png": (file_of(Image.new("RGBA", (60, 60), (9, 9, 9, 0))), "transparent all over"),
        "truncated.mpo": (camera(digit(mode="RGB"))[:2000], damaged),
        "icon.png": (file_of(digit(64), "ICO"), no),
        "blank.png": (file_of(Image.new("L", (100, 100), 255)), "shows no digit"),
    }


def _text_chunk(length):
    """A compressed text of a PNG file, of which a few thousand bytes become `length`."""
    content = b"zTXt" + b"comment\0\0" + zlib.compress(bytes(length))
    return struct.pack(">I", len(content) - 4) + content + struct.pack(">I", zlib.crc32(content))
