"""What is known about the clients, as data: one file for each, found by `registry`. Imports nothing else of the package."""
