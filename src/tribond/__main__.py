"""`python -m tribond`: the command line."""

from tribond.cli.main import main

if __name__ == "__main__":
    main()
