"""`python -m roftmol`."""

from roftmol.cli.main import main

if __name__ == "__main__":
    main()
