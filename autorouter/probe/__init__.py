"""Floor 5, beside the evals: is a relay fit for agents, and is everything here as it should be?

checks    what is asked of a relay, in groups; `line` asks, `streamed` looks at the bytes, `bench` keeps the answers
report    what came out: values, JSON, a JSON Schema; `markdown` and `table` are what people read
ours      what `autorouter doctor` checks here; `real` asks each configured upstream once
"""
