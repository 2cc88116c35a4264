"""OpenCV, where it is installed: one sentence for whoever lacks it."""

from __future__ import annotations

from typing import Any


def opencv() -> Any:
    """The module `cv2`.

    Raises
    ------
    ImportError
        If it is not installed; the message names the command.
    """
    try:
        import cv2
    except ImportError as error:
        raise ImportError('this needs OpenCV: pip install "unseen[matching]"') from error
    return cv2
