"""Nothing that a person said is dropped in silence: a setting changes what is made, or a note names it. For every setting, with
everything that can be dropped, and in every family of models."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import yaml
from PIL import Image

import tiffsd
from daemon.errors import InputError
from daemon.models.registry import Models
from daemon.settings.config import Config
from daemon.settings.vocabulary import DECODE, FINAL, INPUT_KINDS, NOISE, PARTIAL, PAST, PAST_PHOTO, PHOTO, REGISTRY, TEXT, Settings
from daemon.stages import MASK_ENDING
from tests import tiny
from tests.adapters import ATTENTION, matrices, peft, written
from tests.jobs.chain import Chain
from tests.thorough import mostly_thorough

pytestmark = [pytest.mark.usefixtures("fixed_threads"), pytest.mark.timeout(400)]

FAMILIES = ("sd1", "xl", "refiner", "sd3", "flux")
BASE = {"steps": 4, "guidance_scale": 5.0, "width": 64, "height": 64, "seed": 1}
# A value of each that nothing else has.
OTHERS: Mapping[str, Any] = {
    "prompt": "a blue dog",
    "negative_prompt": "a car",
    "model": "other",
    "vae": "other",
    "seed": 7,
    "count": 2,
    "rng": "nv",
    "ensd": 31337,
    "variation_seed": 5,
    "variation_strength": 0.3,
    "width": 80,
    "height": 80,
    "steps": 5,
    "guidance_scale": 9.0,
    "guidance_rescale": 0.7,
    "scheduler": "heun",
    "schedule": "karras",
    "eta": 1.0,
    "strength": 0.3,
    "mask": "some_mask.png",
    "mask_blur": 3,
    "overlay": False,
    "upscale": 1.5,
    "upscale_strength": 0.4,
    "upscale_steps": 3,
    "aesthetic_score": 2.0,
    "clip_skip": 2,
    "loras": {"fur": 0.9},
    "embedding": "saved",
    "save_embedding": "kept",
    "prompt_influence": 1.5,
    "latent_influence": 1.5,
    "start_at": 1,
    "stop_at": 3,
    "end_at": 3,
    "paint_hold": 0.5,
    "dump_every": 1,
    "hold": "decode",
    "proof": "full",
    "then": "decode",
    "name": "{stem} again",
    "priority": 5,
    "as_of": "0.1.0",
    "fast": True,
    "layout": "pages",
}
STAGE_OF = {TEXT: "text", PHOTO: "encode", DECODE: "decode", PAST: "invert", PAST_PHOTO: "invert"}
# What a file of this kind needs so that its stage does anything with it.
INVERTED = {"steps": 2, "guidance_scale": 1.0}  # an inversion solves each step again and again
NEEDED: Mapping[str, Mapping[str, Any]] = {
    FINAL: {"strength": 0.6},
    PHOTO: {"prompt": "a red cat"},
    PAST: INVERTED,
    PAST_PHOTO: {"prompt": "a red cat", **INVERTED},
}
# Settings that change nothing of what is made: who goes first, is seen by the inbox; what lies beside it while it waits, on hold.
OF_THE_QUEUE = {"priority", "proof"}
PIXELS = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
MASK = np.repeat(np.uint8([0, 255]), 2048).reshape(64, 64)


def test_every_setting_is_tried() -> None:
    assert OTHERS.keys() == REGISTRY.keys() == Settings.model_fields.keys()


MAKERS = {
    "sd1": tiny.stable_diffusion,
    "xl": tiny.stable_diffusion_xl,
    "refiner": lambda path, **more: tiny.stable_diffusion_xl(path, refiner=True, **more),
    "sd3": tiny.stable_diffusion_3,
    "flux": tiny.flux,
}
SCHEDULERS = {"sd3": ("flow_euler", "flow_heun"), "flux": ("flow_euler", "flow_heun")}


class World:
    """One family with two models of it, a VAE, a LoRA and a saved embedding; and a file of each kind of input."""

    def __init__(self, family: str, folder: Path) -> None:
        self.family, self.folder = family, folder
        models = {name: {"path": str(MAKERS[family](folder / name, seed=seed))} for seed, name in enumerate(("one", "other"))}
        usual, self.other_scheduler = SCHEDULERS.get(family, ("ddim", "euler_a"))
        _write_lora(Path(models["one"]["path"]), folder / "loras/fur.safetensors")
        self.config = Config.model_validate(
            {
                "folder": folder,
                "models": models,
                "vaes": {"other": f"{models['other']['path']}/vae"},
                "adapters": {"loras": str(folder / "loras")},
                "defaults": {**BASE, "model": "one", "scheduler": usual},
                "compute": {"threads": 1},
            }
        )
        self.models = Models(budget_bytes=1 << 30)
        self.files = self._files()

    def said(self, name: str, input_kind: str) -> dict[str, Any]:
        """A setting with a value that it does not have otherwise."""
        then = "decode" if input_kind in (TEXT, PHOTO) else "diffuse"  # where the result does not go anyway
        return {name: {"scheduler": self.other_scheduler, "then": then}.get(name, OTHERS[name])}

    def run(self, input_kind: str, said: Mapping[str, Any], place: Path) -> tuple[list[object], str]:
        """What comes of a file of this kind with settings beside it."""
        members = {"principal": self.files[input_kind]}
        if said:
            members[".yaml"] = place / "said.yaml"
            members[".yaml"].write_text(yaml.safe_dump(dict(said)), encoding="utf-8")
        if "mask" in said:
            members[MASK_ENDING] = place / said["mask"]
            Image.fromarray(MASK).save(members[MASK_ENDING])
        return self._chain(place).run(STAGE_OF.get(input_kind, "diffuse"), members)

    def _chain(self, place: Path) -> Chain:
        return Chain(self.config, self.models, place, self.folder / "embeddings")

    def _files(self) -> dict[str, Path]:
        text, photo = self.folder / "cat.txt", self.folder / "photo.png"
        text.write_text("---\nsave_embedding: saved\n---\na green car", encoding="utf-8")
        Image.fromarray(PIXELS).save(photo)
        chain = self._chain(self.folder)
        chain.made("text", {"principal": text})
        text.write_text("a red cat", encoding="utf-8")
        noise = chain.made("text", {"principal": text})["inbox/2-diffuse"]
        stop, unstopped = self.folder / "stop.yaml", {"principal": noise}
        stop.write_text("stop_at: 2", encoding="utf-8")
        half = chain.made("diffuse", {"principal": noise, ".yaml": stop})["hold/2-diffuse"]
        final = chain.made("diffuse", unstopped)["inbox/3-decode"]
        return {TEXT: text, PHOTO: photo, PAST_PHOTO: photo, NOISE: noise, PARTIAL: half, FINAL: final, DECODE: final, PAST: final}


def _write_lora(model: Path, path: Path) -> None:
    path.parent.mkdir()
    part = "unet" if (model / "unet").is_dir() else "transformer"
    cls = getattr(diffusers, json.loads((model / part / "config.json").read_text())["_class_name"])
    written(path, peft(f"{part}.", matrices(cls.from_pretrained(model / part), ATTENTION)))


@pytest.fixture(scope="module", params=FAMILIES)
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(request.param, tmp_path_factory.mktemp(request.param))


def silent_settings(world: World, input_kind: str, folder: Path) -> list[str]:
    """The settings that change nothing of what comes of a file, and are named in no note and no refusal."""
    silent = []
    needed = NEEDED.get(input_kind, {})
    (folder / "usual").mkdir()
    usual, _ = world.run(input_kind, needed, folder / "usual")
    for name in sorted(REGISTRY.keys() - OF_THE_QUEUE):
        (folder / name).mkdir()
        try:
            made, said = world.run(input_kind, {**needed, **world.said(name, input_kind)}, folder / name)
        except (InputError, tiffsd.TiffsdError) as error:
            made, said = usual, str(error)
        draws = (input_kind, name) != (PAST, "seed")  # an inversion finds its noise, and ddim, for which it is, draws none
        if made == usual and name not in said and draws:
            silent.append(name)
    return silent


@pytest.mark.parametrize("world", ["sd1"], indirect=True)
# Those that go through a photo take half a minute each.
@pytest.mark.parametrize("input_kind", mostly_thorough(INPUT_KINDS, always=lambda kind: kind not in (PHOTO, PAST_PHOTO, PAST)))
def test_with_whatever_is_dropped_a_setting_counts_or_is_named_in_a_note(world: World, input_kind: str, tmp_path: Path) -> None:
    assert ", ".join(silent_settings(world, input_kind, tmp_path)) == ""


@pytest.mark.parametrize("world", FAMILIES[1:], indirect=True)
def test_in_every_family_a_setting_counts_or_is_named_in_a_note(world: World, tmp_path: Path) -> None:
    assert ", ".join(silent_settings(world, TEXT, tmp_path)) == ""
