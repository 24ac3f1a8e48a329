"""Files of one job -> a request: which settings count, what is restored, what is refused. No daemon, no model."""

import io
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import tiffsd
from daemon.errors import InputError
from daemon.jobs.batching import batch_key
from daemon.jobs.intake.files import Files, InputSources, companion_settings, recipe_settings
from daemon.jobs.request import Request, apply_call, stage_settings
from daemon.settings.config import Config
from daemon.settings.vocabulary import FINAL
from daemon.stages.loop import PAINT
from tests.artifacts import half_done, latents, picture, unmarried
from tests.opening import request_for

Read = Callable[..., Request]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Write members by role (name, bytes or artifact) and read them as one stage would."""
    (tmp_path / "keep").mkdir()
    (tmp_path / "embeddings").mkdir()

    def read_files(stage: str, config: Config | None = None, **roles: tuple[str, object]) -> Request:
        members = {}
        for role, (name, content) in roles.items():
            path = tmp_path / name
            if isinstance(content, tiffsd.Artifact):
                tiffsd.write(path, content)
            else:
                path.write_bytes(str(content).encode())
            key = {"yaml": ".yaml", "txt": ".txt", "neg": "_neg.txt", "prompt": "_prompt"}.get(role, role)
            members[key] = path
        return request_for(stage, members, InputSources(config or Config(), tmp_path / "embeddings", tmp_path / "keep"))

    return read_files


def test_the_settings_file_wins_over_the_prompt_and_the_prompt_over_the_configuration(read: Read) -> None:
    config = Config(defaults={"steps": 10, "guidance_scale": 3.0, "scheduler": "ddim"})
    request = read(
        "text", config, principal=("cat.txt", "---\nsteps: 20\nguidance_scale: 4.0\n---\na cat"), yaml=("cat.yaml", "steps: 30")
    )
    assert (request.settings.steps, request.settings.guidance_scale, request.settings.scheduler) == (30, 4.0, "ddim")


def test_the_settings_file_wins_over_the_artifacts_own_record(read: Read) -> None:
    artifact = latents(recipe={"prompt": "a cat", "model": "demo", "seed": 1, "steps": 20})
    request = read("diffuse", principal=("cat.tiff", artifact), yaml=("cat.yaml", "steps: 30"))
    assert request.settings.steps == 30
    assert request.recipe["steps"] == 30
    assert request.settings.seed == 1


def test_settings_beside_latents_win_over_the_prompt_beside_them(read: Read) -> None:
    prompt = "---\nsteps: 20\nscheduler: euler\n---\na cat"
    request = read("diffuse", principal=("cat.tiff", latents()), txt=("cat.txt", prompt), yaml=("cat.yaml", "steps: 30"))
    assert (request.settings.steps, request.settings.scheduler) == (30, "euler")


def test_what_is_said_on_the_command_line_wins_over_the_settings_file(tmp_path: Path) -> None:
    (tmp_path / "cat.yaml").write_text("steps: 30\nstrength: 0.5")
    with (tmp_path / "cat.yaml").open("rb") as file:
        said, _ = companion_settings(Files({".yaml": file}, {".yaml": "cat.yaml"}, {"steps": 40}), Config(), FINAL)
    assert said == {"steps": 40, "strength": 0.5}


def test_a_negative_prompt_may_lie_beside_the_prompt(read: Read) -> None:
    request = read("text", principal=("cat_prompt.txt", "a cat"), neg=("cat_neg.txt", "dogs\n"))
    assert stage_settings(request, Config())["negative_prompt"] == "dogs"
    assert request.recipe["negative_prompt"] == "dogs"


def test_what_the_text_stage_uses_up_does_not_travel_on_and_the_rest_does(read: Read) -> None:
    settings = "count: 2\nsave_embedding: cat\nthen: diffuse\nstop_at: 5\nhold: decode\nlayout: pages"
    recipe = read("text", principal=("cat.txt", f"---\n{settings}\n---\na cat")).recipe
    assert not {"count", "save_embedding", "then"} & recipe.keys()
    assert (recipe["stop_at"], recipe["hold"], recipe["layout"]) == (5, "decode", "pages")


def test_a_seed_is_drawn_and_recorded_where_none_is_given(read: Read) -> None:
    request = read("text", principal=("cat.txt", "a cat"))
    assert request.recipe["seed"] == request.settings.seed
    assert stage_settings(request, Config())["seeds"] == [request.settings.seed]
    assert len({read("text", principal=("cat.txt", "a cat")).settings.seed for _ in range(4)}) > 1


def test_count_makes_a_row_of_seeds(read: Read) -> None:
    request = read("text", principal=("cat.txt", "---\ncount: 3\nseed: 7\n---\na cat"))
    assert stage_settings(request, Config())["seeds"] == [7, 8, 9]


def test_count_makes_a_row_of_variations_where_the_noise_is_varied(read: Read) -> None:
    front = "---\ncount: 3\nseed: 7\nvariation_seed: 20\nvariation_strength: 0.1\n---\na cat"
    settings = stage_settings(read("text", principal=("cat.txt", front)), Config())
    assert (settings["seeds"], settings["variation_seeds"]) == ([7, 7, 7], [20, 21, 22])


def test_a_variation_seed_is_drawn_where_none_is_given(read: Read) -> None:
    request = read("text", principal=("cat.txt", "---\nvariation_strength: 0.1\n---\na cat"))
    assert request.recipe["variation_seed"] == request.settings.variation_seed
    assert request.settings.variation_seed is not None


def test_a_seed_of_minus_one_is_drawn_anew(read: Read) -> None:
    request = read("text", principal=("cat.txt", "---\nseed: -1\n---\na cat"))
    assert request.recipe["seed"] == request.settings.seed >= 0


def test_a_row_beyond_the_largest_seed_is_refused(read: Read) -> None:
    front = f"---\ncount: 2\nseed: {2**64 - 1}\n---\na cat"
    with pytest.raises(InputError, match="the seed of the last of 2 pictures would be 18446744073709551616"):
        read("text", principal=("cat.txt", front))


def test_a_recipe_of_before_there_was_a_choice_means_the_noise_of_torch() -> None:
    assert recipe_settings(latents(recipe={"seed": 1}))["rng"] == "cpu"
    assert recipe_settings(latents(recipe={"seed": 1, "rng": "nv"}))["rng"] == "nv"
    assert "rng" not in recipe_settings(latents(recipe={"prompt": "a cat"}))


def test_the_recipe_of_an_older_picture_means_the_noise_of_torch_whatever_the_defaults_say(read: Read) -> None:
    config = Config(defaults={"rng": "nv"})
    older = picture()
    older = replace(older, header=replace(older.header, recipe={"prompt": "a cat", "seed": 1}))
    assert read("text", config, principal=("cat.tiff", older)).settings.rng == "cpu"
    assert read("text", config, principal=("cat.txt", "---\nseed: 1\n---\na cat")).settings.rng == "nv"


def test_latents_whose_random_numbers_are_known_go_on_with_them(read: Read) -> None:
    artifact = latents(recipe={"prompt": "a cat", "model": "demo", "seed": 1, "rng": "cpu"})
    artifact = replace(artifact, tensors={**artifact.tensors, "generator_state": np.zeros(4, np.uint8)})
    request = read("diffuse", principal=("cat.tiff", artifact), yaml=("cat.yaml", "rng: nv\nensd: 5"))
    assert (request.recipe["rng"], request.recipe["ensd"]) == ("cpu", 0)
    said = "ignored: noise go on with the random numbers whose state is in their file"
    assert [note for note in request.notes if said in note] == [f"rng {said}", f"ensd {said}"]


def test_changed_words_beside_latents_are_encoded_anew_and_unchanged_ones_are_not(read: Read) -> None:
    artifact = latents()
    assert not read("diffuse", principal=("cat.tiff", artifact)).encodes_text
    assert not read("diffuse", principal=("cat.tiff", artifact), yaml=("cat.yaml", "prompt: a red house")).encodes_text
    assert read("diffuse", principal=("cat.tiff", artifact), yaml=("cat.yaml", "prompt: a dog")).encodes_text


def test_what_an_editor_dropped_comes_back_from_the_kept_original(read: Read, tmp_path: Path) -> None:
    artifact = latents()
    tiffsd.write(tmp_path / "keep" / f"cat.{artifact.header.id}.tiff", artifact)
    bare = unmarried(artifact)
    request = read("diffuse", principal=(f"renamed.{artifact.header.id}.tiff", _without_metadata(bare, tmp_path)))
    np.testing.assert_array_equal(request.tensors["prompt_embeds"], artifact.tensors["prompt_embeds"])
    np.testing.assert_array_equal(request.tensors["latents"], artifact.tensors["latents"])
    assert request.recipe["prompt"] == "a red house"
    assert any("restored from the original" in note for note in request.notes)


def test_without_an_id_a_unique_stem_is_enough(read: Read, tmp_path: Path) -> None:
    artifact = latents()
    tiffsd.write(tmp_path / "keep" / f"cat.{artifact.header.id}.tiff", artifact)
    request = read("diffuse", principal=("cat.tiff", _without_metadata(unmarried(artifact), tmp_path)))
    assert request.recipe["prompt"] == "a red house"


def _without_metadata(artifact: tiffsd.Artifact, folder: Path) -> "_Raw":
    """The canvas as an editor saves it that keeps nothing but pixels."""
    import tifffile

    path = folder / "canvas.tiff"
    tiffsd.write(path, artifact)
    pixels = tifffile.imread(path)
    tifffile.imwrite(path, pixels, metadata=None)
    return _Raw(path.read_bytes())


class _Raw(str):
    """Bytes that the fixture writes as they are."""

    __slots__ = ("data",)
    data: bytes

    def __new__(cls, data: bytes) -> "_Raw":
        made = super().__new__(cls, "")
        made.data = data
        return made

    def encode(self, *_: object) -> bytes:
        return self.data

    def __str__(self) -> "_Raw":
        return self


def test_settings_of_a_newer_version_in_a_record_are_carried_on(read: Read) -> None:
    artifact = latents(recipe={"prompt": "a cat", "model": "demo", "seed": 1, "wonder": 5})
    assert read("diffuse", principal=("cat.tiff", artifact)).recipe["wonder"] == 5


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ("steps: 5000", ["steps is 5000", "limits.steps"]),
        ("count: 500", ["count is 500", "limits.count"]),
        ("width: 8192\nheight: 8192", ["8192x8192", "limits.pixels"]),
        ("embedding: nobody", ["no saved embedding 'nobody'", "save_embedding"]),
        ("embedding: ../../etc/passwd", ["never a path"]),
    ],
)
def test_what_exceeds_the_limits_or_names_what_is_not_there_is_refused(read: Read, settings: str, words: list[str]) -> None:
    with pytest.raises(InputError) as refusal:
        read("text", principal=("cat.txt", f"---\n{settings}\n---\na cat"))
    for word in words:
        assert word in str(refusal.value)


def test_a_priority_beyond_the_highest_is_noted_once_and_kept_in_the_recipe(read: Read) -> None:
    config = Config.model_validate({"limits": {"priority": 10}})
    request = read("text", config, principal=("cat.txt", "---\npriority: 50\n---\na cat"))
    note = "priority 50 counts as 10, the highest that there is (limits.priority in config.yaml)"
    assert request.notes == (note,)
    assert request.recipe["priority"] == 50
    told = replace(latents(recipe={"prompt": "a cat", "priority": 50}).header, history=({"stage": "text", "notes": [note]},))
    assert note not in read("diffuse", config, principal=("cat.tiff", replace(latents(), header=told))).notes


def test_latents_that_a_program_changed_count_as_painted(read: Read, tmp_path: Path) -> None:
    artifact = latents()
    tiffsd.write(tmp_path / "keep" / f"cat.{artifact.header.id}.tiff", artifact)
    changed = artifact.tensors["latents"].copy()
    changed[:, 4:8, 4:8] *= -1
    edited = replace(artifact, tensors={**artifact.tensors, "latents": changed, "scheduler.x": np.zeros(3, np.float32)})
    request = read("diffuse", principal=(f"cat.{artifact.header.id}.tiff", edited))
    assert request.source is not None
    assert request.source.painted == 64
    assert "scheduler.x" not in request.tensors
    assert any("64 of 1024 values differ" in note for note in request.notes)


def test_what_does_nothing_is_recorded_so_that_other_defaults_do_not_change_the_recipe(read: Read) -> None:
    recipe = read("diffuse", principal=("cat.tiff", latents())).recipe
    assert (recipe["guidance_rescale"], recipe["prompt_influence"]) == (0.0, 1.0)


def test_a_negative_prompt_beside_a_pair_without_known_words_is_refused(read: Read) -> None:
    artifact = latents(recipe={})
    with pytest.raises(InputError, match=r"cat.tiff: a negative prompt lies beside.*cat.txt"):
        read("diffuse", principal=("cat.tiff", artifact), neg=("cat_neg.txt", "dogs"))


def test_strength_in_a_prompt_is_passed_over_and_said(read: Read) -> None:
    request = read("text", principal=("cat.txt", "---\nstrength: 0.5\n---\na cat"))
    assert "strength" not in request.recipe
    assert any("strength" in note for note in request.notes)


def test_another_model_at_the_decoder_is_said_to_be_unrepeatable(read: Read) -> None:
    config = Config.model_validate({"models": {"demo": {"path": "builtin"}, "other": {"path": "builtin"}}})
    request = read("decode", config, principal=("cat.tiff", latents()), yaml=("cat.yaml", "model: other"))
    assert any("cannot repeat" in note for note in request.notes)


def test_the_influence_of_the_latents_is_used_up_by_a_loop_and_counts_where_it_is_said_anew(read: Read) -> None:
    recipe = {"prompt": "a cat", "model": "demo", "seed": 1, "latent_influence": 1.2, "strength": 0.5}
    encoded = latents(state=tiffsd.State.FINAL, recipe=recipe, history=({"stage": "encode"},))
    assert read("diffuse", principal=("photo.tiff", encoded)).settings.latent_influence == 1.2
    finished = latents(state=tiffsd.State.FINAL, recipe=recipe, history=({"stage": "text"}, {"stage": "diffuse"}))
    assert read("diffuse", principal=("cat.tiff", finished)).settings.latent_influence is None
    said = read("diffuse", principal=("cat.tiff", finished), yaml=("cat.yaml", "latent_influence: 1.1"))
    assert (said.settings.latent_influence, said.recipe["latent_influence"]) == (1.1, 1.1)


def test_half_done_latents_keep_the_influence_they_began_with(read: Read) -> None:
    recipe = {"prompt": "a cat", "model": "demo", "seed": 1, "latent_influence": 1.2}
    half = latents(state=tiffsd.State.PARTIAL, recipe=recipe, step=3, steps=20)
    request = read("diffuse", principal=("half.tiff", half), yaml=("half.yaml", "latent_influence: 1.1"))
    assert request.recipe["latent_influence"] == 1.2
    assert "latent_influence ignored: it does not count for half-done latents (it counts where a loop begins)" in request.notes


def test_a_saved_embedding_is_forgotten_where_other_words_are_encoded(read: Read) -> None:
    artifact = latents(recipe={"prompt": "a cat", "embedding": "cat", "model": "demo", "seed": 1})
    assert read("diffuse", principal=("m.tiff", artifact)).recipe["embedding"] == "cat"
    request = read("diffuse", principal=("m.tiff", artifact), txt=("m.txt", "a dog"))
    assert request.encodes_text
    assert request.recipe["prompt"] == "a dog"
    assert "embedding" not in request.recipe


@pytest.mark.parametrize(
    "put", [os.mkfifo, os.mkdir, lambda path: path.symlink_to("/etc/hostname")], ids=["FIFO", "folder", "link"]
)
def test_what_is_no_file_in_place_of_a_saved_embedding_is_refused_and_not_waited_for(
    read: Read, tmp_path: Path, put: Callable[[Path], None]
) -> None:
    put(tmp_path / "embeddings" / "cat.tiff")
    with pytest.raises(InputError, match="there is no saved embedding 'cat'"):
        read("text", principal=("m.txt", "---\nembedding: cat\n---\n"))


@pytest.mark.parametrize(
    ("txt", "yaml", "overrides"),
    [
        ("---\nscheduler: euler\nschedule: karras\n---\na cat", "scheduler: ddim", {}),
        ("a cat", "scheduler: euler\nschedule: karras", {"scheduler": "ddim"}),
    ],
)
def test_a_companion_that_names_a_scheduler_drops_the_schedule_of_another(txt: str, yaml: str, overrides: dict[str, str]) -> None:
    members = {".txt": io.BytesIO(txt.encode()), ".yaml": io.BytesIO(yaml.encode())}
    said, _ = companion_settings(Files(members, {".txt": "a.txt", ".yaml": "a.yaml"}, overrides), Config(), FINAL)
    assert (said["scheduler"], said.get("schedule")) == ("ddim", None)


def test_the_default_number_of_pictures_does_not_count_for_the_largest_seed_of_latents(read: Read) -> None:
    artifact = latents(recipe={"prompt": "a cat", "model": "demo", "seed": 2**64 - 1})
    assert read("diffuse", Config(defaults={"count": 2}), principal=("cat.tiff", artifact)).settings.seed == 2**64 - 1


def test_a_file_cannot_say_what_a_person_painted(read: Read) -> None:
    made = latents(state=tiffsd.State.FINAL)
    claimed = {name: np.ones(made.tensors["latents"].shape[1:], np.float32) for name in PAINT}
    artifact = replace(made, tensors={**made.tensors, **claimed})
    request = read("diffuse", principal=("cat.tiff", artifact), yaml=("cat.yaml", "strength: 0.5"))
    assert "latents" in request.tensors
    assert not {*PAINT} & request.tensors.keys()


def test_paint_is_put_in_where_the_vae_runs(read: Read) -> None:
    config = Config.model_validate({"stages": {"decode": {"device": "cuda:1"}, "diffuse": {"dtype": "float16"}}})
    request = read("diffuse", config, principal=("cat.tiff", half_done()))
    call = apply_call(request, config)
    assert (call.stage, call.settings["model"]["device"], call.settings["model"]["dtype"]) == ("apply", "cuda:1", "float32")
    assert (call.settings["state"], call.settings["step"], call.gives) == ("partial", half_done().header.step, None)
    assert call.tensors is request.tensors
    assert batch_key(call) is None
