"""Floor 3, the providers: one call goes out, one reply comes back as bytes. Foreign errors are translated here."""
