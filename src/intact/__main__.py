"""`python -m intact`: the command."""

from intact.cli.main import main

if __name__ == "__main__":
    main()
