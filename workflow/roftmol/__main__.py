"""`python -m roftmol`."""

from roftmol.cli import main

if __name__ == "__main__":
    main()
