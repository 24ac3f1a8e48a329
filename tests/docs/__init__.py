"""What the documents are made with: the site, the pictures in it, and the animation of the README."""
