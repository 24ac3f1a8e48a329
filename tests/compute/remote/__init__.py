"""Workers on other machines: their messages, their far end."""
