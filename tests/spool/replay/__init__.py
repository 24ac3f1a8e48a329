"""Power cuts on real filesystems, block by block, in a guest of QEMU."""
