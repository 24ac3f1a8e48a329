"""The house as its imports show it: every module of the two packages, what it imports, and the rooms they lie in."""

import ast
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
PACKAGES = ("tiffsd", "daemon")
IMPORTING_CALLS = ("import_module", "importlib.import_module", "__import__")


@dataclass(frozen=True)
class Module:
    """One module: its dotted name, its text, and what it imports, by full dotted names."""

    name: str
    text: str = field(repr=False)
    is_package: bool = False

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @cached_property
    def imports(self) -> frozenset[str]:
        """Every import, wherever it stands; names given as text to import_module count too."""
        return frozenset(self._named_in(ast.walk(self.tree)))

    @cached_property
    def imports_at_start(self) -> frozenset[str]:
        """What importing this module imports: not what stands in functions or under TYPE_CHECKING."""
        return frozenset(self._named_in(run_at_import(self.tree)))

    @property
    def is_room(self) -> bool:
        """Whether it is a package at the top of the daemon."""
        return self.is_package and self.name.startswith("daemon.") and self.name.count(".") == 1

    def names(self, library: str) -> bool:
        return any(within(name, (library,)) for name in self.imports)

    def _named_in(self, nodes: Iterable[ast.AST]) -> Iterator[str]:
        for node in nodes:
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                source = self._absolute(node)
                yield source
                yield from (f"{source}.{alias.name}" for alias in node.names)
            elif isinstance(node, ast.Call) and called(node) in IMPORTING_CALLS:
                yield from (str(word.value) for word in node.args[:1] if isinstance(word, ast.Constant))

    def _absolute(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        package = self.name.split(".")
        kept = package[: len(package) - node.level + self.is_package]
        return ".".join([*kept, *([node.module] if node.module else [])])


@dataclass(frozen=True)
class House:
    """All modules of the two packages under one folder, by name."""

    modules: dict[str, Module] = field(repr=False)

    def under(self, *rooms: str) -> list[Module]:
        return [module for name, module in sorted(self.modules.items()) if within(name, rooms)]

    @property
    def rooms(self) -> list[Module]:
        """The packages of the daemon."""
        return [module for _, module in sorted(self.modules.items()) if module.is_room]

    def ours(self, names: Iterable[str]) -> set[str]:
        """Those of the imported names that are modules of the house, each with the packages it lies in."""
        found = {name for name in names if name in self.modules}
        parents = {name.rsplit(".", up)[0] for name in found for up in range(1, name.count(".") + 1)}
        return found | (parents & self.modules.keys())

    def reached(self, starts: Iterable[str], imports: Callable[[Module], Iterable[str]]) -> set[str]:
        """The modules that these starts import, directly or through others, and they themselves."""
        seen: set[str] = set()
        waiting = self.ours(starts)
        while waiting:
            seen |= waiting
            waiting = self.ours(name for module in waiting for name in imports(self.modules[module])) - seen
        return seen


def house_at(root: Path) -> House:
    modules = {}
    for path in sorted(path for package in PACKAGES for path in (root / package).rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        is_package = parts[-1] == "__init__"
        name = ".".join(parts[:-1] if is_package else parts)
        modules[name] = Module(name, path.read_text(encoding="utf-8"), is_package)
    return House(modules)


def within(name: str, rooms: Iterable[str]) -> bool:
    return any(name == room or name.startswith(room + ".") for room in rooms)


def run_at_import(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            yield from (inner for other in child.orelse for inner in ast.walk(other))
            continue
        yield child
        yield from run_at_import(child)


def called(node: ast.Call) -> str:
    return ast.unparse(node.func)


def room_of(name: str) -> str:
    """The room of a module: "tiffsd", a package of the daemon, or what stands at the daemon's top."""
    parts = name.split(".")
    return parts[0] if parts[0] == "tiffsd" or len(parts) == 1 else parts[1]
