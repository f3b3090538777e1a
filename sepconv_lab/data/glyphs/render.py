"""Pictures of characters: the same bytes for the same seed on any machine, whatever the number of threads.

Every random quantity of a picture is read from a stream named by (data.seed, split, character), at the picture's own place.
So the first classes do not change when there are more, nor the first pictures of a class. The arithmetic is numpy's
elementwise float32, which rounds alike everywhere; cosines are rounded to 16 bits, and the only matrix products are exact.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from ...config import Fill, GlyphsConfig
from .. import streams
from ..photos.digests import cores
from .faces import masks

RENDERER = 1
"""Raised by hand when the same configuration comes to give other pictures. Part of the data's digest."""
SIZE = (0.6, 0.9)
"""Longer side of a character, as a share of the picture's side."""
ROTATION = 12.0
"""Largest rotation, degrees."""
CONTRAST = 80
"""Least difference of foreground and background, in grey levels, at each node of a texture."""
NODES = 5
"""A texture is NODES x NODES random values, enlarged."""
NOISE = 16.0
"""Largest standard deviation of a picture's pixel noise, grey levels."""

Array = npt.NDArray[np.float32]


def render(
    config: GlyphsConfig, split: str, faces: Sequence[str], characters: Sequence[int], count: int
) -> Iterator[npt.NDArray[np.uint8]]:
    """For each character in turn, its `count` pictures (count, 3, S, S); picture i shows the character in face i modulo the faces.

    The face of the first picture moves on by one from class to class, so that every class count uses all faces alike.
    """
    side = config.image_size
    shapes = np.stack([masks(face, characters, side) for face in faces])

    def one(k: int) -> npt.NDArray[np.uint8]:
        face = (np.arange(count) + k) % len(faces)
        return _pictures(config, split, characters[k], shapes[face, k])

    with ThreadPoolExecutor(min(8, cores())) as pool:
        ahead = 16  # classes drawn but not yet taken
        waiting = [pool.submit(one, k) for k in range(min(ahead, len(characters)))]
        for k in range(len(characters)):
            done = waiting.pop(0).result()
            if k + ahead < len(characters):
                waiting.append(pool.submit(one, k + ahead))
            yield done


def _pictures(config: GlyphsConfig, split: str, character: int, shapes: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """One class: masks (n, P, P) -> pictures (n, 3, S, S)."""
    side, n = config.image_size, len(shapes)
    key = (config.seed, split, character)
    rows = np.arange(n)
    cover = _place(shapes, side, streams.uniforms(rows, 4, "place", *key)) / np.float32(256)
    ground, ink = _fills(config.fill, side, streams.uniforms(rows, 2 * 3 * NODES * NODES, "fill", *key))
    pictures = ink
    pictures -= ground
    pictures *= cover[:, None]
    pictures += ground
    pictures += _noise(pictures.shape, streams.uniforms(rows, 1, "noise level", *key)[:, 0] * NOISE, "noise", *key)
    return np.clip(np.rint(pictures, out=pictures), 0, 255, out=pictures).astype(np.uint8)


def _place(shapes: npt.NDArray[np.uint8], side: int, u: npt.NDArray[np.float64]) -> Array:
    """Each mask scaled, turned and moved, sampled bilinearly: (n, side, side), 0 to 255. u: (n, 4) uniforms."""
    n, padded, _ = shapes.shape
    share = SIZE[0] + (SIZE[1] - SIZE[0]) * u[:, 0]
    angle = np.deg2rad(ROTATION) * (2 * u[:, 1] - 1)
    shift = (1 - share)[:, None] / 2 * side * (2 * u[:, 2:] - 1)
    step = np.rint(np.stack([np.cos(angle), np.sin(angle)], 1) / share[:, None] * 65536) / 65536
    cos, sin = step.astype(np.float32)[:, :, None, None].swapaxes(0, 1)
    centred = (np.arange(side, dtype=np.float32) - np.float32((side - 1) / 2))[None]
    dx, dy = (
        (centred - shift[:, :1].astype(np.float32))[:, None, :],
        (centred - shift[:, 1:].astype(np.float32))[:, :, None],
    )
    middle, last = np.float32((padded - 1) / 2), np.float32(padded - 1 - 1e-3)
    x, y = np.clip(cos * dx + sin * dy + middle, 0, last), np.clip(cos * dy - sin * dx + middle, 0, last)
    left, top = x.astype(np.int32), y.astype(np.int32)
    x -= left
    y -= top
    flat = shapes.reshape(-1)
    corner = top * padded + left + (np.arange(n, dtype=np.int32) * padded * padded)[:, None, None]
    upper = flat[corner] * (1 - x) + flat[corner + 1] * x
    corner += padded
    lower = flat[corner] * (1 - x) + flat[corner + 1] * x
    placed: Array = upper * (1 - y) + lower * y
    return placed


def _fills(fill: Fill, side: int, u: npt.NDArray[np.float64]) -> tuple[Array, Array]:
    """Background and foreground, each (n, 3, side, side), 0 to 255. u: (n, 2 * 3 * NODES**2) uniforms.

    At each node the foreground lies between CONTRAST and 256 - CONTRAST levels above the background, counted around the
    circle of 256 values. Both have the same distribution, and which of them is lighter changes from place to place and from
    channel to channel: no threshold in one channel finds the character.
    """
    u = u.reshape(len(u), 2, 3, NODES, NODES)
    if fill is Fill.flat:
        u = u[..., :1, :1]
    ground = np.floor(u[:, 0] * 256)
    ink = np.floor(ground + CONTRAST + u[:, 1] * (257 - 2 * CONTRAST)) % 256
    nodes = np.stack([ground, ink]).astype(np.float32)
    if fill is Fill.flat:
        grounds = np.broadcast_to(nodes, (*nodes.shape[:3], side, side)).copy()
        return grounds[0], grounds[1]
    enlarge = _enlargement(side)
    enlarged = (enlarge @ (nodes @ enlarge.T)) / np.float32(64 * 64)
    return enlarged[0], enlarged[1]


def _enlargement(side: int) -> Array:
    """Weights (side, NODES), in 64ths, of a smooth interpolation between nodes. Whole numbers: products with them are exact."""
    at = np.linspace(0, NODES - 1, side)
    node = np.minimum(at.astype(int), NODES - 2)
    t = at - node
    upper = np.rint(64 * t * t * (3 - 2 * t))
    out = np.zeros((side, NODES), np.float32)
    out[np.arange(side), node] = 64 - upper
    out[np.arange(side), node + 1] = upper
    return out


def _noise(shape: tuple[int, ...], deviation: npt.NDArray[np.float64], *key: int | str) -> Array:
    """Independent triangular noise with these standard deviations a picture, four values from each 64-bit number."""
    pixels = int(np.prod(shape[1:]))
    bits = streams.numbers(np.arange(shape[0] * -(-pixels // 4), dtype=np.uint64), *key).astype("<u8", copy=False)
    low = np.uint64(0x00FF00FF00FF00FF)
    sums = ((bits & low) + (bits >> np.uint64(8) & low)).view("<u2").reshape(shape[0], -1)[:, :pixels]
    scale = (deviation / np.sqrt((256**2 - 1) / 6)).astype(np.float32)[:, None]
    noise: Array = (sums.astype(np.float32) - 255) * scale
    return noise.reshape(shape)
