"""What single forms of other programs mean in our settings."""

import json

import pytest

from daemon.models.prompt_grammar import check_syntax, parse_weights
from daemon.settings.foreign import comfyui, draw_things, invokeai, novelai
from daemon.settings.foreign.draw_things import comment_in
from tests.recipes.specimens import COMFYUI, COMFYUI_FLUX, FOOOCUS, INVOKEAI, NOVELAI, SWARM, node


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("a (red)1.3 house", "a (red:1.3) house"),
        ("a red++ house", "a (red:1.21) house"),
        ("a (red house)+, (sky)--", "a (red house:1.1), (sky:0.81)"),
        ("a red house, well-lit (day)", "a red house, well-lit (day)"),
    ],
)
def test_invokeais_weights_are_ours(theirs: str, ours: str) -> None:
    assert invokeai.weighted(theirs) == ours
    assert invokeai.read({**INVOKEAI, "positive_prompt": theirs}).said["prompt"] == ours


def test_joined_prompts_of_invokeai_are_named() -> None:
    found = invokeai.read({**INVOKEAI, "positive_prompt": '("a cat", "a dog").and(1, 1)'})
    assert ".and(...) in the prompt ignored: it is read as words" in found.notes


@pytest.mark.parametrize(
    ("theirs", "ours"), [("{{red}} [house] (big)", r"((red:1.05):1.05) (house:0.9524) \(big\)"), ("a {red", "a (red")]
)
def test_novelais_braces_are_weights_and_its_brackets_characters(theirs: str, ours: str) -> None:
    assert novelai.weighted(theirs) == ours


def test_the_characters_of_novelai_4_are_named() -> None:
    captions = {"caption": {"base_caption": "a house", "char_captions": [{"char_caption": "girl"}, {"char_caption": "boy"}]}}
    assert (
        "2 characters of the recipe ignored: it tells of them apart from the prompt"
        in novelai.read({**NOVELAI, "v4_prompt": captions}).notes
    )


def test_the_loras_of_a_graph_have_both_weights_and_its_layers_count_from_the_end() -> None:
    said = comfyui.read(COMFYUI).said
    assert (said["loras"], said["clip_skip"], said["model"], said["vae"]) == ({"fur": [0.25, 0.5]}, 2, "demo", "fine")
    assert (said["prompt"], said["schedule"], said["rng"]) == (r"a red \[house\]", "comfyui_beta", "cpu")


def test_the_guidance_of_flux_is_the_guidance_of_its_graph() -> None:
    assert comfyui.read(COMFYUI_FLUX).said["guidance_scale"] == 3.5


def test_a_graph_that_begins_with_a_picture_has_its_strength() -> None:
    graph = {**COMFYUI, "3": node("KSampler", **{**COMFYUI["3"]["inputs"], "denoise": 0.4, "latent_image": ["21", 0]})}
    graph |= {"21": node("VAEEncode", pixels=["22", 0]), "22": node("LoadImage", image="x.png")}
    found = comfyui.read(graph)
    assert found.said["strength"] == 0.4
    assert "width" not in found.said


def test_what_text_encoders_are_told_apart_is_named() -> None:
    graph = {**COMFYUI, "6": node("CLIPTextEncodeSDXL", text_g="a house", text_l="red", clip=["11", 0])}
    found = comfyui.read(graph)
    assert found.said["prompt"] == "a house"
    assert "the text 'text_l' of the node 'CLIPTextEncodeSDXL' ignored: all text encoders have one prompt here" in found.notes


def test_part_of_the_steps_of_a_graph_is_part_of_ours() -> None:
    advanced = {**COMFYUI["3"]["inputs"], "noise_seed": 5, "start_at_step": 2, "end_at_step": 6, "add_noise": "enable"}
    advanced.pop("seed")
    said = comfyui.read({**COMFYUI, "3": node("KSamplerAdvanced", **advanced)}).said
    assert (said["seed"], said["start_at"], said["end_at"]) == (5, 2, 6)
    assert comfyui.read({**COMFYUI, "3": node("KSamplerAdvanced", **{**advanced, "add_noise": "disable"})}).unread


def through_a_control_net(**more: object) -> dict[str, object]:
    """The graph, both of whose prompts go through one node."""
    control = node("ControlNetApplyAdvanced", positive=["6", 0], negative=["7", 0], strength=0.5)
    sampler = node("KSampler", **{**COMFYUI["3"]["inputs"], "positive": ["21", 0], "negative": ["21", 1]})
    return {**COMFYUI, "3": sampler, "21": control, **more}


def test_the_negative_prompt_stays_negative_behind_a_node_that_has_both() -> None:
    found = comfyui.read(through_a_control_net())
    assert (found.said["prompt"], found.said["negative_prompt"]) == (r"a red \[house\]", "blurry")
    assert "the node 'ControlNetApplyAdvanced' of the workflow ignored: tiffsd has nothing like it" in found.notes


def test_a_lora_that_only_the_text_encoders_have_is_named() -> None:
    sampler = node("KSampler", **{**COMFYUI["3"]["inputs"], "model": ["4", 0]})
    found = comfyui.read({**COMFYUI, "3": sampler})
    assert "loras" not in found.said
    why = "only the text encoders have it, and a LoRA is for the denoiser too here"
    assert f"the node 'LoraLoader' of the workflow ignored: {why}" in found.notes
    assert not any("LoraLoader" in note for note in comfyui.read(COMFYUI).notes)


def test_a_node_that_makes_a_text_in_an_unknown_way_is_named() -> None:
    joined = node("StringConcatenate", string_a="red", string_b="cat")
    found = comfyui.read({**COMFYUI, "6": node("CLIPTextEncode", text=["21", 0], clip=["11", 0]), "21": joined})
    assert "prompt" not in found.said
    assert "prompt" not in comfyui.read({**COMFYUI, "6": node("CLIPTextEncode", text=[])}).said
    assert "the node 'StringConcatenate' of the workflow ignored: what it makes is not known here" in found.notes


def test_a_lora_that_only_the_denoiser_has_changes_no_words() -> None:
    graph = {**COMFYUI, "6": node("CLIPTextEncode", text="a house", clip=["4", 1])}
    assert comfyui.read({**graph, "7": node("CLIPTextEncode", text="", clip=["4", 1])}).said["loras"] == {"fur": [0.0, 0.5]}
    alone = node("LoraLoaderModelOnly", lora_name="fur.safetensors", strength_model=0.5, model=["4", 0])
    skipped = node("CLIPSetLastLayer", stop_at_clip_layer=-2, clip=["4", 1])
    assert comfyui.read({**COMFYUI, "10": alone, "11": skipped}).said["loras"] == {"fur": [0.0, 0.5]}


@pytest.mark.parametrize(
    ("kind", "inputs", "prompt"),
    [
        ("ShowText|pysssss", {"text": ["22", 0], "text_0": "shown before"}, None),
        ("ShowText|pysssss", {"text": "a house"}, "a house"),
        ("Wonder", {"text": "a house", "string": "a house", "value": "a house", "prompt": "a house"}, None),
        ("PrimitiveStringMultiline", {"value": "a house"}, "a house"),
        ("ImpactWildcardProcessor", {"wildcard_text": "a {red|blue} house", "populated_text": "a red house"}, "a red house"),
        ("Reroute", {"": ["23", 0]}, "a tree"),
    ],
)
def test_only_a_text_that_somebody_wrote_is_the_prompt_of_a_graph(kind: str, inputs: dict[str, object], prompt: str | None) -> None:
    others = {"22": node("LLM", prompt="describe a house", text="hello"), "23": node("StringConstant", string="a tree")}
    graph = {**COMFYUI, "6": node("CLIPTextEncode", text=["21", 0], clip=["11", 0]), "21": node(kind, **inputs), **others}
    found = comfyui.read(graph)
    assert found.said.get("prompt") == prompt
    assert prompt is not None or any("what it makes is not known here" in note for note in found.notes)


@pytest.mark.parametrize("words", ["ROCK AND ROLL", "{x | x > 0}", "__init__", "a BREAK b", "[a:b:0.5]", r"a \(b\) (c)"])
def test_what_is_text_to_comfyui_is_text_here(words: str) -> None:
    prompt = comfyui.read({**COMFYUI, "6": node("CLIPTextEncode", text=words, clip=["11", 0])}).said["prompt"]
    check_syntax(prompt)
    (section,) = parse_weights(prompt)
    assert "".join(said.text for said in section) == words.replace("\\", "").replace("(c)", "c")


def test_and_is_a_word_to_all_programs_but_a1111() -> None:
    prompts = [
        comfyui.read({**COMFYUI, "6": node("CLIPTextEncode", text="a AND b", clip=["11", 0])}).said["prompt"],
        invokeai.read({**INVOKEAI, "positive_prompt": "a AND b"}).said["prompt"],
        novelai.read({**NOVELAI, "prompt": "a AND b"}).said["prompt"],
        draw_things.read({"c": "a AND b", "sampler": "Euler a"}).said["prompt"],
    ]
    assert set(prompts) == {r"a \AND b"}


def test_what_draw_things_changes_of_a_picture_is_named() -> None:
    recipe = {"c": "a house", "sampler": "Euler a", "shift": 1, "hires_fix": False}
    quiet, told = (draw_things.read({**recipe, **more}).notes for more in ({}, {"shift": 3, "hires_fix": True}))
    assert len(told) == len(quiet) + 2
    assert "'shift: 3' of the recipe ignored: tiffsd has no such setting" in told


def test_a_comment_in_xmp_is_found_without_a_parser() -> None:
    assert (
        comment_in("<exif:UserComment><rdf:li>{&quot;c&quot;: &quot;a &amp; b&quot;}</rdf:li></exif:UserComment>")
        == '{"c": "a & b"}'
    )
    assert comment_in("<exif:UserComment>" * 1000) is None


@pytest.mark.parametrize("record", [SWARM, FOOOCUS, INVOKEAI, NOVELAI])
def test_records_are_json(record: dict[str, object]) -> None:
    assert json.loads(json.dumps(record)) == record
