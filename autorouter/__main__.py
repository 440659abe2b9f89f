"""`python -m autorouter`."""

from autorouter.cli import main

main()
