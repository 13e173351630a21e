"""A person from mid-thigh to the head: size, tissue, tracer uptake, and the solids that make the body.

The reference body is 1.75 m tall: x = 0 is the midline, y = 0 the middle of the trunk, z = 0 mid-thigh, all in mm.
Organ sizes, CT numbers and SUVs follow textbook values for venous-phase and native CT and for Ga-68 DOTATOC PET.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from .shapes import BodyFrame, Canvas, Capsule, Ellipsoid, Point, Solid, Tissue, Trunk, VoxelGrid, tube

LABEL_NAMES: tuple[str, ...] = (
    "air",
    "body",
    "lungs",
    "liver",
    "spleen",
    "kidneys",
    "bladder",
    "bowel",
    "spine",
    "couch",
    "bones",
    "heart",
    "stomach",
)
"""Names of the organ labels; a label is its position here."""

BODY, LUNGS, LIVER, SPLEEN, KIDNEYS, BLADDER, BOWEL, SPINE, COUCH, BONES, HEART, STOMACH = range(1, len(LABEL_NAMES))

REFERENCE_HEIGHT_MM = 1750.0
TOP_MM = 930.0
"""Height of the reference body that a skull-base-to-mid-thigh examination covers."""

Sex = Literal["male", "female"]

# The trunk, neck and head within the subcutaneous fat.
_INNER = Trunk(
    z=(92, 150, 200, 270, 340, 400, 470, 540, 620, 690, 730, 752, 775, 800, 835, 865, 900, 950, 1000),
    half_width=(120, 152, 158, 150, 134, 133, 138, 142, 147, 152, 166, 150, 90, 56, 55, 60, 66, 71, 70),
    half_depth=(78, 92, 96, 94, 88, 90, 96, 102, 105, 98, 84, 74, 64, 56, 58, 76, 86, 92, 90),
    y_centre=(4, 4, 4, 2, 0, 0, 0, 0, 0, 2, 6, 8, 8, 8, 2, -6, -6, -4, -4),
)
_CAVITY = _INNER.shrunk(side_mm=20, front_mm=11, back_mm=42, z_range=(196, 562)).narrowed(
    (196, 250, 490, 535, 562), (0.5, 1.0, 1.0, 0.72, 0.3)
)


@dataclass(frozen=True)
class Uptake:
    """Physiological tracer uptake, SUVbw (Ga-68 DOTATOC, about an hour after injection)."""

    liver: float = 6.0
    spleen: float = 14.0
    kidneys: float = 11.0
    bladder: float = 9.0  # voided before the scan
    adrenals: float = 8.0
    pituitary: float = 6.0
    bowel: float = 2.6
    stomach: float = 3.0
    pancreas: float = 4.0
    thyroid: float = 2.5
    salivary: float = 2.2
    blood: float = 1.3
    muscle: float = 0.8
    fat: float = 0.35
    marrow: float = 1.2
    lung: float = 0.5


@dataclass(frozen=True)
class Density:
    """CT numbers in HU."""

    liver: float = 58.0
    spleen: float = 50.0
    kidneys: float = 34.0
    blood: float = 42.0
    bowel: float = 32.0
    muscle: float = 52.0
    subcutaneous_fat: float = -105.0
    mesentery: float = -100.0
    lung: float = -830.0
    marrow: float = 190.0
    cortex: float = 650.0


@dataclass(frozen=True)
class Body:
    """Everything that decides what a scanner would see of one person, lesions apart.

    Attributes
    ----------
    sex : {"male", "female"}
    height_m, weight_kg : float
    frame : BodyFrame
        Position and size in patient space.
    fat_mm : float
        Thickness of the subcutaneous fat at the abdomen.
    liver_scale, spleen_scale, kidney_scale, bladder_scale : float
        Linear size against the reference.
    kidney_drop_mm : float
        How far the kidneys lie below their usual place.
    colon_gas : tuple of bool
        Which pieces of the colon hold gas.
    bowel_loops, loop_uptake : tuple
        Courses of the small bowel, reference mm, and the uptake of each against the mean.
    """

    sex: Sex
    height_m: float
    weight_kg: float
    frame: BodyFrame
    fat_mm: float
    uptake: Uptake = field(default_factory=Uptake)
    density: Density = field(default_factory=Density)
    liver_scale: float = 1.0
    spleen_scale: float = 1.0
    kidney_scale: float = 1.0
    bladder_scale: float = 1.0
    kidney_drop_mm: float = 0.0
    arms_up: bool = True
    colon_gas: tuple[bool, ...] = (False,) * 12
    bowel_loops: tuple[tuple[Point, ...], ...] = ()
    loop_uptake: tuple[float, ...] = ()

    @property
    def reach_mm(self) -> float:
        """Length of the body that an examination covers, in mm."""
        return TOP_MM * self.frame.scale[2]


def draw_body(
    rng: np.random.Generator,
    *,
    sex: Sex,
    contrast: bool,
    morphology: float = 0.0,
    sink: float = 1.0,
    size_spread: float = 1.0,
) -> Body:
    """Draw a person.

    Parameters
    ----------
    rng : Generator
    sex : {"male", "female"}
    contrast : bool
        Venous-phase contrast medium.
    morphology : float
        Standard-normal latent of the CT: the higher, the more oedematous the mesentery and the subcutaneous fat and
        the thinner and fattier the muscle. Leaves PET as it is.
    sink : float
        Factor on physiological uptake (tumour sink effect).
    size_spread : float
        Scales the spread of all sizes; above 1 for more varied phantoms.
    """
    spread = size_spread
    height = rng.normal(1.765 if sex == "male" else 1.645, 0.06 * spread)
    height = float(np.clip(height, 1.48, 1.98))
    bmi = float(np.clip(24.8 * np.exp(rng.normal(0.0, 0.14 * spread)), 17.0, 36.0))
    girth = float(np.sqrt(bmi / 24.8))
    tall = height * 1000.0 / REFERENCE_HEIGHT_MM
    frame = BodyFrame(
        scale=(float(tall**0.4 * girth**0.55), float(tall**0.4 * girth**0.75), tall),
        offset_lps_mm=(float(rng.normal(0, 6)), float(rng.normal(0, 6)), -1000.0 + float(rng.normal(0, 20))),
    )
    fat = float(np.clip((9.0 if sex == "male" else 13.0) * girth**3 * np.exp(rng.normal(0, 0.2)), 4.0, 34.0))
    organ = np.exp(rng.normal(0.0, 0.05 * spread, size=3))
    return Body(
        sex=sex,
        height_m=round(height, 2),
        weight_kg=round(bmi * height**2, 1),
        frame=frame,
        fat_mm=fat,
        uptake=_draw_uptake(rng, sink),
        density=_draw_density(rng, contrast, morphology),
        liver_scale=float(organ[0]),
        spleen_scale=float(organ[1] ** 1.5),
        kidney_scale=float(organ[2]),
        bladder_scale=float(np.clip(np.exp(rng.normal(0.0, 0.18)), 0.65, 1.45)),
        kidney_drop_mm=float(rng.normal(0, 8)),
        arms_up=bool(rng.random() < 0.9),
        colon_gas=tuple(bool(gas) for gas in rng.random(12) < 0.3),
        bowel_loops=_draw_loops(rng),
        loop_uptake=tuple(float(v) for v in np.exp(rng.normal(0.0, 0.35, size=7))),
    )


def _draw_uptake(rng: np.random.Generator, sink: float) -> Uptake:
    def vary(value: float, spread: float = 0.15) -> float:
        return float(value * np.exp(rng.normal(0.0, spread)))

    normal = Uptake()
    return Uptake(
        liver=vary(normal.liver) * sink,
        spleen=vary(normal.spleen, 0.2) * sink,
        kidneys=vary(normal.kidneys) * sink,
        bladder=vary(normal.bladder, 0.25),
        adrenals=vary(normal.adrenals) * sink,
        pituitary=vary(normal.pituitary),
        bowel=vary(normal.bowel, 0.2),
        stomach=vary(normal.stomach),
        pancreas=vary(normal.pancreas) * sink,
        thyroid=vary(normal.thyroid, 0.3),
        salivary=vary(normal.salivary, 0.2),
        blood=vary(normal.blood, 0.1),
    )


def _draw_density(rng: np.random.Generator, contrast: bool, morphology: float) -> Density:
    native = Density()
    infiltration = 0.5 * (1.0 + np.tanh(0.72 * morphology))  # 0: clean fat; 1: the mesentery is all oedema and fluid
    gain = float(np.clip(rng.normal(1.0, 0.12), 0.6, 1.4)) if contrast else 0.0
    return Density(
        liver=native.liver + float(rng.normal(0, 5)) + 50.0 * gain,
        spleen=native.spleen + float(rng.normal(0, 3)) + 68.0 * gain,
        kidneys=native.kidneys + 140.0 * gain,
        blood=native.blood + 105.0 * gain,
        bowel=native.bowel + 14.0 * gain,
        muscle=native.muscle + 10.0 * gain - 11.0 * morphology + float(rng.normal(0, 3)),
        subcutaneous_fat=-106.0 + 34.0 * infiltration + float(rng.normal(0, 2)),
        mesentery=-108.0 + 100.0 * infiltration + float(rng.normal(0, 4)),
    )


def _draw_loops(rng: np.random.Generator) -> tuple[tuple[Point, ...], ...]:
    """Seven wandering loops between the liver and the pelvis, each a smooth zigzag."""
    loops = []
    for row in range(7):
        height = 255.0 + 24.0 * row + rng.normal(0, 5)
        width = 78.0 if row < 6 else 50.0
        x = np.linspace(-width, width, 9) * (1 if row % 2 else -1)
        y = -34.0 + 20.0 * np.sin(np.linspace(0, 2.5 * np.pi, 9) + rng.uniform(0, 2 * np.pi))
        z = height + 11.0 * np.sin(np.linspace(0, 3 * np.pi, 9) + rng.uniform(0, 2 * np.pi))
        loops.append(tuple((float(a), float(b), float(c)) for a, b, c in zip(x, y, z, strict=True)))
    return tuple(loops)


# --- solids that lesions need to know -----------------------------------------------------------------------------


def liver_lobes(body: Body) -> tuple[Ellipsoid, Ellipsoid]:
    """The right and the left lobe, reference mm."""
    s = body.liver_scale
    right = Ellipsoid((-68.0, -6.0, 500.0), (62.0 * s, 74.0 * s, 80.0 * s), roll_deg=-12.0)
    return right, Ellipsoid((8.0, -42.0, 525.0), (66.0 * s, 34.0 * s, 36.0 * s), roll_deg=14.0)


def lungs_of(body: Body) -> tuple[Ellipsoid, Ellipsoid]:
    """The right and the left lung before the diaphragm and the heart cut into them, reference mm."""
    del body
    return Ellipsoid((-73.0, 4.0, 645.0), (55.0, 82.0, 128.0)), Ellipsoid((73.0, 4.0, 645.0), (54.0, 80.0, 128.0))


def spine_y(z: float) -> float:
    """Centre of the vertebral bodies at height ``z``: lordosis below, kyphosis above, reference mm."""
    return float(
        np.interp(z, (290, 350, 410, 480, 560, 640, 720, 780, 850, 900), (58, 36, 33, 38, 46, 52, 44, 26, 18, 16))
    )


def vertebrae() -> tuple[tuple[Point, float], ...]:
    """Centre and radius of the vertebral bodies L5 to C2, reference mm."""
    levels = [(338.0 + 34.0 * n, 21.0) for n in range(5)]
    levels += [(504.0 + 24.5 * n, 18.0 - 0.35 * n) for n in range(12)]
    levels += [(792.0 + 15.5 * n, 11.5) for n in range(6)]
    return tuple(((0.0, spine_y(z), z), radius) for z, radius in levels)


def cavity() -> Trunk:
    """The abdominal and pelvic cavity, reference mm."""
    return _CAVITY


# --- painting -----------------------------------------------------------------------------------------------------

Layer = tuple[Solid, Tissue]


def render_body(body: Body, grid: VoxelGrid) -> Canvas:
    """Paint a person without lesions.

    Parameters
    ----------
    body : Body
    grid : VoxelGrid
        Any axial grid; slabs of a grid painted one by one equal the whole.

    Returns
    -------
    Canvas
        CT numbers (HU, without couch and noise), SUV (before the scanner blurs it) and labels.
    """
    from .organs import abdomen, chest, head_and_neck
    from .skeleton import bones

    canvas = Canvas(grid, body.frame)
    for layers in (_soft_tissue(body), chest(body), bones(body, _INNER), abdomen(body), head_and_neck(body)):
        for solid, tissue in layers:
            canvas.paint(solid, tissue)
    return canvas


def _soft_tissue(body: Body) -> Iterator[Layer]:
    fat = Tissue(body.density.subcutaneous_fat, body.uptake.fat, BODY)
    muscle = Tissue(body.density.muscle, body.uptake.muscle, BODY)
    # Fat thins out towards shoulders, neck and head.
    thick = np.interp(_INNER.z, (92, 250, 400, 620, 740, 800, 1000), (1.2, 1.2, 1.0, 0.8, 0.6, 0.4, 0.25)) * body.fat_mm
    outer = Trunk(
        _INNER.z,
        tuple(float(a + t) for a, t in zip(_INNER.half_width, thick, strict=True)),
        tuple(float(b + t) for b, t in zip(_INNER.half_depth, thick, strict=True)),
        _INNER.y_centre,
    )
    limbs = [Capsule((side * 84.0, 4.0, -80.0), (side * 80.0, 4.0, 128.0), 64.0, 74.0) for side in (-1, 1)]
    limbs += [arm for side in (-1, 1) for arm in _arm(body, side)]
    for limb in limbs:
        extra = min(body.fat_mm, 10.0 if limb.end[2] < 500 else 5.0)
        yield Capsule(limb.start, limb.end, limb.start_radius + extra, limb.end_radius + extra), fat
    yield outer, fat
    if body.sex == "female":
        for side in (-1, 1):
            yield Ellipsoid((side * 72.0, -98.0, 640.0), (48.0, 22.0 + body.fat_mm, 44.0)), fat
    for limb in limbs:
        yield limb, muscle
    yield _INNER, muscle
    yield Ellipsoid((0.0, 92.0, 165.0), (90.0, 22.0, 55.0)), muscle  # gluteal muscles
    yield _CAVITY, Tissue(body.density.mesentery, body.uptake.fat, BODY)


def _arm(body: Body, side: int) -> tuple[Capsule, ...]:
    if body.arms_up:
        return tube(
            [(side * 138.0, 10.0, 735.0), (side * 172.0, -6.0, 860.0), (side * 150.0, -30.0, 1030.0)], [46, 40, 34]
        )
    return tube([(side * 160.0, 10.0, 725.0), (side * 192.0, 20.0, 520.0), (side * 186.0, -5.0, 280.0)], [42, 36, 30])
