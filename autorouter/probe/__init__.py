"""Floor 5, beside the evals: is a relay fit for agents, and is everything here as it should be?

checks    what is asked of a relay, in groups; `line` asks, `streamed` looks at the bytes, `bench` keeps the answers
report    what came out: values, JSON, a JSON Schema; `markdown` is what people read, `clients` who can use the relay
ours      what `autorouter doctor` checks here; `dry` asks each strategy on the dry run, `real` each candidate once
"""
