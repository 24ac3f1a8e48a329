"""Workers on other machines, each at the far end of a connection by ssh; messages are JSON and raw arrays, and no path travels."""
