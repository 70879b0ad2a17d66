"""``python -m splitward``: the command line."""

from splitward.cli.main import main

if __name__ == "__main__":
    main()
