"""Turn SVG drawings into PNG files. Run as a script, so that several processes share the work.

Reads lines of ``PATH<tab>SVG`` from standard input; a file that is there was written whole.
"""

import os
import sys
from pathlib import Path

import resvg_py


def draw(svg: str, size: int) -> bytes:
    """Return the drawing as PNG, `size` pixels wide and high, on white."""
    return bytes(
        resvg_py.svg_to_bytes(svg_string=svg, width=size, height=size, background="#ffffff", skip_system_fonts=True)
    )


def main(size: int) -> None:
    """Draw every line of standard input."""
    for line in sys.stdin:
        target, _, svg = line.rstrip("\n").partition("\t")
        part = Path(f"{target}.{os.getpid()}.part")
        part.write_bytes(draw(svg, size))
        part.replace(target)


if __name__ == "__main__":
    main(int(sys.argv[1]))
