"""Faults in the parts of diffusion: units, signs and orders that are a little wrong give pictures that look nearly right."""

from tests.mutants.mutant import Mutant

SCHEDULING = "daemon/models/scheduling.py"
PARTIAL = "daemon/models/partial_schedule.py"
SCHEDULERS = "daemon/models/schedulers.py"
INVERSION = "daemon/models/inversion.py"
MASKING = "daemon/models/masking.py"
VAE = "daemon/models/autoencoder.py"
CONDITIONING = "daemon/models/conditioning.py"
FAMILY = "daemon/models/families/family.py"
ONE_PIECE = "tests/models/test_families.py::test_by_parts_is_bit_equal_to_one_piece"
FROM_A_PICTURE = "tests/models/test_families.py::test_image_to_image_is_bit_equal_to_the_pipeline"
SCHEDULES, SOLVERS = "daemon/models/schedules.py", "daemon/models/solvers"
T, PAIRS = "tests/models/test_schedulers.py", "tests/models/test_pairs.py"
ESTIMATES = "tests/stages/test_estimates.py"
RESUMED = "tests/stages/test_resume.py"
STOPPED = f"{RESUMED}::test_stopped_and_resumed_is_bit_equal_for_every_scheduler"
ENCODED = "tests/models/test_conditioning.py"
MASKED = "tests/stages/test_inpainting.py"
INVERTED = "tests/stages/test_inversion.py"
NOISE, SEEDING = "daemon/models/noise.py", "daemon/models/seeding.py"
DRAWN, BEGUN = "tests/models/test_noise.py", "tests/stages/test_noise.py"

ELSEWHERE = "tests/stages/test_second_device.py"

MUTANTS = (
    Mutant(
        "what a solver remembers is compared across devices",
        "daemon/models/solver_state.py",
        "torch.allclose(a, b.to(a.device), rtol=0,",
        "torch.allclose(a, b, rtol=0,",
        f"{ELSEWHERE}::test_every_scheduler_stops_under_a_mask_and_goes_on[sd1-ddim]",
    ),
    Mutant(
        "the factors of a normalisation are rounded to half precision",
        "daemon/models/strips.py",
        "tuple(part.to(conv.weight.device) for part in",
        "tuple(part.to(conv.weight) for part in",
        "tests/models/test_strips.py::test_the_factors_of_a_normalisation_stay_in_float32_in_half_precision",
    ),
    Mutant(
        "rows are written before they have come from the accelerator",
        "daemon/models/copies.py",
        "        copied.synchronize()\n",
        "",
        f"{ELSEWHERE}::test_rows_are_fetched_one_ahead_and_written_one_behind",
    ),
    Mutant(
        "float32 is cut to TF32 for every picture",
        "daemon/compute/worker.py",
        "        set_tf32(fast)\n",
        "        set_tf32(True)\n",
        "tests/compute/test_precision.py::test_float32_is_cut_for_fast_pictures_only",
    ),
    Mutant(
        "what a mask leaves black is what is new",
        "daemon/models/overlaying.py",
        "torch.where(share == 0, before, torch.where(share == 1, new,",
        "torch.where(share == 0, new, torch.where(share == 1, before,",
        (
            "tests/models/test_overlaying.py::test_black_is_the_picture_of_before_and_white_the_new_one_to_the_bit",
            "tests/jobs/test_overlays.py::test_outside_of_a_hard_mask_every_family_gives_the_picture_back_to_the_bit[sd1]",
        ),
    ),
    Mutant(
        "a mask grows by one pixel more",
        "daemon/models/overlaying.py",
        "    weights, fall = levels.float() / WHITE, 1 / (pixels + 1)\n    for _ in range(pixels):",
        "    weights, fall = levels.float() / WHITE, 1 / (pixels + 2)\n    for _ in range(pixels + 1):",
        (
            "tests/models/test_overlaying.py::test_a_mask_that_does_not_grow_is_what_it_was",
            "tests/jobs/test_overlays.py::test_only_the_band_that_mask_blur_grows_outward_differs",
        ),
    ),
    Mutant(
        "a picture of before loses what its bytes cannot hold",
        "daemon/models/overlaying.py",
        "        counts = mask[band] == 0\n",
        "        counts = mask[band] == 1\n",
        "tests/models/test_overlaying.py::test_a_picture_is_kept_in_the_fewest_bytes_that_give_it_back_to_the_bit",
    ),
    Mutant(
        "noise is not scaled by the sigma that a schedule begins with",
        PARTIAL,
        'factor: Any = getattr(self._inner, "init_noise_sigma", 1.0)',
        "factor: Any = 1.0",
        f"{ONE_PIECE}[sd1-euler]",
    ),
    Mutant(
        "noise that starts in the middle has the variance of the beginning",
        PARTIAL,
        "(self._first), 1) if self.sigma_scaled else 1.0",
        "(0), 1) if self.sigma_scaled else 1.0",
        f"{T}::test_noise_that_starts_in_the_middle_has_the_variance_of_latents_there",
    ),
    Mutant(
        "the velocity has the other sign",
        PARTIAL,
        "return alpha * x - s * model_output if",
        "return alpha * x + s * model_output if",
        f"{ESTIMATES}::test_end_at_gives_the_estimate_of_diffusers_own_scheduler[sd2-ddim]",
    ),
    Mutant(
        "the noise is added to the estimate and not taken from it",
        PARTIAL,
        "return (x - s * model_output) / alpha",
        "return (x + s * model_output) / alpha",
        f"{ESTIMATES}::test_end_at_gives_the_estimate_of_diffusers_own_scheduler[sd1-ddim]",
    ),
    Mutant(
        "the flow leads away from the estimate",
        PARTIAL,
        "(index) * model_output\n",
        "(index) * -model_output\n",
        f"{ESTIMATES}::test_end_at_of_a_flow_goes_straight_to_its_end",
    ),
    Mutant(
        "the estimate forgets how its latents are scaled",
        PARTIAL,
        "x = sample * alpha if self.sigma_scaled else sample",
        "x = sample",
        f"{ESTIMATES}::test_end_at_gives_the_estimate_of_diffusers_own_scheduler[sd1-euler]",
    ),
    Mutant(
        "the estimate of an ancestral DPM2 is made at another noise level than the denoiser saw",
        PARTIAL,
        'index - hasattr(self._inner, "sigmas_up")',
        "index",
        "tests/stages/test_end_at.py::test_the_estimate_is_the_solvers_own[v-dpm2_a]",
    ),
    Mutant(
        "a model in one file is spaced as no release says",
        "daemon/models/configs/stable-diffusion-1/scheduler/scheduler_config.json",
        '"skip_prk_steps": true,',
        '"skip_prk_steps": true, "timestep_spacing": "leading",',
        "tests/models/test_single_files.py::test_every_sampler_has_the_schedule_of_the_folder[sd1]",
    ),
    Mutant(
        "what an earlier version shipped is forgotten",
        "daemon/models/sources/single_file.py",
        "return earlier if self.version and",
        "return earlier if not self.version and",
        "tests/jobs/test_kept_pictures.py::test_a_picture_of_an_earlier_version_is_made_again_to_the_bit_and_says_how[sd1]",
    ),
    Mutant(
        "LMS takes the order of a solver that it is not after a stop",
        PARTIAL,
        "min(4, len(self._inner.derivatives) + 1)",
        "4",
        f"{ESTIMATES}::test_lms_begins_afresh_on_painted_latents_as_euler_does",
    ),
    Mutant(
        "a step of two evaluations is cut in the middle",
        PARTIAL,
        "step * int(scheduler.order)",
        "step * 1",
        f"{ESTIMATES}::test_a_loop_is_left_after_whole_steps[heun]",
    ),
    Mutant(
        "a solver forgets its last steps at a stop",
        PARTIAL,
        "vars(scheduler).update(copied(",
        "dict(vars(scheduler)).update(memory(",
        f"{STOPPED}[sd1-dpmpp_2m]",
    ),
    Mutant(
        "schedules of the model's own spacing come through",
        SCHEDULERS,
        'if key.startswith("use_")} | dict(row.options)',
        'if key == "use_none"} | dict(row.options)',
        f"{T}::test_the_spacing_of_the_models_configuration_does_not_come_through",
    ),
    Mutant(
        "DPM++ is another name",
        SCHEDULERS,
        '.replace("++", "pp")',
        '.replace("++", "p")',
        f"{T}::test_usual_spellings_are_understood",
    ),
    Mutant(
        "options of another schedule are taken where a class does not know them",
        SCHEDULING,
        "{**config, **family.forced}.items() if key in expected}",
        "{**config, **family.forced}.items() if key in expected and key != 'prediction_type'}",
        f"{ONE_PIECE}[sd2-euler]",
    ),
    Mutant(
        "latents over a schedule begin with the variance of the model",
        SCHEDULING,
        "    scheduler.init_noise_sigma = highest / math.hypot(highest, 1)",
        "    del highest",
        f"{PAIRS}::test_a_pair_of_a1111_goes_the_way_that_it_goes_there[DPM++ 2M-Karras]",
    ),
    Mutant(
        "UniPC over a schedule has the order of diffusers",
        SCHEDULING,
        'options["solver_order"] = 3',
        'options["solver_order"] = 2',
        f"{PAIRS}::test_a_pair_of_a1111_goes_the_way_that_it_goes_there[UniPC-Automatic]",
    ),
    Mutant(
        "the last level but one is not discarded",
        SCHEDULES,
        "    return np.delete(levels, -2)",
        "    return np.delete(levels, -3)",
        f"{PAIRS}::test_a_pair_of_a1111_goes_the_way_that_it_goes_there[DPM2-Karras]",
    ),
    Mutant(
        "a denoiser is shown whole timesteps",
        f"{SOLVERS}/solver.py",
        "self.timesteps = torch.tensor(self._trained().timesteps_of(np.array(shown)),",
        "self.timesteps = torch.tensor(self._trained().timesteps_of(np.array(shown)).round(),",
        f"{PAIRS}::test_a_pair_of_a1111_goes_the_way_that_it_goes_there[Euler a-Karras]",
    ),
    Mutant(
        "Heun's correction of an SDE is the midpoint's",
        f"{SOLVERS}/multistep.py",
        "return 1 + math.expm1(-reach) / reach",
        "return -math.expm1(-reach) / 2",
        f"{PAIRS}::test_a_pair_of_a1111_goes_the_way_that_it_goes_there[DPM++ 2M SDE Heun-Karras]",
    ),
    Mutant(
        "the third order of an SDE is the second",
        f"{SOLVERS}/multistep.py",
        "        if len(self.estimates) > 1:\n                r1",
        "        if len(self.estimates) > 2:\n                r1",
        f"{PAIRS}::test_a_pair_of_a1111_goes_the_way_that_it_goes_there[DPM++ 3M SDE-Karras]",
    ),
    Mutant(
        "the noise of a whole step is that of its first half",
        f"{SOLVERS}/two_stage.py",
        "math.sqrt(share) * begun + math.sqrt(1 - share) * draw()",
        "begun + 0 * draw()",
        f"{PAIRS}::test_a_pair_of_a1111_goes_the_way_that_it_goes_there[DPM++ SDE-Karras]",
    ),
    Mutant(
        "Restart adds no noise on its way up",
        f"{SOLVERS}/two_stage.py",
        "math.sqrt(beyond**2 - following**2)",
        "0.0",
        f"{PAIRS}::test_a_pair_of_a1111_goes_the_way_that_it_goes_there[Restart-Karras]",
    ),
    Mutant(
        "CFG++ goes by the prediction with the prompt",
        f"{SOLVERS}/cfg_pp.py",
        "heard[: len(x)].float()",
        "heard[len(x) :].float()",
        "tests/stages/test_schedules.py::test_cfg_pp_goes_by_the_prediction_without_the_prompt",
    ),
    Mutant(
        "the eta that was said does not reach the solver",
        SCHEDULING,
        "        scheduler.eta = chosen.eta",
        "        del chosen",
        "tests/stages/test_schedules.py::test_an_eta_counts_where_the_solver_has_one_and_is_recorded",
    ),
    Mutant(
        "an inversion leads the wrong way",
        INVERSION,
        "(self._target - b * model_output.float()) / a",
        "(self._target + b * model_output.float()) / a",
        f"{INVERTED}::test_a_photo_becomes_noise_that_makes_it",
    ),
    Mutant(
        "an inversion that failed says nothing of it",
        INVERSION,
        "self.residual = max(self.residual,",
        "self.residual = min(self.residual,",
        f"{INVERTED}::test_a_residual_that_can_be_seen_is_said",
    ),
    Mutant(
        "the mask is upside down",
        MASKING,
        "(1 - self.mask) * noised(self.picture, self.noise) + self.mask * latents",
        "self.mask * noised(self.picture, self.noise) + (1 - self.mask) * latents",
        f"{MASKED}::test_what_a_mask_leaves_out_stays_to_the_last_bit",
    ),
    Mutant(
        "half gray is black to an inpainting model",
        MASKING,
        ">= HALF).float()",
        "> HALF).float()",
        f"{MASKED}::test_half_gray_is_made_anew_by_an_inpainting_model",
    ),
    Mutant(
        "a black mask makes everything anew",
        MASKING,
        "if not bool(small.any()):",
        "if False:",
        f"{MASKED}::test_white_everywhere_is_image_to_image_and_black_everywhere_is_refused",
    ),
    Mutant(
        "a VAE is given latents of the denoiser's units",
        VAE,
        "scaled = latents / float(config.scaling_factor)",
        "scaled = latents",
        f"{ONE_PIECE}[sd1-None]",
    ),
    Mutant(
        "latents of a VAE go into the loop in its units",
        VAE,
        "return shifted * float(config.scaling_factor)",
        "return shifted",
        FROM_A_PICTURE,
    ),
    Mutant(
        "the shift of a VAE is forgotten",
        VAE,
        "scaled + float(config.shift_factor)",
        "scaled",
        f"{ONE_PIECE}[sd3-None]",
    ),
    Mutant(
        "a VAE that overflows gives a black picture",
        VAE,
        "if weight(vae).dtype is torch.float16 and",
        "if False and",
        "tests/models/test_families.py::test_a_vae_that_overflows_in_float16_is_run_again_in_float32",
    ),
    Mutant(
        "a chunk ends at the first comma that is near",
        CONDITIONING,
        "min(commas[-1] + 1, room)",
        "min(commas[-1], room)",
        f"{ENCODED}::test_a_chunk_ends_after_a_comma_that_is_near_and_in_the_middle_of_words_otherwise",
    ),
    Mutant(
        "weights move the mean of a chunk",
        CONDITIONING,
        "else weighted * (mean / after)",
        "else weighted",
        f"{ENCODED}::test_a_weight_multiplies_its_tokens_and_the_mean_stays",
    ),
    Mutant(
        "a BREAK at the end begins a chunk",
        CONDITIONING,
        "if len(chunks) > 1 and not chunks[-1] else chunks",
        "if False else chunks",
        f"{ENCODED}::test_break_begins_a_new_chunk",
    ),
    Mutant(
        "image to image begins a step late",
        FAMILY,
        "return steps - min(int(steps * strength), steps)",
        "return steps - min(round(steps * strength + 0.5), steps)",
        FROM_A_PICTURE,
    ),
    Mutant(
        "LoRAs are rounded one after the other in half precision",
        "daemon/models/adapters/merging.py",
        "exact = weight.float()",
        "exact = weight.clone()",
        "tests/models/test_loras.py::test_half_precision_is_rounded_once",
    ),
    Mutant(
        "the key of Philox stays the same in all rounds",
        NOISE,
        "k0, k1 = (k0 + _W0) % _WORD, (k1 + _W1) % _WORD",
        "pass",
        f"{DRAWN}::test_philox_gives_its_known_answers",
    ),
    Mutant(
        "Philox has nine rounds",
        NOISE,
        "_ROUNDS = 10",
        "_ROUNDS = 9",
        f"{DRAWN}::test_philox_gives_its_known_answers",
    ),
    Mutant(
        "noise is made of the cosine",
        NOISE,
        "box_muller(words[0], words[1])[0]",
        "box_muller(words[0], words[1])[1]",
        f"{DRAWN}::test_the_noise_of_a_gpu_is_that_which_a1111_documents",
    ),
    Mutant(
        "half of a seed counts",
        NOISE,
        "(self._seed % _WORD, self._seed // _WORD)",
        "(self._seed % _WORD, 0)",
        f"{DRAWN}::test_all_64_bits_of_a_seed_count_on_a_gpu_and_32_for_torch_and_more_wrap_around",
    ),
    Mutant(
        "each draw of Philox is the first",
        NOISE,
        "        self._draws += 1\n",
        "",
        f"{DRAWN}::test_each_draw_is_another_and_hangs_on_how_many_there_were_before_only",
    ),
    Mutant(
        "the steps draw torch's noise whoever draws the first",
        NOISE,
        "with _DrawnBy(generator):",
        "if True:",
        f"{BEGUN}::test_the_steps_draw_on_where_the_first_noise_ended",
    ),
    Mutant(
        "a variation goes from the other noise to that of the seed",
        SEEDING,
        "slerp(self.variation_strength, noise[0], other[0])",
        "slerp(self.variation_strength, other[0], noise[0])",
        f"{DRAWN}::test_a_variation_lies_on_the_arc_between_two_noises",
    ),
    Mutant(
        "the eta noise seed delta counts for nothing",
        SEEDING,
        "        if self.ensd:",
        "        if False:",
        f"{DRAWN}::test_the_noise_of_the_steps_is_that_of_the_seed_and_ensd",
    ),
    Mutant(
        "the noise of a picture is torch's whatever is asked for",
        "daemon/stages/encode.py",
        'if settings.get("rng") != NV else',
        "if True else",
        f"{BEGUN}::test_a_picture_gets_the_first_noise_of_its_seed_and_its_steps_the_next",
    ),
    Mutant(
        "the noise of a picture under a mask is passed over in Philox too",
        MASKING,
        "    if isinstance(generator, torch.Generator):\n        torch.randn(latents.shape, generator=generator)",
        "    generator.get_state() if isinstance(generator, torch.Generator) else generator.randn(latents.shape)",
        f"{BEGUN}::test_a_picture_gets_the_first_noise_of_its_seed_and_its_steps_the_next[True]",
    ),
)
