"""The bones: spine, pelvis and thighs, rib cage and shoulders, skull. Reference millimetres."""

from __future__ import annotations

from collections.abc import Iterator

from .anatomy import BODY, BONES, SPINE, Body, Layer, spine_y, vertebrae
from .shapes import Capsule, Ellipsoid, RibCage, Shell, Tissue, Trunk, tube


def bones(body: Body, wall: Trunk) -> Iterator[Layer]:
    """All bones in the order in which they are painted; ``wall`` is the trunk within the subcutaneous fat."""
    marrow = Tissue(body.density.marrow, body.uptake.marrow, BONES)
    cortex = Tissue(body.density.cortex, 0.6, BONES)
    yield from _thorax(wall, cortex, marrow)
    yield from _pelvis(cortex, marrow)
    yield from _skull(cortex, marrow)
    yield from _spine(body)
    for side in (-1, 1):
        arm = (
            [(side * 128.0, 12.0, 745.0), (side * 172.0, -6.0, 860.0), (side * 150.0, -30.0, 1030.0)]
            if body.arms_up
            else [(side * 140.0, 12.0, 740.0), (side * 192.0, 20.0, 520.0), (side * 186.0, -5.0, 280.0)]
        )
        for piece in tube(arm, [17, 12, 11]):
            yield piece, cortex
            yield Capsule(piece.start, piece.end, piece.start_radius - 5, piece.end_radius - 5), marrow


def _spine(body: Body) -> Iterator[Layer]:
    disc = Tissue(85.0, 0.7, SPINE)
    bone = Tissue(body.density.marrow + 25.0, body.uptake.marrow, SPINE)
    arch = Tissue(420.0, 0.9, SPINE)
    heights = [322.0, 400.0, 500.0, 600.0, 700.0, 780.0, 890.0]
    for piece in tube([(0.0, spine_y(z), z) for z in heights], [19, 19, 16, 15, 13, 10, 9]):
        yield piece, disc
    levels = vertebrae()
    for (_, y, z), radius in levels:
        yield Ellipsoid((0.0, y, z), (radius * 1.15, radius * 0.92, radius * 0.9)), bone
        yield Ellipsoid((0.0, y + radius * 1.95, z - 4), (radius * 1.1, radius * 0.45, radius * 0.5)), arch
        yield Ellipsoid((0.0, y + radius * 2.5, z - 9), (3.5, radius * 0.8, radius * 0.45)), arch
        for side in (-1, 1):
            yield Ellipsoid((side * radius * 1.3, y + radius * 1.5, z), (radius * 0.9, 5.0, 5.5)), arch
    canal = Tissue(25.0, 0.6, SPINE)
    for piece in tube([(0.0, spine_y(z) + (30.0 if z < 500 else 24.0), z) for z in heights], 7.5):
        yield piece, canal


def _pelvis(cortex: Tissue, marrow: Tissue) -> Iterator[Layer]:
    for side in (-1, 1):
        wing = Ellipsoid((side * 86.0, 22.0, 285.0), (9.0, 54.0, 64.0), roll_deg=side * 24.0)
        yield wing, cortex
        yield Ellipsoid(wing.centre, (5.0, 50.0, 60.0), roll_deg=side * 24.0), marrow
        yield Ellipsoid((side * 52.0, 58.0, 285.0), (26.0, 14.0, 36.0)), marrow
        yield Ellipsoid((side * 80.0, 12.0, 192.0), (32.0, 34.0, 34.0)), cortex
        for piece in tube([(side * 70.0, 25.0, 180.0), (side * 55.0, 42.0, 122.0)], [17, 15]):
            yield piece, marrow
        for piece in tube([(side * 68.0, -12.0, 186.0), (side * 12.0, -52.0, 156.0)], [11, 12]):
            yield piece, marrow
        yield Ellipsoid((side * 86.0, 8.0, 188.0), (24.0, 24.0, 24.0)), marrow
        femur = [
            (side * 88.0, 6.0, 186.0),
            (side * 122.0, 8.0, 158.0),
            (side * 104.0, 4.0, 90.0),
            (side * 88.0, 0.0, -80.0),
        ]
        for piece, inner in zip(tube(femur, [17, 20, 15, 14]), tube(femur, [11, 13, 8, 7]), strict=True):
            yield piece, cortex
            yield inner, marrow
    sacrum = tube([(0.0, 58.0, 318.0), (0.0, 74.0, 262.0), (0.0, 72.0, 212.0), (0.0, 58.0, 186.0)], [30, 24, 14, 6])
    for piece in sacrum:
        yield piece, Tissue(marrow.hu, marrow.suv, SPINE)


def _thorax(wall: Trunk, cortex: Tissue, marrow: Tissue) -> Iterator[Layer]:
    yield RibCage(wall.shrunk(10.0, 9.0, 12.0, (470.0, 748.0))), Tissue(330.0, 1.0, BONES)
    yield Ellipsoid((0.0, -88.0, 672.0), (17.0, 6.0, 66.0), pitch_deg=-6.0), marrow
    for side in (-1, 1):
        for piece in tube([(side * 16.0, -66.0, 742.0), (side * 80.0, -46.0, 760.0), (side * 132.0, 4.0, 764.0)], 6.5):
            yield piece, cortex
        yield Ellipsoid((side * 96.0, 74.0, 688.0), (40.0, 4.5, 58.0), roll_deg=-side * 12.0), cortex
        yield Ellipsoid((side * 128.0, 18.0, 742.0), (17.0, 17.0, 18.0)), marrow


def _skull(cortex: Tissue, marrow: Tissue) -> Iterator[Layer]:
    vault = Ellipsoid((0.0, 4.0, 962.0), (70.0, 92.0, 82.0))
    yield Ellipsoid(vault.centre, (62.0, 84.0, 75.0)), Tissue(36.0, 0.15, BODY)
    yield Shell(vault, 7.0), cortex
    for side in (-1, 1):
        jaw = [
            (side * 48.0, -6.0, 888.0),
            (side * 46.0, -12.0, 852.0),
            (side * 22.0, -66.0, 838.0),
            (0.0, -76.0, 838.0),
        ]
        for piece in tube(jaw, [6, 8, 9, 10]):
            yield piece, cortex
        yield Ellipsoid((side * 30.0, -58.0, 882.0), (17.0, 16.0, 12.0)), marrow
