"""Floor 4, beside the engine: what an operator sees of it. Counts, log lines and spans, made of finished steps."""
