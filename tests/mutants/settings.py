"""Faults in what people say: settings that mean something else, limits that hold nothing, configurations of anybody's."""

from tests.mutants.mutant import Mutant

CHECKING = "daemon/settings/checking.py"
VALUES = "daemon/settings/values.py"
PROMPTS = "daemon/settings/prompts.py"
INFOTEXT = "daemon/settings/infotext.py"
LINES = "daemon/settings/infotext_lines.py"
YAML = "daemon/settings/plain_yaml.py"
PERMISSIONS = "daemon/settings/permissions.py"
GRAMMAR = "daemon/models/prompt_grammar.py"
FITTING = "daemon/pictures/fitting.py"
CODECS = "daemon/pictures/codecs.py"
T = "tests/settings/test_prompts.py"
CORPUS = "tests/recipes/test_corpus.py"
WORDS = "tests/settings/test_vocabulary.py"
PLAIN = "tests/settings/test_plain_yaml.py"
WEIGHTS = "tests/models/test_prompt_grammar.py"
PHOTOS = "tests/pictures/test_photos.py"
TRUSTED = "tests/settings/test_permissions.py"

MUTANTS = (
    Mutant(
        "a mask is scaled by a filter that swings over, and black is not black",
        FITTING,
        "image.resize(fit.wanted, Image.Resampling.BILINEAR, box=box)",
        "image.resize(fit.wanted, Image.Resampling.LANCZOS, box=box)",
        "tests/jobs/test_masks.py::test_what_is_black_in_a_mask_is_black_where_it_is_scaled_with_its_photo",
    ),
    Mutant(
        "the earlier layer of settings wins",
        CHECKING,
        "for layer in layers:\n        said",
        "for layer in reversed(layers):\n        said",
        f"{WORDS}::test_the_later_layer_wins_and_none_says_nothing",
    ),
    Mutant(
        "a scheduler inherits the schedule of another",
        CHECKING,
        '            laid.pop("schedule", None)',
        "            pass",
        f"{WORDS}::test_a_schedule_goes_with_the_scheduler_that_it_was_said_for",
    ),
    Mutant(
        "our own names in a recipe do not win",
        INFOTEXT,
        "if OUR_SCHEDULER in pairs:",
        "if OUR_SCHEDULER in pairs and False:",
        f"{T}::test_our_own_names_win_over_those_of_a1111",
    ),
    Mutant(
        "a setting that is not said takes the other away",
        CHECKING,
        "for key, value in layer.items() if value is not None}",
        "for key, value in layer.items()}",
        f"{WORDS}::test_the_later_layer_wins_and_none_says_nothing",
    ),
    Mutant(
        "what does not count is passed over in silence",
        CHECKING,
        "tuple(ignored(key, input_kind) for key in said if key not in kept)",
        "()",
        "tests/settings/test_reference.py::test_what_does_not_count_is_taken_out_and_named",
    ),
    Mutant(
        "sides off the grid are taken",
        VALUES,
        "if isinstance(value, int) and value % PIXELS_PER_LATENT:",
        "if False:",
        f"{WORDS}::test_a_wrong_setting_is_refused_with_file_key_and_way_out",
    ),
    Mutant(
        "a name may be a path",
        VALUES,
        r'NAME = re.compile(r"[\w][\w .+-]{0,99}")',
        r'NAME = re.compile(r"[\w./][\w .+/-]{0,99}")',
        ("tests/jobs/test_intake.py::test_what_exceeds_the_limits_or_names_what_is_not_there_is_refused",),
    ),
    Mutant(
        "stops are taken in any order",
        VALUES,
        "return sorted(set(steps)) if isinstance(value, list) else value",
        "return value",
        f"{WORDS}::test_stops_are_put_in_order_and_each_counts_once",
    ),
    Mutant(
        "two pairs are an infotext already",
        LINES,
        "return len(pairs) >= FEWEST_PAIRS and any(",
        "return len(pairs) >= 2 and any(",
        f"{T}::test_two_pairs_are_words_of_the_prompt",
    ),
    Mutant(
        "pairs without steps are an infotext",
        LINES,
        "return len(pairs) >= FEWEST_PAIRS and any(key == FIRST_KEY for key, _ in pairs)",
        "return len(pairs) >= FEWEST_PAIRS",
        f"{T}::test_pairs_without_steps_are_words_of_the_prompt",
    ),
    Mutant(
        "the infotext wins over the front matter",
        PROMPTS,
        "settings=layered(written, spoken)",
        "settings=layered(spoken, written)",
        f"{T}::test_front_matter_wins_over_an_infotext_below_it",
    ),
    Mutant(
        "a prompt as long as it likes",
        PROMPTS,
        "    if len(text) > characters:",
        "    if len(text) > characters * 10:",
        f"{T}::test_a_prompt_beyond_the_limit_is_refused",
    ),
    Mutant(
        "the schedule type of an infotext is forgotten",
        INFOTEXT,
        "return _said(paired(named.scheduler, schedule)), []",
        "return _said(named), []",
        f"{T}::test_a_sampler_means_what_it_means_in_the_program_that_wrote_it",
    ),
    Mutant(
        "the steps of hires fix count as those of the schedule",
        INFOTEXT,
        "steps = math.ceil(run / strength)",
        "steps = math.ceil(run)",
        f"{T}::test_a1111s_hires_fix_is_a_second_pass_with_as_many_steps_as_it_runs",
    ),
    Mutant(
        "a recipe of A1111 that says nothing of its noise means torch's",
        INFOTEXT,
        'if ON_THE_CPU in pairs.get("Version", "") else',
        "if True else",
        f"{T}::test_the_noise_of_a_recipe_is_that_of_its_program",
    ),
    Mutant(
        "nothing is said of noise out of a Brownian tree",
        INFOTEXT,
        "if scheduler in OF_A_TREE:",
        "if False:",
        f"{T}::test_noise_out_of_a_brownian_tree_is_said_to_be_another_here",
    ),
    Mutant(
        "an infotext says that its noise was torch's whoever drew it",
        INFOTEXT,
        '"RNG": str(recipe.get("rng") or "cpu").upper(),',
        '"RNG": "CPU",',
        f"{T}::test_how_noise_was_drawn_is_written_as_it_is_read",
    ),
    Mutant(
        "a comment that nobody labelled is a prompt",
        "daemon/settings/foreign/telling.py",
        "if record is None and has_parameters(text):",
        "if record is None:",
        f"{CORPUS}::test_no_text_that_nobody_labelled_becomes_a_prompt",
    ),
    Mutant(
        "a key of another program is passed over in silence",
        "daemon/settings/foreign/recipe.py",
        "elif key not in silent and value not in SAYS_NOTHING:",
        "elif False:",
        f"{CORPUS}::test_each_key_of_a_recipe_is_honoured_or_named",
    ),
    Mutant(
        "the texts behind the pixels of a PNG are lost",
        "daemon/pictures/png_text.py",
        'if chunk.kind == b"IEND":',
        'if chunk.kind in (b"IDAT", b"IEND"):',
        "tests/pictures/test_png_text.py::test_what_stands_behind_the_pixels_is_read_too_and_nothing_behind_the_end",
    ),
    Mutant(
        "of two decodings of a comment the first counts",
        "daemon/pictures/comments.py",
        "found = max(readings, key=_likelihood, default=None)",
        "found = next(iter(readings), None)",
        f"{CORPUS}::test_a_comment_that_is_text_in_either_order_is_that_which_is_a_recipe",
    ),
    Mutant(
        "a recipe that cannot be honoured stops its picture",
        "daemon/jobs/intake/encode.py",
        "if not own.settings:",
        "if own.settings:",
        "tests/jobs/test_foreign_recipes.py::test_a_recipe_that_cannot_be_honoured_stops_no_picture",
    ),
    Mutant(
        "a choice of words is encoded",
        GRAMMAR,
        'if "|" in found[1]]',
        "if False]",
        f"{T}::test_a_bad_prompt_is_refused_with_one_sentence",
    ),
    Mutant(
        "settings without their lines are words",
        PROMPTS,
        "if not prompt.of_recipe and (line := settings_without_fence(text)):",
        "if False and (line := settings_without_fence(text)):",
        f"{T}::test_settings_without_their_lines_are_asked_about",
    ),
    Mutant(
        "yes is a word",
        YAML,
        '"yes": True, ',
        "",
        f"{PLAIN}::test_yes_and_no_are_truths",
    ),
    Mutant(
        "brackets of a weight count 1.2 times",
        GRAMMAR,
        "HEAVIER, LIGHTER = 1.1, 1 / 1.1",
        "HEAVIER, LIGHTER = 1.2, 1 / 1.1",
        f"{WEIGHTS}::test_weights_are_those_of_a1111",
    ),
    Mutant(
        "square brackets are no lighter",
        GRAMMAR,
        'return HEAVIER if found["closing"] == ")" else LIGHTER',
        "return HEAVIER",
        f"{WEIGHTS}::test_weights_are_those_of_a1111",
    ),
    Mutant(
        "a bracket that is never closed counts nothing",
        GRAMMAR,
        "        for start in opened[bracket]:",
        "        for start in ():",
        f"{WEIGHTS}::test_weights_are_those_of_a1111",
    ),
    Mutant(
        "a backslash stays in the prompt",
        GRAMMAR,
        'pieces.append((found["escaped"], 1.0, section))',
        "pieces.append((token, 1.0, section))",
        f"{WEIGHTS}::test_any_text_can_be_said_with_backslashes",
    ),
    Mutant(
        "a LoRA that is named twice counts once",
        GRAMMAR,
        "(before[0] + text, before[1] + denoiser)",
        "(text, denoiser)",
        f"{WEIGHTS}::test_loras_are_cut_out_of_the_words",
    ),
    Mutant(
        "a schedule of words is encoded",
        GRAMMAR,
        "            if start in barred or (start in colons and",
        "            if (start in colons and",
        f"{WEIGHTS}::test_what_cannot_be_honoured_is_refused_and_not_read_as_words",
    ),
    Mutant(
        "root obeys a configuration that everybody can write",
        PERMISSIONS,
        "if mode & stat.S_IWOTH and not",
        "if False and not",
        f"{TRUSTED}::test_root_and_services_obey_no_configuration_that_everybody_can_write",
    ),
    Mutant(
        "a folder that everybody can write in is no danger where it is above another",
        PERMISSIONS,
        "for place in (real, *real.parents):",
        "for place in (real, real.parent):",
        f"{TRUSTED}::test_no_folder_above_a_configuration_may_be_everybodys",
    ),
    Mutant(
        "root obeys a configuration that lies in the spool",
        PERMISSIONS,
        "if config.spool_folder in real.parents:",
        "if False:",
        f"{TRUSTED}::test_a_configuration_in_the_spool_is_not_obeyed",
    ),
    Mutant(
        "an emptied configuration opens all gates",
        PERMISSIONS,
        "if not read_yaml(path):",
        "if False:",
        "tests/service/test_service.py::test_a_reload_while_an_editor_saves_changes_nothing",
    ),
    Mutant(
        "a photo is trimmed at one side",
        FITTING,
        "left, top = (width - fit.wanted[0]) // 2, (height - fit.wanted[1]) // 2",
        "left, top = 0, 0",
        f"{PHOTOS}::test_a_photo_is_trimmed_to_the_grid_around_its_middle",
    ),
    Mutant(
        "the other side does not keep its proportion",
        FITTING,
        "height * (asked[0] or 0) / width",
        "height",
        f"{PHOTOS}::test_one_side_that_is_asked_for_keeps_the_proportion",
    ),
    Mutant(
        "transparent parts of a photo are black",
        CODECS,
        'Image.new("RGBA", layers.size, (255, 255, 255, 255))',
        'Image.new("RGBA", layers.size, (0, 0, 0, 255))',
        f"{PHOTOS}::test_transparency_is_laid_on_white",
    ),
    Mutant(
        "a mask is cropped otherwise than its picture",
        FITTING,
        "return (width - across * scale) / 2, (height - down * scale) / 2,",
        "return 0.0, 0.0,",
        "tests/jobs/test_masks.py::test_a_mask_of_another_size_is_stretched_over_its_picture_and_that_is_said",
    ),
    Mutant(
        "what a profile says is not asked",
        CODECS,
        "decoded.profile) if decoded.profile else (plain",
        "decoded.profile) if False else (plain",
        "tests/pictures/test_colour.py::test_a_photo_in_a_wide_space_is_what_littlecms_makes_of_it",
    ),
    Mutant(
        "a mask with transparent parts is a guess",
        CODECS,
        '.getchannel("A").getextrema() != (255, 255):',
        '.getchannel("A").getextrema() == (1, 0):',
        "tests/jobs/test_masks.py::test_transparent_parts_are_refused_because_they_mean_two_things",
    ),
    Mutant(
        "a report has the arguments of hooks in it, wherever they were logged",
        "daemon/commands/bug_report.py",
        "*map(str, arguments)]",
        "]",
        "tests/commands/test_bug_report.py::test_no_secret_is_in_it_and_nobodys_home",
    ),
    Mutant(
        "a report has what stands under a secretive name in a file",
        "daemon/jobs/redacting.py",
        "if is_secretive(name) and not",
        "if False and not",
        "tests/commands/test_bug_report.py::test_no_secret_is_in_it_and_nobodys_home",
    ),
    Mutant(
        "a report is written whatever the answer is",
        "daemon/commands/bug_report.py",
        "elif yes or click.confirm(",
        "elif True or click.confirm(",
        "tests/commands/test_bug_report.py::test_it_is_shown_before_it_is_written_and_only_written_on_a_yes",
    ),
    Mutant(
        "a shell is handed a name as it is, and runs what stands in it",
        "daemon/commands/completing.py",
        'return shlex.quote(name) if os.environ.get(VARIABLE, "").startswith("bash") else name',
        "return name",
        "tests/commands/test_completing.py::test_a_name_with_more_than_words_in_it_is_quoted_and_one_that_steers_is_not_offered",
    ),
)
