"""Layer 6: commands for people. `main` is the entry point `endwell`; nothing else imports this package."""

__all__ = ["main"]


def main() -> None:
    """Run the command `endwell` with the arguments of the process and exit with its code."""
    import sys

    try:
        import rich
        import typer
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        sys.stderr.write(f'endwell: the command needs {missing}; install it: pip install "endwell[cli]"\n')
        raise SystemExit(2) from None
    del rich, typer  # it was only asked whether they are there
    from endwell.cli.get import app
    from endwell.cli.serve import add_to

    add_to(app)
    app(prog_name="endwell")
