"""The comment in EXIF data as the text that it is."""

import pytest

from daemon.pictures.comments import comment_text

PARAMETERS = "\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1"


@pytest.mark.parametrize("code", ["utf-8", "utf-16-be", "utf-16-le"])
@pytest.mark.parametrize("words", ["猫\u3000犬", "a\u00a0cat", "👩\u200d🚀", "soft\u00adware", "猫 犬"])
def test_the_blanks_and_joiners_of_all_scripts_are_text(words: str, code: str) -> None:
    for text in (words + PARAMETERS, "a " + words):
        assert comment_text(b"UNICODE\0" + text.encode(code)) == text


def test_the_name_of_the_character_code_is_no_text_in_small_letters_either() -> None:
    assert comment_text(b"Unicode\0" + f"猫{PARAMETERS}".encode("utf-16-be")) == f"猫{PARAMETERS}"
