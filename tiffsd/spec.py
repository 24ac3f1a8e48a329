"""TIFFSD, version 1: one artifact of a latent-diffusion pipeline, in one TIFF file that people open and paint on.

MUST, SHOULD and MAY are meant as in RFC 2119. "Pixel" is a value of the canvas, "value" an element of a tensor. All
arithmetic on pixels and values is done in float64 and rounded to float32 once, at the end.

1. The file
-----------
A TIFFSD file is a TIFF 6.0 file (a BigTIFF above 4 GiB). A writer MUST write: little endian; uncompressed; chunky
(never planar); one strip per page; no SubIFDs; no thumbnails. It holds three things:

    canvas          the page or pages: what people see and paint
    metadata        tags 270, 34675 and 65000
    exact tensors   tag 65001: the numbers behind the canvas, and those that cannot be painted

2. Artifacts
------------
There are three kinds. Tensors carry the names that diffusers gives them; a batch axis is never stored.

    kind        canvas tensor                                        other tensors it may hold
    latents     latents (C, h, w)                                    all but picture; with prompt_embeds: "married"
    embedding   prompt_embeds (T, D) and negative_prompt_embeds      pooled_prompt_embeds (D,), negative_pooled_prompt_embeds
                (U, D), one above the other; either may be missing   (D,)
    picture     picture (H, W, 3), 0..1, not clamped                 mask

`mask` is one plane; `generator_state` is uint8 (n,); what a scheduler remembers between two steps is stored under
`scheduler.<name>`, of any type and rank. A reader MUST keep tensors whose names it does not know. Canvas tensors are
float32.

Latents are stored as the denoiser sees them (multiplied by the scaling factor of the VAE, its shift applied). Initial
noise is stored as unit noise, drawn in float32 on the CPU, not yet multiplied by a scheduler's sigma. Half-done
latents of a scheduler that works on sigmas (Euler, Heun, LMS: variance sigma^2 + 1) carry that sigma in the metadata.
The states of latents:

    noise     unit noise
    partial   stopped in the middle of the loop, after `step` of `steps`
    final     denoised, or encoded from a picture

3. The canvas
-------------
Let f = sqrt(sigma^2 + 1) where the metadata has a sigma, else f = 1. What is painted then always has about unit
variance.

    layout   kind        pages, shape, pixel of value x
    mosaic   latents     one gray float32 page (r h, c w), pixel = 0.5 + x / (8 f)
    pages    latents     C gray float32 pages (h, w), NewSubfileType 0, PageName "channel k", pixel = 0.5 + x / (8 f)
    rgba     latents     C = 4 only: one RGB page with one ExtraSample of type 2, float32 (h, w, 4), pixel = x / f
    strip    embedding   one gray float32 page (T + U, D): prompt above, negative below, pixel = 0.5 + x / 8
    rgb      picture     one RGB page, float32 (or float16, if the writer is asked to), pixel = value

The mosaic of C channels has c columns, the smallest divisor of C that is not below sqrt(C), and r = C / c rows (4:
2x2, 16: 4x4, 8: 2 rows of 4); channel k is the panel in row k // c, column k % c. So -4..4 shows as black..white in
the mapped layouts and every value that matters can be painted in an editor that offers 0..1; pixels outside of 0..1
are legal and mean what the formula says. Mosaic is the default. Pages can be cropped. Rgba is the layout of the
prototype of 2023, in the units of section 2.

Gray pages MUST carry a linear gray ICC profile (34675): without one a paste in GIMP shifts pixels that nobody
touched. Pictures MUST carry an sRGB profile. The description in the profile is "TIFFSD linear gray ID" or "TIFFSD
sRGB ID", ID being the artifact's id; PhotometricInterpretation is 1 (gray) or 2 (RGB).

4. Metadata
-----------
Tag 270 (ImageDescription, on every page) is one line of ASCII JSON with the essentials; tag 65000 (type ASCII, first
page) is the full record as ASCII JSON: the essentials again, and the rest. Absent means null. No key may be named
"shape", which tifffile takes for its own. Numbers are finite.

    essential   tiffsd    the version of the format, 1
                kind      "latents" | "embedding" | "picture"
                id        8 lower-case hexadecimal digits, new for every artifact
                layout    as in section 3
                size      latents [C, h, w]; embedding [T, U, D]; picture [H, W, 3]
                state     latents: "noise" | "partial" | "final"
                sigma     partial latents of a sigma-scaled scheduler: the sigma they have reached, >= 0
                step      how many steps are done; steps: of how many
    the rest    parent    the id of the artifact that this one was made from
                recipe    object of settings: prompt, negative_prompt, seed, width, height, model, scheduler, steps, ...
                history   list of objects, one per stage or edit: {"stage", "id", "at", "seconds", "notes"}
                software  object: name -> version

A reader MUST keep keys that it does not know, and MUST refuse a version above its own with a sentence that says so.
The id is found in tag 270, else in tag 65000, else in the description of the ICC profile, else in the file name
STEM.ID.EXT. Where 270 and 65000 name different ids, 65000 and 65001 belong to another artifact and MUST be ignored.
Text that is not JSON, or has no key "tiffsd", is not metadata; a record with a key of the wrong type is refused.

5. Exact tensors
----------------
Tag 65001 (type ASCII, first page) is the base64 text (RFC 4648, no line breaks) of one safetensors file with all
tensors of the artifact but `picture`, and {"id": ID} in its `__metadata__`. It is ASCII because GIMP keeps ASCII tags
byte for byte and turns binary ones into decimal text. It is an aid, never a dependency: most editors drop it. A blob
that is damaged, or carries another id, is ignored and reported.

6. Reading an edited file
-------------------------
Let e be the pixel that section 3 gives for the exact value, p the pixel found. Where |p - e| <= t the exact value
counts, elsewhere the value that p stands for; such pixels are "painted".

    canvas saved as                                  t
    float32, float64                                 2^-20 max(1, |p|), the rounding of editors (measured)
    float16                                          2^-20 max(1, |p|) + 2^-11 |e|
    uint16, uint32, or floats that all lie within    2^-20 + 0.5 / 65535; moreover p = 0 where e <= 0 and p = 1 where e >= 1
    0..1 on multiples of 1 / 65535 (mapped only)     are not painted

Integers stand for p = n / (2^bits - 1). Painted latents MUST NOT keep `scheduler.*`: the history belongs to the
latents that were there. If pages or rgba come back in another size, that size counts, all of it painted, `width` and
`height` of the recipe follow in proportion, and a mask is dropped. A mosaic or strip of another size MUST be refused.
Pages whose PageNames are a permutation of "channel 0".."channel C-1" are put in that order.

What the file lost, `repair` takes from the original with the same id: the same rule, with the exact tensors and the
metadata of the original.

A reader MUST accept both byte orders, BigTIFF, strips, tiles, planar and chunky pages, no compression, PackBits, LZW,
Deflate, ZSTD and LZMA with predictors 1 to 3. It MUST skip pages with bit 0 or 2 of NewSubfileType set (thumbnails,
masks), and MUST take gray with a constant opaque alpha, and gray made RGB with equal channels, as gray. It MUST refuse

    of latents and embeddings   8 bits, signed integers, integers in raw layouts (rgba); lossy coding; an Orientation but 1;
                                an alpha beside gray, or a premultiplied alpha, that is not opaque
    of all                      NaN, infinity, pixels beyond the limits; a wrong number of channels or pages
    clipped canvases            floats all within 0..1, where at least 1 % (CLIPPED_SHARE) of the exact pixels lie beyond and
                                all of these are at the bound; without exact tensors, rgba all within 0..1, with at least
                                5 % (CUT_SHARE) of the pixels exactly 0 and as many exactly 1

Pictures have no exact tensors and MAY come back with 8 or 16 bits, gray, turned by Orientation (which is applied), or with
alpha (which is dropped and reported).

7. Files without metadata
-------------------------
A reader SHOULD accept what is plausible and MUST report what it assumed. What the caller expects decides; else three
different colour channels or integers are a picture, and float pages of 77 k rows and at least 256 columns an
embedding. Endings of the file name (before .ID and .EXT) that the prototype used decide first: _state1 _latent
_state2 _unet are latents, _textstate1 _prompt an embedding.

    one gray page       latents: a mosaic of 4 channels; embedding: a strip, prompt above negative in equal halves (only
                        the prompt, if 77 rows)
    C gray pages        latents of C channels; two pages (77 k, D): the prototype's embedding, raw, negative first
    four channels       latents, rgba
    mapped or raw       a mosaic is mapped; gray pages and strips are, unless their standard deviation is above 0.4 and they
                        leave -0.5..1.5; four channels are raw, unless their standard deviation is below 0.3 and their mean
                        within 0.3..0.7 (pages that Python tools joined)
    raw four channels   of the prototype are rescaled: standard deviation above 8 (or above 2 and a name in _state1, _latent):
                        noise times a scheduler's sigma, divided by 14.6146 or 11.0706 if that gives unit noise within 5 %,
                        else by its standard deviation; above 2: a result, times 0.18215
    state               noise, if the standard deviation is within 10 % of 1 and the correlation of horizontal neighbours
                        below 0.1; else final

8. Limits, checked before anything is allocated
-----------------------------------------------
    |pixel|                     1000 of latents and pictures, 100000 of embeddings
    one side                    65536 pixels
    pages, channels             256 pages, 128 channels of latents
    samples of all pages        2^25 of latents and embeddings, 2^28 of pictures
    tags 270 and 65000          16777216 bytes each
    tag 65001                   1073741824 bytes

Errors, all with one sentence that says what was read, what was expected, what was found, and what to do:

    TiffsdError (ValueError)
      NotTiffsd     no TIFF at all, or one that cannot be an artifact
      Truncated     empty, cut off or damaged
      BadHeader     metadata that contradicts this page
      NewerFormat   a later version of the format
      WrongKind     another kind of artifact than was asked for
      BadShape      sizes or channels that do not fit
      BadValues     pixels that cannot be latents, an embedding or a picture
      TooLarge      beyond the limits
"""

import re
from enum import StrEnum

VERSION = 1

DESCRIPTION_TAG = 270
PAGE_NAME_TAG = 285
PROFILE_TAG = 34675
RECORD_TAG = 65000
TENSORS_TAG = 65001

ID_PATTERN = re.compile(r"[0-9a-f]{8}")
PAGE_NAME = "channel {}"

PIXEL_OF_ZERO = 0.5
VALUES_PER_UNIT = 8.0  # pixel = 0.5 + x / 8: -4..4 is black..white

ROUNDING = 2.0**-20
HALF_ROUNDING = 2.0**-11
INTEGER_STEP = 1 / 65535
CLIPPED_SHARE = 0.01
CUT_SHARE = 0.05

LARGEST_PIXEL = 1000.0
LARGEST_EMBEDDING_PIXEL = 100_000.0
LARGEST_SIDE = 65_536
LARGEST_RECORD_BYTES = 16 * 2**20
LARGEST_TENSORS_BYTES = 2**30
MOST_PAGES = 256
MOST_CHANNELS = 128


class Kind(StrEnum):
    """What an artifact is."""

    LATENTS = "latents"
    EMBEDDING = "embedding"
    PICTURE = "picture"


class Layout(StrEnum):
    """How the canvas tensor lies on the page or pages."""

    MOSAIC = "mosaic"
    PAGES = "pages"
    RGBA = "rgba"
    STRIP = "strip"
    RGB = "rgb"


class State(StrEnum):
    """How far latents are."""

    NOISE = "noise"
    PARTIAL = "partial"
    FINAL = "final"


LAYOUTS = {
    Kind.LATENTS: (Layout.MOSAIC, Layout.PAGES, Layout.RGBA),
    Kind.EMBEDDING: (Layout.STRIP,),
    Kind.PICTURE: (Layout.RGB,),
}
MOST_SAMPLES = {Kind.LATENTS: 2**25, Kind.EMBEDDING: 2**25, Kind.PICTURE: 2**28}
NOUNS = {Kind.LATENTS: "latents", Kind.EMBEDDING: "an embedding", Kind.PICTURE: "a picture"}


class TiffsdError(ValueError):
    """Root of the format's errors: the file is at fault, and the text is one sentence for a person."""


class NotTiffsd(TiffsdError):
    """No TIFF at all, or one that cannot be an artifact."""


class Truncated(TiffsdError):
    """Empty, cut off or damaged."""


class BadHeader(TiffsdError):
    """Metadata that contradicts the specification."""


class NewerFormat(TiffsdError):
    """A later version of the format."""


class WrongKind(TiffsdError):
    """Another kind of artifact than was asked for."""


class BadShape(TiffsdError):
    """Sizes or channels that do not fit."""


class BadValues(TiffsdError):
    """Pixels that cannot be latents, an embedding or a picture."""


class TooLarge(TiffsdError):
    """Beyond the limits."""
