"""The recipe of ComfyUI: the graph of its nodes in `prompt`, read where it is the simple one.

That is: one sampler, whose model, prompts and latents lead back to a checkpoint, to texts and to an empty latent image, through
nodes that have a setting here. A node on the way that has none is passed over with a note; a graph with several samplers is not
read, because its picture comes of all of them.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from daemon.settings.foreign.comfyui_names import plain_words, schedule
from daemon.settings.foreign.recipe import MOST_NOTES, Foreign, file_name, loras, made, not_read

PROGRAM = "ComfyUI"
SAMPLERS = ("KSampler", "KSamplerAdvanced", "SamplerCustom", "SamplerCustomAdvanced")
LOADERS = {
    "CheckpointLoaderSimple": "ckpt_name",
    "CheckpointLoader": "ckpt_name",
    "UNETLoader": "unet_name",
    "UnetLoaderGGUF": "unet_name",
    "ImageOnlyCheckpointLoader": "ckpt_name",
}
LORA_LOADERS = ("LoraLoader", "LoraLoaderModelOnly")
# Nodes that only show, keep or turn into pixels what the others make.
HARMLESS = (
    *(
        "VAEDecode",
        "VAEDecodeTiled",
        "SaveImage",
        "SaveLatent",
        "PreviewImage",
        "VAELoader",
        "Note",
        "Reroute",
        "SaveImageWebsocket",
        "PreviewAny",
    ),
    "SaveAnimatedWEBP",
)
# By which input a node that is passed over leads on.
ONWARD = {
    "model": ("model",),
    "clip": ("clip",),
    "conditioning": ("conditioning", "conditioning_1", "positive", "conditioning_to"),
    "latent": ("latent_image", "samples", "latent", "pixels", "image"),
}
# What ComfyUI has without the node, so that saying it changes nothing.
USUAL_SHIFTS = {"ModelSamplingFlux": {"max_shift": 1.15, "base_shift": 0.5}, "ModelSamplingSD3": {"shift": 3.0}}
LONGEST_WAY = 100
TEXTS = ("text", "text_g", "t5xxl", "clip_l", "prompt")
"""Inputs of text encoders."""
# Nodes that hand on a text as somebody wrote it, by the input that has it; of all others it is not known what they make of theirs.
TEXT_NODES = {
    **dict.fromkeys(("PrimitiveNode", "PrimitiveString", "PrimitiveStringMultiline"), "value"),
    **dict.fromkeys(("StringConstant", "StringConstantMultiline", "String Literal", "Simple String"), "string"),
    **dict.fromkeys(("Text Multiline", "Text box", "Text _O", "CR Text", "ttN text", "ShowText|pysssss"), "text"),
    **dict.fromkeys(("CR Prompt Text", "easy positive", "easy negative"), "prompt"),
    **dict.fromkeys(("ImpactWildcardProcessor", "ImpactWildcardEncode"), "populated_text"),
    "JWStringMultiline": "text",
    "Reroute": "",
}
PLAIN = ("value", "string", "int", "float", "number")
OF_ONE_ENCODER = ("text_g", "text_l", "t5xxl", "clip_l", "clip_g")
Node = Mapping[str, Any]


class Graph:
    """The nodes of a graph by their ids, with the notes on those that were passed over."""

    def __init__(self, nodes: Mapping[str, Node]) -> None:
        self._nodes = nodes
        self._seen: set[str] = set()
        self.loras: list[Node] = []  # those that the denoiser has
        self.text_loras: list[Node] = []  # and those that the text encoders have
        self.notes: list[str] = []

    def of(self, *kinds: str) -> list[str]:
        """The ids of the nodes of these kinds."""
        return [identity for identity, node in self._nodes.items() if kind_of(node) in kinds]

    def way(self, link: object, onward: str) -> Iterator[tuple[str, Node]]:
        """The nodes from one input up the graph: each leads on by its input of the kind `onward`."""
        for _ in range(LONGEST_WAY):
            identity = str(link[0]) if isinstance(link, list) and link else ""
            node = self._nodes.get(identity)
            if node is None:
                return
            self._seen.add(identity)
            yield kind_of(node), inputs_of(node)
            names = ("negative",) if onward == "conditioning" and _is_negative(link, inputs_of(node)) else ONWARD[onward]
            link = next((value for name in names if isinstance(value := inputs_of(node).get(name), list)), None)

    def node(self, link: object) -> Node:
        """The inputs of the node that an input leads to; empty where it leads nowhere."""
        identity = str(link[0]) if isinstance(link, list) and link else ""
        self._seen.add(identity)
        return inputs_of(self._nodes.get(identity, {}))

    def value(self, said: object, *names: str) -> Any:
        """What an input says, or the node that it leads to has by one of the names, or as a number of its own."""
        return self._followed(said, lambda _: (*names, *PLAIN))

    def text(self, said: object) -> str | None:
        """The text that an input has, or the node that it leads to hands on; None where nobody wrote it, or nothing tells."""
        found = self._followed(said, lambda kind: (TEXT_NODES[kind],) if kind in TEXT_NODES else ())
        return found if isinstance(found, str) else None

    def _followed(self, said: object, names_for: Callable[[str], Collection[str]]) -> Any:
        for _ in range(LONGEST_WAY):
            if not isinstance(said, list):
                return said
            node = self._nodes.get(str(said[0]) if said else "")
            inputs, kind = self.node(said), kind_of(node or {})
            said = next((inputs[name] for name in names_for(kind) if name in inputs), None)
            if said is None and node is not None:
                self.pass_over(kind, "what it makes is not known here")
        return None

    def pass_over(self, kind: str, why: str = "tiffsd has nothing like it") -> None:
        """Note a node that changes the picture and has no setting here."""
        self.notes.append(f"the node {kind[:60]!r} of the workflow ignored: {why}")

    def pass_over_the_rest(self) -> None:
        """Note the nodes that none of the ways led to, of each kind once."""
        rest = [kind_of(node) for identity, node in self._nodes.items() if identity not in self._seen]
        for kind in list(dict.fromkeys(kind for kind in rest if kind and kind not in HARMLESS))[:MOST_NOTES]:
            self.pass_over(kind)


def is_graph(record: Mapping[str, Any]) -> bool:
    """Whether a record is a graph of ComfyUI's nodes."""
    return any(isinstance(node, dict) and "class_type" in node for node in record.values())


def read(record: Mapping[str, Any]) -> Foreign:
    """The recipe in a graph."""
    graph = Graph({str(key): node for key, node in record.items() if isinstance(node, dict)})
    samplers = graph.of(*SAMPLERS)
    if len(samplers) != 1:
        found = f"{len(samplers)} samplers" if samplers else "no sampler that is known"
        return not_read(PROGRAM, f"its graph has {found}, and only a graph with one is read")
    link = [samplers[0], 0]
    ((kind, sampler),) = list(graph.way(link, "latent"))[:1]
    said = _of_custom(graph, sampler) if kind.startswith("SamplerCustom") else _of_ksampler(graph, sampler)
    if sampler.get("add_noise") in ("disable", False):
        return not_read(PROGRAM, "its sampler goes on with noise that another has left")
    said |= _size(graph, link, said)
    said |= _vae(graph) | _loras(graph)
    graph.pass_over_the_rest()
    return made(PROGRAM, {**said, "rng": "cpu"}, graph.notes)


def kind_of(node: Node) -> str:
    """The class of a node."""
    return str(node.get("class_type", ""))


def inputs_of(node: Node) -> Node:
    """The inputs of a node by name: values, or links [id, index]."""
    inputs = node.get("inputs")
    return inputs if isinstance(inputs, dict) else {}


def _is_negative(link: object, inputs: Node) -> bool:
    """Whether a link leads to the negative one of two conditionings that go through one node, as ControlNets have them."""
    return isinstance(link, list) and link[1:2] == [1] and {"positive", "negative"} <= inputs.keys()


def _of_ksampler(graph: Graph, sampler: Node) -> dict[str, Any]:
    """A sampler that has all in itself."""
    said = {
        "seed": graph.value(sampler.get("seed", sampler.get("noise_seed")), "seed", "noise_seed"),
        "steps": graph.value(sampler.get("steps"), "steps"),
        "guidance_scale": graph.value(sampler.get("cfg"), "cfg"),
        "scheduler": graph.value(sampler.get("sampler_name"), "sampler_name"),
        "schedule": schedule(graph.value(sampler.get("scheduler"), "scheduler")),
        "strength": graph.value(sampler.get("denoise"), "denoise"),
    }
    start, end, steps = sampler.get("start_at_step"), sampler.get("end_at_step"), said["steps"]
    if isinstance(start, int) and start > 0:
        said["start_at"] = start
    if isinstance(end, int) and isinstance(steps, int) and end < steps:
        said["end_at"] = end
    said |= _model(graph, sampler.get("model"))
    return said | _prompts(graph, sampler.get("positive"), sampler.get("negative"), said)


def _of_custom(graph: Graph, sampler: Node) -> dict[str, Any]:
    """A sampler whose parts are nodes of their own."""
    guider = graph.node(sampler["guider"]) if "guider" in sampler else sampler
    noise = graph.node(sampler["noise"]) if "noise" in sampler else sampler
    sigmas = graph.node(sampler.get("sigmas"))
    said = {
        "seed": graph.value(noise.get("noise_seed"), "noise_seed", "seed"),
        "guidance_scale": graph.value(guider.get("cfg"), "cfg"),
        "scheduler": graph.value(sampler.get("sampler"), "sampler_name"),
        "steps": graph.value(sigmas.get("steps"), "steps"),
        "schedule": schedule(graph.value(sigmas.get("scheduler"), "scheduler")),
        "strength": graph.value(sigmas.get("denoise"), "denoise"),
    }
    list(graph.way(sigmas.get("model"), "model"))
    said |= _model(graph, guider.get("model"))
    return said | _prompts(graph, guider.get("positive", guider.get("conditioning")), guider.get("negative"), said)


def _model(graph: Graph, link: object) -> dict[str, Any]:
    said: dict[str, Any] = {}
    for kind, inputs in graph.way(link, "model"):
        if kind in LOADERS:
            said["model"] = file_name(graph.value(inputs.get(LOADERS[kind]), LOADERS[kind]))
        elif kind in LORA_LOADERS:
            graph.loras.append(inputs)
        elif kind == "RescaleCFG":
            said["guidance_rescale"] = inputs.get("multiplier")
        elif not _changes_nothing(kind, inputs):
            graph.pass_over(kind)
    return said


def _loras(graph: Graph) -> dict[str, Any]:
    """The LoRAs of the denoiser; the text encoders have those that lie on their way to the prompt, too."""
    named = []
    for inputs in reversed(graph.loras):
        denoiser = inputs.get("strength_model", 1.0)
        text = inputs.get("strength_clip", denoiser) if any(inputs is other for other in graph.text_loras) else 0.0
        named.append((graph.value(inputs.get("lora_name"), "lora_name"), [text, denoiser]))
    return {"loras": loras(named)}


def _changes_nothing(kind: str, inputs: Node) -> bool:
    return kind in HARMLESS or (kind in USUAL_SHIFTS and all(inputs.get(k) == v for k, v in USUAL_SHIFTS[kind].items()))


def _prompts(graph: Graph, positive: object, negative: object, said: Mapping[str, Any]) -> dict[str, Any]:
    found = _words(graph, positive)
    against = {key: value for key, value in _words(graph, negative).items() if key == "prompt"}
    if "guidance_scale" in found and said.get("guidance_scale") not in (None, 1, 1.0):
        graph.notes.append(
            f"cfg {said['guidance_scale']} of the workflow ignored: beside the guidance of Flux tiffsd takes no other"
        )
    if "(" in f"{found.get('prompt', '')}{against.get('prompt', '')}":
        graph.notes.append(
            "ComfyUI applies the weights of words otherwise than A1111, whose way is ours: the picture differs by it"
        )
    return {**found, "negative_prompt": against.get("prompt")}


def _words(graph: Graph, link: object) -> dict[str, Any]:
    """The text that a conditioning comes of, and what the nodes on its way say."""
    said: dict[str, Any] = {}
    for kind, inputs in graph.way(link, "conditioning"):
        if kind in ("FluxGuidance", "CLIPTextEncodeFlux") and "guidance" in inputs:
            said["guidance_scale"] = graph.value(inputs["guidance"], "guidance")
        if kind == "ConditioningZeroOut":
            return {"prompt": ""}
        names = (TEXT_NODES[kind],) if kind in TEXT_NODES else TEXTS
        text = next((graph.text(inputs[name]) for name in names if name in inputs), None)
        if isinstance(text, str):
            said["prompt"] = plain_words(text)
            graph.notes += [
                f"the text {name!r} of the node {kind[:60]!r} ignored: all text encoders have one prompt here"
                for name in OF_ONE_ENCODER
                if (other := graph.text(inputs.get(name))) is not None and other not in ("", text)
            ]
            return said | _clip_skip(graph, inputs.get("clip"))
        if kind not in (*HARMLESS, "FluxGuidance"):
            graph.pass_over(kind)
    return said


def _clip_skip(graph: Graph, link: object) -> dict[str, Any]:
    said: dict[str, Any] = {}
    for kind, inputs in graph.way(link, "clip"):
        layer = inputs.get("stop_at_clip_layer")
        if kind == "CLIPSetLastLayer" and isinstance(layer, int):
            said.setdefault("clip_skip", -layer)
        elif kind in LORA_LOADERS:
            _of_the_text(graph, kind, inputs)
        elif kind not in (*LOADERS, *LORA_LOADERS, *HARMLESS):
            graph.pass_over(kind, "the text encoders are those of the model here")
    return said


def _of_the_text(graph: Graph, kind: str, inputs: Node) -> None:
    if not any(inputs is other for other in graph.loras):
        graph.pass_over(kind, "only the text encoders have it, and a LoRA is for the denoiser too here")
    elif not any(inputs is other for other in graph.text_loras):
        graph.text_loras.append(inputs)


def _size(graph: Graph, link: object, said: Mapping[str, Any]) -> dict[str, Any]:
    """The size of the empty latents; without them the picture came from another, by the strength that is said."""
    for kind, inputs in list(graph.way(link, "latent"))[1:]:
        if "width" in inputs and "height" in inputs and "latent" in kind.lower():
            if said.get("strength") not in (None, 1, 1.0):
                graph.notes.append(f"denoise {said['strength']} of the workflow ignored: it begins with empty latents")
            if inputs.get("batch_size", 1) not in (1, None):
                graph.notes.append(f"batch_size {inputs['batch_size']} of the workflow ignored: a recipe makes one picture")
            sizes = {side: graph.value(inputs[side], side) for side in ("width", "height")}
            return {**sizes, "strength": None}
        if kind not in (*HARMLESS, "LoadImage", "VAEEncode"):
            graph.pass_over(kind)
    return {"strength": None} if said.get("strength") in (1, 1.0) else {}


def _vae(graph: Graph) -> dict[str, Any]:
    loaders = graph.of("VAELoader")
    return {"vae": file_name(graph.node([loaders[0], 0]).get("vae_name"))} if len(loaders) == 1 else {}
