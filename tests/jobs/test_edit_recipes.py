"""What an edit leaves of the recipe: it names what made the artifact, or the history says that it no longer does."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from daemon.jobs.recipes import unrepeatable
from tests.artifacts import embedding_of, half_done, latents
from tiffsd import Artifact, BadValues, State, edit


def promised(artifact: Artifact) -> list[str]:
    return unrepeatable(artifact.header.recipe, artifact.header.history)


def test_an_edited_embedding_is_not_what_its_words_give() -> None:
    alone, words = edit.split(latents())
    assert promised(edit.marry(alone, words)) == []
    for edited in (edit.scale(words, prompt=3.0), edit.scale(latents(), prompt=3.0)):
        married = edit.marry(alone, edited)
        assert married.header.recipe["prompt"] == "a red house"
        assert "edited (marry)" in promised(married)[0]


def test_what_was_painted_on_a_proof_is_not_what_the_recipe_gives() -> None:
    history = ({"stage": "diffuse", "painted_blocks": 12}, {"stage": "decode", "painted_blocks": 3})
    (sentence,) = unrepeatable({}, history)
    assert sentence == "somebody painted on the proof of this picture before diffuse and decode: the recipe does not repeat that"


def test_noise_takes_other_words_and_half_done_latents_do_not_repeat_them() -> None:
    assert promised(edit.marry(latents(), embedding_of("a blue tree"))) == []
    assert "edited (marry)" in promised(edit.marry(half_done(), embedding_of("a blue tree")))[0]


def test_a_history_of_somebody_else_may_count_in_words() -> None:
    words = embedding_of("a blue tree")
    words = replace(words, header=replace(words.header, history=({"stage": "text", "painted": "much"},)))
    assert promised(edit.marry(latents(), words)) == []


@pytest.mark.parametrize("state", list(State))
def test_another_seed_does_not_give_the_noise_that_is_there(state: State) -> None:
    after = edit.with_settings(latents(state=state), {"seed": 9})
    assert after.header.history[-1]["notes"] == ["the noise that these latents began with is that of seed 1"]
    assert "edited (set seed)" in promised(after)[0]
    assert promised(edit.with_settings(latents(state=state), {"seed": 1})) == []


def test_another_way_to_draw_the_noise_does_not_give_that_which_is_there() -> None:
    artifact = latents(recipe={"prompt": "a cat", "seed": 1, "rng": "cpu"})
    artifact = replace(artifact, tensors={**artifact.tensors, "generator_state": np.zeros(4, np.uint8)})
    for settings, begins in (({"rng": "nv"}, True), ({"variation_strength": 0.5}, True), ({"ensd": 31337}, False)):
        after = edit.with_settings(artifact, settings)
        assert "generator_state" not in after.tensors
        assert bool(promised(after)) == begins, settings


def test_the_name_of_a_saved_embedding_goes_with_its_words() -> None:
    named = latents(recipe={"prompt": "a cat", "embedding": "cat", "seed": 1})
    assert edit.with_settings(named, {"steps": 20}).header.recipe["embedding"] == "cat"
    assert "embedding" not in edit.with_settings(named, {"prompt": "a dog"}).header.recipe
    assert "embedding" not in edit.marry(named, embedding_of("a dog")).header.recipe
    assert edit.marry(latents(), named).header.recipe["embedding"] == "cat"
    encoded = edit.with_settings(named, {"embedding": None})
    assert (encoded.married, encoded.header.recipe) == (False, {"prompt": "a cat", "seed": 1})


@pytest.mark.parametrize(
    ("artifact", "settings", "sentence"),
    [
        (latents(), {"embedding": "dog"}, "to put the saved one in, marry the two"),
        (half_done(), {"scheduler": "ddim"}, "with these steps and this scheduler"),
        (latents(), {"prompt": None}, "a prompt that it would no longer name"),
    ],
)
def test_what_would_make_the_recipe_lie_is_refused(artifact: Artifact, settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(BadValues, match=sentence):
        edit.with_settings(artifact, settings)
