"""TIFFSD, version 1: one artifact of a latent-diffusion pipeline, in one TIFF file that people open and paint on.

MUST, SHOULD and MAY are meant as in RFC 2119. "Pixel" is a value of the canvas, "value" an element of a tensor. All
arithmetic on pixels and values, from the numbers that lie in the file on, is done in float64 and rounded to float32 once,
at the end.

1. The file
-----------
A TIFFSD file is a TIFF 6.0 file (a BigTIFF above 4 GiB). A writer MUST write: little endian; uncompressed; chunky
(never planar); one strip per page; no SubIFDs; no thumbnails. It holds three things:

    canvas          the page or pages: what people see and paint
    metadata        tags 270, 34675 and 65000
    exact tensors   tag 65001: the numbers behind the canvas, and those that cannot be painted

The tags of a page, n being its samples per pixel. Those marked 1 are on the first page only, all others on every page;
a writer MAY add further tags (resolution, Software), which say nothing.

    tag     name                        type        count   value
    256     ImageWidth                  LONG        1       1..65536
    257     ImageLength                 LONG        1       1..65536
    258     BitsPerSample               SHORT       n       32 (16 in pictures of half floats)
    259     Compression                 SHORT       1       1
    262     PhotometricInterpretation   SHORT       1       1 gray, black is 0; 2 RGB
    270     ImageDescription            ASCII       any     the essentials, section 4
    273     StripOffsets                LONG        1       (LONG8 in a BigTIFF)
    277     SamplesPerPixel             SHORT       1       n: 1; rgb 3; rgba 4
    278     RowsPerStrip                LONG        1       as ImageLength
    279     StripByteCounts             LONG        1       (LONG8 in a BigTIFF)
    284     PlanarConfiguration         SHORT       1       1; absent where n is 1
    285     PageName                    ASCII       any     "channel K", layout pages only
    338     ExtraSamples                SHORT       1       2, layout rgba only
    339     SampleFormat                SHORT       n       3, IEEE floats
    34675   InterColorProfile           UNDEFINED   any     section 3
    65000   1                           ASCII       any     the full record, section 4
    65001   1                           ASCII       any     the exact tensors, section 5; absent where there are none

2. Artifacts
------------
There are three kinds. Tensors carry the names that diffusers gives them; a batch axis is never stored.

    kind        its canvas tensor                                    other tensors it may hold
    latents     latents                                              all but picture; with prompt_embeds: "married"
    embedding   prompt_embeds and negative_prompt_embeds, one        all but picture and latents
                above the other; either may be missing
    picture     picture                                              all

    tensor                          shape       unit, range
    latents                         (C, h, w)   as the denoiser sees them: standard deviation about 1, half-done ones about
                                                sqrt(sigma^2 + 1); one value stands for 8x8 pixels of most models
    prompt_embeds                   (T, D)      output of the text encoder, usually T = 77 k rows of tokens; standard
    negative_prompt_embeds          (U, D)      deviation about 1, single values of tens or hundreds; D is that of both
    pooled_prompt_embeds            (P,)        output of the text encoder's projection, standard deviation about 1
    negative_pooled_prompt_embeds   (P,)        the same of the negative prompt
    picture                         (H, W, 3)   sRGB, 0 black, 1 white, not clamped; a reader gives float32, whatever the file holds
    mask                            (h, w)      bool or float 0..1: where 1, the picture is made anew
    masked_image_latents            (C, h, w)   the picture without what the mask covers, for models that see the mask
    image_latents, noise            (C, h, w)   of half-done latents under a mask: the picture of before, and the noise of the loop
    held_mask                       (h, w)      bool or float 0..1, of half-done latents and noise: how far the loop holds what
                                                somebody painted there on the picture; with it the next two MUST be there
    held_latents, held_noise        (C, h, w)   finished latents with that paint, and their noise, 0 where held_mask is 0: after a
                                                step the loop puts a held_latents + s held_noise back there, at the a and s of the
                                                timestep that comes next
    overlay_mask                    (H, W)      uint8: n / 255 of a pixel of the finished picture is what is decoded of latents,
                                                the rest is the picture of before; 0 is all of that, to the bit
    overlay                         (H, W, 3)   the picture of before, in sRGB: float32 as `picture`; or uint8 or uint16, which
                                                stand for n / 255 and n / 65535, divided in float32
    overlay_latents                 (C, h, w)   where there is no `overlay`: latents whose decoded picture is the one of before
    generator_state                 (n,)        uint8, as torch.Generator.get_state gives it; or of Philox 4x32-10, (32,): the bytes
                                                "philox4x32-10" and three zeros, then the seed, then how many tensors of noise
                                                were drawn by it, each 8 bytes, little-endian
    scheduler.NAME                  any         what a scheduler remembers between two steps, of any type

A reader MUST keep tensors whose names it does not know, with their types and shapes. Canvas tensors are float32; others are
of any type that safetensors and numpy share: bool, integers of 8 to 64 bits, float16, float32, float64. A writer MUST refuse
what section 8 keeps readers from reading.

Latents are stored as the denoiser sees them (multiplied by the scaling factor of the VAE, its shift applied). Initial
noise is stored as unit noise, drawn in float32 on the CPU, not yet multiplied by a scheduler's sigma. Half-done
latents of a scheduler that works on sigmas (Euler, Heun, LMS: variance sigma^2 + 1) carry that sigma in the metadata.
The states of latents:

    noise     unit noise
    partial   stopped in the middle of the loop, after `step` of `steps`
    final     denoised, or encoded from a picture
    (absent)  the metadata does not say it

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

Both formulas are evaluated in float64 and rounded once. So a value that is read from the canvas alone (the exact
tensors are gone, or it was painted) differs from what was meant by at most 2^-24 (8 f |pixel| + |x|): 1e-6 f within
black and white. A change below the threshold of section 6, 7.6e-6 f in x, is not seen as painting.

Gray pages MUST carry a linear gray ICC profile (34675): without one a paste in GIMP shifts pixels that nobody
touched. Pictures MUST carry an sRGB profile, rgba SHOULD carry a linear RGB one. The description in the profile is
"TIFFSD linear gray ID", "TIFFSD sRGB ID" or "TIFFSD linear RGB ID", ID being the artifact's id;
PhotometricInterpretation is 1 (gray) or 2 (RGB).

4. Metadata
-----------
Tag 270 (ImageDescription, on every page) is one line of ASCII JSON with the essentials; tag 65000 (type ASCII, first
page) is the full record as ASCII JSON: the essentials again, and the rest. Absent means null. No key may be named
"shape", which tifffile takes for its own. Numbers are finite.

    essential   tiffsd    the version of the format, 1; this key and the next four MUST be there
                kind      "latents" | "embedding" | "picture"
                id        8 lower-case hexadecimal digits, new for every artifact
                layout    one of section 3 for this kind
                size      latents [C, h, w]; embedding [T, U, D]; picture [H, W, 3]; each 1 or more, but one of T and U may be 0
                state     latents: "noise" | "partial" | "final"
                sigma     partial latents of a sigma-scaled scheduler: the sigma they have reached, 0..1000000
                step      how many steps are done; steps: of how many
    the rest    parent    the id of the artifact that this one was made from
                recipe    object of settings: prompt, negative_prompt, seed, width, height, model, scheduler, steps, ...
                history   list of objects, one per stage: {"stage", "id", "at", "seconds", "painted", "notes"}, and one per edit
                          without an editor: {"stage": "edit", "id", "at", "what", "with", "painted", "notes"}; "seconds" are those
                          that the stage took itself, without what it waited for a worker and for models; "painted" is how many
                          values a person painted, of a finished picture that was encoded anew how many blocks of 8x8 pixels;
                          "overlay" is true where an overlay_mask went along
                software  object: name -> version of each package; of what computed it "processor", "instruction_set" and,
                          of a CPU, "threads", as text

A reader MUST keep keys that it does not know, and MUST refuse a version above its own with a sentence that says so.
The id is found in the metadata, else in an ICC profile, as ID in one of the three descriptions of section 3 anywhere in its
first 65536 bytes (those that are 0 left out), else in the file name STEM.ID.EXT, the last one of several; no further such digit,
in a name no letter or digit, follows it ("cat.3f9a1c2e-2.tiff"). Text that is not JSON of finite numbers, or has no key
"tiffsd", is not metadata; bytes that are no UTF-8 are Windows-1252. Where 270 and 65000 name different ids, 65000 belongs to
another artifact and MUST be ignored. Else the two are joined, key by key, those of 270 first (null is absent), and what is joined
MUST be refused where a key is of the wrong type or range, an id included. The texts MAY be of type BYTE or UNDEFINED, and so MAY
65001. Text beyond ASCII is escaped (\\u732b); a prompt of a megabyte is legal.

5. Exact tensors
----------------
Tag 65001 (type ASCII, first page) is the base64 text (RFC 4648, no line breaks) of one safetensors file with all
tensors of the artifact but `picture`, and {"id": ID} in its `__metadata__`. It is ASCII because GIMP keeps ASCII tags
byte for byte and turns binary ones into decimal text. It is an aid, never a dependency: most editors drop it. White space
around it is left out. Canvas tensors in it may be floats of any size, and count as float32. A blob is ignored as a whole, and
reported, where there is no metadata, where it is damaged, has a table beyond the limits or does not carry the same id, or where
it holds tensors that section 2 keeps from its kind or of another rank than section 2 says, canvas tensors that are missing, no
finite floats or not of the `size` in the metadata, or halves of an embedding of different widths.

6. Reading an edited file
-------------------------
Let p be the pixel found, an integer n of so many bits standing for n / (2^bits - 1), and e the pixel, a float32, that section 3
gives for the exact value. Where |p - e| <= t the exact value counts, elsewhere the value that p stands for; such values are
"painted". Without exact tensors all are those that p stands for, and none is painted.

    canvas saved as                                  t
    float32, float64                                 2^-20 max(1, |p|), the rounding of editors (measured)
    float16                                          2^-20 max(1, |p|) + 2^-10 |e|: some editors round, some cut off
    uint16, uint32, or floats of any size that all   2^-20 + 0.5 / 65535; moreover p <= 0 where e <= 0 and p >= 1 where e >= 1
    lie within 0..1, less than 0.01 / 65535 from a   are not painted
    multiple of 1 / 65535 (mapped only)

Where all of 64 and more of uint16 are even or 65535 (Photoshop), they stand for ceil(n / 2) / 32768 in a canvas, and t is
2^-20 + 1 / 32768. Where others of the last row, under no curve, leave more than a quarter painted, the editor may have cut them
down: they are compared with p + 0.5 / 65535 in place of p too, and the fewer painted count.

A profile (34675 of the first page, with the signature "acsp"), gray or of colours with three equal curves, may hold another curve c
than the linear one: an editor saved in perceptual gamma. In mapped layouts p is then c(v) of what was saved, v, and t is
2^-20 max(1, |p|) + max(|c(v + r) - p|, |p - c(v - r)|), r being 0.5 / 65535 of the last row, 1 / 32768 of Photoshop's, 2^-10 |v| of
float16, and 0 of other floats. A curve (ICC.1:2022) is

    curv    of one number: a power, sign(v) |v|^g, written in steps of 2^-8; of two and more: a table, linear between its points
            (and beyond 0..1 as between its first two and last two), in steps of 2^-16; none where it descends
    para    of type 0: a power, in steps of 2^-16; of types 3 and 4: (max(a v + b, 0))^g + e from d on, else c v + f; none of others

One that lies within a step of the linear one (a power: nearer) is none. One that lies within a step (the numbers of type 3: two) of
sRGB (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045), or of a power of one decimal place, is meant to be that. With exact values
such a canvas is read by the curve as meant, as written, and without it; the fewest painted values decide, and of equals the first.
Where more than half of them (where it is read without: 9 / 10) remain painted, the file MUST be refused. Without exact values the
curve counts as meant.

A reader SHOULD undo what the file itself proves to have been done by accident, and MUST say so:

    a mosaic enlarged by a whole factor (one for both       is made small again
    sides), all pixels of each block equal
    a mosaic of floats of 32 and 64 bits without a curve,   is made small again; where it was painted, the mean of the block
    of at most 65536 pixels, enlarged by a whole factor     stands for the pixel
    of at most 8 by interpolation
    a mosaic mirrored or turned by quarters as a whole      is turned back as a whole, where one turn alone leaves at most a
    (the seven ways to lay it otherwise)                    quarter of the values painted, and 64 or more not, while the canvas
                                                            as it is leaves more than half of them, or has another shape

It was interpolated where, for each place in a block, one linear function without a constant of the 5x5 exact pixels around (else
of 7x7) gives what was found there within 2^-18, in three quarters of the blocks and more; there the exact value counts. Only blocks
with all of these pixels count to find it, and more than twice as many as the pixels. Beyond the edge the pixels of the edge are
repeated, or those within mirrored (the outermost twice, or once), or there are none and the weights within are scaled to the same
sum: whichever explains the most blocks.

Painted latents MUST NOT keep `scheduler.*`: the history belongs to the latents that were there. If pages or rgba come back
in another size, that size counts, all of it painted, `width` and `height` of the recipe follow in proportion, and a mask is
dropped with the six tensors that belong to it, and `held_*` is dropped. A mosaic or strip of any other size MUST be refused.
Where final latents are painted, `overlay_mask` is 255 for all pixels that the painted ones stand for: who paints where a mask
is black means it to be seen. Where a value of latents is painted, `held_mask` is 0: what is painted on the canvas counts there, and
is not held. A writer SHOULD NOT put `held_*` into final latents, nor into half-done ones whose loop holds nothing any more.
Pages whose PageNames are a permutation of "channel 0".."channel C-1" are put in that order, and so are those of which one
alone has another name. One page of four different samples is four pages. Of a mosaic of C channels, C pages of (h, w) are the
panels.

Further pages are layers, the first page the lowest. A layer lies where XPosition and YPosition (286 times 282, and 287 times 283,
each rounded to a whole pixel, halves to even, and 0 where one of the two is no fraction) say, from where the first page lies.
Floats of one type over a mosaic or strip are composed, one after the other, and rounded to their type: p = a above + (1 - a)
below, a being the layer's alpha; where a is 0, p is the pixel below. A reader MUST refuse a layer that is opaque over all of the
canvas and other than it, a partial alpha that is premultiplied or under another curve than the linear one, and layers of the
layout pages, unless their alpha is 0 everywhere or they are named "NAME copy" and equal to the page NAME in all samples. It MUST
refuse pages of the layout pages that lie in different places, and layers over all else.

What the file lost, `repair` takes from the original with the same id, whose kind is then expected: the same rule, with the exact
tensors and the metadata of the original. Where section 7 takes the pixels of a file without metadata for plain values, they are
compared with the original both so and as they are, and the reading with fewer painted values counts.

A reader MUST accept both byte orders, BigTIFF, strips, tiles, planar and chunky pages, no compression, PackBits, LZW,
Deflate, ZSTD and LZMA with predictors 1 to 3 (which what is not compressed does not have), and either FillOrder. It MUST skip
pages with bit 0 or 2 of NewSubfileType set (thumbnails, masks), and MUST take gray with a constant opaque alpha, and gray made
RGB with equal channels, as gray. The samples tell gray from RGB, not tag 262. A sample beside the colours is a saved selection,
and ignored, where ExtraSamples (one) calls it 0 (in rgba it is the fourth channel); a premultiplied alpha where it calls it 1;
else, or where ExtraSamples is missing, a straight alpha. It MUST refuse

    of latents and embeddings   integers of other than 16 and 32 bits; integers in raw layouts (rgba, plain values of section 7), as
                                they hold nothing beyond 0..1; lossy coding; an Orientation but 1; tag 262 but 1 and 2; an alpha
                                beside gray that is not opaque
    of all                      signed integers, for which TIFF names no white; samples of different bits; an alpha that is
                                premultiplied and not opaque; NaN, infinity, pixels beyond the limits; a wrong number of channels or
                                pages (a picture has one)
    clipped canvases            floats all within 0..1 (but those of the last row above), where at least 1 % (CLIPPED_SHARE) of the
                                exact pixels lie beyond and all of these are at the bound; without exact tensors, rgba all within
                                0..1, with at least 5 % (CUT_SHARE) of the pixels exactly 0 and as many exactly 1
    emptied rgba                pixels, at least CLIPPED_SHARE of all, that are 0 in all four channels and whose e is not, where in
                                their bounding box, painted pixels aside, these are the ones whose exact fourth value is <= 0, and
                                not all

Pictures have no exact pixels: theirs are their values, and their size counts. They MAY come back as floats of 16 to 64 bits or
with 1 to 32 bits (by BitsPerSample: 12-bit white is 4095); coded as JPEG, JPEG 2000, JPEG XL, WebP or fax; turned by Orientation
(which is applied); and with one sample beside their colours: a straight alpha a, cut to 0..1, lays them on white, p and a being
float32 then: a p + 1 - a. Their colours are

    262 is 0, 1, 2    gray of one sample or two, RGB of three or four; 1 - p where it is 0
    3                 a palette (320), of 8 bits where all its numbers are below 256, or all multiples of 256 (white is 65280)
    5                 CMYK: red (1 - c) (1 - k), and so on
    6                 YCbCr, in JPEG
    8, 9              Lab of 8 and 16 bits and floats (CIE 15), clamped to sRGB, within 2^-10

7. Files without metadata
-------------------------
With metadata the key `layout` tells how the canvas is read. Without, the pages do.

A reader SHOULD accept what is plausible and MUST report what it assumed. The first page tells the kind. Of floats, endings of
the file name (in any case of letters, before .ID and .EXT) that the prototype used decide first: _state1 _latent _state2 _unet
are latents, _textstate1 _prompt an embedding, and so is _prompt_unet, if its pages have one sample or two, 77 k rows and 256
columns or more. Other floats of that shape are an embedding, unless a picture is expected. Else what the caller expects
decides, and else three channels, equal or not, or integers are a picture, all others latents. Other numbers of pages are refused:

    one gray page       latents: a mosaic of 4 channels, of even sides; embedding: a strip, prompt above negative in equal halves
                        (one row more if uneven; only the prompt, if 77 rows)
    C gray pages        latents of C channels, 4, 8, 16 or 32; embedding, of two pages: the prototype's, raw, negative first
    four channels       latents, rgba
    mapped or raw       a mosaic is mapped; gray pages and strips are, unless their standard deviation is above 0.4 and they
                        leave -0.5..1.5; four channels are raw, unless their standard deviation is below 0.3 and their mean
                        within 0.3..0.7: then they are layout pages (that Python tools joined)
    raw four channels   of the prototype are rescaled: standard deviation above 8 and no name in _state2, _unet (or above 2 and a
                        name in _state1, _latent): noise times a scheduler's sigma, divided by 14.6146 or 11.0706, what gives
                        one nearer to 1, if that is unit noise within 5 % (within 4 / sqrt(2 n) of n values, if that is more),
                        else by its standard deviation; others above 2 (above 1.5 and a name in _state2, _unet): a result,
                        final, times 0.18215. A name in _K_unet or _K_state2, K a number, with one above 5 and a correlation
                        of horizontal neighbours below 0.5, is an output of step K of the prototype's loop, with noise left: a
                        reader MUST refuse it, since nothing says how much
    state               of all others noise, if the standard deviation is within 10 % of 1 and the correlation of horizontal
                        neighbours (the mean of their products over the variance, both from the mean of all; 1 of one column)
                        within -0.1..0.1; else final

8. Limits, checked before anything is allocated
-----------------------------------------------
    |p|                         1000 of latents and pictures, 100000 of embeddings
    sigma                       1000000
    one side                    65536 pixels
    pages, channels             256 pages, 128 channels of latents
    samples of all pages        2^25 of latents and embeddings, 2^28 of pictures
    tags of a page              4096, of a file 16384; 262144 numbers in one of them, needed or not, 524288 in those on where the
                                strips or tiles of all pages lie; ImageDepth (32997) 1
    tags 270 and 65000          2097152 bytes each, and 65536 of the marks , : [ and { outside of their texts; what nests objects
                                and lists more than 256 deep is not metadata
    tag 65001                   1073741824 bytes; 1048576 in the table at the head of its safetensors file, and 65536 marks
    strips or tiles             all that the sizes ask for, within the file, none at its byte 0 or empty, together not more than the
                                file; what is compressed at most 64 times (PackBits), 1032 times (Deflate), 2731 times (LZW)

Pages that lead back to an earlier one are refused; one that leads out of the file is the last. Tags that are not needed MAY
lead anywhere: scripts copy tag 330 (SubIFDs) and leave it dangling; a reader MUST NOT follow it.

9. Versions
-----------
`tiffsd` in the metadata is a whole number. Keys, settings, tensors and tags may be added without raising it; readers
keep what they do not know. It is raised when a reader of the version before would take wrong values from the file. A
writer writes the lowest version that says what it has to say; a reader of version N reads all versions up to N.

10. Errors
----------
All with one sentence that says what was read, what was expected, what was found, and what to do:

    TiffsdError (ValueError)
      NotTiffsd     no TIFF at all, or one that cannot be an artifact
      Truncated     empty, cut off or damaged
      BadHeader     metadata that contradicts this page
      NewerFormat   a later version of the format
      WrongKind     another kind of artifact than was asked for
      BadShape      sizes or channels that do not fit
      BadValues     pixels that cannot be latents, an embedding or a picture
      TooLarge      beyond the limits

11. A worked example
--------------------
Final latents of 4 channels of 1x1, values -4, 0, 1 and 4, id 3f9a1c2e, prompt "a cat", in layout mosaic: 1040 bytes,
32 in a line. The 18 tags stand at 000a, 12 bytes each; the essentials at 00e6 (95 bytes), the profile at 015e (368),
the record at 02ce (123), the exact tensors at 034a (173). The canvas at 0400 is 2x2: 0.0, 0.5, 0.625, 1.0. The base64
text is the length of a table (8 bytes, 104), the table {"__metadata__":{"id":"3f9a1c2e"},"latents":{"dtype":"F32",
"shape":[4,1,1],"data_offsets":[0,16]}} filled up with spaces, and four float32: -4, 0, 1, 4.

    0000  49492a00 08000000 12000001 04000100 00000200 00000101 04000100 00000200  II*.............................
    0020  00000201 03000100 00002000 00000301 03000100 00000100 00000601 03000100  .......... .....................
    0040  00000100 00000e01 02005f00 0000e600 00001101 04000100 00000004 00001501  .........._.....................
    0060  03000100 00000100 00001601 04000100 00000200 00001701 04000100 00001000  ................................
    0080  00001a01 05000100 00004601 00001b01 05000100 00004e01 00002801 03000100  ..........F...........N...(.....
    00a0  00000100 00003101 02000700 00005601 00005301 03000100 00000300 00007387  ......1.......V...S...........s.
    00c0  07007001 00005e01 0000e8fd 02007b00 0000ce02 0000e9fd 0200ad00 00004a03  ..p...^.......{...............J.
    00e0  00000000 00007b22 74696666 7364223a 312c226b 696e6422 3a226c61 74656e74  ......{"tiffsd":1,"kind":"latent
    0100  73222c22 6964223a 22336639 61316332 65222c22 6c61796f 7574223a 226d6f73  s","id":"3f9a1c2e","layout":"mos
    0120  61696322 2c227369 7a65223a 5b342c31 2c315d2c 22737461 7465223a 2266696e  aic","size":[4,1,1],"state":"fin
    0140  616c227d 00000100 00000100 00000100 00000100 00007469 66667364 00000000  al"}..................tiffsd....
    0160  01700000 00000240 00006d6e 74724752 41595859 5a2007ea 00010001 00000000  .p.....@..mntrGRAYXYZ ..........
    0180  00006163 73700000 00000000 00000000 00000000 00000000 00000000 00000000  ..acsp..........................
    01a0  00000000 f6d60001 00000000 d32d0000 00000000 00000000 00000000 00000000  .............-..................
    01c0  00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000  ................................
    01e0  00046465 73630000 00b40000 00766370 72740000 012c0000 00217774 70740000  ..desc.......vcprt...,...!wtpt..
    0200  01500000 00146b54 52430000 01640000 000c6465 73630000 00000000 001c5449  .P....kTRC...d....desc........TI
    0220  46465344 206c696e 65617220 67726179 20336639 61316332 65000000 00000000  FFSD linear gray 3f9a1c2e.......
    0240  00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000  ................................
    0260  00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000  ................................
    0280  00000000 00000000 00007465 78740000 00004e6f 20636f70 79726967 68742c20  ..........text....No copyright,
    02a0  75736520 66726565 6c790000 00005859 5a200000 00000000 f6d60001 00000000  use freely....XYZ ..............
    02c0  d32d6375 72760000 00000000 00007b22 74696666 7364223a 312c226b 696e6422  .-curv........{"tiffsd":1,"kind"
    02e0  3a226c61 74656e74 73222c22 6964223a 22336639 61316332 65222c22 6c61796f  :"latents","id":"3f9a1c2e","layo
    0300  7574223a 226d6f73 61696322 2c227369 7a65223a 5b342c31 2c315d2c 22737461  ut":"mosaic","size":[4,1,1],"sta
    0320  7465223a 2266696e 616c222c 22726563 69706522 3a7b2270 726f6d70 74223a22  te":"final","recipe":{"prompt":"
    0340  61206361 74227d7d 00006141 41414141 41414141 4237496c 39666257 56305957  a cat"}}..aAAAAAAAAAB7Il9fbWV0YW
    0360  52686447 46665879 49366579 4a705a43 4936496a 4e6d4f57 4578597a 4a6c496e  RhdGFfXyI6eyJpZCI6IjNmOWExYzJlIn
    0380  3073496d 78686447 56756448 4d694f6e 73695a48 52356347 55694f69 4a474d7a  0sImxhdGVudHMiOnsiZHR5cGUiOiJGMz
    03a0  49694c43 4a7a6147 46775a53 4936577a 51734d53 77785853 77695a47 46305956  IiLCJzaGFwZSI6WzQsMSwxXSwiZGF0YV
    03c0  39765a6d 5a7a5a58 527a496a 70624d43 77784e6c 31396653 41674943 41674941  9vZmZzZXRzIjpbMCwxNl19fSAgICAgIA
    03e0  4141674d 41414141 41414141 43415077 41416745 413d0000 00000000 00000000  AAgMAAAAAAAACAPwAAgEA=..........
    0400  00000000 0000003f 0000203f 0000803f                                      .......?.. ?...?

12. Exchange
------------
An artifact MAY be written in the forms of other programs. It is the same artifact there: it keeps its id, its record and its exact
tensors. A reader that takes such files tells them by their first bytes.

OpenEXR (version 2 of its file layout), one part of scanlines, compressed with ZIP:

    kind        channels                                  of what value
    picture     R, G, B; float, or half where asked for   linear light: that of sRGB of the value, 0 black, 1 white
    latents     "channel 0.Y" .. "channel C-1.Y", float   the pixels of layout pages (section 3): 0.5 + x / (8 f)
                Y, float                                  those of layout mosaic, where asked for
    embedding   Y, float                                  those of layout strip

    attribute        type             value
    tiffsd           string           the full record, as in tag 65000
    tiffsdTensors    string           the exact tensors, as in tag 65001; absent where there are none
    comments         string           what the channels are, for people, with the formula of the pixels
    chromaticities   chromaticities   of pictures, those of ITU-R BT.709

So latents are mapped as in a TIFF, what is painted is told by the rule of section 6, and all else stays exact: the names are those
that programs show as layers (Krita, Nuke, Blender), one gray channel each. Layout rgba is not written, which is transparency there.

The curve between light and sRGB is that of IEC 61966-2-1; below 0 it is mirrored, above 1 it goes on. Both ways in float64, rounded
once: a value v of a picture comes back within 2^-23 max(1, |v|), most values to the bit, as half floats within 2^-10.

Of OpenEXR a reader SHOULD read, and MUST report what it did:

    the picture       R, G and B without a layer, else those of the only layer that has them, else of the one named "Combined"; or
                      Y. Half, float, and uint as the number it is; scanlines and tiles, all compressions that its library knows
    alpha             colours are multiplied by it (as OpenEXR has them): laid on white, in linear light
    chromaticities    other primaries and another white are brought to those of sRGB (Bradford); the same within 0.001 are not
    windows           the picture is the display window; pixels beyond are cut, where there are none is 0
    latents           layers "channel K", "latents.K" and the like, also behind a prefix, in the order of K; without any, a gray
                      layer is a mosaic where latents are expected. Layers of Krita with an alpha of 1, and R = G = B, are gray
    no metadata       section 7; the id is found in the name

It MUST refuse deep pixels, channels of half the size (Y, RY, BY), several pictures, NaN and infinity; of latents also B44 and DWA,
PXR24 of floats, uint, and alpha that is not 1 everywhere. Before anything is allocated: windows within the sides of section 8, all
channels of all parts together at most 2^28 samples, at most 64 parts and 1024 channels, the list of pieces of pixels within the
file, and bytes of pixels that the compressed ones can hold (ZIP 1032 times, RLE 64 times).

Latents of ComfyUI (".latent") are a safetensors file:

    tensor                    shape            value
    latent_tensor             (1, C, h, w)     float32, in the units of the VAE: x / scaling factor + shift factor
    latent_format_version_0   (0)              a mark; where it is missing, values are to be divided by 0.18215 (Stable Diffusion 1)
    tiffsd.NAME               as section 2     the exact tensors, which ComfyUI ignores; `latents` in the units of section 2

    metadata                  value
    tiffsd                    the full record
    tiffsd.units              {"scaling_factor": number, "shift_factor": number}

A value of latent_tensor that is what the exact one would have been written as, within 2^-20 max(1, |value|), is the exact one, all
others are painted. Without `tiffsd.units` nothing in the file says the factor: a reader MUST NOT guess it, and takes that of the
model that is to go on with the latents. Their state is then final. A batch of several is refused; float16, bfloat16 and float64 are
read, and a frame axis of 1 is dropped. ComfyUI's `prompt` and `workflow` in the metadata are the graph that made them.
"""

import re
from enum import StrEnum

VERSION = 1
SUFFIXES = (".tif", ".tiff")

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
HALF_ROUNDING = 2.0**-10
INTEGER_STEP = 1 / 65535
CLIPPED_SHARE = 0.01
CUT_SHARE = 0.05

LARGEST_PIXEL = 1000.0
LARGEST_EMBEDDING_PIXEL = 100_000.0
LARGEST_SIGMA = 1e6
LARGEST_SIDE = 65_536
LARGEST_RECORD_BYTES = 2 * 2**20
MOST_MARKS = 2**16
MOST_NESTED = 256
LARGEST_TENSORS_BYTES = 2**30
LARGEST_TABLE_BYTES = 2**20
MOST_PAGES = 256
MOST_TAGS = 4096
MOST_TAGS_OF_ALL = 2**14
MOST_NUMBERS = 2**18
MOST_PLACES = 2**19
MOST_CHANNELS = 128


class Kind(StrEnum):
    """What an artifact is."""

    LATENTS = "latents"
    EMBEDDING = "embedding"
    PICTURE = "picture"

    @property
    def plural(self) -> str:
        """What many of them are called in a sentence."""
        return self.value if self is Kind.LATENTS else f"{self.value}s"


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
