"""The soak: 200 streams at once for as long as AUTOROUTER_SOAK_S says (120 s in the normal tests, `make soak` 30 minutes)."""
