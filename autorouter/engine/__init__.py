"""Floor 4, the engine: takes a snapshot, lets the core decide, carries the decision out, and records what happened."""
