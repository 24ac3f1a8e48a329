"""Errors of the system, sorted into those of the machine and those of the set-up."""

import errno
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from daemon.errors import MachineError
from daemon.machine import advice, is_machines, machines_fault, sorted_out

MACHINES = "ENOSPC EDQUOT EROFS EMFILE ENFILE ENOMEM EIO ESTALE ETIMEDOUT EHOSTDOWN EHOSTUNREACH ENOTCONN ENOLCK"
SET_UPS = "EACCES EPERM ENOTDIR EISDIR ELOOP ENOENT EEXIST ENAMETOOLONG EXDEV EINVAL EAGAIN EPIPE"


def error_of(name: str) -> OSError:
    code = getattr(errno, name)
    return OSError(code, os.strerror(code), "/srv/spool/.lock")


@pytest.mark.parametrize("name", MACHINES.split())
def test_what_is_the_machines_has_advice(name: str, tmp_path: Path) -> None:
    assert is_machines(error_of(name))
    fault = machines_fault(error_of(name), "the spool cannot be used", tmp_path)
    assert str(fault) == f"the spool cannot be used: {error_of(name).strerror}; {advice(error_of(name), tmp_path)}."
    with pytest.raises(MachineError), sorted_out("the spool cannot be used", tmp_path):
        raise error_of(name)


@pytest.mark.parametrize("name", SET_UPS.split())
def test_what_is_the_set_ups_stays_as_it_is(name: str, tmp_path: Path) -> None:
    assert not is_machines(error_of(name))
    assert machines_fault(error_of(name), "the spool cannot be used", tmp_path) is None
    with pytest.raises(OSError, match=error_of(name).strerror), sorted_out("the spool cannot be used", tmp_path):
        raise error_of(name)


@pytest.mark.parametrize(
    ("files", "free", "said"), [(400, 0, "free some inodes"), (400, 7, "free some space"), (0, 0, "free some space")]
)
def test_a_disk_without_inodes_is_told_from_a_full_one(
    files: int, free: int, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_files=files, f_favail=free))
    assert advice(error_of("ENOSPC"), tmp_path / "not there").startswith(said)


def test_what_is_not_there_yet_is_on_the_filesystem_of_the_folder_above(tmp_path: Path) -> None:
    assert advice(error_of("ENOSPC"), tmp_path / "not" / "there").startswith("free some space")
