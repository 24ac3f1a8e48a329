"""How large a picture may be, asked before anything of it is decoded, and how long its words."""

from dataclasses import dataclass

from daemon.errors import InputError

# A photo of a phone has up to 50 million; decoding so many takes about a gigabyte.
MOST_DECODED = 2**26
# Where each array of the child's answer begins.
ALIGNED_BYTES = 64
# A record in JSON has the prompt and the negative one, each character escaped as 12 at most, and some history.
SPARE_CHARACTERS = 64 * 1024
CHARACTERS_PER_CHARACTER = 24
LONGEST_RECORD = 2**20
# Latents have one value for 8x8 pixels in each of 32 channels at most.
PIXELS_PER_VALUE = 2
# Half-done latents with the memory of their scheduler and what lies under a mask; and the picture of before, in floats, with its
# mask.
BYTES_OF_TENSORS_PER_PIXEL = 8 + 13
LEAST_TENSOR_BYTES = 2**24
# Both halves of an embedding 2048 wide; a token has three or four characters.
BYTES_OF_EMBEDDING_PER_CHARACTER = 4096
# Both halves of what models take mostly, such as 333 tokens of 4096, or 750 of 2048. Of those that are larger a file has the bytes:
# an embedding is noise, and halves at most where a program compresses it.
USUAL_EMBEDDING = 3 * 2**20
BYTES_PER_VALUE_OF_EMBEDDING = 2


def check_size(width: int, height: int, name: str, limit: int) -> None:
    """Refuse a picture of more than `limit` pixels with InputError."""
    if width * height > limit:
        raise InputError(
            f"{name}: {width}x{height} is more than {limit} pixels (limits.pixels in config.yaml); make the picture smaller"
        )


def most_decoded(limit: int) -> int:
    """How many pixels a picture may have that is made smaller before it is used, where one that is used may have so many."""
    return max(limit, MOST_DECODED)


def check_decodable(width: int, height: int, name: str, most: int) -> None:
    """Refuse a picture of more than `most` pixels, which is not even decoded to be made smaller, with InputError."""
    if width * height > most:
        raise InputError(f"{name}: {width}x{height} is more than {most} pixels, the most that is decoded; make the picture smaller")


def longest_record(characters: int) -> int:
    """How many characters the exact recipe in a picture may have where prompts may have so many."""
    return min(SPARE_CHARACTERS + CHARACTERS_PER_CHARACTER * characters, LONGEST_RECORD)


def largest_latents(limit: int) -> int:
    """How many pixels the canvas of latents may have where pictures may have so many."""
    return max(limit // PIXELS_PER_VALUE, 1)


def largest_embedding(stored: int) -> int:
    """How many pixels the canvas of an embedding may have in a file of so many bytes."""
    return max(stored // BYTES_PER_VALUE_OF_EMBEDDING, USUAL_EMBEDDING)


@dataclass(frozen=True)
class TensorLimits:
    """How many bytes of exact tensors a file may have: of an embedding, and of all others."""

    embedding: int
    others: int


def tensor_limits(pixels: int, characters: int) -> TensorLimits:
    """Those where pictures may have so many pixels, and prompts so many characters."""
    embedding = max(BYTES_OF_EMBEDDING_PER_CHARACTER * characters, LEAST_TENSOR_BYTES)
    return TensorLimits(embedding, max(BYTES_OF_TENSORS_PER_PIXEL * pixels, LEAST_TENSOR_BYTES))
