"""`python -m bridge`: see `python -m bridge --help`."""

from bridge.cli import app

if __name__ == "__main__":
    app(prog_name="python -m bridge")
