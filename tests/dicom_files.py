"""Synthetic DICOM series for tests: real files written by pydicom, every tag of interest under the test's hand."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pydicom = pytest.importorskip("pydicom")
imagecodecs = pytest.importorskip("imagecodecs")

Dataset, FileDataset, Items = pydicom.Dataset, pydicom.FileDataset, pydicom.Sequence
encapsulate, generate_uid = pydicom.encaps.encapsulate, pydicom.uid.generate_uid

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
SAGITTAL = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)
SYNTAX = {
    "implicit": "1.2.840.10008.1.2",
    "explicit": "1.2.840.10008.1.2.1",
    "big": "1.2.840.10008.1.2.2",
    "deflated": "1.2.840.10008.1.2.1.99",
    "rle": "1.2.840.10008.1.2.5",
    "jpeg": "1.2.840.10008.1.2.4.50",
    "jpeg_lossless": "1.2.840.10008.1.2.4.70",
    "jpegls": "1.2.840.10008.1.2.4.80",
    "j2k": "1.2.840.10008.1.2.4.90",
}


def ramp_volume(shape: tuple[int, int, int] = (5, 8, 6), top: int = 4000, dtype: str = "uint16") -> Any:
    """Voxels that all differ where ``top`` allows it."""
    size = int(np.prod(shape))
    return (np.arange(size) * 7919 % (top + 1)).reshape(shape).astype(dtype)


def slice_dataset(pixels: Any, *, bits_stored: int = 16, syntax: str = "explicit", **tags: Any) -> FileDataset:
    """One image without geometry; ``tags`` are keywords of DICOM, None removes."""
    meta = pydicom.dataset.FileMetaDataset()
    meta.TransferSyntaxUID = pydicom.uid.UID(SYNTAX[syntax])
    meta.MediaStorageSOPClassUID = pydicom.uid.CTImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    ds = FileDataset(
        "",
        {},
        file_meta=meta,
        preamble=b"\0" * 128,
        is_little_endian=syntax != "big",
        is_implicit_VR=syntax == "implicit",
    )
    ds.SOPClassUID, ds.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    ds.PatientName, ds.PatientID, ds.PatientBirthDate = "Doe^Jane", "ID-4711", "19600101"
    ds.Modality = "CT"
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.SamplesPerPixel = 1
    ds.Rows, ds.Columns = pixels.shape[-2:]
    ds.BitsAllocated = 8 * pixels.dtype.itemsize
    ds.BitsStored = min(bits_stored, ds.BitsAllocated)
    ds.HighBit = ds.BitsStored - 1
    ds.PixelRepresentation = int(pixels.dtype.kind == "i")
    for name, value in tags.items():
        if value is None:
            if name in ds:
                delattr(ds, name)
        else:
            setattr(ds, name, value)
    put_pixels(ds, pixels, syntax)
    return ds


def put_pixels(ds: Dataset, pixels: Any, syntax: str) -> None:
    """Encode ``pixels`` (rows, columns) or (frames, rows, columns) into the data set."""
    if syntax in ("implicit", "explicit", "deflated", "big"):
        ds.PixelData = pixels.astype(pixels.dtype.newbyteorder(">" if syntax == "big" else "<")).tobytes()
        ds["PixelData"].VR = "OW"
        return
    frames = pixels if pixels.ndim == 3 else pixels[None]
    ds.PixelData = encapsulate([compressed(frame, syntax, ds.BitsStored) for frame in frames])
    ds["PixelData"].VR = "OB"
    ds["PixelData"].is_undefined_length = True


def compressed(frame: Any, syntax: str, bits: int) -> bytes:
    """One frame's stream; signed values as the two's complement of ``bits`` bits, as scanners write them."""
    frame = np.ascontiguousarray(frame)
    words = frame.view(f"u{frame.itemsize}")
    words = words & words.dtype.type((1 << bits) - 1)
    if syntax == "rle":
        encoder = pydicom.pixels.get_encoder(pydicom.uid.RLELossless)
        return bytes(
            encoder.encode(
                words,
                rows=frame.shape[0],
                columns=frame.shape[1],
                samples_per_pixel=1,
                number_of_frames=1,
                bits_allocated=8 * frame.itemsize,
                bits_stored=8 * frame.itemsize,
                pixel_representation=0,
                photometric_interpretation="MONOCHROME2",
                encoding_plugin="pydicom",
            )
        )
    if syntax == "jpeg_lossless":
        return bytes(imagecodecs.jpeg8_encode(words, lossless=True, predictor=1, bitspersample=bits))
    if syntax == "jpeg":
        return bytes(imagecodecs.jpeg8_encode(words, level=95))
    if syntax == "jpegls":
        return bytes(imagecodecs.jpegls_encode(words))
    return bytes(imagecodecs.jpeg2k_encode(words, level=0, codecformat="j2k", reversible=True, bitspersample=bits))


def write_series(
    folder: Path,
    volume: Any,
    *,
    positions: Sequence[float] | None = None,
    step: Sequence[float] | None = None,
    origin: Sequence[float] = (-10.0, 20.0, -30.0),
    orientation: Sequence[float] = AXIAL,
    spacing: Sequence[float] = (0.5, 0.75),
    gap: float = 2.0,
    series_uid: str | None = None,
    seed: int = 0,
    edit: Callable[[int, FileDataset], None] | None = None,
    **tags: Any,
) -> list[Path]:
    """One file per slice under shuffled names and InstanceNumbers; returns the paths in slice order.

    Slice k lies at ``origin + positions[k] * step``: the unit normal and multiples of ``gap`` unless given.
    ``edit(k, dataset)`` may change anything before slice k is written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    normal = np.cross(orientation[:3], orientation[3:])
    along = normal if step is None else np.asarray(step, dtype=float)
    places = gap * np.arange(len(volume)) if positions is None else np.asarray(positions, dtype=float)
    uid, study = series_uid or generate_uid(), generate_uid()
    names = list(range(len(volume)))
    random.Random(seed).shuffle(names)
    paths = []
    for k, pixels in enumerate(volume):
        given = {
            "SeriesInstanceUID": uid,
            "StudyInstanceUID": study,
            "SeriesNumber": 3,
            "InstanceNumber": names[(k * 3 + 1) % len(names)] + 1,
            "ImagePositionPatient": [float(f"{v:.10g}") for v in np.asarray(origin) + places[k] * along],
            "ImageOrientationPatient": list(orientation),
            "PixelSpacing": list(spacing),
            "SliceThickness": gap,
            **tags,
        }
        ds = slice_dataset(pixels, **given)
        if edit is not None:
            edit(k, ds)
        path = folder / f"IM{names[k]:04d}"
        save(ds, path)
        paths.append(path)
    return paths


def save(ds: FileDataset, path: Path) -> None:
    """Write with the encoding that the data set's transfer syntax says."""
    ds.save_as(path, enforce_file_format=True)


def enhanced_dataset(
    volume: Any, *, order: Sequence[int], slopes: Sequence[float] | None = None, gap: float = 1.5, **tags: Any
) -> FileDataset:
    """An Enhanced CT: all slices in one file, frame i being slice ``order[i]``, geometry in functional groups."""
    ds = slice_dataset(volume[list(order)], NumberOfFrames=len(volume), **tags)
    ds.SeriesInstanceUID, ds.StudyInstanceUID = generate_uid(), generate_uid()
    shared, measures, plane = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = [0.5, 0.75], gap
    plane.ImageOrientationPatient = list(AXIAL)
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = Items([measures]), Items([plane])
    ds.SharedFunctionalGroupsSequence = Items([shared])
    groups = []
    for k in order:
        group, position, value = Dataset(), Dataset(), Dataset()
        position.ImagePositionPatient = [0.0, 0.0, gap * k]
        value.RescaleSlope, value.RescaleIntercept = (1.0 if slopes is None else slopes[k]), -1024.0
        group.PlanePositionSequence, group.PixelValueTransformationSequence = Items([position]), Items([value])
        groups.append(group)
    ds.PerFrameFunctionalGroupsSequence = Items(groups)
    return ds
