"""Faults in the file format: what was painted is lost, what was not painted is changed, what is kept is not given back."""

from tests.mutants.mutant import Mutant

CANVAS = "tiffsd/canvas.py"
ARTIFACT = "tiffsd/artifact.py"
EDIT = "tiffsd/edit.py"
PIXELS = "tiffsd/pixels.py"
PROTOTYPE = "tiffsd/prototype.py"
T = "tests/tiffsd/test_canvas.py"
EDITS = "tests/tiffsd/test_edit.py"
ORIGINALS = "tests/jobs/test_originals.py"

MUTANTS = (
    Mutant(
        "the record of the kept original counts before the one that survived",
        ARTIFACT,
        "if mine.id == kept.id and (mine.recipe or not kept.recipe):",
        "if mine.id == kept.id and not kept.recipe:",
        f"{ORIGINALS}::test_a_record_that_survived_counts_before_that_of_the_kept_original",
    ),
    Mutant(
        "the tolerance for 16-bit canvases is doubled",
        CANVAS,
        "ROUNDING + canvas.step / 2)",
        "ROUNDING + canvas.step)",
        f"{T}::test_one_step_of_sixteen_bits_is_painting",
    ),
    Mutant(
        "the tolerance for 16-bit canvases is halved",
        CANVAS,
        "ROUNDING + canvas.step / 2)",
        "ROUNDING + canvas.step / 4)",
        f"{T}::test_sixteen_bit_steps_leave_untouched_values_exact_also_beyond_black_and_white",
    ),
    Mutant(
        "the rounding of editors is painting",
        CANVAS,
        "tolerance = ROUNDING * np.maximum(1, np.abs(pixels))",
        "tolerance = ROUNDING * np.minimum(1, np.abs(pixels))",
        f"{T}::test_the_rounding_of_editors_is_no_painting",
    ),
    Mutant(
        "ties of halves are painting",
        CANVAS,
        "tolerance += HALF_ROUNDING * np.abs(expected)",
        "tolerance += HALF_ROUNDING * 0.75 * np.abs(expected)",
        f"{T}::test_ties_of_half_floats_are_no_painting",
    ),
    Mutant(
        "what lies beyond black and white is lost in 16 bits",
        CANVAS,
        "untouched |= _beyond(pixels, expected)",
        "pass",
        f"{T}::test_sixteen_bit_steps_leave_untouched_values_exact_also_beyond_black_and_white",
    ),
    Mutant(
        "painting white over what is nearly white is not noticed",
        CANVAS,
        "((pixels >= 1) & (expected >= 1))",
        "((pixels >= 1) & (expected >= 0.9))",
        f"{T}::test_painting_white_in_sixteen_bits_is_painting_where_it_was_not_white",
    ),
    Mutant(
        "painted values are read twice as far from gray",
        CANVAS,
        "(wide - zero) * unit)",
        "(wide - zero) * unit * 2)",
        f"{T}::test_painted_pixels_count_and_all_others_are_exact",
    ),
    Mutant(
        "painted values are dropped for exact ones",
        CANVAS,
        "np.where(untouched, exact, from_pixels(pixels, header))",
        "np.where(untouched, exact, exact)",
        f"{T}::test_painted_pixels_count_and_all_others_are_exact",
    ),
    Mutant(
        "the canvas of half-done latents is not scaled by sigma",
        CANVAS,
        "float(np.sqrt(header.sigma**2 + 1))",
        "float(np.sqrt(header.sigma**0))",
        f"{T}::test_half_done_latents_are_painted_with_about_unit_variance",
    ),
    Mutant(
        "channels of a mosaic lie in columns",
        CANVAS,
        "pixels.reshape(rows, columns, height, width).transpose(0, 2, 1, 3)",
        "pixels.reshape(columns, rows, height, width).transpose(1, 2, 0, 3)",
        f"{T}::test_channels_lie_in_reading_order",
        (
            (
                CANVAS,
                "planes.reshape(rows, height, columns, width).transpose(0, 2, 1, 3)",
                "planes.reshape(rows, height, columns, width).transpose(2, 0, 1, 3)",
            ),
        ),
    ),
    Mutant(
        "a canvas that an editor clipped is believed",
        CANVAS,
        "if outside.mean() >= CLIPPED_SHARE and",
        "if outside.mean() >= 2 and",
        f"{T}::test_floats_that_an_editor_clipped_are_refused",
    ),
    Mutant(
        "pixels that are not numbers are believed",
        CANVAS,
        "if not np.isfinite([lowest, highest]).all():",
        "if np.isinf([lowest, highest]).all():",
        f"{T}::test_impossible_pixels_are_refused",
    ),
    Mutant(
        "the recipe of cropped pages keeps the old size",
        CANVAS,
        "recipe[key] = recipe[key] * new // old",
        "recipe[key] = recipe[key] * 1",
        f"{T}::test_cropped_pages_have_the_new_size_and_the_recipe_follows",
    ),
    Mutant(
        "the scheduler's memory stays with painted latents",
        ARTIFACT,
        "if key.startswith(HISTORY_PREFIX)]",
        "if key.startswith(HISTORY_PREFIX) and False]",
        "tests/tiffsd/test_saved_again.py::test_painting_in_place_keeps_the_rest_of_a_married_file",
    ),
    Mutant(
        "the exact tensors of another artifact are believed",
        "tiffsd/exact.py",
        "if owner != artifact_id:",
        "if owner is None:",
        "tests/tiffsd/test_exact.py::test_tensors_of_another_artifact_are_not_believed",
    ),
    Mutant(
        "exact tensors of another size are believed",
        "tiffsd/exact.py",
        "if size_of(tensors, header.kind) != header.size:",
        "if False:",
        "tests/tiffsd/test_damage.py::test_exact_tensors_that_contradict_each_other_are_ignored_and_said",
    ),
    Mutant(
        "premultiplied pictures are read",
        PIXELS,
        "if page.premultiplied and not _opaque(page.pixels[..., 3]):",
        "if False:",
        "tests/tiffsd/test_refusals.py::test_bad_latents_are_refused_with_a_sentence",
    ),
    Mutant(
        "pages that an editor reordered stay so",
        PIXELS,
        "if len(planes) == 1 or sorted",
        "if True or sorted",
        "tests/tiffsd/test_saved_again.py::test_pages_that_were_reordered_are_put_back_by_their_names",
    ),
    Mutant(
        "a photo on its side stays so",
        PIXELS,
        "if orientation in (5, 6, 7, 8)",
        "if orientation in (5, 7)",
        "tests/tiffsd/test_file.py::test_a_photo_is_turned_upright",
    ),
    Mutant(
        "a newer version of the format is read",
        "tiffsd/header.py",
        "if version > VERSION:",
        "if version > VERSION + 1:",
        "tests/tiffsd/test_header.py::test_a_newer_version_is_refused_with_a_sentence_that_says_so",
    ),
    Mutant(
        "unknown keys are lost",
        "tiffsd/header.py",
        "if key not in (*ESSENTIALS, *REST)}",
        "if False}",
        "tests/tiffsd/test_header.py::test_unknown_keys_are_kept",
    ),
    Mutant(
        "the prototype's embedding is read with its negative last",
        PROTOTYPE,
        '{"prompt_embeds": pages[1], "negative_prompt_embeds": pages[0]}',
        '{"prompt_embeds": pages[0], "negative_prompt_embeds": pages[1]}',
        "tests/tiffsd/test_prototype.py::test_the_prototypes_embedding_has_its_negative_first",
    ),
    Mutant(
        "the prototype's noise keeps its sigma",
        PROTOTYPE,
        "raw / np.float32(divisor)",
        "raw / np.float32(1)",
        "tests/tiffsd/test_prototype.py::test_noise_is_divided_by_what_gives_unit_noise",
    ),
    Mutant(
        "mixed noise is no unit noise",
        EDIT,
        "circle=both_noise)",
        "circle=False)",
        f"{EDITS}::test_mixed_noise_stays_unit_noise_and_finished_latents_are_averaged",
    ),
    Mutant(
        "what is pasted between canvases of two sigmas looks otherwise",
        EDIT,
        "np.float64(mine / other)",
        "np.float64(other / mine)",
        f"{EDITS}::test_what_is_pasted_looks_as_it_did_on_its_own_canvas",
    ),
    Mutant(
        "an edit keeps the scheduler's memory",
        EDIT,
        "if not (moved and name.startswith(HISTORY_PREFIX))}",
        "if True}",
        f"{EDITS}::test_the_schedulers_memory_goes_exactly_where_latents_change",
    ),
    Mutant(
        "other words keep the old embedding",
        EDIT,
        "if changed & set(ENCODED_BY) and artifact.married:",
        "if False:",
        f"{EDITS}::test_other_words_take_the_embedding_out_so_that_they_are_encoded",
    ),
    Mutant(
        "a file is written without being synced",
        "tiffsd/atomic.py",
        "os.fsync(file.fileno())",
        "file.fileno()",
        "tests/tiffsd/test_atomic.py::test_content_is_on_the_disk_before_the_name_and_the_name_when_it_returns",
    ),
    Mutant(
        "two originals that fit are a guess",
        "daemon/jobs/originals.py",
        "if len(agreeing) == 1:",
        "if len(agreeing) >= 1:",
        f"{ORIGINALS}::test_a_stem_that_fits_two_originals_is_no_guess_but_a_sentence",
    ),
    Mutant(
        "a namesake with other values is taken for the original",
        "daemon/jobs/originals.py",
        "repaired.painted * 2 <= canvas.size",
        "repaired.painted <= canvas.size",
        f"{ORIGINALS}::test_whatever_is_lost_comes_back",
    ),
    Mutant(
        "what was taken out of a file on purpose comes back",
        "daemon/jobs/originals.py",
        'any(entry.get("stage") != "edit" for entry in header.history):',
        "False:",
        f"{ORIGINALS}::test_what_was_taken_out_on_purpose_is_not_brought_back",
    ),
    Mutant(
        "what a program changed is not noticed",
        "daemon/jobs/originals.py",
        "if not changed:",
        "if True:",
        f"{ORIGINALS}::test_what_a_program_changed_is_noticed_under_any_name",
    ),
)
