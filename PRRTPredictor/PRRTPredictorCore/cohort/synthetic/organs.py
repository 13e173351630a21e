"""The organs of chest, abdomen, neck and head. Reference millimetres."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from .anatomy import (
    BLADDER,
    BODY,
    BOWEL,
    HEART,
    KIDNEYS,
    LIVER,
    LUNGS,
    SPLEEN,
    STOMACH,
    Body,
    Layer,
    liver_lobes,
    lungs_of,
)
from .shapes import Ellipsoid, Point, Shell, Tissue, tube

_COLON: tuple[Point, ...] = (
    (-98.0, -8.0, 305.0),
    (-102.0, -2.0, 360.0),
    (-98.0, -6.0, 420.0),
    (-70.0, -50.0, 410.0),
    (-25.0, -66.0, 388.0),
    (25.0, -68.0, 388.0),
    (70.0, -54.0, 420.0),
    (100.0, 4.0, 455.0),
    (106.0, 10.0, 400.0),
    (104.0, 6.0, 330.0),
    (78.0, -8.0, 275.0),
    (25.0, 6.0, 242.0),
    (4.0, 34.0, 205.0),
)


def chest(body: Body) -> Iterator[Layer]:
    """Mediastinum, lungs, heart, great vessels, airways."""
    blood = Tissue(body.density.blood, body.uptake.blood, HEART)
    vessel = replace(blood, label=BODY)
    yield Ellipsoid((0.0, 0.0, 665.0), (34.0, 52.0, 85.0)), Tissue(-60.0, 0.6, BODY)
    for lung in lungs_of(body):
        yield lung, Tissue(body.density.lung, body.uptake.lung, LUNGS)
    # What the lungs must leave: the spine with its muscles, and both domes of the diaphragm.
    yield Ellipsoid((70.0, 10.0, 488.0), (66.0, 78.0, 84.0)), Tissue(body.density.mesentery, body.uptake.fat, BODY)
    yield Ellipsoid((-66.0, 6.0, 492.0), (70.0, 84.0, 92.0)), Tissue(body.density.muscle, body.uptake.muscle, BODY)
    yield Ellipsoid((18.0, -30.0, 612.0), (56.0, 44.0, 54.0)), Tissue(body.density.muscle, 1.6, HEART)
    yield Ellipsoid((22.0, -30.0, 612.0), (42.0, 32.0, 42.0)), blood
    arch: list[Point] = [(-8.0, -30.0, 650.0), (-4.0, -22.0, 700.0), (12.0, 10.0, 712.0), (20.0, 26.0, 690.0)]
    course: list[Point] = [*arch, (16.0, 24.0, 560.0), (10.0, 10.0, 470.0), (6.0, 4.0, 350.0)]
    for piece in tube(course, [15, 14, 13, 12, 11, 10, 8]):
        yield piece, vessel
    for side in (-1, 1):  # hilar vessels reach into the lungs
        for piece in tube(
            [(side * 10.0, -5.0, 660.0), (side * 45.0, 4.0, 655.0), (side * 78.0, 12.0, 625.0)], [12, 8, 4]
        ):
            yield piece, vessel
    for piece in tube([(0.0, -2.0, 800.0), (0.0, 8.0, 690.0)], 8.5):
        yield piece, Tissue(-960.0, 0.2, BODY)
    for side in (-1, 1):
        for piece in tube([(0.0, 8.0, 690.0), (side * 36.0, 14.0, 664.0)], [7.5, 5]):
            yield piece, Tissue(-960.0, 0.2, BODY)


def abdomen(body: Body) -> Iterator[Layer]:
    """The organs of abdomen and pelvis, painted into the fat of the cavity."""
    yield from _bowel(body)
    yield from _retroperitoneum(body)
    yield from _upper(body)
    s = body.bladder_scale
    yield Ellipsoid((0.0, 12.0, 146.0), (22.0, 18.0, 17.0)), Tissue(body.density.muscle, 2.2, BODY)
    if body.sex == "female":
        yield Ellipsoid((0.0, 8.0, 222.0), (28.0, 22.0, 24.0)), Tissue(body.density.muscle + 10.0, 1.8, BODY)
    yield Ellipsoid((0.0, -24.0, 186.0), (44.0 * s, 34.0 * s, 30.0 * s)), Tissue(6.0, body.uptake.bladder, BLADDER)


def _upper(body: Body) -> Iterator[Layer]:
    blood = Tissue(body.density.blood, body.uptake.blood, BODY)
    for piece in tube([(-16.0, 8.0, 340.0), (-18.0, 10.0, 470.0), (-20.0, 0.0, 575.0)], 11.0):
        yield piece, blood
    stomach = Ellipsoid((56.0, -28.0, 516.0), (40.0, 36.0, 54.0), roll_deg=22.0)
    yield stomach, Tissue(24.0, 0.9, STOMACH)
    yield Shell(stomach, 7.0), Tissue(body.density.muscle, body.uptake.stomach, STOMACH)
    yield Ellipsoid((58.0, -46.0, 540.0), (22.0, 12.0, 24.0)), Tissue(-950.0, 0.3, STOMACH)
    for piece in tube(
        [(-34.0, -8.0, 428.0), (-18.0, -14.0, 450.0), (20.0, -14.0, 468.0), (66.0, 18.0, 488.0)], [14, 11, 10, 8]
    ):
        yield piece, Tissue(body.density.muscle, body.uptake.pancreas, BODY)
    liver = Tissue(body.density.liver, body.uptake.liver, LIVER)
    for lobe in liver_lobes(body):
        yield lobe, liver
    for piece in tube([(-14.0, -18.0, 488.0), (-40.0, -14.0, 500.0), (-72.0, -4.0, 520.0)], [8, 7, 4]):
        yield piece, Tissue((body.density.liver + body.density.blood) / 2 + 8.0, body.uptake.liver * 0.6, LIVER)
    yield Ellipsoid((-48.0, -58.0, 446.0), (14.0, 17.0, 25.0)), Tissue(8.0, 1.5, BODY)  # gallbladder
    t = body.spleen_scale
    yield (
        Ellipsoid((94.0, 42.0, 510.0), (24.0 * t, 40.0 * t, 48.0 * t), roll_deg=-14.0),
        Tissue(body.density.spleen, body.uptake.spleen, SPLEEN),
    )


def _retroperitoneum(body: Body) -> Iterator[Layer]:
    s = body.kidney_scale
    for side, level in ((-1, 424.0), (1, 438.0)):
        z = level - body.kidney_drop_mm
        kidney = Ellipsoid((side * 60.0, 42.0, z), (28.5 * s, 27.5 * s, 55.0 * s), roll_deg=side * 12.0)
        yield kidney, Tissue(body.density.kidneys, body.uptake.kidneys, KIDNEYS)
        yield (
            Ellipsoid((side * 46.0, 38.0, z), (13.0 * s, 10.0 * s, 24.0 * s)),
            Tissue(-20.0, body.uptake.kidneys * 0.6, KIDNEYS),
        )
        yield Ellipsoid((side * 38.0, 34.0, 494.0), (6.0, 12.0, 15.0)), Tissue(30.0, body.uptake.adrenals, BODY)
        for piece in tube([(side * 34.0, 14.0, 440.0), (side * 40.0, 30.0, 300.0)], [14, 22]):  # psoas
            yield piece, Tissue(body.density.muscle, body.uptake.muscle, BODY)
        for piece in tube([(side * 6.0, 8.0, 350.0), (side * 34.0, 22.0, 280.0), (side * 62.0, -18.0, 205.0)], 7.0):
            yield piece, Tissue(body.density.blood, body.uptake.blood, BODY)


def _bowel(body: Body) -> Iterator[Layer]:
    for loop, factor in zip(body.bowel_loops, body.loop_uptake, strict=True):
        for piece in tube(loop, 12.5):
            yield piece, Tissue(body.density.bowel, body.uptake.bowel * factor, BOWEL)
    for n, piece in enumerate(tube(_COLON, [24, 23, 21, 19, 18, 18, 18, 18, 17, 16, 15, 15, 18])):
        yield piece, Tissue(body.density.bowel, 1.7, BOWEL)
        if body.colon_gas[n]:
            gas = tube([piece.start, piece.end], piece.start_radius * 0.62)[0]
            yield gas, Tissue(-850.0, 0.5, BOWEL)


def head_and_neck(body: Body) -> Iterator[Layer]:
    """Thyroid, salivary glands, airway, sinuses and the pituitary gland."""
    for side in (-1, 1):
        yield Ellipsoid((side * 17.0, -16.0, 778.0), (9.0, 9.0, 20.0)), Tissue(95.0, body.uptake.thyroid, BODY)
        yield Ellipsoid((side * 54.0, 8.0, 872.0), (11.0, 17.0, 22.0)), Tissue(20.0, body.uptake.salivary, BODY)
        yield Ellipsoid((side * 26.0, -34.0, 832.0), (10.0, 14.0, 11.0)), Tissue(40.0, body.uptake.salivary, BODY)
        yield Ellipsoid((side * 30.0, -56.0, 898.0), (12.0, 13.0, 13.0)), Tissue(-900.0, 0.2, BODY)
    yield Ellipsoid((0.0, -50.0, 898.0), (13.0, 24.0, 18.0)), Tissue(-850.0, 0.5, BODY)
    for piece in tube([(0.0, -12.0, 868.0), (0.0, -4.0, 800.0)], [11, 8]):
        yield piece, Tissue(-960.0, 0.3, BODY)
    yield Ellipsoid((0.0, -2.0, 913.0), (6.0, 6.0, 5.0)), Tissue(45.0, body.uptake.pituitary, BODY)
