"""A local-first router for coding agents whose every decision can be inspected and re-run."""

__version__ = "0.2.0"
