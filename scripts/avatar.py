#!/usr/bin/env python3
"""Draws the avatar that virtual users get unless their room list has one: a white bell.

    avatar.py FILE     writes the picture, a PNG of 128 × 128 pixels

Only Python's standard library is used. src/rooms/avatar.png is what this writes.
"""

import struct
import sys
import zlib

SIZE, FINER = 128, 4
# The background, and the steps between it and white at the edges.
BLUE, WHITE, SHADES = (0x22, 0x5A, 0x8C), (0xFF, 0xFF, 0xFF), 16


def is_bell(x, y):
    """Whether a point is white; the picture is the square from -1 to 1, with y downwards."""
    head = x * x + (y + 0.56) ** 2 < 0.075 ** 2
    dome = y < -0.12 and x * x + (y + 0.12) ** 2 < 0.36 ** 2
    width = 0.36 if y < 0.05 else 0.36 + 0.18 * ((y - 0.05) / 0.25) ** 2
    body = -0.12 <= y < 0.30 and abs(x) < width
    rim = 0.30 <= y < 0.38 and abs(x) < 0.60
    clapper = y > 0.43 and x * x + (y - 0.43) ** 2 < 0.14 ** 2
    return head or dome or body or rim or clapper


def shade(column, row):
    """How white a pixel is, in SHADES steps."""
    points = [(column + (i + 0.5) / FINER, row + (j + 0.5) / FINER) for i in range(FINER) for j in range(FINER)]
    white = sum(is_bell(x / SIZE * 2 - 1, y / SIZE * 2 - 1) for x, y in points)
    return round(white / len(points) * (SHADES - 1))


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png():
    mixed = [tuple(round(b + (w - b) * step / (SHADES - 1)) for b, w in zip(BLUE, WHITE)) for step in range(SHADES)]
    rows = []
    for row in range(SIZE):
        shades = [shade(column, row) for column in range(SIZE)]
        rows.append(b"\0" + bytes(high << 4 | low for high, low in zip(shades[::2], shades[1::2])))
    header = struct.pack(">IIBBBBB", SIZE, SIZE, 4, 3, 0, 0, 0)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"PLTE", b"".join(map(bytes, mixed)))
            + chunk(b"IDAT", zlib.compress(b"".join(rows), 9)) + chunk(b"IEND", b""))


if __name__ == "__main__":
    with open(sys.argv[1], "wb") as picture:
        picture.write(png())
