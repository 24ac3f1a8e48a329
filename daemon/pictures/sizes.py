"""How large a picture may be, asked before anything of it is decoded, and how long its words."""

from daemon.errors import InputError

# A record in JSON has the prompt and the negative one, each character escaped as 12 at most, and some history.
SPARE_CHARACTERS = 64 * 1024
CHARACTERS_PER_CHARACTER = 24
LONGEST_RECORD = 2**20
# Latents have one value for 8x8 pixels in each of 32 channels at most.
PIXELS_PER_VALUE = 2
# As text: half-done latents with the memory of their scheduler, and the embedding of a long prompt.
BYTES_OF_TENSORS_PER_PIXEL = 8
LEAST_BYTES_OF_TENSORS = 2**25
# Both halves of the longest that models take, such as 512 tokens of 4096, or 1000 of 2048.
LARGEST_EMBEDDING = 2**22


def check_size(width: int, height: int, name: str, limit: int) -> None:
    """Refuse a picture of more than `limit` pixels with InputError."""
    if width * height > limit:
        raise InputError(
            f"{name}: {width}x{height} is more than {limit} pixels (limits.pixels in config.yaml); make the picture smaller"
        )


def longest_record(characters: int) -> int:
    """How many characters the exact recipe in a picture may have where prompts may have so many."""
    return min(SPARE_CHARACTERS + CHARACTERS_PER_CHARACTER * characters, LONGEST_RECORD)


def largest_latents(limit: int) -> int:
    """How many pixels the canvas of latents may have where pictures may have so many."""
    return max(limit // PIXELS_PER_VALUE, 1)


def largest_tensors(limit: int) -> int:
    """How many bytes of text the exact tensors of an artifact may have where pictures may have so many pixels."""
    return max(BYTES_OF_TENSORS_PER_PIXEL * limit, LEAST_BYTES_OF_TENSORS)
