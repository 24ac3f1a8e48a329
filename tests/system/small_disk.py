"""A small filesystem in the box for the spool of the service: to be filled up, used up, made read-only, and freed again."""

import shlex
from collections.abc import Iterator
from contextlib import contextmanager

from tests.system.installed import CONFIG, Installed

PLACE = "/srv/small"
# Read-only is said by the second name, because the mount that the service sees is to stay as it is: a disk that fails does so too.
OTHER_NAME = "/srv/small-again"
MEGABYTES, NAMES = 32, 2000


class SmallDisk:
    """The service `tiffsd` with its spool on a disk of its own; it is stopped, and nothing lies in the spool yet."""

    def __init__(self, service: Installed) -> None:
        self.service = service
        self.spool = service.box.path(f"{PLACE}/spool")

    def fill(self) -> None:
        """Leave no room, not for a byte."""
        self.sh(f"! dd if=/dev/zero of={PLACE}/ballast bs=4k 2>/dev/null")

    def use_up_names(self) -> None:
        """Leave no inode."""
        self.sh(f"mkdir {PLACE}/hoard; cd {PLACE}/hoard; ! seq {NAMES} | xargs touch 2>/dev/null")

    def free(self) -> None:
        """Give all room back."""
        self.sh(f"rm -rf {PLACE}/ballast {PLACE}/hoard")

    def make_read_only(self) -> None:
        self.sh(f"mount -o remount,ro {OTHER_NAME}")

    def make_writable(self) -> None:
        self.sh(f"mount -o remount,rw {OTHER_NAME}")

    def sh(self, script: str) -> None:
        self.service.box.run("bash", "-euc", script)

    def drop(self, name: str, text: str) -> None:
        """Put a prompt into the first inbox, as root."""
        self.sh(f"cd {PLACE}/spool/inbox/1-text; printf %s {shlex.quote(text)} > {name}; chmod 666 {name}")


@contextmanager
def small_disk(service: Installed) -> Iterator[SmallDisk]:
    """The disk, for a while; the service has its own spool back afterwards, and is stopped."""
    box = service.box
    service.control("stop")
    box.sh(
        f"mkdir -p {PLACE} {OTHER_NAME}; mount -t tmpfs -o size={MEGABYTES}m,nr_inodes={NAMES},mode=755 small {PLACE};"
        f"mount --bind {PLACE} {OTHER_NAME}; chown tiffsd:tiffsd {PLACE}"
    )
    folder = box.path("/run/systemd/system/tiffsd.service.d")
    folder.mkdir(parents=True)
    (folder / "small.conf").write_text(f"[Service]\nReadWritePaths={PLACE}\n")
    box.run("systemctl", "daemon-reload")
    before = box.path(CONFIG).read_text()
    service.configure(spool=f"{PLACE}/spool")
    try:
        yield SmallDisk(service)
    finally:
        service.control("stop")
        (folder / "small.conf").unlink()
        folder.rmdir()
        box.run("systemctl", "daemon-reload")
        box.path(CONFIG).write_text(before)
        box.sh(f"umount {OTHER_NAME}; umount {PLACE}; rmdir {PLACE} {OTHER_NAME}")
