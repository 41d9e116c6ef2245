"""``python -m catvec`` is the command line, where ``catvec`` itself is on no path."""

from catvec.cli import main

if __name__ == "__main__":
    main()
