"""What people drop, of every structure that is known here: prompts, recipes of all programs, photos, latents that editors saved."""

import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

import tiffsd
from tests.artifacts import WIDTH, embedding_of, file_of, half_done, latents, picture, unmarried
from tests.recipes.specimens import COMMENTS, PLACES, SPECIMENS
from tests.tiffsd import mistakes
from tiffsd import Layout, State

CASES = Path(__file__).resolve().parents[3] / "shared/cases"
Files = Mapping[str, bytes]  # by their names; the first is the one that is asked about

WORDS = {
    "plain.txt": "a red house",
    "words.md": "a red house",
    "settings.json": '{"prompt": "a red house", "steps": 2}',
    "matter.txt": "---\nsteps: 2\n---\na red house",
    "several.txt": "---\ncount: 2\nseed: 5\n---\na red house",
    "unknown.txt": "---\nstepz: 3\n---\na red house",
    "odd.txt": "---\nwidth: 500\n---\na red house",
    "open.txt": "---\nsteps: 3\na red house",
    "huge.txt": "---\nwidth: 8192\nheight: 8192\n---\na red house",
    "model.txt": "---\nmodel: nobody\n---\na red house",
    "vae.txt": "---\nvae: nobody\n---\na red house",
    "lora.txt": "a red house <lora:nobody:1>",
    "embedding.txt": "---\nembedding: nobody\n---\n",
    "blank.txt": " \n",
    "list.json": "[1, 2]",
    "weights.txt": "a (red:1.2) house, [dark]",
    "schedule.txt": "a [red:blue:0.5] house",
    "unclosed.txt": "a (red house",
    "wild.txt": "a {red|blue} house",
    "both.txt": "a red house AND a tree",
    "unfenced.txt": "steps: 2\na red house",
    "tricky.txt": "---\nsteps: 2\nscheduler: flow_euler\neta: 0.5\nclip_skip: 9\n---\na red house",
    "skip.txt": "---\nclip_skip: 12\n---\na red house",
    "late.txt": "---\nsteps: 4\nstart_at: 9\n---\na red house",
    "refiner.txt": "---\nthen: refine\n---\na red house",
}


def specimens() -> Iterator[Files]:
    """Each with what lies beside it."""
    yield from ({name: text.encode()} for name, text in WORDS.items())
    yield {"legacy.txt": "a red h\xf6use".encode("latin-1")}
    for name, specimen in SPECIMENS.items():
        yield {f"{name}{specimen.ending}": specimen.wrap(specimen.record)}
    for number, (place, put) in enumerate(PLACES.items()):
        ending, data = put(COMMENTS[5 + number % 4].encode())
        yield {f"photo {place}{ending}": data}
    yield from _artifacts()
    yield from _pixels()
    yield from _saved()
    yield from _together()


def originals() -> dict[str, bytes]:
    """What the daemon keeps of the latents that editors saved: those made here, and those of the cases."""
    kept = {f"kept.{artifact.header.id}.tiff": file_of(artifact) for artifact in _kept()}
    return kept | {path.name: path.read_bytes() for path in CASES.glob("mistakes-in-editors/originals/*")}


def cases() -> Iterator[Files]:
    """The cases beside the repository, where they are."""
    for path in sorted(CASES.glob("recipes/*")) + sorted(CASES.glob("photos/*")):
        yield {path.name: path.read_bytes()}
    for name in mistakes.ENDINGS:
        path = CASES / "mistakes-in-editors" / name
        if path.is_file():
            yield {path.name: path.read_bytes()}


def _kept() -> list[tiffsd.Artifact]:
    made = [latents(state=State.FINAL, seed=7), latents(state=State.FINAL, seed=8)]
    layouts = zip(made, ("aaaa0001", "aaaa0002"), (Layout.MOSAIC, Layout.PAGES), strict=True)
    return [replace(one, header=replace(one.header, id=identity, layout=layout)) for one, identity, layout in layouts]


def _artifacts() -> Iterator[Files]:
    """What the daemon makes, whole and in pieces, and what it does not take."""
    final = latents(state=State.FINAL)
    yield {"noise.tiff": file_of(latents())}
    half = half_done()
    drawn = {
        name: tensor for name, tensor in half.tensors.items() if name not in ("generator_state", "scheduler.derivative", "mask")
    }
    yield {"half.tiff": file_of(replace(half, tensors=drawn))}
    yield {"final.tiff": file_of(final)}
    yield {"final again.tiff": file_of(final), "final again.yaml": b"strength: 0.5\nsteps: 2"}
    yield {"alone.tiff": file_of(unmarried(final))}
    yield {"bare noise.tiff": file_of(unmarried(latents()))}
    yield {"wide.tiff": file_of(latents(channels=16))}
    yield {"wide final.tiff": file_of(latents(channels=16, state=State.FINAL))}
    yield {"words.tiff": file_of(embedding_of("a red house"))}
    yield {"x_prompt.tiff": file_of(embedding_of("a red house"))}
    yield {"y_latent.tiff": file_of(unmarried(latents())), "y_prompt.tiff": file_of(embedding_of("a red house"))}
    yield {"picture.tiff": file_of(picture(64, 64))}
    yield {"cut.tiff": file_of(latents())[:3000]}
    wide = embedding_of("a red house")
    tensors = {name: np.repeat(tensor, 2, axis=1) for name, tensor in wide.tensors.items()}
    other = replace(wide, tensors=tensors, header=replace(wide.header, size=(77, 77, 2 * WIDTH)))
    yield {"z_latent.tiff": file_of(unmarried(latents())), "z_prompt.tiff": file_of(other)}


def _tiff(pixels: np.ndarray, **options: object) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, pixels, **options)
    return file.getvalue()


def _picture(form: str, mode: str = "RGB", size: tuple[int, int] = (64, 64)) -> bytes:
    file = io.BytesIO()
    Image.new(mode, size, 128).save(file, format=form)
    return file.getvalue()


def _pixels() -> Iterator[Files]:
    """Pictures of other programs, and files that are none."""
    gray = np.random.default_rng(2).random((64, 64)).astype(np.float32)
    yield {"gray.tiff": _tiff(gray)}
    yield {"gray 8.tiff": _tiff((gray * 255).astype(np.uint8))}
    yield {"gray 16.tiff": _tiff((gray * 65535).astype(np.uint16))}
    yield {"rgb.tiff": _tiff(np.stack([gray] * 3, axis=-1), photometric="rgb")}
    yield {"rgba.tiff": _tiff(np.stack([gray] * 4, axis=-1), photometric="rgb", extrasamples=["unassalpha"])}
    yield {"nan.tiff": _tiff(np.where(gray < 0.1, np.nan, gray).astype(np.float32))}
    of_the_prototype = _tiff(np.stack([gray] * 4) - 0.5, photometric="rgb", planarconfig="separate", extrasamples=["unassalpha"])
    yield {"old_state1.tiff": of_the_prototype}
    yield {"old_latent.tiff": of_the_prototype}
    yield {"photo.gif": _picture("GIF", "P")}
    yield {"photo.bmp": _picture("BMP")}
    yield {"photo.webp": _picture("WEBP")}
    yield {"small.png": _picture("PNG", size=(3, 3))}
    yield {"long.png": _picture("PNG", size=(4096, 8))}
    yield {"broken.jpg": b"\xff\xd8\xff\xe0 no picture"}
    yield {"empty.png": b""}
    yield {"page.pdf": b"%PDF-1.4"}
    yield {"document.psd": b"8BPS\0\1"}
    yield {"no ending": b"a red house"}


def _saved() -> Iterator[Files]:
    """What editors leave of the mosaic that is kept, well and badly."""
    original = _kept()[0]
    with tifffile.TiffFile(io.BytesIO(file_of(original))) as tiff:
        plane, description = tiff.pages[0].asarray(), tiff.pages[0].description
    painted = plane.copy()
    painted[3:6, 3:6] = 1
    saves = {
        "saved": painted,
        "untouched": plane,
        "rounded": np.rint(painted.clip(0, 1) * 65535).astype(np.uint16),
        "coarse": np.rint(painted.clip(0, 1) * 255).astype(np.uint8),
        "turned": np.ascontiguousarray(np.rot90(painted)),
        "mirrored": np.ascontiguousarray(painted[:, ::-1]),
        "cropped": np.ascontiguousarray(painted[:24, :24]),
        "doubled": painted.repeat(2, 0).repeat(2, 1),
        "odd": painted.repeat(2, 0),
        "as rgb": np.repeat(painted[..., None], 3, axis=-1),
        "inverted": 1 - plane,
    }
    for name, pixels in saves.items():
        photometric = "rgb" if pixels.ndim == 3 else "minisblack"
        yield {f"{name}.aaaa0001.tiff": _tiff(pixels, photometric=photometric, description=description, metadata=None)}
    yield {"bare.aaaa0001.tiff": _tiff(saves["coarse"], photometric="minisblack", metadata=None)}
    yield {"unnamed.tiff": _tiff(painted, photometric="minisblack", metadata=None)}
    for form, ending in (("PNG", "png"), ("JPEG", "jpg"), ("WEBP", "webp")):
        file = io.BytesIO()
        Image.fromarray(np.rint(painted.clip(0, 1) * 255).astype(np.uint8)).save(file, format=form)
        yield {f"exported.aaaa0001.{ending}": file.getvalue()}
    yield {"document.aaaa0001.xcf": b"gimp xcf file"}


def _together() -> Iterator[Files]:
    """Pictures and latents with companions."""
    photo = _picture("PNG")
    yield {"with words.png": photo, "with words.txt": b"a red house"}
    yield {"with both.png": photo, "with both.txt": b"a red house", "with both_neg.txt": b"rain"}
    yield {"with settings.png": photo, "with settings.yaml": b"prompt: a red house\nsteps: 2\nstrength: 0.3"}
    yield {"with a fault.png": photo, "with a fault.yaml": b"stepz: 2"}
    yield {"with a mask.png": photo, "with a mask.txt": b"a red house", "with a mask_mask.png": _picture("PNG", "L")}
    yield {"with no mask.png": photo, "with no mask.yaml": b"prompt: a red house\nmask: nowhere.png"}
    yield {"alone_mask.png": _picture("PNG", "L")}
    yield {"alone_neg.txt": b"rain"}
    yield {"alone.yaml": b"steps: 2"}
    yield {"tell_prompt.txt": b"a red house", "tell_neg.txt": b"rain"}
    record = json.dumps({"prompt": "a red house", "steps": 2}).encode()
    yield {"beside.png": photo, "beside.json": record}
