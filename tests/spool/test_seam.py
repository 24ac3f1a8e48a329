"""Every operation on the spool goes through `Filesystem`: what a sweep cannot see, it cannot prove."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import daemon

DAEMON = Path(daemon.__file__).parent
SEAM = "spool/filesystem.py"
MODULES = sorted(str(path.relative_to(DAEMON)) for path in [*DAEMON.glob("spool/*.py"), DAEMON / "names.py"])
NO_CHANGES = ("jobs/results.py", "jobs/originals.py")  # .keep/ is filled by publishing, and only read besides
OF_THE_SYSTEM = {"os", "shutil", "fcntl", "tempfile", "subprocess", "ctypes", "mmap", "io"}
HARMLESS = {"os.geteuid", "os.major", "os.minor", "os.fsencode", "os.path.splitext", "os.urandom", "os.urandom(4).hex"}
CHANGING = {
    *("mkdir", "rmdir", "rename", "unlink", "touch", "chmod", "symlink_to", "hardlink_to", "write_bytes", "write_text"),
    *("remove", "makedirs", "link", "symlink", "truncate", "rmtree", "move", "copy", "copyfile", "replace"),
}
LOOKING = {"stat", "lstat", "exists", "is_file", "is_dir", "iterdir", "glob", "rglob", "read_bytes", "read_text", "open"}
THE_SEAM = {"fs", "self._fs", "transitions", "self._transitions", "self", "records", "layout"}


def changes(text: str) -> Iterator[str]:
    """The calls in a module that change something on the disk past the seam."""
    return (called for called in _calls(text) if called.rpartition(".")[2] in CHANGING and _is_past_the_seam(called))


def touches(text: str) -> Iterator[str]:
    """The calls in a module that so much as look at the disk past the seam."""
    for called in _calls(text):
        of_the_system = called.split(".")[0] in OF_THE_SYSTEM and called not in HARMLESS
        if called == "open" or of_the_system or (called.rpartition(".")[2] in LOOKING | CHANGING and _is_past_the_seam(called)):
            yield called


def _calls(text: str) -> Iterator[str]:
    functions = (node.func for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call))
    return (ast.unparse(function) for function in functions if isinstance(function, ast.Name | ast.Attribute))


def _is_past_the_seam(called: str) -> bool:
    owner = called.rpartition(".")[0]
    return bool(owner) and owner not in THE_SEAM


@pytest.mark.parametrize("module", [module for module in MODULES if module != SEAM])
def test_the_spool_reaches_the_disk_through_the_seam_only(module: str) -> None:
    assert list(touches(_text(module))) == []


def test_the_seam_itself_reaches_the_disk() -> None:
    assert list(touches(_text(SEAM))) != []


@pytest.mark.parametrize("module", NO_CHANGES)
def test_the_kept_originals_are_changed_through_the_seam_only(module: str) -> None:
    assert list(changes(_text(module))) == []


PAST_THE_SEAM = ("path.unlink()", "os.rename(a, b)", "(job / 'x').write_bytes(b'')", "shutil.move(a, b)")


@pytest.mark.parametrize("line", PAST_THE_SEAM)
def test_a_change_past_the_seam_is_found(line: str) -> None:
    assert list(changes(line)) != []


@pytest.mark.parametrize("line", [*PAST_THE_SEAM, "open(path)", "path.exists()", "os.listdir(path)"])
def test_a_look_past_the_seam_is_found(line: str) -> None:
    assert list(touches(line)) != []


def _text(module: str) -> str:
    return (DAEMON / module).read_text(encoding="utf-8")
