"""`python -m endwell` is the command `endwell`."""

from endwell.cli import main

if __name__ == "__main__":
    main()
