"""The filesystems that are tried, each as small as it may be, with the programs that make and check it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """What the kernel calls it, how it is made, checked and mounted, its size, and why `durability: ordered` is refused."""

    type: str
    make: tuple[str, ...]
    check: tuple[str, ...]
    mib: int
    refused: str | None = None
    options: str = ""


_EXT4 = ("mkfs.ext4", "-q", "-b", "4096", "-E", "lazy_itable_init=0,lazy_journal_init=0")
_E2FSCK = ("e2fsck", "-fn")

KINDS = {
    "ext4": Kind("ext4", _EXT4, _E2FSCK, 16),
    "ext4 with data=writeback": Kind("ext4", _EXT4, _E2FSCK, 16, options="data=writeback"),
    "XFS": Kind("xfs", ("mkfs.xfs", "-q", "--unsupported"), ("xfs_repair", "-n", "-P", "-o", "force_geometry"), 16),
    "ext4 with fast commits": Kind("ext4", (*_EXT4, "-O", "fast_commit"), _E2FSCK, 16, "its ext4 makes fast commits"),
    "ext4 without a journal": Kind("ext4", (*_EXT4, "-O", "^has_journal"), _E2FSCK, 16, "its ext4 has no journal"),
    "btrfs": Kind("btrfs", ("mkfs.btrfs", "-q"), ("btrfs", "check"), 128, "it lies on btrfs"),
    "f2fs": Kind("f2fs", ("mkfs.f2fs", "-q"), ("fsck.f2fs", "--dry-run"), 64, "it lies on f2fs"),
}
IN_ORDER = tuple(name for name, kind in KINDS.items() if kind.refused is None)
OUT_OF_ORDER = "btrfs"  # the sync of one file makes nothing durable that came before
