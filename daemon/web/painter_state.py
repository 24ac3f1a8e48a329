"""What lies at a place in hold/ now, for the painter that looks at it: its proof, what the paint leads to, what came after.

Nothing is decoded, so that it may be asked for every second.
"""

import json
from pathlib import Path
from typing import Any

import tiffsd
from daemon.beneath import Beneath
from daemon.errors import NotThere
from daemon.jobs.alive import is_alive
from daemon.layout import PREVIEWS, STATUS
from daemon.names import base_of, id_of, output_name, shown, stem_of
from daemon.pictures.repainting import size_of_png
from daemon.stages import APPLY_ENDINGS
from daemon.web import held_files

HEAD_BYTES = 64
MOST_OF_A_STEM = 200


def state_of(root: Path, path: Path, identity: str = "") -> dict[str, Any]:
    """What lies there. Raises NotThere, with nothing that came after it, and any TiffsdError.

    `gone` latents may have a `successor`: those that were made of them where their paint was taken; `identity` is the id that
    they had."""
    try:
        with held_files.opened(root, path) as file:
            header = tiffsd.inspect(file, name=path.name)
    except NotThere:
        return {"gone": True, "successor": _successor(root, path, identity or id_of(path.name) or "")}
    recipe = header.recipe
    return {
        "gone": False,
        "alive": is_alive(root),
        "id": header.id,
        "stem": stem_of(path.name),
        "state": None if header.state is None else header.state.value,
        "size": list(header.size),
        "deviation": held_files.deviation_of(header),
        "step": header.step,
        "steps": header.steps,
        "prompt": recipe.get("prompt") if isinstance(recipe.get("prompt"), str) else None,
        "latents": held_files.stamp(root, path),
        "proof": _proof(root, path),
        "others": held_files.other_proofs(Beneath(root), path),
        "preview": _preview(root, path, header.id),
        "complaint": _complaint(root, path),
        "signed": any(held_files.stamp(root, path.with_name(f"{base_of(path.name)}{ending}")) for ending in APPLY_ENDINGS),
    }


def _complaint(root: Path, path: Path) -> str | None:
    """What the daemon says of the paint on these latents, where it cannot take it."""
    try:
        with Beneath(root).plain(root / STATUS) as file:
            said = json.load(file).get("complaints", [])
    except (OSError, ValueError, AttributeError):
        return None
    names = [shown(path.name), shown(held_files.picture_of(path).name)]
    return next((str(one) for one in said if any(name in str(one) for name in names)), None)


def _proof(root: Path, path: Path) -> dict[str, Any] | None:
    proof = held_files.picture_of(path)
    try:
        with held_files.opened(root, proof) as file:
            size = size_of_png(file.read(HEAD_BYTES))
    except NotThere:
        return None
    sides = {"width": size.width, "height": size.height} if size else {}
    return {"stamp": held_files.stamp(root, proof), "path": proof.relative_to(root).as_posix(), **sides}


def _preview(root: Path, path: Path, identity: str) -> dict[str, str] | None:
    """What the paint leads to, where it is of the paint that lies there: an older preview shows the latents as they came."""
    preview = root / PREVIEWS / output_name(stem_of(path.name), identity, ".png")
    times = [held_files.written(root, one) for one in (preview, path, held_files.picture_of(path))]
    stamp = held_files.stamp(root, preview)
    if stamp is None or None in times or times[0] != max(time for time in times if time is not None):
        return None
    return {"path": preview.relative_to(root).as_posix(), "stamp": stamp}


def _successor(root: Path, path: Path, identity: str) -> str | None:
    """What was made of latents that lay there, and lies in the same folder under its own id."""
    stem = stem_of(path.name)
    names = [name for name in Beneath(root).names(path.parent) if stem_of(name) == stem and name != path.name]
    for name in sorted(names)[:MOST_OF_A_STEM]:
        try:
            found = held_files.held(root, path.with_name(name))
            with held_files.opened(root, found) as file:
                if identity and tiffsd.inspect(file, name=name).parent == identity:
                    return found.relative_to(root).as_posix()
        except (NotThere, OSError, tiffsd.TiffsdError):  # none that could be
            continue
    return None
