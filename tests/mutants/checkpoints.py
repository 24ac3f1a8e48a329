"""Faults in what reads the files of models: weights that are a little other than what stands there, or that nobody misses."""

from tests.mutants.mutant import Mutant

DEQUANTIZING = "daemon/models/checkpoints/dequantizing.py"
SCALES = "daemon/models/checkpoints/scales.py"
READING = "daemon/models/checkpoints/reading.py"
LAYOUTS = "daemon/models/checkpoints/layouts.py"
KINDS = "daemon/models/checkpoints/kinds.py"
OTHERS = "daemon/models/checkpoints/other_files.py"
HEADERS = "daemon/models/checkpoints/gguf_headers.py"
Q = "tests/models/test_quantized.py"
SCALED = f"{Q}::test_a_weight_is_what_is_stored_times_its_scale"
SINGLE = "tests/models/test_single_files.py"
SPECIMENS = "tests/models/test_specimens.py::test_a_file_is_ready_exactly_when_its_header_is_that_of_the_classes"

MUTANTS = (
    Mutant(
        "a scaled weight is rounded before it is multiplied",
        DEQUANTIZING,
        "grid[part].float() * scale[part, :, None].float()",
        "grid[part].to(dtype) * scale[part, :, None].to(dtype)",
        f"{SCALED}[float16-float8_e4m3fn of ComfyUI]",
    ),
    Mutant(
        "keys and values have the scales of the queries",
        READING,
        "[_first(whole, piece, shape) :][: stored.shape[0]]",
        "[: stored.shape[0]]",
        f"{SCALED}[float32-int8 with a scale for each row]",
    ),
    Mutant(
        "a rotation is passed over",
        SCALES,
        "if name not in _EIGHT_BITS or rotated:",
        "if name not in _EIGHT_BITS:",
        f"{Q}::test_what_cannot_be_dequantized_is_refused_by_name[ConvRot]",
    ),
    Mutant(
        "integers without a scale are weights",
        SCALES,
        "    if bare:\n",
        "    if bare and scales:\n",
        f"{Q}::test_what_cannot_be_dequantized_is_refused_by_name[integers]",
    ),
    Mutant(
        "a vocabulary of GGUF is read as one number too few",
        HEADERS,
        "for _ in range(count):\n",
        "for _ in range(count - 1):\n",
        f"{Q}::test_a_denoiser_in_gguf_is_what_the_package_says[float32-Q8_0]",
    ),
    Mutant(
        "the weights of a GGUF file begin right behind its header",
        HEADERS,
        "start = -(-header.tell() // alignment) * alignment",
        "start = header.tell()",
        f"{Q}::test_a_denoiser_in_gguf_is_what_the_package_says[float32-Q8_0]",
    ),
    Mutant(
        "a weight that the component does not take is passed over",
        LAYOUTS,
        "if name not in taken and not",
        "if name in taken and not",
        f"{SINGLE}::test_a_weight_that_the_component_does_not_take_is_named[unet]",
    ),
    Mutant(
        "a consistency model comes with the scheduler of the model that it was made of",
        KINDS,
        "return guided | v_prediction | zero_snr",
        "return v_prediction | zero_snr",
        f"{SINGLE}::test_a_consistency_model_takes_the_guidance_as_in_diffusers",
    ),
    Mutant(
        "a distilled model is taken for Stable Diffusion XL until it is compared",
        KINDS,
        '("middle_block.1.", "input_blocks.7.")',
        "()",
        f"{SPECIMENS}[ssd-1b]",
    ),
    Mutant(
        "one weight of several is enough to tell a model",
        OTHERS,
        "if any(names.issuperset(row) for row in rows)",
        "if any(not names.isdisjoint(row) for row in rows)",
        f"{SPECIMENS}[lumina-2]",
    ),
    Mutant(
        "of a file that lacks a part nothing is compared",
        "daemon/commands/models.py",
        "if not entry.faults or _lacks_parts_only(entry, config.model_parts(entry.name))",
        "if not entry.faults",
        f"{SPECIMENS}[flux-cut]",
    ),
)
