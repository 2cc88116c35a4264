"""What users wish beside comparing: a room per wish, with its job, its command and its page.

Nothing lists the rooms: another wish is another folder, whose module `command` adds what the command line offers.
"""

from __future__ import annotations

import importlib
import pkgutil


def add_commands() -> None:
    """Add the commands of all rooms to the command line."""
    for room in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{room.name}.command")
