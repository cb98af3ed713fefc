"""``python -m surefooted``: the command line."""

from surefooted.cli import main

if __name__ == "__main__":
    main()
