"""`python -m unseen.cli`."""

from unseen.cli import main

main()
