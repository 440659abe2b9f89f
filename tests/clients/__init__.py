"""Real coding agents against the router: `make test-clients`. Not collected by pytest; see `run`."""
