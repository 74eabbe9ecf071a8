"""``python -m shufflenet`` is the command line."""

from shufflenet.cli import main

if __name__ == "__main__":  # not in the processes that `serve` starts, which import it too
    main()
