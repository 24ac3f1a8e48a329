"""Draw the rooms of the house and the arrows between them from the imports: `python -m tests.draw_house` writes docs/rooms.svg.

A room stands above all that it imports. Of the arrows those are drawn that do not follow from others: where `jobs` imports `spool`
and `spool` imports `inbox`, no arrow says again that `jobs` imports `inbox`. The whole list is the table in
tests/test_architecture.py.
"""

import ast
import textwrap
from collections.abc import Iterable, Mapping
from functools import cache
from xml.sax.saxutils import escape

from tests.house import REPOSITORY, House, house_at, room_of

PICTURE = REPOSITORY / "docs" / "rooms.svg"
GROUND = ("errors", "names", "layout", "lease", "walking", "beneath", "machine", "stray", "extras", "cores")
# By name only, so that the imports do not show it: a worker imports the module of its stage.
BY_NAME = {("compute", "stages")}
# Which process runs a room: the colours of the picture.
WORKER = ("stages", "models")
BOTH = ("compute", "tiffsd")

WIDTH, CARD, GAP, FLOOR, TOP = 1040, 300, 24, 128, 36
HEIGHT_OF_CARD, LINE, LETTERS = 84, 16, 42
STYLE = """
svg { font: 13px/1.3 system-ui, sans-serif; --paper: #fbfaf7; --ink: #23211d; --soft: #6b665c; --line: #b9b2a3;
      --front: #eef3ee; --worker: #f6ecdf; --both: #eceaf4; }
@media (prefers-color-scheme: dark) { svg { --paper: #1b1a18; --ink: #ece7dc; --soft: #a49d8f; --line: #5d574c;
      --front: #25302a; --worker: #3a2f22; --both: #2b2a38; } }
.paper { fill: var(--paper) } .line { fill: none; stroke: var(--line); stroke-width: 1.5 } .tip { fill: var(--line) }
.card { stroke: var(--line) } .front { fill: var(--front) } .worker { fill: var(--worker) } .both { fill: var(--both) }
.name { fill: var(--ink); font-weight: 650; font-size: 15px } .words { fill: var(--soft); font-size: 12px }
"""

Arrows = Mapping[str, set[str]]


def arrows_of(house: House) -> dict[str, set[str]]:
    """Room -> the rooms that it imports; the ground, and what only leads into the house, are left out."""
    found: dict[str, set[str]] = {}
    for module in house.modules.values():
        room = room_of(module.name)
        others = {room_of(name) for name in module.imports & house.modules.keys()}
        found.setdefault(room, set()).update(others - {room, "daemon", *GROUND})
    for room, other in BY_NAME:
        found[room].add(other)
    return {room: found[room] for room in found if room not in ("daemon", "__main__", *GROUND)}


def without_those_that_follow(arrows: Arrows) -> dict[str, set[str]]:
    """The arrows that are not said by others together."""

    @cache
    def below(room: str) -> frozenset[str]:
        return frozenset(arrows[room]).union(*(below(other) for other in arrows[room]))

    return {room: {other for other in others if not any(other in below(via) for via in others)} for room, others in arrows.items()}


def floors_of(arrows: Arrows) -> list[list[str]]:
    """The rooms by floor, from the top: each above all that it imports, as low as that allows, and below those that import it."""

    @cache
    def height(room: str) -> int:
        return max((height(other) + 1 for other in arrows[room]), default=0)

    above, floors = {room: [other for other in arrows if room in arrows[other]] for room in arrows}, list[list[str]]()
    middle: dict[str, float] = {}
    for floor in range(max(map(height, arrows)), -1, -1):
        rooms = {
            room: sum(middle[other] for other in above[room]) / max(1, len(above[room])) for room in arrows if height(room) == floor
        }
        floors.append(sorted(rooms, key=lambda room: (rooms[room], room)))
        middle |= {room: nth - (len(rooms) - 1) / 2 for nth, room in enumerate(floors[-1])}
    return floors


def first_sentence(house: House, room: str) -> str:
    """What a room says of itself."""
    module = house.modules[room if room == "tiffsd" else f"daemon.{room}"]
    said = (ast.get_docstring(module.tree) or "").split("\n\n")[0].replace("\n", " ").replace("`", "")
    return said.split("; ")[0].removesuffix(".")


def drawn(house: House) -> str:
    """The picture."""
    arrows = without_those_that_follow(arrows_of(house))
    floors = floors_of(arrows)
    places = {room: _place(number, nth, len(floor)) for number, floor in enumerate(floors) for nth, room in enumerate(floor)}
    height = TOP + len(floors) * FLOOR + 24
    lines = [_line(places[room], places[other]) for room, others in arrows.items() for other in others]
    cards = [line for room in sorted(places) for line in _card(room, first_sentence(house, room), *places[room])]
    return "\n".join([*_opened(height), *sorted(lines), *cards, *_ground(house, height - 46), *_legend(), "</svg>", ""])


def _place(floor: int, nth: int, of: int) -> tuple[int, int]:
    """The middle of a card's upper edge."""
    return WIDTH // 2 + int((nth - (of - 1) / 2) * (CARD + GAP)), TOP + floor * FLOOR


def _opened(height: int) -> list[str]:
    title = "The rooms of tiffsd and the arrows between them: each imports only what stands below it."
    return [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
        f"<title>{title}</title>",
        f"<style>{STYLE}</style>",
        f'<rect class="paper" width="{WIDTH}" height="{height}" rx="10"/>',
    ]


def _line(above: tuple[int, int], below: tuple[int, int]) -> str:
    (x, y), (to_x, to_y) = (above[0], above[1] + HEIGHT_OF_CARD), (below[0], below[1] - 7)
    bend = (to_y - y) // 2
    curve = f'<path class="line" d="M{x} {y} C{x} {y + bend} {to_x} {to_y - bend} {to_x} {to_y}"/>'
    return f'{curve}<path class="tip" d="M{to_x} {to_y + 7} l-5 -9 h10 z"/>'


def _card(room: str, words: str, x: int, y: int) -> list[str]:
    process = "worker" if room in WORKER else "both" if room in BOTH else "front"
    rows = textwrap.wrap(words, LETTERS, max_lines=3, placeholder=" ...")
    left = x - CARD // 2
    name = "tiffsd/" if room == "tiffsd" else f"daemon/{room}.py" if room == "cli" else f"daemon/{room}/"
    return [
        f'<rect class="card {process}" x="{left}" y="{y}" width="{CARD}" height="{HEIGHT_OF_CARD}" rx="7"/>',
        f'<text class="name" x="{left + 14}" y="{y + 24}">{name}</text>',
        *(f'<text class="words" x="{left + 14}" y="{y + 43 + n * LINE}">{escape(row)}</text>' for n, row in enumerate(rows)),
    ]


def _ground(house: House, y: int) -> list[str]:
    names = ", ".join(f"{name}.py" for name in GROUND if f"daemon.{name}" in house.modules)
    return [
        f'<path class="line" d="M{GAP} {y} H{WIDTH - GAP}"/>',
        f'<text class="words" x="{WIDTH // 2}" y="{y + 22}" text-anchor="middle">'
        f"the ground, which every room of daemon/ may stand on: {names}</text>",
    ]


def _legend() -> Iterable[str]:
    kinds = (("front", "the front process, without torch"), ("both", "front and worker"), ("worker", "a worker process"))
    for nth, (kind, words) in enumerate(kinds):
        y = TOP + nth * 22
        yield f'<rect class="card {kind}" x="{GAP}" y="{y}" width="14" height="14" rx="3"/>'
        yield f'<text class="words" x="{GAP + 22}" y="{y + 11}">{words}</text>'


if __name__ == "__main__":
    PICTURE.write_text(drawn(house_at(REPOSITORY)), encoding="utf-8")
