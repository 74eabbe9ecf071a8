"""``python -m shufflenet`` is the command line."""

from shufflenet.cli import main

main()
