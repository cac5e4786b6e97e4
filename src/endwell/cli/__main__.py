"""`python -m endwell.cli` is the command `endwell`."""

from endwell.cli import main

main()
