"""The command line, thin: it reads arguments, calls the library, and prints."""

from __future__ import annotations

import logging
import os

from unseen import jobs
from unseen.console import app, arrange, say
from unseen.files import sentence

from unseen.cli import (  # isort: skip  # noqa: F401 - each adds its commands
    job, known, trust, carry, annotate, explain, shift, curate, explore,
)  # fmt: skip

jobs.add_commands()
arrange(
    {
        "Look at what you have": "recommend methods diagnose shift embed encoders data",
        "Adapt, and compare": "demo compare adapt continue label",
        "Use a model, and check it": "predict explain verify report web",
        "Make it small, and serve it": "quantize export serve",
        "Other tasks": "map annotate complete episodes forecast match rank segment nas",
        "Image-text data": "curate index explore prune head concepts",
        "Evidence, and methods of your own": "reproduce new",
    },
    rest="Other tasks",
)


def main() -> None:
    """Run the command line; a mistake of the user is one line, not a traceback."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    try:
        app()
    except Exception as error:  # whatever it is, it is told in a sentence
        if os.environ.get("UNSEEN_TRACEBACK"):
            raise
        speaks = isinstance(error, (ValueError, OSError, ImportError))
        say(f"unseen: {error}" if speaks else f"unseen: {type(error).__name__}: {sentence(error)}")
        if not speaks:
            say("(UNSEEN_TRACEBACK=1 shows where this came from)")
        raise SystemExit(1) from error
