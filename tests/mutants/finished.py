"""Faults in paint on finished pictures: paint that nobody finds, pictures that change where nobody painted."""

from tests.mutants.mutant import Mutant

FINISHED = "daemon/jobs/intake/finished.py"
COMPARING = "daemon/pictures/comparing.py"
ENCODE = "daemon/stages/encode.py"
T = "tests/jobs/test_finished.py"
TO_THE_BIT = f"{T}::test_beyond_the_paint_and_its_edge_the_picture_is_the_old_one_to_the_bit"

MUTANTS = (
    Mutant(
        "what was painted on a finished picture fades into it over a longer way",
        FINISHED,
        "SOFT_EDGE = 8\n",
        "SOFT_EDGE = 9\n",
        "tests/stages/test_late_start.py::test_the_soft_edge_is_a_ramp_of_eight_pixels",
    ),
    Mutant(
        "the picture that was painted on comes back in place of the one of before",
        ENCODE,
        "out |= overlay_of(tensors.get(FINISHED, picture), tensors[MASK])",
        "out |= overlay_of(picture, tensors[MASK])",
        TO_THE_BIT,
    ),
    Mutant(
        "the latents of a picture that was painted on are encoded anew",
        ENCODE,
        "    if paint is None:\n",
        "    if True:\n",
        f"{T}::test_the_latents_that_nobody_painted_are_those_of_the_picture",
    ),
    Mutant(
        "a picture that was painted all over is taken for paint",
        FINISHED,
        "if count / of_all > MOST_PAINTED:",
        "if False:",
        f"{T}::test_one_that_is_another_picture_by_now_is_taken_as_any_other_and_says_so",
    ),
    Mutant(
        "latents of another model go on with this one",
        FINISHED,
        "if self.paint.latents is None or made_with != {key: getattr(settings, key) for key in made_with}:",
        "if self.paint.latents is None:",
        f"{T}::test_with_another_model_all_of_it_is_encoded_anew_and_the_rest_still_comes_back",
    ),
    Mutant(
        "what a JPEG loses is taken for paint",
        COMPARING,
        "        if lossy is not None:\n",
        "        if False:\n",
        f"{T}::test_in_a_picture_that_was_only_saved_again_with_losses_nothing_is_found",
    ),
    Mutant(
        "what was painted on a JPEG is compared with what it was made from",
        COMPARING,
        '            if suffix != ".tiff":\n',
        "            if False:\n",
        f"{T}::test_paint_on_a_published_jpeg_is_found_where_a_program_decodes_it_a_little_otherwise",
    ),
    Mutant(
        "paint goes into a loop that begins before noise comes back",
        "daemon/stages/late_start.py",
        "max((step + 1 for step, share in enumerate(shares) if share < LEFT_OF_PAINT), default=0)",
        "min((step for step, share in enumerate(shares) if share >= LEFT_OF_PAINT), default=len(shares))",
        "tests/stages/test_late_start.py::test_from_where_the_loop_begins_on_paint_is_left",
    ),
)
