"""The training of the embedded model: what it draws, says, exports, and goes on from."""
