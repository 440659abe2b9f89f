"""The speed bench: what the gateway costs, measured against a mock upstream on this machine. See README.md."""
