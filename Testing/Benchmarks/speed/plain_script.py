"""What somebody without this software would write to get the same answer: the peers' parts, one after the other.

Run as a script: FOLDER (with pet/ and ct/) MODEL OUT; prints one JSON document and writes two NRRD files.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

LABS = (23.0, 28.0, 18.0, 130.0)
SHAPE = (75, 50, 50)


def main(folder: Path, model: Path, out: Path) -> None:
    """DICOM by dcm2niix and SimpleITK, the grid by MONAI, saliency by Captum, NRRD by SimpleITK."""
    import nibabel
    import SimpleITK
    import torch
    from captum.attr import Saliency
    from monai.data import MetaTensor
    from monai.transforms import ResampleToMatch, Resize

    from PRRTPredictorCore.models.bundle import load_bundle
    from speed.stages.dicom import _dcm2niix, _simpleitk
    from speed.stages.saliency import stock_members

    suv = nibabel.as_closest_canonical(_dcm2niix(folder / "pet"))
    values = np.ascontiguousarray(suv.get_fdata(dtype=np.float32)[None])
    pet = MetaTensor(torch.from_numpy(values), affine=torch.from_numpy(suv.affine))
    image = _simpleitk(folder / "ct")
    hu = np.clip(SimpleITK.GetArrayViewFromImage(image), -1000, 2000).transpose(2, 1, 0)[None]
    ct = MetaTensor(torch.from_numpy(hu.astype(np.float32)), affine=torch.from_numpy(_to_ras(image)))
    on_pet = ResampleToMatch(mode="bilinear", padding_mode="border", dtype=torch.float32)(ct, pet)
    resize = Resize(SHAPE[::-1], mode="area", dtype=torch.float32)
    # From x, y, z towards right, front and head to k, j, i towards head, back and left.
    small = [resize(one)[0].as_tensor().permute(2, 1, 0).flip((1, 2))[None, None].contiguous() for one in (pet, on_pet)]
    labs = torch.tensor([LABS])
    probabilities, gradients = [], []
    for member in stock_members(load_bundle(model, device="cpu").networks):

        def probability(pet: Any, ct: Any, labs: Any, member: Any = member) -> Any:
            return torch.sigmoid(member(pet, ct, labs))

        with torch.no_grad():
            probabilities.append(float(probability(*small, labs)))
        given = tuple(one.clone().requires_grad_() for one in small)
        gradients.append(Saliency(probability).attribute(given, additional_forward_args=(labs,)))
    enlarge = Resize(tuple(suv.shape[::-1]), mode="trilinear", align_corners=False)
    first = SimpleITK.ReadImage(str(sorted((folder / "pet").iterdir())[0]))
    for name, each in zip(("pet", "ct"), zip(*gradients, strict=True), strict=True):
        mean = torch.stack(each).mean(dim=0)[0]
        values = enlarge((mean - mean.min()) / (mean.max() - mean.min()))[0].numpy()
        saliency = SimpleITK.GetImageFromArray(np.asarray(values, dtype=np.float32))
        saliency.SetSpacing([float(size) for size in suv.header.get_zooms()])
        saliency.SetOrigin(first.GetOrigin())
        SimpleITK.WriteImage(saliency, str(out / f"{name}.nrrd"), useCompression=True)
    print(json.dumps({"probability_long_pfs": float(np.mean(probabilities))}))


def _to_ras(image: Any) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
    affine[:3, 3] = image.GetOrigin()
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
