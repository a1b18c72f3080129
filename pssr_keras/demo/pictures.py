"""From what a visitor draws or uploads to an image that a model takes, and one line where that cannot be."""

import io
import warnings

import numpy as np
import scipy.ndimage
from PIL import Image, ImageOps

from ..inputs import InputError

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF")
HEIC = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1", b"avif", b"avis")
MEGABYTES = 8  # photographs of telephones have 2 to 6
PIXELS = 25_000_000  # photographs of telephones have 12 million, and each takes 4 bytes here
INK = 0.2  # the shade of a photographed page stays below it
HARDLY = 0.01  # a digit on a card fills more of it, and stray pixels around white ink less
DIGIT_SIDE = 20  # LeCun et al. 1998: digits fill a box of 20 x 20 pixels


def decode(content):
    """The picture in a file, from its bytes alone; its name is not asked for.

    Of a camera's file of several pictures (MPO) it is the first, the others being previews.

    Args:
        content: bytes.

    Returns:
        Pillow's image, upright, in mode RGB; what is transparent is as `on_page` has it.

    Raises:
        InputError: for bytes that are no whole picture of `FORMATS`, that are more than `MEGABYTES` or hold
            more than `PIXELS`, for an animation, and for a picture that is transparent all over.
    """
    if not content:
        raise InputError("the file is empty, expected a picture")
    if len(content) > MEGABYTES * 2**20:
        raise InputError(
            f"the file has {len(content) / 2**20:.1f} megabytes, expected at most {MEGABYTES}: shrink it"
        )
    expected = f"expected a picture ({', '.join(FORMATS)})"
    if content[4:8] == b"ftyp" and content[8:12] in HEIC:
        raise InputError(f"the file is a picture in HEIC or AVIF, {expected}: save it as JPEG")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of many pixels, which are refused below
            picture = Image.open(io.BytesIO(content), formats=FORMATS)
    except Image.DecompressionBombError:
        raise InputError(f"the picture has too many pixels, expected at most {PIXELS:,}") from None
    except Exception:  # Pillow's readers raise many kinds of error
        raise InputError(f"the file is no picture that can be read here, {expected}") from None
    width, height = picture.size
    if width * height > PIXELS:
        raise InputError(f"the picture has {width:,} x {height:,} pixels, expected at most {PIXELS:,}")
    if getattr(picture, "is_animated", False) and picture.format != "MPO":
        raise InputError("the picture is an animation, expected a single picture")
    try:
        picture.load()
        picture = upright(picture)
        if picture.mode.startswith("I"):  # 16 bits, which Pillow would cut off at 255
            picture = Image.fromarray(np.rint(np.asarray(picture) / 257).clip(0, 255).astype(np.uint8))
        picture = picture.convert("RGBA")
    except Exception:
        raise InputError(f"the file is damaged or cut short, {expected}") from None
    return on_page(picture)


def upright(picture):
    """A picture turned as its camera was held, where the file says so legibly."""
    try:
        return ImageOps.exif_transpose(picture)
    except Exception:  # what stands beside the pixels may be damaged in many ways
        return picture


def on_page(picture):
    """A picture in mode RGBA on a page of one colour, in mode RGB.

    The page is white, or black where hardly anything would show on white, as with white ink on nothing.

    Raises:
        InputError: if it is transparent all over.
    """
    opacity, grey = (
        np.asarray(channel, np.uint16) for channel in (picture.getchannel("A"), picture.convert("L"))
    )
    if not opacity.any():
        raise InputError("the picture is transparent all over, expected one that shows something")
    on_white, on_black = ((opacity * shade > INK * 255**2).sum() for shade in (255 - grey, grey))
    page = Image.new("RGBA", picture.size, "black" if on_white < HARDLY * on_black else "white")
    return Image.alpha_composite(page, picture).convert("RGB")


def to_image(picture, shape):
    """A picture as an image of a data set: (H, W, C), float32 in [0, 1].

    One that has the size already is taken pixel by pixel. Grey images are made as `as_digit` says, others as
    `as_photograph`.

    Args:
        picture: Pillow's image, see `decode`.
        shape: (H, W, C), C = 1 or 3.

    Raises:
        InputError: if no digit is seen.
    """
    height, width, channels = shape
    same = picture.size == (width, height)
    if channels == 1:
        grey = np.asarray(picture.convert("L"), np.float32) / 255
        return as_ink(grey)[..., None] if same else as_digit(grey, height)[..., None]
    return np.asarray(picture if same else as_photograph(picture, width, height), np.float32) / 255


def as_ink(grey):
    """Grey values (H, W) with light ink on black, whichever was the lighter: what the edge shows is paper."""
    edge = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    return 1 - grey if np.median(edge) > 0.5 else grey


def as_digit(grey, side):
    """A digit centred and scaled as those of MNIST were made.

    Its ink fits a box of 20 x 20 pixels, with its proportions kept and averaged where it shrinks; the centre
    of mass of its grey values is the centre of the image. Before that the paper, the median of the edge, is
    taken away, and what is less than `INK` of the darkest ink.

    Args:
        grey: (H, W) in [0, 1], dark ink on light paper or light on dark.
        side: of the image.

    Returns:
        (side, side), float32 in [0, 1].

    Raises:
        InputError: if there is no ink.

    Source: LeCun et al. 1998 and the page of MNIST.
    """
    ink = as_ink(grey)
    edge = np.concatenate([ink[0], ink[-1], ink[:, 0], ink[:, -1]])
    ink = np.clip(ink - np.median(edge), 0, 1)
    if ink.max() < INK:
        raise InputError("the picture shows no digit: draw one, dark on light or light on dark")
    ink = ink / ink.max()
    ink[ink < INK] = 0
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    ink = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    scale = DIGIT_SIDE / max(ink.shape)
    size = [max(1, round(length * scale)) for length in ink.shape]
    small = Image.fromarray(ink.astype(np.float32)).resize(size[::-1], Image.Resampling.BOX)
    small = np.clip(np.asarray(small), 0, 1)

    image = np.zeros((side, side), np.float32)
    top, left = ((side - length) // 2 for length in size)
    image[top : top + size[0], left : left + size[1]] = small
    centre = np.array(scipy.ndimage.center_of_mass(image))
    shift = np.round((side - 1) / 2 - centre).astype(int)
    room = [(side - length) // 2 for length in size]  # no ink leaves the image
    shift = [int(np.clip(by, -space, space)) for by, space in zip(shift, room, strict=True)]
    return np.roll(image, shift, axis=(0, 1))


def as_photograph(picture, width, height):
    """The largest middle part of a picture with the proportions of the image, averaged down or drawn up."""
    return ImageOps.fit(picture, (width, height), Image.Resampling.LANCZOS)


def to_png(pixels):
    """A PNG file of pixels (H, W, 3), uint8: its bytes."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()
