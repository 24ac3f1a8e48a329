"""Workers on other machines, each at the far end of a connection by ssh: messages in JSON and raw arrays, and no path but a name."""
