"""Mistakes made in Krita: one start for all of them, driven by a script that runs inside it."""

import json
from collections.abc import Mapping
from pathlib import Path

from tests.editors.krita import SECONDS
from tests.editors.mistakes import PLACE, SECOND_PLACE, SIDE, Mistake
from tests.editors.programs import call
from tiffsd import Layout

SCRIPT = Path(__file__).with_name("mistakes_inside_krita.py")
GAMMA, LINEAR, SRGB = "gray-D50-elle-V2-srgbtrc.icc", "gray-D50-elle-V2-g10.icc", "sRGB-elle-V2-srgbtrc.icc"
# Each by what is done in the script, with what.
MISTAKES: Mapping[Mistake, tuple[str, ...]] = {
    Mistake("resave"): ("nothing",),
    Mistake("u8g"): ("convert", "GRAYA", "U8", GAMMA),
    Mistake("u16"): ("convert", "GRAYA", "U16", LINEAR),
    Mistake("f16"): ("convert", "GRAYA", "F16", LINEAR),
    Mistake("colours"): ("convert", "RGBA", "F32", SRGB),
    Mistake("rot90"): ("turn",),
    Mistake("layer_without_a_name"): ("paint_on_new_layer", "layered"),
    Mistake("merged"): ("paint_on_new_layer",),
    Mistake("duplicate"): ("duplicate", "layered"),
    Mistake("duplicate_painted"): ("paint_on_duplicate", "layered"),
    Mistake("selection"): ("select",),
    Mistake("scale2_none"): ("enlarge", "Box"),
    Mistake("scale2_lanczos"): ("enlarge", "Lanczos3"),
    Mistake("canvas2_flat"): ("enlarge_canvas",),
    Mistake("crop"): ("crop",),
    **{Mistake(form): ("nothing",) for form in ("png", "jpg", "exr", "psd", "kra")},
    Mistake("moved_transparent", Layout.PAGES): ("move", "layered"),
    Mistake("fifth_layer", Layout.PAGES): ("add_layer", "layered"),
    Mistake("fifth_layer_copied", Layout.PAGES): ("duplicate", "layered"),
}


def make(sources: Mapping[Layout, Path], folder: Path) -> None:
    """Make every mistake, each in a copy of the file of its layout; what Krita saves lies in the folder then."""
    (folder / SCRIPT.name).write_bytes(SCRIPT.read_bytes())
    orders = [[*words, str(sources[mistake.layout]), str(folder / mistake.file)] for mistake, words in MISTAKES.items()]
    places = {"place": PLACE, "second": SECOND_PLACE, "side": SIDE, "orders": orders}
    (folder / "orders.json").write_text(json.dumps(places))
    call(
        *("kritarunner", "-s", SCRIPT.stem, "-f", "run"),
        seconds=SECONDS,
        HOME=str(folder / "home"),
        PYTHONPATH=str(folder),
        QT_QPA_PLATFORM="offscreen",
        TIFFSD_ORDERS=str(folder / "orders.json"),
    )
