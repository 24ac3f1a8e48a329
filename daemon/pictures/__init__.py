"""Photos in, pictures out: decoding in a child process, colour, and the recipe that rides in PNG, JPEG and WebP."""
