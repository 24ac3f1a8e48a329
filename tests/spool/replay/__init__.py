"""Power cuts on real filesystems, block by block, in a guest with a kernel of its own."""
