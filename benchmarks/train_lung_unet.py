"""A small U-Net for lung fields, trained on phantom radiographs and judged on others: an example, never clinical.

python benchmarks/train_lung_unet.py                        under a minute on two cores
python benchmarks/train_lung_unet.py --onnx lungs.onnx      the model as `fastprep.segment` and pipelines take it
python benchmarks/train_lung_unet.py --torch lungs.pt       the same as TorchScript

It shows how a model becomes the mask step of a pipeline: what is done to the image before it, how its answer comes back
to the image's own pixels, and what it is worth beside doing nothing. What it learns is what the phantoms hold; of
patients it knows nothing.
"""

from __future__ import annotations

import argparse
import json
import math
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

import fastprep as fp
from fastprep import Image, Pipeline
from fastprep.pipeline import CropOrPad, Resample, ZScore
from fastprep.qc import dice, surface_distance
from fastprep.segment import Segmenter, as_segmenter
from fastprep.testing import XrayPhantom, xray_phantom

Array = npt.NDArray[Any]
Masker = Callable[[Image], Image]

SHAPE, SPACING = (256, 256), (1.4, 1.4)
SIDE, PIXEL = 96, 3.75
#: Seeds of the patients to learn from, and of those held out.
TRAINING, HELD_OUT = range(96), range(10_000, 10_032)
EPOCHS = 20
TITLE = "An example on phantoms, never clinical."


def pipeline(side: int = SIDE, pixel: float = PIXEL) -> Pipeline:
    """What is done to a radiograph before the model."""
    steps = [Resample(spacing=(pixel, pixel), antialias=True), ZScore(mask=None), CropOrPad((side, side))]
    return Pipeline(tuple(steps), name="lung U-Net example")


class UNet(torch.nn.Module):
    """Ronneberger, Fischer and Brox, MICCAI 2015, of few channels, with padding and batch norm: image to logits."""

    def __init__(self, width: int = 8, levels: int = 4) -> None:
        super().__init__()
        widths = [width * 2**level for level in range(levels)]
        self.down = torch.nn.ModuleList(_block(a, b) for a, b in zip([1, *widths], widths, strict=False))
        self.up = torch.nn.ModuleList(torch.nn.ConvTranspose2d(2 * w, w, 2, 2) for w in reversed(widths[:-1]))
        self.join = torch.nn.ModuleList(_block(2 * w, w) for w in reversed(widths[:-1]))
        self.last = torch.nn.Conv2d(width, 1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, 1, Y, X), sides divisible by 2^(levels - 1), to logits of that shape."""
        passed = []
        for level, block in enumerate(self.down):
            x = block(x if level == 0 else torch.nn.functional.max_pool2d(x, 2))
            passed.append(x)
        for up, join, skip in zip(self.up, self.join, reversed(passed[:-1]), strict=True):
            x = join(torch.cat([up(x), skip], dim=1))
        return self.last(x)


def _block(inputs: int, outputs: int) -> torch.nn.Sequential:
    layers: list[torch.nn.Module] = []
    for channels in (inputs, outputs):
        layers += [torch.nn.Conv2d(channels, outputs, 3, padding=1, bias=False), torch.nn.BatchNorm2d(outputs)]
        layers.append(torch.nn.ReLU())
    return torch.nn.Sequential(*layers)


def phantoms(seeds: Sequence[int], shape: Sequence[int], spacing: Sequence[float]) -> list[XrayPhantom]:
    """The patients of these seeds."""
    return [xray_phantom(shape, spacing, seed=seed) for seed in seeds]


def arrays(patients: Sequence[XrayPhantom], prepare: Pipeline) -> tuple[torch.Tensor, torch.Tensor]:
    """Prepared images and lung fields on the same pixels, (B, 1, Y, X)."""
    images = [prepare(one.image) for one in patients]
    fields = [fp.resample_to(one.lungs, image.grid) for one, image in zip(patients, images, strict=True)]
    x = np.stack([image.array for image in images])[:, None].astype(np.float32)
    y = np.stack([field.array != 0 for field in fields])[:, None].astype(np.float32)
    return torch.from_numpy(x), torch.from_numpy(y)


def train(
    x: torch.Tensor,
    y: torch.Tensor,
    *,
    epochs: int = EPOCHS,
    batch: int = 4,
    width: int = 8,
    levels: int = 4,
    rate: float = 1e-2,
    seed: int = 0,
    log: Callable[[str], None] = print,
) -> tuple[UNet, list[float]]:
    """The model, and its loss after each epoch: cross-entropy plus 1 less the soft Dice."""
    torch.manual_seed(seed)
    model = UNet(width, levels)
    optimiser = torch.optim.AdamW(model.parameters(), lr=rate)
    steps = epochs * math.ceil(len(x) / batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=steps)
    losses = []
    for epoch in range(epochs):
        total = 0.0
        for some in torch.randperm(len(x)).split(batch):
            logits, truth = model(x[some]), y[some]
            likely = torch.sigmoid(logits)
            overlap = (2 * (likely * truth).sum() + 1) / (likely.sum() + truth.sum() + 1)
            loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, truth) + 1 - overlap
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            total += float(loss.detach()) * len(some)
        losses.append(total / len(x))
        log(f"epoch {epoch + 1:2d} of {epochs}: loss {losses[-1]:.4f}")
    return model, losses


def baselines(y: torch.Tensor, prepare: Pipeline) -> dict[str, Masker]:
    """What needs no training: nothing, where lungs are on average, and a threshold."""
    mean = y[:, 0].mean(dim=0).numpy()
    return {
        "empty mask": lambda image: _labels(image, np.zeros(image.array.shape, bool)),
        "mean training mask": as_segmenter(lambda _: mean, name="mean", prepare=prepare),
        "below Otsu's threshold": lambda image: _labels(image, image.array < fp.otsu(image.array)),
    }


def _labels(image: Image, mask: Array) -> Image:
    return Image(mask, image.grid, kind="label", modality=image.modality)


def judge(masker: Masker, patients: Sequence[XrayPhantom]) -> dict[str, list[float]]:
    """Dice, and surface distances in mm, of every patient, on the pixels of its radiograph."""
    found: dict[str, list[float]] = {"dice": [], "mean": [], "hausdorff95": []}
    for one in patients:
        mask, truth = masker(one.image), _labels(one.image, one.lungs.array != 0)
        distance = surface_distance(mask, truth)
        found["dice"].append(dice(mask, truth))
        found["mean"].append(distance.mean)
        found["hausdorff95"].append(distance.hausdorff95)
    return found


def table(results: dict[str, dict[str, list[float]]]) -> str:
    """Means over the patients, and the worst of them, as Markdown."""
    lines = [
        "| mask | Dice | worst | surface distance, mm | worst | 95 % Hausdorff, mm | worst |",
        "|---|" + "--:|" * 6,
    ]
    for name, found in results.items():
        cells = [f"{np.mean(found['dice']):.3f}", f"{min(found['dice']):.3f}"]
        for key in ("mean", "hausdorff95"):
            values = found[key]
            known = all(map(math.isfinite, values))
            cells += [f"{np.mean(values):.2f}", f"{max(values):.2f}"] if known else ["none found", ""]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def write_onnx(model: UNet, path: Path, side: int = SIDE) -> None:
    """The model in one file, for images of any size whose sides the levels divide."""
    free = {"image": {0: "batch", 2: "y", 3: "x"}, "logits": {0: "batch", 2: "y", 3: "x"}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            model.eval(),
            (torch.zeros(1, 1, side, side),),
            str(path),
            input_names=["image"],
            output_names=["logits"],
            dynamic_axes=free,
            dynamo=False,
        )


def write_torch(model: UNet, path: Path, side: int = SIDE) -> None:
    """The model as TorchScript, which is read without running Python."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.trace(model.eval(), torch.zeros(1, 1, side, side)).save(str(path))


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--seed", type=int, default=0, help="of the weights and of the order of the images")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--onnx", type=Path, metavar="FILE", help="write the model as ONNX")
    parser.add_argument("--torch", type=Path, metavar="FILE", help="write the model as TorchScript")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures of every patient")
    given = parser.parse_args(arguments)
    torch.set_num_threads(given.threads)
    fp.set_num_threads(given.threads)

    began = time.perf_counter()
    prepare = pipeline()
    x, y = arrays(phantoms(TRAINING, SHAPE, SPACING), prepare)
    model, losses = train(x, y, epochs=given.epochs, seed=given.seed)
    seconds = time.perf_counter() - began
    held_out = phantoms(HELD_OUT, SHAPE, SPACING)
    weights = sum(p.numel() for p in model.parameters())
    net: Segmenter = as_segmenter(model, name="lung-unet-example", prepare=prepare, activation="sigmoid")
    maskers: dict[str, Masker] = {f"U-Net, {weights / 1e3:.0f} thousand weights": net, **baselines(y, prepare)}
    results = {name: judge(masker, held_out) for name, masker in maskers.items()}

    print(f"\n{TITLE} Lung fields on {len(held_out)} held-out patients of `fastprep.testing.xray_phantom`,")
    print(f"{SHAPE[0]} x {SHAPE[1]} of {SPACING[0]} mm; trained on {len(x)} others for {seconds:.0f} s.\n")
    print(table(results))
    print(f"\n{json.dumps(net.identity)}")
    if given.json is not None:
        form = {"title": TITLE, "identity": net.identity, "seconds": seconds, "losses": losses, "results": results}
        given.json.write_text(json.dumps(form, indent=1).replace("Infinity", "null"), encoding="utf-8")
    for path, write in ((given.onnx, write_onnx), (given.torch, write_torch)):
        if path is not None:
            write(model, path)
            saved = as_segmenter(path, prepare=prepare, activation="sigmoid")
            same = min(dice(saved(one.image), net(one.image)) for one in held_out)
            print(f"{path}: Dice of its masks with the model's at least {same:.6f}; {json.dumps(saved.identity)}")


if __name__ == "__main__":
    main()
