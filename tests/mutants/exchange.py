"""Faults in the exchange with other programs: units mixed up, pixels that are not the file's, sizes that nobody checked."""

from tests.mutants.mutant import Mutant

LATENT = "tiffsd/latent_file.py"
EXR, LAYERS, HEAD = "tiffsd/exr_file.py", "tiffsd/exr_layers.py", "tiffsd/exr_header.py"
T = "tests/tiffsd/test_exchange.py"
INBOX = "tests/jobs/test_exchange.py"

MUTANTS = (
    Mutant(
        "latents of ComfyUI are taken for those of the denoiser",
        LATENT,
        "tuple(notes), of_vae=True)",
        "tuple(notes), of_vae=False)",
        (
            f"{T}::test_latents_that_comfyui_saved_are_those_of_a_vae_until_somebody_says_of_which",
            f"{INBOX}::test_latents_of_comfyui_go_to_the_stage_in_the_units_of_their_vae_with_the_recipe_of_their_graph",
        ),
    ),
    Mutant(
        "the shift of a VAE is forgotten where ComfyUI's latents are read",
        LATENT,
        "lambda wide: (wide - self.shift) * self.factor",
        "lambda wide: wide * self.factor",
        f"{T}::test_what_a_script_changed_in_a_latent_file_counts_and_all_else_stays_exact",
    ),
    Mutant(
        "a file without the mark is not divided",
        LATENT,
        "wide / FACTOR_BEFORE_THE_MARKER)",
        "wide)",
        f"{T}::test_a_file_of_an_early_comfyui_is_what_its_loader_makes_of_it",
    ),
    Mutant(
        "latents in other units are edited as if they were ours",
        "tiffsd/edit.py",
        "        check_units(given)\n",
        "        pass\n",
        "tests/tiffsd/test_converting.py::test_other_commands_take_them_and_write_tiffs",
    ),
    Mutant(
        "below black the curve of light is not mirrored",
        "tiffsd/light.py",
        "((size + 0.055) / 1.055) ** 2.4), v)",
        "((size + 0.055) / 1.055) ** 2.4), size)",
        f"{T}::test_light_becomes_srgb_below_black_and_above_white_too",
    ),
    Mutant(
        "transparent parts of light are laid on black",
        EXR,
        "light = light + (1 - opaque)[..., np.newaxis]",
        "light = light + 0 * opaque[..., np.newaxis]",
        f"{T}::test_transparent_parts_are_laid_on_white_in_light",
    ),
    Mutant(
        "pixels lie in the corner, wherever their window says",
        EXR,
        "top, left = data.top - display.top, data.left - display.left",
        "top, left = 0, 0",
        f"{T}::test_the_picture_is_the_display_window",
    ),
    Mutant(
        "latents that were coded with loss are taken",
        LAYERS,
        "    if lossy:\n",
        "    if lossy and not part:\n",
        f"{T}::test_latents_that_were_coded_with_loss_are_refused",
    ),
    Mutant(
        "windows are not checked before they are allocated",
        HEAD,
        "if not (1 <= width <= LARGEST_SIDE and 1 <= height <= LARGEST_SIDE):",
        "if width < 1 or height < 1:",
        "tests/pictures/test_exr.py::test_a_window_of_two_thousand_million_pixels_is_refused_in_no_time",
    ),
    Mutant(
        "the place of pieces of pixels is not compared with the file",
        HEAD,
        "int(places.max()) >= length:",
        "int(places.max()) >= 2**63:",
        f"{T}::test_a_list_of_places_that_leads_out_of_the_file_is_refused_as_cut_off",
    ),
    Mutant(
        "a graph beyond the limits stops the latents that it lies in",
        "daemon/jobs/intake/files.py",
        "        resolve_settings(said, files.name, config)  # within the limits\n",
        "",
        f"{INBOX}::test_a_graph_that_cannot_be_honoured_stops_no_latents",
    ),
)
