"""The page with a server, for those who ask for it: everything it does is what a person at the folders may do."""
