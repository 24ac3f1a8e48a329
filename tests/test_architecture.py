"""The laws of the house, read from the imports (and a few other traits) of every module.

A law is a function from a house to the sentences that say who breaks it. Each is asked twice: of this repository, where
nobody may break it, and of tiny houses made up to break it, where it must say so.
"""

import ast
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.house import PACKAGES, REPOSITORY, House, Module, called, house_at, room_of, within

# The rooms, from the top floor down, and the rooms that each may import: arrows only point down. Beside those a room of the daemon
# may import the ground, which imports only itself. Folders and format meet in `jobs` alone: no other room knows both.
ROOMS = {
    "__main__": ("cli",),
    "cli": ("commands", "stages", "tiffsd"),
    "commands": ("setup", "web", "service", "jobs", "settings", "stages", "models"),
    "setup": ("service", "jobs", "settings", "stages", "models"),
    "web": ("jobs", "spool", "inbox", "pictures", "settings", "stages", "models", "tiffsd"),
    "service": ("jobs", "spool", "inbox", "settings", "compute", "stages"),
    "jobs": ("spool", "inbox", "pictures", "settings", "compute", "stages", "models", "tiffsd"),
    "spool": ("inbox", "stages"),
    "inbox": ("stages",),
    "pictures": ("settings", "tiffsd"),
    "settings": ("compute", "stages", "models"),
    "compute": ("stages", "models"),
    "stages": ("models",),
    "models": (),
    "tiffsd": (),
}
GROUND = ("errors", "names", "layout", "lease", "walking", "beneath", "machine", "stray", "extras", "cores")
AT_THE_TOP = ("daemon", "__main__", "cli", *GROUND)
BARE = (
    "setup",
    "web",
    "service",
    "jobs",
    "jobs.intake",
    "jobs.page",
    "spool",
    "inbox",
    "pictures",
    "settings",
    "settings.foreign",
    "compute",
    "compute.remote",
)
SPOOL_SIDE = ("daemon.spool", "daemon.inbox")
ARRAYS_ONLY = ("daemon.stages", "daemon.models", "daemon.errors", "daemon.extras")
TORCH_FREE = ("daemon.stages", "daemon.models.schedulers", "daemon.models.stage_settings")
# The page with a server is for those who ask for it: nothing else knows it, and its libraries may be missing.
WEB, SERVES_IT = "daemon.web", "daemon.commands.web"
WEB_LIBRARIES = ("starlette", "uvicorn", "anyio", "h11")
# Ray is for a process of its own, which the front starts by its name: it costs memory, and may be missing.
RAY, KNOWS_RAY = "ray", "daemon.compute.remote.ray_gateway"
MODEL_LIBRARIES = ("torch", "torchvision", "diffusers", "transformers", "accelerate", "peft", "safetensors.torch")
PICTURE_LIBRARIES = ("tiffsd", "numpy", "PIL", "torch", "tifffile", "imagecodecs", "scipy")
ONE_DOOR = {
    "tifffile": "tiffsd.file",
    "OpenEXR": "tiffsd.exr",
    "watchdog": "daemon.inbox.watch",
    "yaml": "daemon.settings.plain_yaml",
}
MAY_PRINT = ("daemon.cli", "daemon.__main__", "tiffsd.__main__")
# The worker is a process of its own, which ends itself when its parent is gone, and so is the gateway to Ray; `run` leaves threads
# that hang in the system.
MAY_EXIT = (*MAY_PRINT, "daemon.compute.worker", "daemon.commands.serve", KNOWS_RAY)
# A broad except swallows what nobody thought of. Beside the job's, two borders need one, each with its reason there:
# what a worker process raises must reach the front as an answer, and a handler that raises kills watchdog's thread.
MAY_CATCH_ALL = ("daemon.compute.worker", "daemon.inbox.watch")
# The child that decodes what people drop, and the room that starts it: a codec that crashes must not crash the daemon.
DECODER, DECODES_ELSEWHERE = "daemon.pictures.decoder", "daemon.pictures.decoding"
# What parses the words in a picture may swell, and runs in that child too.
PARSERS = tuple(f"daemon.pictures.{name}" for name in ("words", "png_text", "exif_text", "alpha_text", "comments"))
PIXELS = tuple(
    f"daemon.pictures.{name}"
    for name in ("codecs", "colour", "code_points", "deep", "foreign", "child_limits", "comparing", "painted")
)
IN_THE_CHILD = (DECODER, *PIXELS, *PARSERS)
DECODING_LIBRARIES = (
    *IN_THE_CHILD,
    "tifffile",
    "imagecodecs",
    "OpenEXR",
    "tiffsd.file.decode_pages",
    "tiffsd.reading.decode_pages",
)
DECODING_CALLS = ("Image.open", "PIL.Image.open", "tiffsd.read")
STARTING_CALLS = ("subprocess.Popen", "Popen", "subprocess.run", "subprocess.check_output", "os.posix_spawn", "os.fork")
# The rooms of the front that start processes, and who starts some elsewhere, in an actor of Ray's, or before the front lives.
STARTS_PROCESSES = ("daemon.service", "daemon.jobs", "daemon.spool", "daemon.inbox", "daemon.pictures", "daemon.compute")
STARTS_ELSEWHERE = ("daemon.compute.remote.ray_actor", "daemon.compute.gpus")
EXITING_CALLS = ("exit", "quit", "sys.exit", "os._exit", "SystemExit")
OPENING_CALLS = {"open", "io.open", "os.open", *(f"shutil.{name}" for name in ("copy", "copy2", "copyfile", "copytree", "move"))}
OPENING_METHODS = {"open", "read_text", "read_bytes", "write_text", "write_bytes", "touch"}
READING_CALLS = {f"tiffsd.{name}" for name in ("read", "inspect", "find_id", "same_tensors", "write")}
# Who opens files otherwise than by `daemon/beneath.py`, in how many calls, and what others cannot replace there. Models are the
# administrator's, and so is what lies in /proc the kernel's.
MAY_OPEN = {
    "daemon.beneath": (2, "it is the one way"),
    "daemon.walking": (2, "folders, on the way to it"),
    "daemon.spool.filesystem": (
        2,
        "new files, by the one way as the opener; the kernel's list of mounts",
    ),
    "daemon.pictures.comparing": (2, "files that the front has opened"),
    "daemon.pictures.painted": (2, "pictures that lie in memory"),
    "daemon.commands.manual": (1, "the program's own documents"),
    "daemon.compute.gpus": (1, "what the driver of GPUs says in /proc"),
    "daemon.compute.remote.cache": (2, "the cache folder, which is the program's own"),
    "daemon.compute.remote.fetched": (2, "folders and the lock in the cache folder"),
    "daemon.compute.remote.receiving": (2, "files in the cache folder, where nobody else writes"),
    "daemon.compute.remote.fingerprints": (1, "models, which the administrator names, and the cache folder"),
    "daemon.compute.remote.shelf": (1, "folders of models in the cache folder"),
    "daemon.settings.plain_yaml": (1, "the configuration, which the administrator names"),
    "daemon.service.config_news": (1, "the configuration, which the administrator names"),
    "daemon.commands.serve": (
        4,
        "a configuration where none was; the demo, in a temporary folder of its own",
    ),
    "daemon.setup.steps": (1, "what root is told to write, or what a person writes for herself"),
    "daemon.setup.service": (2, "the configuration and the units, which are the program's own"),
    "daemon.setup.doctor": (1, "the unit, which is root's, or of who asks"),
    "daemon.setup.look_at_devices": (1, "what the kernel says in /sys"),
    "daemon.setup.look_at_machine": (5, "what the kernel says in /proc and /sys; a file without a name"),
    "daemon.setup.config_text": (1, "the configuration, which the administrator names"),
    "daemon.setup.model_places": (1, "what the hub's client has noted, in the cache of who looks for models"),
    "daemon.setup.found_models": (1, "configurations of models, of who looks for them"),
    "daemon.jobs.backup": (1, "the copy, in a folder that it has made itself"),
    "daemon.commands.backup": (3, "the configuration, and a new file for its copy, which leads through no link"),
    "daemon.commands.bug_report": (
        4,
        "the report and the log, which a person names; the token of the hub, which is her own; tables of the kernel's",
    ),
    "daemon.jobs.named": (1, "files that a person names on the command line, and may open herself"),
    "daemon.jobs.oneshot": (1, "the prompt of a command line, in a temporary folder of its own"),
    "daemon.jobs.page.page": (2, "the frame of the page, which is the program's own"),
    "daemon.pictures.repainting": (1, "pictures that lie in memory"),
    "daemon.web.painter": (1, "the frame of the page, which is the program's own"),
    "daemon.web.files": (1, "modules and stylesheets of the page, which are the program's own"),
    "daemon.web.token": (2, "the token, at a place that the administrator names"),
    "daemon.jobs.hooks": (1, "the copy that a hook gets, in a temporary folder of its own"),
    "daemon.pictures.decoder": (2, "the descriptors that it was started with"),
    "daemon.pictures.foreign": (1, "the descriptor that the child was started with"),
}
# What others than an engine may know of the room `compute`: the contract, the one place that chooses an engine, what computes for
# another machine, and how a configuration names places.
ENGINE_DOORS = (
    "daemon.compute.protocol",
    "daemon.compute.engine",
    "daemon.compute.remote.serving",
    "daemon.compute.addresses",
)
WORDS_FOR_NOTHING = {"util", "utils", "base", "manager", "managers", "helper", "helpers", "common", "misc"}
JOB_LINES = 120


def on_model_side(name: str) -> bool:
    return within(name, ("daemon.compute.worker", "daemon.models", "daemon.stages")) and name not in TORCH_FREE


def front(house: House) -> list[Module]:
    """What may run in the front process: all of the daemon but the worker, the models, the stages' maths, and what knows Ray."""
    return [module for module in house.under("daemon") if not on_model_side(module.name) and module.name != KNOWS_RAY]


# --- the laws


def arrows_between_rooms_only_point_down(house: House) -> list[str]:
    sentences = []
    for module in house.modules.values():
        room = room_of(module.name)
        allowed = {"daemon", room, *ROOMS.get(room, ()), *(GROUND if room != "tiffsd" else ())}
        strangers = {name for name in module.imports & house.modules.keys() if room_of(name) not in allowed}
        sentences += [f"{module.name} imports {name}, which {room} may not" for name in sorted(strangers)]
    return sentences


def the_top_of_the_daemon_is_small(house: House) -> list[str]:
    top = [module for module in house.under("daemon") if module.name.count(".") < 2 and not module.is_room]
    return [f"{module.name} is at the top, and belongs into a room" for module in top if room_of(module.name) not in AT_THE_TOP]


def every_room_stands_in_the_table(house: House) -> list[str]:
    return [f"{module.name} is a room without a line in the table" for module in house.rooms if room_of(module.name) not in ROOMS]


def a_room_opens_without_what_is_in_it(house: House) -> list[str]:
    """Its `__init__` is a docstring: whoever imports one module of it pays for that one only."""
    bare = [house.modules[name] for room in BARE if (name := f"daemon.{room}") in house.modules]
    return [f"{module.name} is more than a docstring" for module in bare if len(module.tree.body) > 1]


def no_modules_import_each_other_in_a_circle(house: House) -> list[str]:
    def imported(name: str) -> set[str]:
        # Not the packages: `from tiffsd import edit` names one only to say where the module lies.
        return {other for other in house.modules[name].imports & house.modules.keys() if not house.modules[other].is_package}

    def reached(name: str) -> set[str]:
        seen, waiting = set[str](), imported(name)
        while waiting:
            seen |= waiting
            waiting = {other for found in waiting for other in imported(found)} - seen
        return seen

    return [f"{name} imports itself, by way of others" for name in house.modules if name in reached(name)]


def the_format_does_not_know_there_is_a_daemon(house: House) -> list[str]:
    return [f"{module.name} imports daemon" for module in house.under("tiffsd") if module.names("daemon")]


def nobody_knows_that_there_is_a_server(house: House) -> list[str]:
    outside = [module for module in house.modules.values() if not within(module.name, (WEB,))]
    rooms = [f"{module.name} imports {WEB}" for module in outside if module.names(WEB) and module.name != SERVES_IT]
    at_start = [f"{m.name} imports {WEB} at its start" for m in outside if any(within(name, (WEB,)) for name in m.imports_at_start)]
    libraries = [f"{module.name} imports {library}" for module in outside for library in WEB_LIBRARIES if module.names(library)]
    return rooms + at_start + libraries


def stages_and_models_do_not_know_there_are_folders(house: House) -> list[str]:
    rooms = house.under("daemon.stages", "daemon.models")
    daemon = [
        (module.name, name)
        for module in rooms
        for name in sorted(module.imports)
        if name.startswith("daemon.") and not within(name, ARRAYS_ONLY)
    ]
    files = [
        (m.name, library)
        for m in house.under("daemon.stages")
        for library in ("os", "pathlib", "shutil", "glob", "tempfile", "io")
        if m.names(library)
    ]
    return [f"{room} imports {name}" for room, name in daemon + files]


def the_spool_side_does_not_know_there_are_pictures(house: House) -> list[str]:
    rooms = [house.modules[name] for name in sorted(spool_side(house))]
    return [f"{m.name} imports {library}" for m in rooms for library in PICTURE_LIBRARIES if m.names(library)]


def spool_side(house: House) -> set[str]:
    """The modules of the spool and of the inbox, and all that they import."""
    return house.reached((module.name for module in house.under(*SPOOL_SIDE)), lambda module: module.imports)


def the_front_process_never_imports_torch(house: House) -> list[str]:
    reached = house.reached((module.name for module in front(house)), lambda module: module.imports_at_start)
    sentences = [
        f"{name}, which the front process imports, imports {library}"
        for name in sorted(reached)
        for library in MODEL_LIBRARIES
        if any(within(imported, (library,)) for imported in house.modules[name].imports_at_start)
    ]
    lazily = [(m.name, library) for m in front(house) for library in MODEL_LIBRARIES if m.names(library)]
    return sentences + [f"{name} is of the front process and names {library}" for name, library in lazily]


def one_process_knows_ray_and_nobody_imports_it(house: House) -> list[str]:
    others = [module for module in house.under("daemon") if module.name != KNOWS_RAY]
    return [f"{module.name} imports {name}" for module in others for name in (RAY, KNOWS_RAY) if module.names(name)]


def the_daemon_decodes_nothing_itself(house: House) -> list[str]:
    rooms = [
        house.modules[name]
        for name in sorted(house.reached(["daemon.service.service", "daemon.jobs.job"], lambda module: module.imports))
    ]
    rooms = [room for room in rooms if within(room.name, ("daemon",)) and not on_model_side(room.name)]
    libraries = [(room.name, library) for room in rooms for library in DECODING_LIBRARIES if room.names(library)]
    calls = [
        (room.name, called(node))
        for room in rooms
        for node in ast.walk(room.tree)
        if isinstance(node, ast.Call) and called(node) in DECODING_CALLS and room.name != DECODES_ELSEWHERE
    ]
    return [f"{name} imports {library}" for name, library in libraries] + [f"{name} calls {call}" for name, call in calls]


def the_job_fits_on_one_page(house: House) -> list[str]:
    pages = [(module.name, len(module.text.splitlines())) for module in house.under("daemon.jobs.job")]
    return [f"{name} has {lines} lines" for name, lines in pages if lines > JOB_LINES]


def each_replaceable_library_has_one_door(house: House) -> list[str]:
    return [
        f"{module.name} imports {library}, which belongs to {door}"
        for module in house.modules.values()
        for library, door in ONE_DOOR.items()
        if module.name != door and module.names(library)
    ]


def only_the_command_line_prints_and_exits(house: House) -> list[str]:
    calls = [
        (module.name, node.lineno, called(node))
        for module in house.modules.values()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call)
    ]
    prints = [call for call in calls if call[2] == "print" and call[0] not in MAY_PRINT]
    exits = [call for call in calls if call[2] in EXITING_CALLS and call[0] not in MAY_EXIT]
    return [f"{name}:{line} calls {what}" for name, line, what in prints + exits]


def an_error_of_the_system_is_told_in_words(house: House) -> list[str]:
    sentences = []
    for module in house.under("daemon.spool", "daemon.inbox", "daemon.jobs", "daemon.service"):
        handlers = (node for node in ast.walk(module.tree) if isinstance(node, ast.ExceptHandler) and node.name and node.type)
        for handler in handlers:
            if "OSError" in {name.id for name in ast.walk(handler.type) if isinstance(name, ast.Name)}:
                sentences += [f"{module.name}:{line} says [Errno ...] to people" for line in said_as_they_are(handler)]
    return sentences


def said_as_they_are(handler: ast.ExceptHandler) -> Iterator[int]:
    """The lines that say an error as it is, in a sentence or in the log."""
    for node in ast.walk(handler):
        logged = node.args if isinstance(node, ast.Call) and called(node).startswith("log.") else []
        said = [node.value] if isinstance(node, ast.FormattedValue) else logged
        for one in said:
            if isinstance(one, ast.Name) and one.id == handler.name:
                yield one.lineno


def one_broad_except_exists_and_is_the_jobs(house: House) -> list[str]:
    sentences = []
    for module in house.modules.values():
        broad = [line for node in ast.walk(module.tree) for line in swallowing_lines(node)]
        if len(broad) > (module.name in MAY_CATCH_ALL or module.name == "daemon.jobs.job"):
            sentences.append(f"{module.name} has {len(broad)} broad excepts, at line {broad[-1]}")
        elif broad and not has_reason(module, broad[0]):
            sentences.append(f"{module.name}:{broad[0]} has a broad except without its reason")
        elif module.name == "daemon.jobs.job" and not broad:
            sentences.append("daemon.jobs.job lost its broad except: what nobody thought of would end the daemon")
    return sentences


def swallowing_lines(node: ast.AST) -> list[int]:
    """The line of a handler of Exception, BaseException or anything that does not raise again; of suppress(Exception) too."""
    if isinstance(node, ast.Call) and called(node) in ("suppress", "contextlib.suppress"):
        return [node.lineno for kind in node.args if is_broad(kind)]
    if not isinstance(node, ast.ExceptHandler) or any(isinstance(inner, ast.Raise) for inner in ast.walk(node)):
        return []
    return [node.lineno] if is_broad(node.type) else []


def is_broad(kind: ast.expr | None) -> bool:
    kinds = kind.elts if isinstance(kind, ast.Tuple) else [kind]
    return any(one is None or ast.unparse(one) in ("Exception", "BaseException") for one in kinds)


def has_reason(module: Module, line: int) -> bool:
    """Whether a comment of at least three words stands on this line, or alone on one of the two before or the one after."""
    *before, here, after = ["", "", *module.text.splitlines(), ""][line - 1 : line + 3]
    beside = [here.partition("#")[2]] + [near.strip()[1:] for near in (*before, after) if near.strip().startswith("#")]
    return any(len(re.sub(r"noqa: [A-Z0-9, ]+", "", comment).split()) >= 3 for comment in beside)


def what_others_can_replace_is_opened_in_one_way(house: House) -> list[str]:
    sentences = []
    for module in house.under("daemon"):
        if not within(module.name, ("daemon.models",)):
            lines = [node.lineno for node in ast.walk(module.tree) if isinstance(node, ast.Call) and opens(node, module)]
            most, _ = MAY_OPEN.get(module.name, (0, ""))
            sentences += [f"{module.name}:{line} opens a file by its path" for line in lines[most:]]
            sentences += [f"{module.name}:{line} reads a path, and not a file" for line in lines_that_read_paths(module)]
    return sentences


def opens(node: ast.Call, module: Module) -> bool:
    """Whether a call opens a file by its path: not in the one way, nor a file of the kernel; functions of ours may be named so."""
    owner, _, method = called(node).rpartition(".")
    if called(node) in OPENING_CALLS:
        return True
    ours = owner == "self" or re.search(r"(^|\W)_?beneath$|^Beneath\([^()]*\)$", owner)
    ours = ours or any(within(name, PACKAGES) and name.endswith(f".{owner}") for name in module.imports)
    return method in OPENING_METHODS and bool(owner) and not ours and owner not in kernels(module)


def kernels(module: Module) -> set[str]:
    """What names a file in /proc: written out, or a constant of the module."""
    literal = re.compile(r"Path\('/proc/[\w/]+'\)")
    constants = {
        ast.unparse(node.targets[0])
        for node in module.tree.body
        if isinstance(node, ast.Assign) and literal.fullmatch(ast.unparse(node.value))
    }
    return constants | set(literal.findall(ast.unparse(module.tree)))


def lines_that_read_paths(module: Module) -> list[int]:
    """Where a reader of the format gets a parameter that is a path; it takes paths too, and opens them as it likes."""
    functions = [node for node in ast.walk(module.tree) if isinstance(node, ast.FunctionDef)]
    return [
        node.lineno
        for function in functions
        for node in ast.walk(function)
        if isinstance(node, ast.Call) and called(node) in READING_CALLS and node.args
        for argument in [*function.args.args, *function.args.kwonlyargs]
        if argument.annotation and "Path" in ast.unparse(argument.annotation)
        if ast.unparse(node.args[0]).partition(".")[0] == argument.arg
    ]


def what_the_front_starts_has_all_cores(house: House) -> list[str]:
    rooms = [module for module in house.under(*STARTS_PROCESSES) if module.name not in STARTS_ELSEWHERE]
    starts = [
        (module, node)
        for module in rooms
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call) and called(node) in STARTING_CALLS
    ]
    return [f"{module.name}:{call.lineno} starts a process on one core" for module, call in starts if not is_unpinned(call, module)]


def is_unpinned(call: ast.Call, module: Module) -> bool:
    """Whether a call stands in a block of `unpinned()`."""
    blocks = [node for node in ast.walk(module.tree) if isinstance(node, ast.With)]
    freed = [block for block in blocks if any(ast.unparse(item.context_expr) == "unpinned()" for item in block.items)]
    return any(call in ast.walk(block) for block in freed)


def engines_are_known_by_their_contract(house: House) -> list[str]:
    outside = [module for module in house.under("daemon") if room_of(module.name) != "compute"]
    strangers = [
        f"{module.name} imports {name}, which is an engine's own"
        for module in outside
        for name in sorted(module.imports)
        if within(name, ("daemon.compute",)) and name != "daemon.compute" and not within(name, ENGINE_DOORS)
    ]
    contract = [
        (door, name) for door in house.under(ENGINE_DOORS[0]) for name in sorted(door.imports) if within(name, ("daemon.compute",))
    ]
    return strangers + [f"{door.name} imports {name}, and the contract knows no engine" for door, name in contract]


def no_module_is_named_after_nothing(house: House) -> list[str]:
    return [name for name in house.modules if WORDS_FOR_NOTHING & set(re.split(r"[._]", name))]


def every_module_says_what_lives_in_it(house: House) -> list[str]:
    return [f"{m.name} has no docstring" for m in house.modules.values() if not ast.get_docstring(m.tree)]


# --- this repository


@pytest.fixture(scope="module")
def house() -> House:
    return house_at(REPOSITORY)


def test_the_format_does_not_know_there_is_a_daemon(house: House) -> None:
    assert the_format_does_not_know_there_is_a_daemon(house) == []


def test_nobody_knows_that_there_is_a_server(house: House) -> None:
    assert nobody_knows_that_there_is_a_server(house) == []


def test_stages_and_models_do_not_know_there_are_folders(house: House) -> None:
    assert stages_and_models_do_not_know_there_are_folders(house) == []


def test_the_spool_side_does_not_know_there_are_pictures(house: House) -> None:
    assert the_spool_side_does_not_know_there_are_pictures(house) == []


def test_the_front_process_never_imports_torch(house: House) -> None:
    assert the_front_process_never_imports_torch(house) == []


def test_the_front_process_has_no_torch_after_importing_all_of_it(house: House) -> None:
    modules = [module.name for module in front(house) if not module.name.endswith("__main__")]
    program = "import importlib, sys; [importlib.import_module(m) for m in sys.argv[1:]]; print(*sys.modules)"

    result = subprocess.run([sys.executable, "-c", program, *modules], capture_output=True, text=True, timeout=60, cwd=REPOSITORY)

    assert result.returncode == 0, result.stderr
    loaded = set(result.stdout.split())
    assert {"daemon.service.service", "daemon.cli"} <= loaded
    assert sorted(loaded & set(MODEL_LIBRARIES)) == []


def test_one_process_knows_ray_and_nobody_imports_it(house: House) -> None:
    assert one_process_knows_ray_and_nobody_imports_it(house) == []


def test_the_daemon_decodes_nothing_itself(house: House) -> None:
    assert the_daemon_decodes_nothing_itself(house) == []


def test_arrows_between_rooms_only_point_down(house: House) -> None:
    assert arrows_between_rooms_only_point_down(house) == []


def test_the_table_of_the_rooms_points_down_itself() -> None:
    floors = [*ROOMS]
    assert [(room, other) for room in ROOMS for other in ROOMS[room] if floors.index(other) <= floors.index(room)] == []


def test_the_table_of_the_rooms_allows_nothing_that_nobody_needs(house: House) -> None:
    arrows = {(room_of(module.name), room_of(name)) for module in house.modules.values() for name in module.imports}
    arrows.add(("compute", "stages"))  # a worker imports the module of its stage by name
    assert [(room, other) for room in ROOMS for other in ROOMS[room] if (room, other) not in arrows] == []


def test_the_top_of_the_daemon_is_small(house: House) -> None:
    assert the_top_of_the_daemon_is_small(house) == []
    assert len(AT_THE_TOP) <= 13


def test_every_room_stands_in_the_table(house: House) -> None:
    assert every_room_stands_in_the_table(house) == []
    assert len(house.rooms) >= 9


def test_a_room_opens_without_what_is_in_it(house: House) -> None:
    assert a_room_opens_without_what_is_in_it(house) == []


def test_no_modules_import_each_other_in_a_circle(house: House) -> None:
    assert no_modules_import_each_other_in_a_circle(house) == []


def test_the_job_fits_on_one_page(house: House) -> None:
    assert the_job_fits_on_one_page(house) == []


def test_each_replaceable_library_has_one_door(house: House) -> None:
    assert each_replaceable_library_has_one_door(house) == []


def test_only_the_command_line_prints_and_exits(house: House) -> None:
    assert only_the_command_line_prints_and_exits(house) == []


def test_an_error_of_the_system_is_told_in_words(house: House) -> None:
    assert an_error_of_the_system_is_told_in_words(house) == []


def test_one_broad_except_exists_and_is_the_jobs(house: House) -> None:
    assert one_broad_except_exists_and_is_the_jobs(house) == []


def test_what_others_can_replace_is_opened_in_one_way(house: House) -> None:
    assert what_others_can_replace_is_opened_in_one_way(house) == []


def test_nobody_may_open_what_nobody_opens(house: House) -> None:
    found = {
        name: sum(isinstance(node, ast.Call) and opens(node, house.modules[name]) for node in ast.walk(house.modules[name].tree))
        for name in MAY_OPEN
    }
    assert found == {name: calls for name, (calls, _) in MAY_OPEN.items()}


def test_what_the_front_starts_has_all_cores(house: House) -> None:
    assert what_the_front_starts_has_all_cores(house) == []


def test_engines_are_known_by_their_contract(house: House) -> None:
    assert engines_are_known_by_their_contract(house) == []


def test_no_module_is_named_after_nothing(house: House) -> None:
    assert no_module_is_named_after_nothing(house) == []


def test_every_module_says_what_lives_in_it(house: House) -> None:
    assert every_module_says_what_lives_in_it(house) == []


def test_the_rooms_that_the_laws_name_are_there(house: House) -> None:
    rooms = {
        KNOWS_RAY,
        *SPOOL_SIDE,
        *TORCH_FREE,
        *ENGINE_DOORS,
        *ONE_DOOR.values(),
        *MAY_CATCH_ALL,
        *IN_THE_CHILD,
        DECODES_ELSEWHERE,
    }

    assert sorted(rooms - house.modules.keys()) == []


def test_the_daemon_that_is_imported_is_ours() -> None:
    import daemon  # the PyPI distribution python-daemon installs a package of the same name

    assert daemon.__file__ is not None
    assert Path(daemon.__file__).resolve().is_relative_to(REPOSITORY), "another `daemon` hides ours: is python-daemon installed?"


# --- made-up houses: each law can be broken, and says so

BROKEN_HOUSES = [
    (the_format_does_not_know_there_is_a_daemon, {"tiffsd/file.py": "def f():\n    from daemon import spool"}),
    (
        the_format_does_not_know_there_is_a_daemon,
        {"tiffsd/file.py": "import importlib\nimportlib.import_module('daemon')"},
    ),
    (nobody_knows_that_there_is_a_server, {"daemon/service/service.py": "def f():\n    from daemon.web import app"}),
    (nobody_knows_that_there_is_a_server, {"daemon/commands/web.py": "from daemon.web.serving import PageServer"}),
    (nobody_knows_that_there_is_a_server, {"daemon/commands/report.py": "def f():\n    import uvicorn"}),
    (stages_and_models_do_not_know_there_are_folders, {"daemon/stages/text.py": "from daemon.spool.spool import Claim"}),
    (stages_and_models_do_not_know_there_are_folders, {"daemon/models/registry.py": "from ..inbox import Drop"}),
    (stages_and_models_do_not_know_there_are_folders, {"daemon/models/registry.py": "from daemon.jobs import results"}),
    (stages_and_models_do_not_know_there_are_folders, {"daemon/stages/decode.py": "from pathlib import Path"}),
    (stages_and_models_do_not_know_there_are_folders, {"daemon/stages/decode.py": "import os.path"}),
    (the_spool_side_does_not_know_there_are_pictures, {"daemon/inbox/inbox.py": "import tiffsd"}),
    (
        the_spool_side_does_not_know_there_are_pictures,
        {"daemon/spool/spool.py": "import daemon.names", "daemon/names.py": "import PIL"},
    ),
    (the_spool_side_does_not_know_there_are_pictures, {"daemon/inbox/watch.py": "from numpy.typing import NDArray"}),
    (the_front_process_never_imports_torch, {"daemon/service/service.py": "import torch"}),
    (the_front_process_never_imports_torch, {"daemon/cli.py": "def f():\n    import diffusers.schedulers"}),
    (
        the_front_process_never_imports_torch,
        {
            "daemon/compute/local.py": "from daemon.compute import worker",
            "daemon/compute/worker.py": "try:\n    import torch\nfinally:\n    pass",
        },
    ),
    (
        the_front_process_never_imports_torch,
        {
            "daemon/cli.py": "import daemon.models.sizes",
            "daemon/models/__init__.py": "import torch",
            "daemon/models/sizes.py": "",
        },
    ),
    (one_process_knows_ray_and_nobody_imports_it, {"daemon/compute/engine.py": "def f():\n    import ray"}),
    (
        one_process_knows_ray_and_nobody_imports_it,
        {"daemon/compute/engine.py": "from daemon.compute.remote import ray_gateway", "daemon/compute/remote/ray_gateway.py": ""},
    ),
    (
        the_daemon_decodes_nothing_itself,
        {"daemon/jobs/job.py": "from daemon.jobs import intake", "daemon/jobs/intake.py": "import tiffsd\ntiffsd.read(path)"},
    ),
    (the_daemon_decodes_nothing_itself, {"daemon/service/service.py": "from PIL import Image\nImage.open(path)"}),
    (
        the_daemon_decodes_nothing_itself,
        {"daemon/jobs/job.py": "from daemon.pictures.decoder import main", "daemon/pictures/decoder.py": ""},
    ),
    (the_daemon_decodes_nothing_itself, {"daemon/jobs/job.py": "from tiffsd.file import decode_pages"}),
    (
        the_daemon_decodes_nothing_itself,
        {
            "daemon/jobs/job.py": "from daemon.jobs import recipes",
            "daemon/jobs/recipes.py": "from daemon.pictures.png_text import png_text",
            "daemon/pictures/png_text.py": "",
        },
    ),
    (arrows_between_rooms_only_point_down, {"daemon/service/service.py": "import tiffsd", "tiffsd/__init__.py": ""}),
    (arrows_between_rooms_only_point_down, {"daemon/spool/spool.py": "from ..jobs import hooks", "daemon/jobs/hooks.py": ""}),
    (arrows_between_rooms_only_point_down, {"daemon/names.py": "import daemon.spool.spool", "daemon/spool/spool.py": ""}),
    (arrows_between_rooms_only_point_down, {"daemon/attic/box.py": "import daemon.jobs.job", "daemon/jobs/job.py": ""}),
    (the_top_of_the_daemon_is_small, {"daemon/spool.py": ""}),
    (every_room_stands_in_the_table, {"daemon/attic/__init__.py": ""}),
    (a_room_opens_without_what_is_in_it, {"daemon/jobs/__init__.py": "'''The jobs.'''\nfrom daemon.jobs import job"}),
    (
        no_modules_import_each_other_in_a_circle,
        {"daemon/jobs/a.py": "import daemon.jobs.b", "daemon/jobs/b.py": "def f():\n    from daemon.jobs import a"},
    ),
    (the_job_fits_on_one_page, {"daemon/jobs/job.py": "\n" * (JOB_LINES + 1)}),
    (each_replaceable_library_has_one_door, {"tiffsd/prototype.py": "import tifffile"}),
    (each_replaceable_library_has_one_door, {"daemon/inbox/inbox.py": "from watchdog.observers import Observer"}),
    (each_replaceable_library_has_one_door, {"daemon/settings/prompts.py": "def f():\n    import yaml"}),
    (only_the_command_line_prints_and_exits, {"daemon/compute/worker.py": "print(1)"}),
    (only_the_command_line_prints_and_exits, {"daemon/service/service.py": "import sys\nsys.exit(1)"}),
    (only_the_command_line_prints_and_exits, {"tiffsd/file.py": "raise SystemExit(2)"}),
    (
        an_error_of_the_system_is_told_in_words,
        {"daemon/service/wake.py": "try:\n    f()\nexcept (ValueError, OSError) as error:\n    log.error('no: %s', error)"},
    ),
    (
        an_error_of_the_system_is_told_in_words,
        {"daemon/jobs/hooks.py": "try:\n    f()\nexcept OSError as error:\n    reason = f'no: {error}'"},
    ),
    (one_broad_except_exists_and_is_the_jobs, {"daemon/spool/spool.py": "try:\n    f()\nexcept Exception:\n    pass"}),
    (
        one_broad_except_exists_and_is_the_jobs,
        {"tiffsd/file.py": "try:\n    f()\nexcept (OSError, BaseException):\n    g()"},
    ),
    (
        one_broad_except_exists_and_is_the_jobs,
        {"daemon/inbox/inbox.py": "import contextlib\nwith contextlib.suppress(Exception):\n    f()"},
    ),
    (
        one_broad_except_exists_and_is_the_jobs,
        {"daemon/inbox/watch.py": "try:\n    f()\nexcept Exception:  # noqa: BLE001\n    pass"},
    ),
    (one_broad_except_exists_and_is_the_jobs, {"daemon/jobs/job.py": "try:\n    f()\nexcept OSError:\n    pass"}),
    (
        one_broad_except_exists_and_is_the_jobs,
        {"daemon/jobs/job.py": "try:\n    f()\nexcept:  # here all else ends\n    g()\ntry:\n    h()\nexcept:\n    pass"},
    ),
    *(
        (what_others_can_replace_is_opened_in_one_way, {"daemon/jobs/job.py": line})
        for line in (
            "open(path)",
            "import os\nos.open(path, os.O_RDONLY)",
            "path.open('rb')",
            "(folder / 'status.json').read_text()",
            "path.write_bytes(b'')",
            "sign.touch()",
            "import shutil\nshutil.copyfile(path, other)",
            "from daemon import beneath\nbeneath.root.read_bytes()",
            "import tiffsd\ndef f(path: Path): tiffsd.inspect(path)",
            "import tiffsd\ndef f(one: Path | None): tiffsd.read(one.parent / 'x')",
        )
    ),
    (what_others_can_replace_is_opened_in_one_way, {"daemon/jobs/named.py": "path.open()\npath.read_text()"}),
    (what_the_front_starts_has_all_cores, {"daemon/jobs/hooks.py": "import subprocess\nsubprocess.Popen(command)"}),
    (
        what_the_front_starts_has_all_cores,
        {"daemon/compute/process.py": "with unpinned():\n    pass\nwith pinned():\n    subprocess.run(command)"},
    ),
    (engines_are_known_by_their_contract, {"daemon/jobs/context.py": "from daemon.compute.local import LocalWorkers"}),
    (engines_are_known_by_their_contract, {"daemon/service/service.py": "def f():\n    from daemon.compute import local"}),
    (engines_are_known_by_their_contract, {"daemon/compute/protocol.py": "import daemon.compute.local"}),
    (no_module_is_named_after_nothing, {"daemon/spool_utils.py": ""}),
    (no_module_is_named_after_nothing, {"daemon/common/names.py": ""}),
    (every_module_says_what_lives_in_it, {"daemon/__init__.py": ""}),
]


@pytest.mark.parametrize(("law", "files"), BROKEN_HOUSES)
def test_a_law_says_who_breaks_it(law: Callable[[House], list[str]], files: dict[str, str], tmp_path: Path) -> None:
    assert law(built(files, tmp_path)) != []


def test_the_laws_leave_a_lawful_house_alone(tmp_path: Path) -> None:
    files = {
        "tiffsd/__init__.py": "'''The format.'''",
        "tiffsd/file.py": "'''Files.'''\nimport tifffile\ntry:\n    f()\nexcept Exception as e:\n    raise Odd from e",
        "daemon/__init__.py": "'''The daemon.'''",
        "daemon/cli.py": "'''Commands.'''\nimport sys\nprint(1)\nsys.exit(0)",
        "daemon/compute/local.py": "'''Where maths runs.'''\nfrom daemon.compute import worker",
        "daemon/compute/worker.py": "'''The worker.'''\ndef main():\n    import torch\n    from daemon.stages import text",
        "daemon/stages/__init__.py": "'''The table.'''",
        "daemon/stages/text.py": "'''Maths.'''\nimport torch\nfrom daemon.models.registry import Models",
        "daemon/models/__init__.py": "'''Models.'''",
        "daemon/models/registry.py": "'''Loading.'''\nfrom pathlib import Path\nimport torch",
        "daemon/beneath.py": "'''Opening.'''\nimport os\nos.open(name, flags, dir_fd=folder)",
        "daemon/spool/records.py": "'''Records.'''\ndef write_text(fs): ...",
        "daemon/spool/spool.py": """
            '''Folders.'''
            from pathlib import Path
            from daemon.spool import records
            from daemon.stages import STAGES
            MOUNTS = Path('/proc/self/mountinfo')
            records.write_text(fs)
            beneath.open(path, 0), self._beneath.touch(path), Beneath(root).touch(path)
            MOUNTS.read_text(), Path('/proc/self/statm').read_text()
            """,
        "daemon/service/service.py": """
            '''The lifecycle.'''
            from typing import TYPE_CHECKING
            from daemon.compute.engine import new_engine
            from daemon.spool import spool
            from daemon.jobs import job
            if TYPE_CHECKING:
                from daemon.stages.text import run
            """,
        "daemon/jobs/job.py": """
            '''The story.'''
            import tiffsd
            from daemon.spool.spool import Claim
            try:
                f()
            except Exception as error:  # noqa: BLE001 - what nobody thought of fails this job only
                g()
            """,
    }
    house = built(files, tmp_path)

    assert [sentence for law in {law for law, _ in BROKEN_HOUSES} for sentence in law(house)] == []


def built(files: dict[str, str], root: Path) -> House:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(textwrap.dedent(text).strip() if text.strip() else text)
    return house_at(root)
