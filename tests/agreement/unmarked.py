"""Files without metadata, of the prototype of 2023 and of anybody; and what `repair` takes from an original."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import product

import numpy as np

from tests.agreement.originals import beside, embedding, file_of, latents, picture
from tests.agreement.saved import (
    Case,
    Cases,
    Change,
    as_rgb,
    doubles,
    halves,
    levels,
    painted,
    saved,
    with_alpha,
)
from tests.agreement.tiff import Form, Sheet, tiff_of
from tiffsd import Artifact, Layout, State

ENDINGS = (
    "",
    "_state1",
    "_latent",
    "_state2",
    "_unet",
    "_textstate1",
    "_prompt",
    "_prompt_unet",
    "_7_unet",
    "_12_state2",
    "_Latent",
    "_unet.3f9a1c2e",
)


def prototype() -> Cases:
    """Four raw channels of every spread, under every ending, in the numbers that the prototype wrote."""
    seed = 7000
    for ending, spread in product(ENDINGS, (0.25, 1.0, 1.7, 5.0, 9.0, 14.6146, 11.0706)):
        seed += 1
        rng = np.random.default_rng(seed)
        planes = _smooth(rng, spread) if seed % 2 else spread * rng.standard_normal((16, 16, 4))
        name = ("f2", "f4", "f8")[seed % 3]
        sheet = Sheet(planes.astype(name), 2, extra=((2,), (0,), (1,))[seed % 3] if seed % 5 else (2,))
        yield Case("raw", tiff_of([sheet], Form(planar=seed % 2 == 0)), ending=ending)
    for ending, spread in product(("", "_textstate1", "_prompt", "_prompt_unet", "_unet"), (0.1, 1.0)):
        seed += 1
        rng = np.random.default_rng(seed)
        pages = [Sheet((spread * rng.standard_normal((77, 260, 1))).astype("f4")) for _ in range(2)]
        yield Case("embedding", tiff_of(pages), ending=ending)
        yield Case("embedding_narrow", tiff_of([replace(page, samples=page.samples[:, :16]) for page in pages]), ending=ending)


def bare() -> Cases:
    """Gray pages, strips and four channels of nobody: mapped or raw, of this many rows, noise or final."""
    seed = 7300
    for count, spread, mean in product((1, 2, 3, 4, 8, 16, 32, 5), (0.125, 1.0, 0.39, 0.41), (0.5, 0.0)):
        seed += 1
        rng = np.random.default_rng(seed)
        pages = [Sheet((mean + spread * rng.standard_normal((8, 10, 1))).astype("f4")) for _ in range(count)]
        yield Case(f"gray{count}_{spread}_{mean}", tiff_of(pages))
    for rows, width, spread in product((77, 154, 231, 100), (255, 256, 300), (0.125, 1.0)):
        seed += 1
        rng = np.random.default_rng(seed)
        yield Case(f"strip{rows}_{spread}", tiff_of([Sheet((0.5 + spread * rng.standard_normal((rows, width, 1))).astype("f4"))]))
    for spread, mean in product((0.29, 0.31, 0.125, 1.0, 2.1), (0.5, 0.29, 0.31, 0.69, 0.71, 0.0)):
        seed += 1
        rng = np.random.default_rng(seed)
        made = mean + spread * rng.standard_normal((16, 16, 4))
        yield Case(f"four_{spread}_{mean}", tiff_of([Sheet(made.astype("f4"), 2, extra=(2,))]))
    for shape in ((9, 8), (8, 9), (1, 8), (2, 2)):
        made = (0.5 + np.random.default_rng(seed).standard_normal((*shape, 1)) / 8).astype("f4")
        yield Case(f"gray_odd_{shape[0]}x{shape[1]}", tiff_of([Sheet(made)]))
    for spread, smooth in product((0.88, 0.91, 1.0, 1.09, 1.12), (False, True)):
        seed += 1
        rng = np.random.default_rng(seed)
        planes = _smooth(rng, spread, 64) if smooth else spread * rng.standard_normal((64, 64, 4))
        yield Case(f"state_{spread}", tiff_of([Sheet((0.5 + planes[..., k : k + 1] / 8).astype("f4")) for k in range(4)]))
    for words, change in {
        "u16": levels(16),
        "u8": levels(8),
        "f64": doubles,
        "f16": halves,
        "rgb": as_rgb,
        "alpha": with_alpha(0.5),
    }.items():
        for layout in (Layout.MOSAIC, Layout.PAGES, Layout.RGBA):
            yield Case(f"bare_{layout}_{words}", saved(file_of(latents(seed, layout=layout)), change, keep=()))
    for words, change in {"u16": levels(16), "f32": np.asarray}.items():
        for ending in ENDINGS[:6]:
            yield Case(f"named_{words}", saved(file_of(latents(seed, spread=1.5)), change, keep=()), ending=ending)


def repaired() -> Cases:
    """What lost its tags, beside the original: painted or not, in all forms of numbers, and what does not fit."""
    seed = 7600
    numbers: Mapping[str, Change] = {"f32": np.asarray, "f64": doubles, "f16": halves, "u16": levels(16), "u32": levels(32)}
    keeps = {
        "profile": (34675,),
        "essentials": (270, 34675),
        "none": (),
        "record": (270, 34675, 65000),
        "all": (270, 285, 34675, 65000, 65001),
    }
    for (words, number), (kept, keep), layout in product(
        numbers.items(), keeps.items(), (Layout.MOSAIC, Layout.PAGES, Layout.RGBA, Layout.STRIP)
    ):
        if layout is Layout.RGBA and words[0] == "u":
            continue
        seed += 1
        made = _original(seed, layout)
        whole = file_of(made)
        ending = f".{made.header.id}" if kept == "none" else ""
        share = (0, 3, 0.7, 0.2)[seed % 4]
        yield Case(f"repair_{layout}_{words}_{kept}_{share}", saved(whole, painted(seed, share), number, keep=keep), whole, ending)
    yield from _odd_repairs(seed)


def _odd_repairs(seed: int) -> Cases:
    whole, other = file_of(latents(seed, beside=beside(seed, (4, 8, 8)))), file_of(latents(seed + 1, size=(4, 6, 8)))
    yield Case("repair_by_another_size", saved(whole, keep=(270, 34675)), other)
    yield Case("repair_by_another_kind", saved(whole, keep=(270, 34675)), file_of(embedding(seed)))
    yield Case("repair_by_a_picture", saved(whole, keep=(34675,)), file_of(picture(seed)))
    half = latents(seed + 2, state=State.PARTIAL, sigma=2.5, beside=beside(seed, (4, 8, 8)))
    yield Case("repair_partial", saved(file_of(half), painted(1, 3), keep=(34675,)), file_of(half))
    yield Case("repair_partial_unpainted", saved(file_of(half), keep=(34675,)), file_of(half))
    pages = latents(seed + 3, layout=Layout.PAGES, beside=beside(seed, (4, 8, 8)))
    yield Case("repair_cropped", saved(file_of(pages), lambda p: p[2:6, 1:7], keep=(34675,)), file_of(pages))
    shown = picture(seed)
    full = Artifact(shown.header, {**shown.tensors, "mask": np.ones((7, 9), bool)})
    yield Case("repair_picture", saved(file_of(full), levels(16), keep=(34675,)), file_of(full))
    yield Case("repair_picture_cropped", saved(file_of(full), lambda p: p[1:4], keep=(34675,)), file_of(full))
    wide = latents(seed + 4, layout=Layout.RGBA, spread=3.0)
    yield Case("repair_rgba_wide", saved(file_of(wide), painted(2, 4), keep=(34675,)), file_of(wide))
    yield Case("repair_turned", saved(file_of(latents(seed + 5)), lambda p: p[::-1], keep=(34675,)), file_of(latents(seed + 5)))
    for name in (16, 8):
        many = latents(seed + name, size=(name, 4, 4))
        yield Case(f"repair_c{name}_without_essentials", saved(file_of(many), keep=(34675,)), file_of(many))
        yield Case(f"repair_c{name}", saved(file_of(many), painted(1, 2), keep=(270,)), file_of(many))


def _original(seed: int, layout: Layout) -> Artifact:
    if layout is Layout.STRIP:
        return embedding(seed, rows=(77, 77), width=260) if seed % 2 else embedding(seed)
    return latents(seed, layout=layout, beside=beside(seed, (4, 8, 8)), spread=(1.0, 0.7)[seed % 2])


def _smooth(rng: np.random.Generator, spread: float, side: int = 16) -> np.ndarray:
    made = rng.standard_normal((side, side, 4)).cumsum(0).cumsum(1)
    return (made - made.mean()) / made.std() * spread
