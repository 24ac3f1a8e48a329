"""The pixels of OpenEXR files: the only import of OpenEXR, which is an extra (`exr` of pyproject.toml).

Which channels there are, and how large, `tiffsd/exr_header.py` has told before; what they mean is `tiffsd/exr_meaning.py`.
"""

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from tiffsd.exr_header import ExrPart, read_exr_header
from tiffsd.spec import NotTiffsd, Truncated

# The primaries and the white of ITU-R BT.709, which sRGB has too: x and y of red, green, blue and white.
REC_709 = (0.64, 0.33, 0.3, 0.6, 0.15, 0.06, 0.3127, 0.329)


def decode_channels(file: IO[bytes], indices: Sequence[int], *, name: str) -> Iterator[NDArray[Any]]:
    """The pixels (H, W, 1) of these channels, counted over all parts, of a file whose header was checked.

    Raises NotTiffsd where the library is not there, Truncated for damaged pixels; a malicious file may crash it.
    """
    library = _library(name)
    length = file.seek(0, io.SEEK_END)
    places = {channel.index: (number, channel.name) for number, channel in _numbered(read_exr_header(file, name, length=length))}
    file.seek(0)
    # Of a part that breaks off it prints a warning, and goes on without that part.
    with redirect_stdout(io.StringIO()) as warned:
        try:
            opened = library.File(file, separate_channels=True, num_threads=0)
            parts = {part.part_index: part.channels for part in opened.parts}
            found = [np.asarray(parts[places[index][0]][places[index][1]].pixels) for index in indices]
        # The library raises RuntimeError, ValueError and others of pybind11.
        except (RuntimeError, ValueError, KeyError, IndexError, TypeError, OSError) as error:
            why = warned.getvalue().rpartition(" - ")[2] or str(error)
            detail = " ".join(why.split())[:120] or type(error).__name__
            raise Truncated(f"{name} is damaged or incomplete ({detail}); copy or export it again from the original") from error
    for pixels in found:
        yield pixels[..., np.newaxis]


def write_channels(target: IO[bytes], channels: Mapping[str, NDArray[Any]], texts: Mapping[str, str], *, coloured: bool) -> None:
    """Write planes (H, W) of float32 or float16 as the channels of one part, losslessly compressed, with texts as attributes.

    `coloured` says that red, green and blue are those of sRGB. Raises NotTiffsd where the library is not there.
    """
    library = _library("an OpenEXR file")
    header: dict[str, Any] = {"compression": library.ZIP_COMPRESSION, "type": library.scanlineimage, **texts}
    if coloured:
        header["chromaticities"] = REC_709
    made = io.BytesIO()
    library.File(header, {name: np.ascontiguousarray(plane) for name, plane in channels.items()}, num_threads=0).write(made)
    target.write(made.getbuffer())


def _numbered(parts: Sequence[ExrPart]) -> Iterator[tuple[int, Any]]:
    for number, part in enumerate(parts):
        for channel in part.channels:
            yield number, channel


def _library(name: str) -> Any:
    try:
        import OpenEXR
    except ImportError as error:
        raise NotTiffsd(
            f"{name}: OpenEXR files need the package OpenEXR (pip install OpenEXR); or save it as TIFF, 32-bit float"
        ) from error
    return OpenEXR
