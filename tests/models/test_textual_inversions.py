"""Textual inversions in prompts: the bits that diffusers gives for the same file, and what is refused."""

import copy
import functools
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch

from daemon.errors import InputError
from daemon.models.registry import Models
from daemon.stages import text
from tests import tiny
from tests.adapters import written
from tests.parts import Tensors, quiet, settings, start

MAKERS = {"sd1": tiny.stable_diffusion, "sdxl": tiny.stable_diffusion_xl, "sd3": tiny.stable_diffusion_3, "flux": tiny.flux}
WIDTHS = {"clip_l": 16, "clip_g": 32}

pytestmark = [pytest.mark.exact, pytest.mark.usefixtures("fixed_threads")]


def vectors(count: int, width: int = 16, seed: int = 0) -> torch.Tensor:
    return torch.randn((count, width), generator=torch.Generator().manual_seed(seed))


def encoded(models: Models, folder: Path, prompt: str, **files: Path) -> Tensors:
    named = {name.replace("_", "-"): str(path) for name, path in files.items()}
    return start(models, settings(folder, prompt=prompt, negative_prompt="", textual_inversions=named))


@functools.cache
def pipeline(folder: Path) -> Any:
    return diffusers.DiffusionPipeline.from_pretrained(folder, local_files_only=True)


@torch.no_grad()
def of_diffusers(folder: Path, prompt: str, *loaded: tuple[Any, dict[str, str]]) -> tuple[torch.Tensor, ...]:
    pipe = copy.deepcopy(pipeline(folder))
    for file, options in loaded:
        parts = {key: getattr(pipe, part) for key, part in options.items() if key != "token"}
        pipe.load_textual_inversion(file, token=options["token"], local_files_only=True, **parts)
    options = {"num_images_per_prompt": 1, "do_classifier_free_guidance": False}
    found: tuple[torch.Tensor, ...] = pipe.encode_prompt(prompt=prompt, device="cpu", **options)
    return found


FILES = {
    "diffusers.safetensors": lambda some: {"<cat-toy>": some},
    "diffusers.bin": lambda some: {"<cat-toy>": some},
    "a1111.safetensors": lambda some: {"emb_params": some},
    "a1111.pt": lambda some: {"string_to_token": {"*": 265}, "string_to_param": {"*": some}, "name": "toy", "step": 100},
}


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("name", FILES)
def test_a_textual_inversion_gives_the_bits_of_diffusers(
    models: Models, folders: dict[str, Path], tmp_path: Path, name: str, count: int
) -> None:
    content, path = FILES[name](vectors(count)), tmp_path / name
    if path.suffix == ".pt":
        torch.save(content, path)
    else:
        written(path, content)
    theirs = of_diffusers(folders["sd1"], "a red <toy> cat", (str(path), {"token": "<toy>"}))[0][0]
    for prompt in ("a red <toy> cat", "a red toy cat", "a red embedding:toy cat", "a red TOY cat"):
        assert torch.equal(encoded(models, folders["sd1"], prompt, toy=path)["prompt_embeds"], theirs), prompt
    assert not torch.equal(encoded(models, folders["sd1"], "a red toys cat", toy=path)["prompt_embeds"], theirs)


def test_a_single_vector_without_a_dimension_of_its_own_is_read(models: Models, folders: dict[str, Path], tmp_path: Path) -> None:
    flat, rows = (written(tmp_path / f"{some.ndim}.safetensors", {"toy": some}) for some in (vectors(1)[0], vectors(1)))
    found = [encoded(models, folders["sd1"], "a toy", toy=path)["prompt_embeds"] for path in (flat, rows)]
    assert torch.equal(*found)


def test_the_file_of_the_first_trainer_is_read(models: Models, folders: dict[str, Path], tmp_path: Path) -> None:
    """It keeps its vectors in a module of torch, which diffusers refuses."""
    first = tmp_path / "first.pt"
    torch.save({"string_to_token": {"*": 265}, "string_to_param": torch.nn.ParameterDict({"*": vectors(2)})}, first)
    rows = written(tmp_path / "rows.safetensors", {"toy": vectors(2)})
    found = [encoded(models, folders["sd1"], "a toy", toy=path)["prompt_embeds"] for path in (first, rows)]
    assert torch.equal(*found)


def test_both_encoders_of_sdxl_take_their_own_vectors(models: Models, folders: dict[str, Path], tmp_path: Path) -> None:
    some = {key: vectors(2, width, seed) for seed, (key, width) in enumerate(WIDTHS.items())}
    path = written(tmp_path / "toy.safetensors", some)
    ours = encoded(models, folders["sdxl"], "a red toy cat", toy=path)
    loaded = [
        ({"toy": some["clip_l"]}, {"token": "<toy>", "text_encoder": "text_encoder", "tokenizer": "tokenizer"}),
        ({"toy": some["clip_g"]}, {"token": "<toy>", "text_encoder": "text_encoder_2", "tokenizer": "tokenizer_2"}),
    ]
    embeds, _, pooled, _ = of_diffusers(folders["sdxl"], "a red <toy> cat", *loaded)
    assert torch.equal(ours["prompt_embeds"], embeds[0])
    assert torch.equal(ours["pooled_prompt_embeds"], pooled[0])


def test_the_names_that_trainers_of_diffusers_give_the_encoders_are_known(
    models: Models, folders: dict[str, Path], tmp_path: Path
) -> None:
    some = {key: vectors(2, width, seed) for seed, (key, width) in enumerate(WIDTHS.items())}
    theirs = {"text_encoders_0": some["clip_l"], "text_encoders_1": some["clip_g"]}
    paths = [written(tmp_path / f"{seed}.safetensors", tensors) for seed, tensors in enumerate((some, theirs))]
    one, other = (encoded(models, folders["sdxl"], "a red toy cat", toy=path) for path in paths)
    assert torch.equal(one["prompt_embeds"], other["prompt_embeds"])
    assert torch.equal(one["pooled_prompt_embeds"], other["pooled_prompt_embeds"])


def test_a_textual_inversion_has_a_weight_and_stays_whole_at_the_end_of_a_chunk(
    models: Models, folders: dict[str, Path], tmp_path: Path
) -> None:
    path = written(tmp_path / "toy.safetensors", {"toy": vectors(4)})
    ours = encoded(models, folders["sd1"], "cat " * 73 + "toy", toy=path)["prompt_embeds"]
    apart = [encoded(models, folders["sd1"], prompt, toy=path)["prompt_embeds"] for prompt in ("cat " * 73, "toy")]
    assert torch.equal(ours, torch.cat(apart))
    heavy, plain = (
        encoded(models, folders["sd1"], prompt, toy=path)["prompt_embeds"] for prompt in ("a (toy:1.5) cat", "a toy cat")
    )
    ratio = heavy / plain
    assert torch.allclose(ratio[2:6] / ratio[1], torch.tensor(1.5))
    assert torch.allclose(ratio[6] / ratio[1], torch.tensor(1.0))


def test_the_encoder_stays_as_it_is(models: Models, folders: dict[str, Path], tmp_path: Path) -> None:
    path = written(tmp_path / "toy.safetensors", {"toy": vectors(2)})
    before = encoded(models, folders["sd1"], "a red cat")["prompt_embeds"]
    encoded(models, folders["sd1"], "a toy", toy=path)
    assert torch.equal(encoded(models, folders["sd1"], "a red cat")["prompt_embeds"], before)


def test_a_t5_does_not_read_the_name_as_words(models: Models, folders: dict[str, Path], tmp_path: Path) -> None:
    both = written(tmp_path / "both.safetensors", {key: vectors(1, 16) for key in WIDTHS})
    one = written(tmp_path / "one.safetensors", {"toy": vectors(1)})
    for family, path, from_token in (("sd3", both, 77), ("flux", one, 0)):
        named, without = (encoded(models, folders[family], prompt, toy=path) for prompt in ("red toy", "red "))
        assert torch.equal(named["prompt_embeds"][from_token:], without["prompt_embeds"][from_token:]), family
        assert not torch.equal(named["pooled_prompt_embeds"], without["pooled_prompt_embeds"]), family


def test_negative_prompts_take_them_too(models: Models, folders: dict[str, Path], tmp_path: Path) -> None:
    path = str(written(tmp_path / "toy.safetensors", {"toy": vectors(2)}))
    chosen = settings(folders["sd1"], prompt="a toy", negative_prompt="a toy", textual_inversions={"toy": path})
    out = start(models, chosen)
    assert torch.equal(out["prompt_embeds"], out["negative_prompt_embeds"])


@pytest.mark.parametrize(
    ("family", "content", "words"),
    [
        ("sd1", {"toy": vectors(1, 24)}, [r"\(1, 24\)", "text_encoder takes some of 16 numbers"]),
        ("sd1", {"clip_g": vectors(1, 32)}, ["for clip_g alone", "takes those of clip_l"]),
        ("sdxl", {"toy": vectors(1, 16)}, [r"\(1, 16\)", "text_encoder_2 takes some of 32"]),
        ("sd1", {"toy": vectors(1), "cat": vectors(1)}, ["holds cat, toy", "write each into a file of its own"]),
        ("sd1", {"text_encoders_1": vectors(1, 32)}, ["for text_encoders_1 alone", "takes those of clip_l"]),
        ("sd1", {"toy": vectors(1).fill_(torch.nan)}, ["not finite"]),
        ("sd1", {"toy": torch.zeros(2, 2, 16)}, [r"\(2, 2, 16\)"]),
    ],
)
def test_what_does_not_fit_is_refused(
    models: Models, folders: dict[str, Path], tmp_path: Path, family: str, content: Tensors, words: list[str]
) -> None:
    path = written(tmp_path / "toy.safetensors", content)
    for word in words:
        with pytest.raises(InputError, match=f"textual inversion 'toy' .*{word}"):
            encoded(models, folders[family], "a toy", toy=path)


def test_a_program_in_the_file_of_a_textual_inversion_is_never_run(
    models: Models, folders: dict[str, Path], tmp_path: Path
) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "run",))

    path = tmp_path / "toy.pt"
    torch.save({"string_to_param": {"*": vectors(1)}, "more": Evil()}, path)
    chosen = settings(folders["sd1"], prompt="a toy", textual_inversions={"toy": str(path)})
    with pytest.raises(InputError, match=r"the textual inversion 'toy' cannot be used: .*refused"):
        text.run(models, {}, chosen, quiet)
    assert not (tmp_path / "run").exists()
