"""One specimen of each structure in which programs write recipes into pictures, made here after what their sources and users say.

A record is what its program writes, key by key; `wrap` makes the file of it. No text and no picture of anybody is in them.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tests.recipes.pictures import (
    ASCII,
    ASCII_CODE,
    BYTE,
    CAMERA,
    DESCRIPTION,
    MAKER,
    NO_CODE,
    UNDEFINED,
    UNICODE,
    USER_COMMENT,
    commented,
    exif,
    jpeg,
    png,
    png_with_exif,
    stealth,
    webp,
)

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Specimen:
    """What it is, which program writes it, its record and the file of it; `silent` keys say nothing that a person misses.

    `ending` is that of the file; with `read` false it holds no recipe that is read, and a note says why, unless it is nobody's."""

    what: str
    program: str
    record: Record
    wrap: Callable[[Any], bytes]
    silent: tuple[str, ...] = ()
    ending: str = ".png"
    read: bool = True


PARAMETERS: Record = {
    "Steps": 8,
    "Sampler": "Euler a",
    "Schedule type": "Karras",
    "CFG scale": 4.5,
    "Seed": 5,
    "Size": "128x64",
    "Model hash": "6ce0161689",
    "Model": "demo",
    "VAE": "fine",
    "Clip skip": 2,
    "RNG": "CPU",
    "ENSD": 31337,
    "Variation seed": 7,
    "Variation seed strength": 0.25,
    "CFG Rescale": 0.5,
    "Eta": 0.5,
    "ADetailer model": "face_yolov8n.pt",
    "ControlNet 0": '"Module: canny, Model: control [ab12]"',
    "Lora hashes": '"add_detail: 7c6bad76eb54"',
    "TI hashes": '"EasyNegative: 66a7279a88dd"',
    "Version": "v1.10.1",
}
HIRES: Record = {
    **{key: PARAMETERS[key] for key in ("Steps", "Sampler", "Seed", "Size", "RNG")},
    "Denoising strength": 0.5,
    "Hires upscale": 2,
    "Hires steps": 4,
    "Hires upscaler": "ESRGAN_4x",
    "Hires prompt": '"a blue house"',
    "Hires sampler": "DDIM",
}
OF_A1111 = ("Model hash", "Version")


def infotext(record: Record, before: str = "\n", between: str = ", ") -> str:
    words = f"a red house{before}Negative prompt: blurry{before}"
    return words + between.join(f"{key}: {value}" for key, value in record.items())


def in_parameters(record: Record) -> bytes:
    return png({"parameters": infotext(record)})


def as_json(keyword: str, **others: str) -> Callable[[Record], bytes]:
    return lambda record: png({keyword: json.dumps(record), **others})


def in_comment(code: bytes = UNICODE, encoding: str = "utf-16-be") -> Callable[[Record], bytes]:
    return lambda record: commented(infotext(record), code, encoding)


SWARM: Record = {
    "prompt": "a red house",
    "negativeprompt": "blurry",
    "model": "demo",
    "seed": 5,
    "steps": 8,
    "cfgscale": 4.5,
    "width": 128,
    "height": 64,
    "sampler": "dpmpp_2m",
    "scheduler": "beta",
    "vae": "fine",
    "loras": ["fur"],
    "loraweights": ["0.5"],
    "controlnetstrength": 0.7,
    "swarm_version": "0.9.5",
    "date": "2025-01-01",
}
FOOOCUS: Record = {
    "prompt": "a red house",
    "negative_prompt": "blurry",
    "base_model": "demo",
    "seed": "5",
    "steps": 8,
    "guidance_scale": 4.5,
    "sampler": "dpmpp_2m_sde_gpu",
    "scheduler": "karras",
    "resolution": "(128, 64)",
    "loras": [["fur", 0.5, "ab12"]],
    "sharpness": 2.0,
    "styles": "['Fooocus V2']",
    "performance": "Speed",
    "clip_skip": 2,
    "version": "Fooocus v2.5.5",
    "metadata_scheme": "fooocus",
}
INVOKEAI: Record = {
    "app_version": "5.4.0",
    "generation_mode": "txt2img",
    "positive_prompt": "a red house",
    "negative_prompt": "blurry",
    "seed": 5,
    "steps": 8,
    "cfg_scale": 4.5,
    "cfg_rescale_multiplier": 0.5,
    "scheduler": "dpmpp_2m_k",
    "width": 128,
    "height": 64,
    "clip_skip": 1,
    "rand_device": "cpu",
    "model": {"key": "ab", "name": "demo", "base": "sd-1", "type": "main"},
    "vae": {"key": "cd", "name": "fine"},
    "loras": [{"model": {"name": "fur"}, "weight": 0.5}],
    "controlnets": [{"control_weight": 1}],
    "seamless_x": True,
}
INVOKEAI_2: Record = {
    "prompt": [{"prompt": "a red house [blurry]", "weight": 1}],
    "seed": 5,
    "steps": 8,
    "cfg_scale": 4.5,
    "sampler": "k_euler_a",
    "width": 128,
    "height": 64,
    "perlin": 0.2,
    "type": "txt2img",
}
NOVELAI: Record = {
    "prompt": "a {red} house (big)",
    "uc": "blurry",
    "seed": 5,
    "steps": 8,
    "scale": 4.5,
    "cfg_rescale": 0.5,
    "sampler": "k_euler_ancestral",
    "noise_schedule": "karras",
    "width": 128,
    "height": 64,
    "sm": True,
    "dynamic_thresholding": True,
    "request_type": "PromptGenerateRequest",
    "signed_hash": "ab12",
}
DRAW_THINGS: Record = {
    "c": "a red house",
    "uc": "blurry",
    "seed": 5,
    "steps": 8,
    "scale": 4.5,
    "sampler": "DPM++ 2M Karras",
    "size": "128x64",
    "model": "demo.ckpt",
    "strength": 1,
    "seed_mode": "Scale Alike",
    "lora": [{"model": "fur", "weight": 0.5}],
    "upscaler": "esrgan",
    "profile": {"duration": 3},
}


EASY_DIFFUSION: Record = {
    "prompt": "a red house",
    "negative_prompt": "blurry",
    "seed": 5,
    "num_inference_steps": 8,
    "guidance_scale": 4.5,
    "width": 128,
    "height": 64,
    "sampler_name": "euler_a",
    "use_stable_diffusion_model": "demo",
    "clip_skip": True,
    "use_lora_model": "fur",
    "lora_alpha": 0.5,
    "use_upscale": "RealESRGAN_x4plus",
}


def node(kind: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": kind, "inputs": inputs}


COMFYUI: Record = {
    "3": node(
        "KSampler",
        **{"seed": 5, "steps": 8, "cfg": 4.5, "sampler_name": "dpmpp_2m", "scheduler": "beta", "denoise": 1.0},
        **{"model": ["10", 0], "positive": ["6", 0], "negative": ["7", 0], "latent_image": ["5", 0]},
    ),
    "4": node("CheckpointLoaderSimple", ckpt_name="sd/demo.safetensors"),
    "5": node("EmptyLatentImage", width=128, height=64, batch_size=1),
    "6": node("CLIPTextEncode", text="a red [house]", clip=["11", 0]),
    "7": node("CLIPTextEncode", text="blurry", clip=["11", 0]),
    "8": node("VAEDecode", samples=["3", 0], vae=["12", 0]),
    "9": node("SaveImage", images=["8", 0], filename_prefix="ComfyUI"),
    "10": node("LoraLoader", lora_name="fur.safetensors", strength_model=0.5, strength_clip=0.25, model=["4", 0], clip=["4", 1]),
    "11": node("CLIPSetLastLayer", stop_at_clip_layer=-2, clip=["10", 1]),
    "12": node("VAELoader", vae_name="fine.safetensors"),
    "13": node("ControlNetLoader", control_net_name="canny"),
}
COMFYUI_FLUX: Record = {
    "1": node("SamplerCustomAdvanced", noise=["2", 0], guider=["3", 0], sampler=["4", 0], sigmas=["5", 0], latent_image=["6", 0]),
    "2": node("RandomNoise", noise_seed=5),
    "3": node("BasicGuider", model=["7", 0], conditioning=["8", 0]),
    "4": node("KSamplerSelect", sampler_name="euler"),
    "5": node("BasicScheduler", model=["7", 0], scheduler="simple", steps=8, denoise=1.0),
    "6": node("EmptySD3LatentImage", width=128, height=64, batch_size=1),
    "7": node("ModelSamplingFlux", model=["9", 0], max_shift=1.15, base_shift=0.5),
    "8": node("FluxGuidance", conditioning=["10", 0], guidance=3.5),
    "9": node("UNETLoader", unet_name="demo.safetensors", weight_dtype="default"),
    "10": node("CLIPTextEncode", text="a red house", clip=["11", 0]),
    "11": node("DualCLIPLoader", clip_name1="t5xxl", clip_name2="clip_l"),
}
TWO_SAMPLERS = {**COMFYUI, "20": node("KSampler", seed=6, latent_image=["3", 0])}
XMP = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF><rdf:Description><exif:UserComment><rdf:Alt><rdf:li xml:lang="x-default">'
    "{}</rdf:li></rdf:Alt></exif:UserComment></rdf:Description></rdf:RDF></x:xmpmeta>"
)


def escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")


def of_comfyui(record: Record) -> bytes:
    """ComfyUI's own WebP: the graph in the field of the camera's model."""
    fields = {MAKER: (ASCII, b"workflow:{}"), CAMERA: (ASCII, b"prompt:" + json.dumps(record).encode())}
    return webp(exif(fields, inner=False))


def in_field(tag: int, kind: int, code: bytes = b"", *, inner: bool = True, order: str = "<") -> Callable[[Record], bytes]:
    return lambda record: jpeg(exif({tag: (kind, code + infotext(record).encode())}, inner=inner, order=order))


A, PLAIN = "A1111 and its forks", {key: PARAMETERS[key] for key in ("Steps", "Sampler", "CFG scale", "Seed", "RNG", "Version")}
SPECIMENS: Mapping[str, Specimen] = {
    "a1111": Specimen("an infotext in `parameters`", A, PARAMETERS, in_parameters, OF_A1111),
    "a1111-hires": Specimen("the same with hires fix", A, HIRES, in_parameters),
    "a1111-behind": Specimen(
        "the same behind the pixels", "ImageMagick", PLAIN, lambda r: png({"parameters": infotext(r)}, behind=True), OF_A1111
    ),
    "a1111-template": Specimen(
        "further lines behind the parameters",
        "Dynamic Prompts",
        PLAIN,
        lambda r: png({"parameters": f"{infotext(r)}\nTemplate: a {{red|blue}} house, Steps: 40\nNegative Template: blurry"}),
        OF_A1111,
    ),
    "a1111-lines": Specimen(
        "parameters over several lines", "people", PLAIN, lambda r: png({"parameters": infotext(r, between="\n")}), OF_A1111
    ),
    "a1111-one-line": Specimen(
        "all on one line", "people", PLAIN, lambda r: png({"parameters": infotext(r, before=" ")}), OF_A1111
    ),
    "sd-next": Specimen(
        "an infotext", "SD.Next", {**PLAIN, "App": "SD.Next", "Operations": '"txt2img; hires"'}, in_parameters, OF_A1111
    ),
    "civitai": Specimen(
        "an infotext with lists in it",
        "Civitai",
        {**PLAIN, "Civitai resources": '[{"type":"lora","weight":0.5},{"type":"checkpoint"}]'},
        in_comment(),
        OF_A1111,
        ".jpg",
    ),
    "comment-be": Specimen("UserComment in UTF-16, high byte first", A, PLAIN, in_comment(), OF_A1111, ".jpg"),
    "comment-le": Specimen(
        "the same, low byte first", "piexif and others", PLAIN, in_comment(UNICODE, "utf-16-le"), OF_A1111, ".jpg"
    ),
    "comment-utf8": Specimen("the same in UTF-8", "Exif 3", PLAIN, in_comment(UNICODE, "utf-8"), OF_A1111, ".jpg"),
    "comment-ascii": Specimen("UserComment in ASCII", "others", PLAIN, in_comment(ASCII_CODE, "utf-8"), OF_A1111, ".jpg"),
    "comment-uncoded": Specimen("UserComment without a code", "others", PLAIN, in_field(USER_COMMENT, UNDEFINED), OF_A1111, ".jpg"),
    "comment-byte": Specimen(
        "UserComment of type BYTE", "others", PLAIN, in_field(USER_COMMENT, BYTE, NO_CODE, order=">"), OF_A1111, ".jpg"
    ),
    "comment-first": Specimen(
        "UserComment in the first directory", "others", PLAIN, in_field(USER_COMMENT, ASCII, inner=False), OF_A1111, ".jpg"
    ),
    "description": Specimen(
        "an infotext in ImageDescription", "others", PLAIN, in_field(DESCRIPTION, ASCII, inner=False), OF_A1111, ".jpg"
    ),
    "png-exif": Specimen(
        "UserComment in the eXIf chunk of a PNG",
        "others",
        PLAIN,
        lambda r: png_with_exif(exif({USER_COMMENT: (UNDEFINED, UNICODE + infotext(r).encode("utf-16-be"))})),
        OF_A1111,
    ),
    "jpeg-comment": Specimen(
        "an infotext in the comment of a JPEG", "others", PLAIN, lambda r: jpeg(comment=infotext(r)), OF_A1111, ".jpg"
    ),
    "swarmui": Specimen(
        "`sui_image_params` in `parameters`",
        "SwarmUI",
        SWARM,
        lambda r: png({"parameters": json.dumps({"sui_image_params": r}, indent=2)}),
        ("swarm_version", "date"),
    ),
    "swarmui-jpeg": Specimen(
        "the same in UserComment",
        "SwarmUI",
        SWARM,
        lambda r: commented(json.dumps({"sui_image_params": r}), UNICODE, "utf-16-le"),
        ("swarm_version", "date"),
        ".jpg",
    ),
    "fooocus": Specimen(
        "JSON in `parameters`",
        "Fooocus",
        FOOOCUS,
        as_json("parameters", fooocus_scheme="fooocus"),
        ("performance", "version", "metadata_scheme"),
    ),
    "fooocus-jpeg": Specimen(
        "the same in UserComment",
        "Fooocus",
        FOOOCUS,
        lambda r: commented(json.dumps(r), NO_CODE, "utf-8"),
        ("performance", "version", "metadata_scheme"),
        ".jpg",
    ),
    "comfyui": Specimen("the graph in `prompt`", "ComfyUI", COMFYUI, as_json("prompt", workflow="{}"), ("8", "9")),
    "comfyui-webp": Specimen("the same in the field Model", "ComfyUI", COMFYUI, of_comfyui, ("8", "9"), ".webp"),
    "comfyui-flux": Specimen("a graph of SamplerCustomAdvanced", "ComfyUI", COMFYUI_FLUX, as_json("prompt")),
    "comfyui-two": Specimen("a graph of two samplers", "ComfyUI", TWO_SAMPLERS, as_json("prompt"), read=False),
    "comfyui-workflow": Specimen("`workflow` alone", "ComfyUI", {"nodes": []}, as_json("workflow"), read=False),
    "invokeai": Specimen(
        "`invokeai_metadata`", "InvokeAI", INVOKEAI, as_json("invokeai_metadata"), ("app_version", "generation_mode", "rand_device")
    ),
    "invokeai-2": Specimen(
        "`sd-metadata`",
        "InvokeAI 2",
        INVOKEAI_2,
        lambda r: png({"sd-metadata": json.dumps({"model_weights": "demo", "image": r})}),
        ("type",),
    ),
    "invokeai-dream": Specimen(
        "`Dream`",
        "InvokeAI 2",
        {"s": 8, "S": 5, "W": 128, "H": 64, "C": 4.5, "A": "k_euler_a", "G": 0.8},
        lambda r: png({"Dream": '"a red house [blurry]" ' + " ".join(f"-{key} {value}" for key, value in r.items())}),
    ),
    "novelai": Specimen(
        "JSON in `Comment`",
        "NovelAI",
        NOVELAI,
        as_json("Comment", Software="NovelAI", Description="a {red} house (big)", Title="AI generated image"),
        ("request_type", "signed_hash"),
    ),
    "novelai-alpha": Specimen(
        "the same in the alpha channel",
        "NovelAI",
        NOVELAI,
        lambda r: stealth(json.dumps({"Software": "NovelAI", "Comment": json.dumps(r)})),
        ("request_type", "signed_hash"),
    ),
    "a1111-alpha": Specimen(
        "an infotext in the alpha channel",
        "sd-webui-stealth-pnginfo",
        PLAIN,
        lambda r: stealth(infotext(r), compressed=False),
        OF_A1111,
    ),
    "draw-things": Specimen(
        "JSON in UserComment",
        "Draw Things",
        DRAW_THINGS,
        lambda r: commented(json.dumps(r), ASCII_CODE, "utf-8"),
        ("profile", "seed_mode", "strength"),
        ".jpg",
    ),
    "draw-things-xmp": Specimen(
        "the same in XMP",
        "Draw Things",
        DRAW_THINGS,
        lambda r: png({"XML:com.adobe.xmp": XMP.format(escaped(json.dumps(r)))}),
        ("profile", "seed_mode", "strength"),
    ),
    "easy-diffusion": Specimen(
        "a text for each setting", "Easy Diffusion", EASY_DIFFUSION, lambda r: png({key: str(value) for key, value in r.items()})
    ),
    "none": Specimen("`None` in `parameters`", "SD.Next and others", {}, lambda _: png({"parameters": "None"}), read=False),
    "unknown-json": Specimen(
        "other JSON in `parameters`", "nobody that is known", {"wonder": 5}, as_json("parameters"), read=False
    ),
    "midjourney": Specimen(
        "`Description` with a job id",
        "Midjourney",
        {},
        lambda _: png({"Description": "a red house --v 6 Job ID: ab-12"}),
        read=False,
    ),
}

COMMENTS = (
    *(
        "",
        " " * 56,
        "Screenshot",
        "Family holiday (Rome: day 2) [best]",
        "a red house in a meadow at sunset",
        "Steps: up to the church",
    ),
    *(
        "a red house\nNegative prompt: blurry",
        "0f1a2b3c4d5e6f708192a3b4c5d6e7f8",
        "ISO: 100, Aperture: 2.8, Shutter: 1/60",
        "None",
        "{}",
    ),
    *('{"c": 5}', "prompt: a cat", "{not JSON", '[{"prompt": "a cat"}]'),
)
"""What cameras, telephones and people leave in comments: none of it is a recipe."""
NOISE = (bytes(256), b"\xff" * 64, bytes(range(256)), b"\0\0\0\0" + bytes(range(1, 64)), b"\x01\x02\x03\x04" * 30)
Placed = tuple[str, bytes]


def _in_comment(code: bytes) -> Callable[[bytes], Placed]:
    return lambda data: (".jpg", jpeg(exif({USER_COMMENT: (UNDEFINED, code + data)})))


def _in_text(keyword: str) -> Callable[[bytes], Placed]:
    return lambda data: (".png", png({keyword: data.decode("latin-1").replace("\0", " ")}))


PLACES: Mapping[str, Callable[[bytes], Placed]] = {
    "UserComment UNICODE": _in_comment(UNICODE),
    "UserComment ASCII": _in_comment(ASCII_CODE),
    "UserComment no code": _in_comment(NO_CODE),
    "UserComment nothing": _in_comment(b""),
    "UserComment in the first directory": lambda data: (".jpg", jpeg(exif({USER_COMMENT: (ASCII, data)}, inner=False))),
    "ImageDescription": lambda data: (".jpg", jpeg(exif({DESCRIPTION: (ASCII, data)}, inner=False))),
    "Make": lambda data: (".webp", webp(exif({MAKER: (ASCII, data)}, inner=False))),
    "eXIf": lambda data: (".png", png_with_exif(exif({USER_COMMENT: (UNDEFINED, data)}))),
    "a comment of a JPEG": lambda data: (".jpg", jpeg(comment=data.decode("latin-1"))),
    "XMP": lambda data: (".jpg", jpeg(xmp=XMP.format(escaped(data.decode("latin-1"))))),
    **{keyword: _in_text(keyword) for keyword in ("Comment", "Description", "Title", "Software", "prompt", "Author")},
}
"""Where a text may stand that nobody labelled a prompt."""
