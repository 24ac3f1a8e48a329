"""Faults in jobs: settings that do not count, recipes that lie, hooks that do harm, patience without end."""

from tests.mutants.mutant import Mutant

INTAKE = "daemon/jobs/intake/"
RESULTS = "daemon/jobs/results.py"
RECIPES = "daemon/jobs/recipes.py"
REQUEST = "daemon/jobs/request.py"
PATIENCE = "daemon/jobs/retry_budget.py"
HOOKS = "daemon/jobs/hooks.py"
PROBE = "daemon/jobs/probe.py"
BATCHING = "daemon/jobs/batching.py"
T = "tests/jobs/test_intake.py"
HOOKED = "tests/jobs/test_hooks.py"
PATIENT = "tests/jobs/test_retry_budget.py"
PHOTOS = "tests/pictures/test_photos.py"

MUTANTS = (
    Mutant(
        "inverted noise does not say the scheduler that it was found for",
        RESULTS,
        'chosen = {key: value for key, value in facts.items() if key in ("scheduler", "schedule", "eta")}',
        "chosen = {}",
        "tests/jobs/test_inverted_noise.py",
    ),
    Mutant(
        "a picture of an earlier version is made again as this one makes it",
        RECIPES,
        'settings = {**as_made_by(record["software"].get(SOFTWARE)), **settings}',
        "settings = {**settings}",
        "tests/jobs/test_kept_pictures.py::test_a_picture_of_an_earlier_version_is_made_again_to_the_bit_and_says_how[sd1]",
    ),
    Mutant(
        "latents of an earlier version go on as this one would have begun them",
        INTAKE + "files.py",
        "as_made = as_made_by(header.software.get(SOFTWARE)) if looped else {}",
        "as_made: dict[str, Any] = {}",
        "tests/jobs/test_kept_pictures.py::test_half_done_and_finished_latents_of_an_earlier_version_go_on_as_they_began",
    ),
    Mutant(
        "the prompt wins over the settings file beside it",
        INTAKE + "files.py",
        "spoken = layered(spoken, said)",
        "spoken = layered(said, spoken)",
        "tests/jobs/test_intake.py::test_settings_beside_latents_win_over_the_prompt_beside_them",
    ),
    Mutant(
        "the record of an artifact wins over the settings file",
        INTAKE + "diffuse.py",
        "layered(recipe_settings_for_next_loop(artifact), beside, size_of(artifact))",
        "layered(beside, recipe_settings_for_next_loop(artifact), size_of(artifact))",
        f"{T}::test_the_settings_file_wins_over_the_artifacts_own_record",
    ),
    Mutant(
        "the defaults win over what was given",
        INTAKE + "resolving.py",
        'layered(config.defaults_for(given.get("model")), given)',
        'layered(given, config.defaults_for(given.get("model")))',
        f"{T}::test_the_settings_file_wins_over_the_prompt_and_the_prompt_over_the_configuration",
    ),
    Mutant(
        "the settings of the command line count last",
        INTAKE + "files.py",
        "spoken = layered(spoken, files.overrides)",
        "spoken = layered(files.overrides, spoken)",
        f"{T}::test_what_is_said_on_the_command_line_wins_over_the_settings_file",
    ),
    Mutant(
        "more pixels than the limit are computed",
        INTAKE + "resolving.py",
        "if (settings.width or 0) * (settings.height or 0) > limits.pixels:",
        "if max(settings.width or 0, settings.height or 0) > limits.pixels:",
        f"{T}::test_what_exceeds_the_limits_or_names_what_is_not_there_is_refused",
    ),
    Mutant(
        "more steps than the limit are computed",
        INTAKE + "resolving.py",
        '("steps", limits.steps), ',
        "",
        f"{T}::test_what_exceeds_the_limits_or_names_what_is_not_there_is_refused",
    ),
    Mutant(
        "what does nothing is not recorded",
        INTAKE + "resolving.py",
        "REGISTRY[key].neutral if values[key] is None else values[key]",
        "values[key]",
        f"{T}::test_what_does_nothing_is_recorded_so_that_other_defaults_do_not_change_the_recipe",
    ),
    Mutant(
        "what a stage has used up travels on",
        INTAKE + "resolving.py",
        "if key not in REGISTRY or stage not in REGISTRY[key].used_up}",
        "if True}",
        f"{T}::test_what_the_text_stage_uses_up_does_not_travel_on_and_the_rest_does",
    ),
    Mutant(
        "each job without a seed has the same",
        INTAKE + "resolving.py",
        "secrets.randbelow(2**32)",
        "7",
        f"{T}::test_a_seed_is_drawn_and_recorded_where_none_is_given",
    ),
    Mutant(
        "the influence of the latents counts at every loop",
        INTAKE + "diffuse.py",
        'said.pop("latent_influence", None)',
        "pass",
        f"{T}::test_the_influence_of_the_latents_is_used_up_by_a_loop_and_counts_where_it_is_said_anew",
    ),
    Mutant(
        "a further mask closes what one of before had opened",
        INTAKE + "overlays.py",
        "return new if unused or new.shape != levels.shape else",
        "return new if True else",
        "tests/jobs/test_overlays.py::test_a_mask_instead_of_one_that_did_nothing_yet_counts_alone_and_a_further_one_too",
    ),
    Mutant(
        "the picture of before is lost in the loop",
        RESULTS,
        "    carried = {**embedding_of(request.tensors), **overlay_of(request.tensors)}\n    together",
        "    carried = embedding_of(request.tensors)\n    together",
        "tests/jobs/test_overlays.py::test_outside_of_a_hard_mask_every_family_gives_the_picture_back_to_the_bit[sd1]",
    ),
    Mutant(
        "a saved embedding stays in the recipe of other words",
        INTAKE + "diffuse.py",
        'recipe.pop("embedding", None)',
        "pass",
        f"{T}::test_a_saved_embedding_is_forgotten_where_other_words_are_encoded",
    ),
    Mutant(
        "all pictures of a prompt have one seed",
        RESULTS,
        "recipe = seeded(request.recipe, index)",
        "recipe = seeded(request.recipe, 0)",
        "tests/jobs/test_results.py::test_each_picture_of_a_prompt_says_its_own_seed",
    ),
    Mutant(
        "the original of an artifact is not kept",
        RESULTS,
        '        Output(Publication(f"keep-{artifact.header.id}.tiff", KEEP, name), write),\n',
        "",
        "tests/jobs/test_results.py::test_the_original_is_kept_before_its_artifact_can_be_edited",
    ),
    Mutant(
        "hold in a prompt opens the gate",
        RESULTS,
        "if hold or target in held or",
        "if hold or",
        "tests/jobs/test_results.py::test_a_gate_is_closed_by_the_configuration_or_by_the_prompt",
    ),
    Mutant(
        "the gate of the configuration stays open",
        RESULTS,
        "context.gated(target) else INBOX",
        "False else INBOX",
        "tests/jobs/test_results.py::test_a_gate_is_closed_by_the_configuration_or_by_the_prompt",
    ),
    Mutant(
        "painting is not told in the history",
        RESULTS,
        "if request.source and request.source.painted:",
        "if False:",
        "tests/jobs/test_results.py::test_what_was_painted_stands_in_the_history",
    ),
    Mutant(
        "a recipe of edited latents says that it repeats them",
        RECIPES,
        'if entry.get("painted") and entry.get("stage") != "edit"]',
        "if False]",
        f"{PHOTOS}::test_a_hand_edited_picture_says_what_its_recipe_cannot_repeat",
    ),
    Mutant(
        "a picture that was painted on says that its recipe makes it",
        RECIPES,
        "return () if written is None or written == words.pixels else (SAVED_AGAIN,)",
        "return ()",
        "tests/pictures/test_files.py::test_a_picture_that_was_painted_on_and_kept_its_texts_says_so",
    ),
    Mutant(
        "a model that only another machine has fails the recipe",
        RECIPES,
        "if key in settings and key in prompt.of_recipe and settings[key] not in known:",
        "if False:",
        f"{PHOTOS}::test_an_infotext_from_elsewhere_runs_without_the_model_it_names",
    ),
    Mutant(
        "of a job of several seeds all have the first",
        REQUEST,
        "seeded(settings.given(), index) for index in",
        "seeded(settings.given(), 0) for index in",
        f"{T}::test_count_makes_a_row_of_seeds",
    ),
    Mutant(
        "a file that never fits is tried for ever",
        PATIENCE,
        "if tries >= most:",
        "if False:",
        f"{PATIENT}::test_for_lack_of_memory_a_file_waits_longer_each_time_and_is_given_up_with_the_figure",
    ),
    Mutant(
        "each try waits as long as the first",
        PATIENCE,
        "WAIT_SECONDS * 2 ** (tries - 1)",
        "WAIT_SECONDS",
        f"{PATIENT}::test_for_lack_of_memory_a_file_waits_longer_each_time_and_is_given_up_with_the_figure",
    ),
    Mutant(
        "a file that a person put back is given up at once",
        PATIENCE,
        "        if tries < most:",
        "        if True:",
        f"{PATIENT}::test_the_tries_of_a_file_that_is_saved_again_or_put_back_after_it_failed_begin_anew",
    ),
    Mutant(
        "one file without memory stops its stage",
        PATIENCE,
        "return len(short) >= SHORT_FILES",
        "return True",
        f"{PATIENT}::test_different_files_without_memory_in_a_row_let_their_stage_rest_and_one_that_is_done_ends_that",
    ),
    Mutant(
        "a hook gets the file itself",
        HOOKS,
        '"TIFFSD_FILE": str(copy or ""),',
        '"TIFFSD_FILE": str(event.place),',
        f"{HOOKED}::test_a_hook_that_ruins_its_copy_does_not_touch_the_file",
    ),
    Mutant(
        "a hook that hangs is only asked to end",
        HOOKS,
        "os.killpg(process.pid, signal.SIGKILL)",
        "os.kill(process.pid, signal.SIGKILL)",
        f"{HOOKED}::test_a_hook_that_hangs_is_killed_with_all_that_it_started",
    ),
    Mutant(
        "a hook speaks to systemd for the daemon",
        HOOKS,
        "if name not in NOT_PASSED_ON}",
        "if True}",
        f"{HOOKED}::test_a_hook_cannot_speak_to_systemd_for_the_daemon",
    ),
    Mutant(
        "the sentence of a failure has many lines for a hook",
        HOOKS,
        '"TIFFSD_REASON": shown(event.reason),',
        '"TIFFSD_REASON": event.reason,',
        f"{HOOKED}::test_names_and_paths_are_told_to_the_byte_and_the_sentence_as_one_line",
    ),
    Mutant(
        "a failure of a hook is complained of for ever",
        HOOKS,
        "self._failures.pop(kind, None)",
        "pass",
        f"{HOOKED}::test_a_failure_is_forgotten_when_the_hook_succeeds_again",
    ),
    Mutant(
        "what a hook says fills memory",
        HOOKS,
        "tail = (tail + chunk)[-TAIL_BYTES:]",
        "tail = (tail + chunk)[:TAIL_BYTES]",
        f"{HOOKED}::test_of_a_hook_that_talks_without_end_only_the_last_words_are_kept",
    ),
    Mutant(
        "a file that the job would refuse for its size is read",
        PROBE,
        "            if size > most:",
        "            if False:",
        "tests/jobs/test_probe.py::test_a_file_that_the_job_would_refuse_for_its_size_is_not_read",
    ),
    Mutant(
        "a file that was saved anew keeps its old priority",
        PROBE,
        "(extension, st.st_dev, st.st_ino, st.st_size, st.st_mtime_ns, st.st_ctime_ns)",
        "(extension, st.st_dev, st.st_ino, 0, 0, 0)",
        "tests/jobs/test_probe.py::test_each_version_of_a_file_is_parsed_once",
    ),
    Mutant(
        "latents under a mask run in a batch",
        BATCHING,
        'if "mask" in call.tensors or',
        "if",
        "tests/jobs/test_batching.py::test_latents_under_a_mask_run_alone",
    ),
    Mutant(
        "a person who takes the folder away cancels every job",
        "daemon/beneath.py",
        "isinstance(error, FileNotFoundError) and not isinstance(error, FolderMissing)",
        "True",
        "tests/jobs/test_running.py::test_a_folder_that_is_away_is_no_wish",
    ),
)
