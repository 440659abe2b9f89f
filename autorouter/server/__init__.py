"""Floor 6, the server: bytes in, bytes out. It decides nothing."""
