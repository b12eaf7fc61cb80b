"""`python -m progressive_training.server` is the command line."""

from .cli.main import main

main()
