"""`python -m progressive_training.server` is the command line."""

from .cli import main

main()
