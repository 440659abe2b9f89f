"""The faults that a simulated provider can show: `catalog` lists them, `spec` is the syntax by which they are chosen."""
