"""Floor 5, beside the evals: is a relay fit for agents, and is the local setup as it should be?

checks        all checks of a relay; `relay_client` sends requests, `relay_session` keeps the responses that many checks
              read, `stream_inspection` describes a stream
report        the result: values, JSON, a JSON Schema, the clients that can use the relay; `markdown` renders it
local_checks  what `autorouter doctor` checks on this machine; `live_check` sends one real request per candidate
"""
