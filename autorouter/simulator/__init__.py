"""Floor 3, the dry run: simulated providers, in process (`transport`) or on a socket (`server/`). Nothing here calls out."""
