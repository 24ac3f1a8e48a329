"""How each file under ../shared/cases/mistakes-in-editors is to end: the table of issue 18, C. A number counts painted values."""

from pathlib import Path

FOLDER = Path(__file__).resolve().parents[3] / "shared/cases/mistakes-in-editors"
FOLDERS = (FOLDER, Path("/work/shared/cases/mistakes-in-editors"))

FLATTEN, NO_TIFF, EIGHT_BITS = "flatten the image", "is not a TIFF file but", "has 8-bit whole numbers"

# The part of the note that says what was done, or "" where nothing was; of a refusal the part of its sentence.
ENDINGS: dict[str, tuple[int | None, str]] = {
    "mosaic/alpha.2cbb14ef.tiff": (9, ""),
    "mosaic/alphahole.2cbb14ef.tiff": (None, FLATTEN),
    "mosaic/alphaholeflat.2cbb14ef.tiff": (25, ""),  # the hole is 4 x 4
    "mosaic/crop.2cbb14ef.tiff": (None, "cannot be cropped"),
    "mosaic/exr.2cbb14ef.exr": (9, ""),
    "mosaic/f16lin.2cbb14ef.tiff": (9, "16-bit floats"),
    "mosaic/f32gamma.2cbb14ef.tiff": (9, "another tone curve (gamma)"),
    "mosaic/f64.2cbb14ef.tiff": (9, ""),
    "mosaic/flip.2cbb14ef.tiff": (9, "mirrored from left to right"),
    "mosaic/jpg.2cbb14ef.jpg": (None, f"{NO_TIFF} a JPEG picture"),
    "mosaic/merged.2cbb14ef.tiff": (18, ""),
    "mosaic/png.2cbb14ef.png": (None, f"{NO_TIFF} a PNG picture"),
    "mosaic/psd.2cbb14ef.psd": (None, f"{NO_TIFF} a Photoshop document"),
    "mosaic/resave.2cbb14ef.tiff": (0, ""),
    "mosaic/rgb.2cbb14ef.tiff": (9, ""),
    "mosaic/rot90.2cbb14ef.tiff": (9, "turned by 90 degrees to the right"),
    "mosaic/scale2.2cbb14ef.tiff": (49, "enlarged 2 times with interpolation"),  # 7 x 7, where the white reaches
    "mosaic/scale31.2cbb14ef.tiff": (None, "cannot be cropped or resized"),
    "mosaic/twolayers.2cbb14ef.tiff": (18, "the layer 'Layer' was laid over the canvas"),
    "mosaic/u16lin.2cbb14ef.tiff": (9, "16-bit steps"),
    "mosaic/u32g.2cbb14ef.tiff": (9, "another tone curve (gamma)"),
    "mosaic/u8g.2cbb14ef.tiff": (None, EIGHT_BITS),
    "mosaic/u8lin.2cbb14ef.tiff": (None, EIGHT_BITS),
    "mosaic/xcf.2cbb14ef.xcf": (None, f"{NO_TIFF} a GIMP document"),
    "other-programs/dup_layer.2cbb14ef.tiff": (None, FLATTEN),
    "other-programs/ijstack.2cbb14ef.tif": (9, "4 pages were taken as the panels of the mosaic"),
    "other-programs/miniswhite.2cbb14ef.tiff": (None, "colours of type MINISWHITE"),
    "other-programs/ome.2cbb14ef.ome.tif": (9, ""),
    "other-programs/ps15bit.2cbb14ef.tiff": (9, "15-bit steps"),
    "other-programs/ps16_gamma22.2cbb14ef.tiff": (9, "another tone curve (gamma)"),
    "other-programs/ps_planar.2cbb14ef.tiff": (9, ""),
    "other-programs/ps_zip3.2cbb14ef.tiff": (9, ""),
    "other-programs/rgb_alpha.2cbb14ef.tiff": (9, ""),
    "other-programs/up8.2cbb14ef.tiff": (9, "enlarged 8 times"),
    "pages/canvas.6c3dd56f.tiff": (0, ""),
    "pages/crop.6c3dd56f.tiff": (512, "the size is now"),
    "pages/cropodd.6c3dd56f.tiff": (468, "the size is now"),
    "pages/dup.6c3dd56f.tiff": (0, "'channel 3 copy' repeats a channel"),
    "pages/flip.6c3dd56f.tiff": (1024, ""),  # every channel alike, which mirrors the picture
    "pages/gamma.6c3dd56f.tiff": (0, "another tone curve (gamma)"),
    "pages/moved.6c3dd56f.tiff": (None, "'channel 3' that was moved by +3 to the right and +2 down"),
    "pages/newlayer.6c3dd56f.tiff": (0, "'Layer' is empty"),
    "pages/opacity.6c3dd56f.tiff": (0, ""),  # GIMP writes the opacity of a layer nowhere
    "pages/renamed_reordered.6c3dd56f.tiff": (0, "'my face channel' was taken as channel 3"),
    "pages/three.6c3dd56f.tiff": (None, "has 3 planes"),
    "pages/uneq.6c3dd56f.tiff": (None, "pages of different sizes"),
}


def folder() -> Path | None:
    """Where the cases lie, beside the checkout or at their usual place; None where they do not."""
    return next((found for found in FOLDERS if found.is_dir()), None)
