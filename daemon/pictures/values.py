"""The digest of a picture's values, which tells whether a TIFF was edited since it was written."""

import hashlib

import numpy as np
from numpy.typing import NDArray


def values_digest(picture: NDArray[np.floating]) -> str:
    """SHA-256 of the values of a TIFF's picture, as float32 with the least significant byte first, in hexadecimal."""
    return hashlib.sha256(np.ascontiguousarray(picture, "<f4").data).hexdigest()
