"""Faults in the stages: other noise, other steps, and things that were dropped without a word."""

from tests.mutants.mutant import Mutant

DIFFUSE, BEGINNING = "daemon/stages/diffuse.py", "daemon/stages/beginning.py"
TEXT = "daemon/stages/text.py"
LOOP, HOLDING = "daemon/stages/loop.py", "daemon/stages/holding.py"
CONDITIONS = "daemon/stages/conditions.py"
T = "tests/stages/test_stages.py"
RESUMED, HELD = "tests/stages/test_resume.py", "tests/stages/test_holding.py"
FROM_A_PICTURE = "tests/models/test_families.py::test_image_to_image_is_bit_equal_to_the_pipeline"

MUTANTS = (
    Mutant(
        "random numbers of a lost state begin with the noise again",
        DIFFUSE,
        '    if state != "final":\n        seeding.first(',
        '    if state == "final":\n        seeding.first(',
        f"{T}::test_guidance_rescale_eta_and_no_guidance_are_those_of_the_pipeline",
    ),
    Mutant(
        "painted latents go on with the memory of those of before",
        BEGINNING,
        '    if settings.get("painted"):\n        notes.append(f"the latents were painted on, so',
        '    if False:\n        notes.append(f"the latents were painted on, so',
        f"{RESUMED}::test_painted_latents_drop_the_history_and_say_so",
    ),
    Mutant(
        "half-done latents go on with another scheduler",
        BEGINNING,
        "if (record.scheduler, record.schedule, record.steps) != (chosen.name, chosen.schedule, loop.steps):",
        "if (record.schedule, record.steps) != (chosen.schedule, loop.steps):",
        f"{RESUMED}::test_half_done_latents_go_on_with_their_own_scheduler_only",
    ),
    Mutant(
        "half-done latents go on in other steps",
        BEGINNING,
        "if (record.scheduler, record.schedule, record.steps) != (chosen.name, chosen.schedule, loop.steps):",
        "if (record.scheduler, record.schedule) != (chosen.name, chosen.schedule):",
        f"{RESUMED}::test_half_done_latents_go_on_in_as_many_steps_only",
    ),
    Mutant(
        "half-done latents go on over another schedule",
        BEGINNING,
        "if (record.scheduler, record.schedule, record.steps) != (chosen.name, chosen.schedule, loop.steps):",
        "if (record.scheduler, record.steps) != (chosen.name, loop.steps):",
        "tests/stages/test_schedules.py::test_half_done_latents_go_on_over_their_own_schedule_only",
    ),
    Mutant(
        "full strength under a mask begins with the picture",
        DIFFUSE,
        'anew = masked and settings.get("strength") == 1.0',
        "anew = False",
        "tests/stages/test_inpainting.py::test_it_is_bit_equal_to_the_pipelines_of_each_family[sd1-euler-1.0]",
    ),
    Mutant(
        "all pictures of a prompt have one noise",
        TEXT,
        "generators = [seeding.generator() for seeding in seedings]",
        "generators = [seedings[0].generator() for seeding in seedings]",
        f"{T}::test_each_seed_of_a_prompt_has_noise_of_its_own_and_the_same_as_alone",
    ),
    Mutant(
        "an empty negative prompt is never zeros",
        TEXT,
        'zeros = not prompts["negative_prompt"] and',
        "zeros = False and",
        "tests/models/test_families.py::test_an_empty_negative_prompt_is_what_the_model_was_trained_with",
    ),
    Mutant(
        "clip_skip counts one layer more",
        TEXT,
        'clip_skip = int(settings.get("clip_skip") or ONE_LAYER)',
        'clip_skip = int(settings.get("clip_skip") or ONE_LAYER) + 1',
        "tests/models/test_families.py::test_clip_skip_counts_from_the_layer_that_the_model_was_trained_with",
    ),
    Mutant(
        "the words that a T5 did not see are not named",
        TEXT,
        'whom = "model\'s T5" if',
        'return []\n    whom = "model\'s T5" if',
        "tests/models/test_families.py::test_the_words_that_a_t5_did_not_see_are_named",
    ),
    Mutant(
        "the influence of the latents counts at each stop",
        CONDITIONS,
        'factor = 1.0 if settings["state"] == "partial" else',
        "factor = 1.0 if False else",
        f"{RESUMED}::test_the_influence_of_the_latents_counts_once_however_often_the_loop_is_stopped",
    ),
    Mutant(
        "the influence of the prompt is that of the latents",
        CONDITIONS,
        '_factor(settings.get("prompt_influence"))',
        '_factor(settings.get("latent_influence"))',
        f"{T}::test_influence_multiplies_the_prompt_alone",
    ),
    Mutant(
        "a loop stops again where it was stopped",
        LOOP,
        "return [int(stop) for stop in stops if stop > step]",
        "return [int(stop) for stop in stops if stop >= step]",
        f"{RESUMED}::test_of_several_stops_the_next_one_counts",
    ),
    Mutant(
        "of several stops the last one counts",
        LOOP,
        "end = min([steps, finish_at,",
        "end = max([finish_at,",
        f"{RESUMED}::test_of_several_stops_the_next_one_counts",
    ),
    Mutant(
        "end_at leaves half-done latents",
        LOOP,
        "finish=end < steps and end == finish_at)",
        "finish=False)",
        f"{RESUMED}::test_end_at_gives_the_estimate_of_the_finished_latents",
    ),
    Mutant(
        "end_at looks at the finished latents from the middle of a step",
        BEGINNING,
        'last=last - ends_half_a_step_earlier(scheduler, loop, settings.get("as_of"))',
        "last=last - (loop.finish and scheduler.order > 1)",
        "tests/stages/test_end_at.py::test_a_picture_of_end_at_is_no_worse_than_the_loops_own_estimate_there[dpm2_a]",
    ),
    Mutant(
        "photos go into the VAE as 0..1",
        "daemon/stages/encode.py",
        "[None].float() * 2 - 1",
        "[None].float()",
        FROM_A_PICTURE,
    ),
    Mutant(
        "what is whiter than white is cut off",
        "daemon/stages/decode.py",
        "return picture / 2 + 0.5",
        "return (picture / 2 + 0.5).clamp(0, 1)",
        "tests/stages/test_decoding.py::test_what_is_beyond_black_and_white_is_kept",
    ),
    Mutant(
        "latents are enlarged in blocks",
        "daemon/models/upscaling.py",
        'mode="bilinear"',
        'mode="nearest"',
        "tests/stages/test_upscaling.py::test_enlarged_latents_are_those_of_a_bilinear_upscaler",
    ),
    Mutant(
        "a glance is told at the end too",
        "daemon/stages/glimpses.py",
        "if self._every and step % self._every == 0 and step < self._steps:",
        "if self._every and step % self._every == 0:",
        "tests/stages/test_glimpses.py::test_watching_changes_no_bit_and_nobody_watches_unasked",
    ),
    Mutant(
        "the last step of all is dumped too",
        "daemon/stages/halfway.py",
        "or (step == self._loop.end and not self._loop.partial):",
        "or False:",
        "tests/stages/test_resume.py::test_the_finished_latents_are_no_dump",
    ),
    Mutant(
        "paint that is held is forgotten at a stop",
        "daemon/stages/halfway.py",
        "kept |= self.held if self.schedule.holds else {}",
        "kept |= {}",
        f"{HELD}::test_held_paint_is_held_on_after_a_stop_to_the_bit[sd1-euler]",
    ),
    Mutant(
        "paint is held from the first step on only where it was given to the loop itself",
        DIFFUSE,
        "held = held_for(tensors, latents) if half_done else None",
        "held = held_for(tensors, latents) if paint else None",
        f"{HELD}::test_applied_paint_goes_on_as_paint_that_the_loop_was_given[sd1-euler]",
    ),
    Mutant(
        "noise takes paint as finished latents do",
        HOLDING,
        "taken = paint.on(latents, a / scale) if scale else latents",
        "taken = paint.on(latents)",
        f"{HELD}::test_noise_begins_with_the_paint_at_the_level_of_the_first_step",
    ),
    Mutant(
        "paint that was held before wins over new paint",
        HOLDING,
        "torch.where(blocks, one, before[name].to(one)) for one, name in",
        "torch.where(before[HELD_MASK] > 0, before[name].to(one), one) for one, name in",
        f"{HELD}::test_new_paint_lies_over_what_is_held",
    ),
    Mutant(
        "paint under a mask gives way to the picture of before",
        HOLDING,
        "    if PICTURE in tensors:\n",
        "    if False:\n",
        f"{HELD}::test_under_a_mask_both_count[sd1]",
    ),
    Mutant(
        "paint_hold of 1 lets go at the last step",
        "daemon/models/partial_schedule.py",
        "return self._until >= THE_END or self._share_of(",
        "return self._share_of(",
        f"{HELD}::test_paint_hold_says_how_long",
    ),
    Mutant(
        "the estimate shows what the denoiser sees where paint is held",
        "daemon/models/partial_schedule.py",
        "for kept in (self._inpainting, self._held if self.holds else None):",
        "for kept in (self._inpainting,):",
        f"{HELD}::test_held_paint_is_held_on_after_a_stop_to_the_bit[sd1-euler]",
    ),
    Mutant(
        "paint on a proof vanishes under the picture of before",
        HOLDING,
        "    if OVERLAY_MASK in tensors:\n",
        "    if False:\n",
        f"{HELD}::test_paint_is_seen_over_the_picture_of_before",
    ),
)
