"""Floor 2, the wires: a client's bytes -> `Task`, and answers, errors and lists in the client's own shape.

`dict[str, Any]` stays on this floor and in `upstream`.
"""
