"""Segmenters: what a model is given, what its answer becomes, where it comes back to, and what names it."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import fastprep as fp
from fastprep import Grid, Image, Pipeline
from fastprep.core.errors import (
    ArgumentError,
    ConfigError,
    DeviceError,
    MissingExtraError,
    ReadError,
    SegmenterError,
)
from fastprep.core.ramp import Ramp
from fastprep.pipeline import ClipHu, CropOrPad, Reorient, Resample, Window
from fastprep.qc import dice
from fastprep.segment import Segmenter, as_segmenter, load_segmenter, segment
from fastprep.testing import labels_on, patient_grid
from layouts import values

GRID = Grid.from_spacing((5, 6, 7), (2, 1, 1))
SCAN = Image(values((5, 6, 7), "float32"), GRID, modality="CT")


def positive(image):
    return image.array > 0


def likely(image):
    return (image.array > 0).astype(np.float32)


def make_positive():
    return positive


class Above:
    """A segmenter of somebody's own."""

    @property
    def identity(self):
        return {"name": "above", "kind": "rule", "sha256": "ab" * 32}

    def __call__(self, image):
        return (image.array > 0).astype(np.int16) * 2


ABOVE = Above()


# ---- functions ------------------------------------------------------------------------------------------------------


def test_a_function():
    found = as_segmenter(positive)
    assert isinstance(found, Segmenter)
    mask = found(SCAN)
    assert mask.kind == "label" and mask.grid is GRID and mask.modality == "CT" and mask.array.dtype == bool
    np.testing.assert_array_equal(mask.array, SCAN.array > 0)
    assert found.identity["name"] == f"{__name__}.positive" and found.identity["kind"] == "callable"
    assert json.loads(json.dumps(found.identity)) == found.identity


def test_what_functions_may_answer():
    truth = SCAN.array > 0
    for answer in (
        lambda i: i.array > 0,
        lambda i: i.with_array((i.array > 0).astype(np.uint8)),
        lambda i: (i.array > 0).astype(np.float64),
        lambda i: (i.array > 0).astype(np.float16)[None],
        lambda i: (i.array > 0)[None, None],
        lambda i: np.stack([i.array <= 0, i.array > 0])[None].astype(np.float32),
    ):
        np.testing.assert_array_equal(as_segmenter(answer)(SCAN).array != 0, truth)


def test_physical_units():
    """A model sees HU, whatever is stored."""
    stored = Image(np.arange(210, dtype=np.int16).reshape(5, 6, 7), GRID, rescale=Ramp(2, -100))
    mask = as_segmenter(lambda i: i.array > 50)(stored)
    np.testing.assert_array_equal(mask.array, stored.array > 75)
    assert mask.rescale.is_identity


def test_threshold_and_activation():
    logits = np.linspace(-800, 800, 210, dtype=np.float32).reshape(5, 6, 7)
    with np.errstate(over="raise"):
        mask = as_segmenter(lambda i: logits, activation="sigmoid", threshold=0.9)(SCAN)
    np.testing.assert_array_equal(mask.array, logits > np.log(9))
    three = values((3, 5, 6, 7), "float32")
    labels = as_segmenter(lambda i: three, activation="softmax")(SCAN).array
    assert labels.dtype == np.uint8
    np.testing.assert_array_equal(labels, three.argmax(0))
    e = np.exp(three.astype(np.float64) / 100)
    second = as_segmenter(lambda i: three / 100, activation="softmax", channel=1, threshold=0.2)(SCAN).array
    np.testing.assert_array_equal(second, e[1] / e.sum(0) > 0.2)
    third = as_segmenter(lambda i: three, activation="sigmoid", channel=2)(SCAN).array
    np.testing.assert_array_equal(third, three[2] > 0)


@pytest.mark.parametrize(
    ("answer", "how", "match"),
    [
        (lambda i: i.array[1:] > 0, {}, r"of shape \(4, 6, 7\), expected \(5, 6, 7\)"),
        (lambda i: np.zeros((2, 1, 5, 6, 7)), {}, r"of shape \(2, 1, 5, 6, 7\)"),
        (lambda i: np.zeros((0, 5, 6, 7)), {}, r"of shape \(0, 5, 6, 7\)"),
        (lambda i: np.zeros((2, 5, 6, 7), np.uint8), {}, "2 channels of dtype uint8"),
        (lambda i: None, {}, "its answer is a NoneType, expected an array"),
        (lambda i: i.array * np.nan, {}, "its answer holds 210 NaN of 210 values"),
        (lambda i: i.array, {}, "expected probabilities, or activation='sigmoid'"),
        (lambda i: np.zeros((3, 5, 6, 7)), {"activation": "sigmoid"}, "3 channels of a sigmoid may overlap"),
        (lambda i: np.zeros((5, 6, 7)), {"activation": "softmax"}, "a softmax of one channel is 1 everywhere"),
        (lambda i: np.zeros((3, 5, 6, 7)), {"channel": 3}, "channel=3 of an answer of 3"),
        (lambda i: 1 / 0, {}, r"failed on an image of shape \(5, 6, 7\): ZeroDivisionError: division by zero"),
    ],
)
def test_answers_that_are_no_mask(answer, how, match):
    with pytest.raises(SegmenterError, match=f"segmenter 'odd'.*{match}") as caught:
        as_segmenter(answer, name="odd", **how)(SCAN)
    assert isinstance(caught.value, RuntimeError)


@pytest.mark.parametrize(
    ("how", "match"),
    [
        ({"activation": "relu"}, "activation='relu'"),
        ({"threshold": 1.0}, "threshold=1.0"),
        ({"threshold": float("nan")}, "threshold=nan"),
        ({"channel": -1}, "channel=-1"),
        ({"channel": 1.5}, "channel=1.5"),
    ],
)
def test_options(how, match):
    with pytest.raises(ArgumentError, match=match):
        as_segmenter(positive, **how)


def test_no_model():
    with pytest.raises(ArgumentError, match="model is the class Above, not one of it"):
        as_segmenter(Above)
    with pytest.raises(ArgumentError, match="model is int: expected a function"):
        as_segmenter(3)
    with pytest.raises(ArgumentError, match="its options are its own"):
        as_segmenter(ABOVE, threshold=0.4)
    with pytest.raises(ArgumentError, match=r"expected a file \.onnx"):
        as_segmenter("lungs.h5")


def test_identity_of_functions():
    one, two = as_segmenter(positive).identity, as_segmenter(likely).identity
    assert one["sha256"] != two["sha256"] and one["hashed"] == "source"
    assert as_segmenter(positive, threshold=0.3).identity["sha256"] == one["sha256"]
    assert as_segmenter(positive, threshold=0.3).identity["parameters"]["threshold"] == 0.3
    level = 3

    def above(image):
        return image.array > level

    assert as_segmenter(above).identity["hashed"] == "source, not what it holds"
    made = eval("lambda image: image.array > 0")
    nothing = as_segmenter(made).identity
    assert nothing["sha256"] is None and nothing["hashed"].startswith("nothing: its source cannot be read")
    told = as_segmenter(made, version="1.2").identity
    assert told["sha256"] != as_segmenter(made, version="1.3").identity["sha256"] is not None
    assert told["hashed"] == "name and version 1.2"


# ---- segmenters of others -------------------------------------------------------------------------------------------


def test_segment():
    assert as_segmenter(ABOVE) is ABOVE
    mask = segment(ABOVE, SCAN)
    assert mask.kind == "label" and mask.modality == "CT"
    np.testing.assert_array_equal(mask.array, (SCAN.array > 0) * 2)
    for answer, match in (
        (SCAN.array, "of dtype float32, expected bool"),
        (SCAN.array[1:] > 0, r"of shape \(4, 6, 7\), expected a mask of shape \(5, 6, 7\)"),
        ("lung", "its answer is a str"),
        (Image(SCAN.array > 0, Grid.from_spacing((5, 6, 7), (3, 1, 1))), "its answer is on Grid"),
    ):
        wrong = type("Wrong", (), {"identity": {"name": "wrong"}, "__call__": lambda self, image, a=answer: a})()
        with pytest.raises(SegmenterError, match=f"segmenter 'wrong'.*{match}"):
            segment(wrong, SCAN)


# ---- prepared -------------------------------------------------------------------------------------------------------


def test_prepared_and_back():
    """The model sees the pipeline's output, of any orientation and spacing; the mask is on the scan's own voxels."""
    grid = patient_grid((24, 48, 48), (10, 7.4, 7.4))
    truth = np.isin(labels_on(grid).array, (8, 9))
    ct = Image(np.where(truth, -800, 40).astype(np.int16), grid, modality="CT")
    steps = [Reorient("LAS"), Resample(spacing=(5, 7.4, 5)), Window(level=-400, width=1000), CropOrPad((80, 50, 50))]
    prepare, seen = Pipeline(steps, modality="CT"), []

    def model(image):
        seen.append(image)
        return 1 - image.array

    found = as_segmenter(model, prepare=prepare)
    mask = found(ct)
    assert seen[0].array.shape == (80, 50, 50) and seen[0].grid.axcodes == ("L", "A", "S")
    assert mask.grid is ct.grid and mask.array.dtype == bool
    assert dice(mask.array, truth) > 0.97
    assert found.identity["prepare"] == {"name": "", "hash": prepare.hash}
    # Labels come back as labels.
    labels = as_segmenter(lambda i: (i.array > 0.5).astype(np.int16) * 7, prepare=prepare)(ct)
    assert set(np.unique(labels.array)) == {0, 7} and labels.array.dtype == np.int16
    # Voxel on voxel: a mask of what the model saw, there and back by flips alone, is the same.
    turned = Pipeline([Reorient("LAI")])
    plain, back = as_segmenter(positive), as_segmenter(positive, prepare=turned)
    np.testing.assert_array_equal(plain(ct).array, back(ct).array)


def test_what_was_cropped_away_is_not_inside():
    one = as_segmenter(lambda i: np.ones(i.array.shape, np.float32), prepare=Pipeline([CropOrPad((3, 4, 5))]))
    mask = one(SCAN).array
    assert mask.sum() == 60 and mask[1:4, 1:5, 1:6].all()
    two = as_segmenter(
        lambda i: np.stack([0.1 + 0 * i.array, 0.9 + 0 * i.array]), prepare=Pipeline([CropOrPad((3, 4, 5))])
    )
    np.testing.assert_array_equal(two(SCAN).array, mask)


def test_prepare_in_every_form(tmp_path):
    pipeline = Pipeline([ClipHu(-100, 100)], name="clip")
    file = tmp_path / "clip.yaml"
    file.write_text(pipeline.to_yaml())
    for form in (pipeline, pipeline.to_dict(), str(file), file):
        assert as_segmenter(positive, prepare=form).identity["prepare"] == {"name": "clip", "hash": pipeline.hash}
    assert as_segmenter(positive, prepare="ct-chest").identity["prepare"]["name"] == "ct-chest"
    with pytest.raises(ConfigError, match="preset|pipeline"):
        as_segmenter(positive, prepare="ct-chess")
    with pytest.raises(ArgumentError, match="modality MR for a pipeline made for CT"):
        as_segmenter(positive, prepare="ct-chest")(replace(SCAN, modality="MR"))


def test_slices():
    seen = []

    def model(image):
        seen.append(image)
        return image.array > image.array.mean()

    mask = as_segmenter(model, slices=True)(SCAN).array
    np.testing.assert_array_equal(mask, SCAN.array > SCAN.array.mean(axis=(1, 2), keepdims=True))
    assert len(seen) == 5 and seen[3].grid.shape == (6, 7)
    np.testing.assert_allclose(seen[3].grid.to_world((4, 5)), GRID.to_world((3, 4, 5)))
    flat = Image(SCAN.array[0], Grid.from_spacing((6, 7), (1, 1)))
    np.testing.assert_array_equal(as_segmenter(model, slices=True)(flat).array, mask[0])
    some = iter(range(1, 9))
    with pytest.raises(SegmenterError, match="differ in channels"):
        as_segmenter(lambda i: np.zeros((next(some), 6, 7)), slices=True)(SCAN)


@pytest.mark.gpu
def test_a_function_on_a_gpu(gpu):
    """Labels stay where they are, and come back there."""
    image = Image(gpu(SCAN.array), GRID)
    prepare = Pipeline([CropOrPad((3, 4, 5))], dtype=None)
    mask = as_segmenter(lambda i: fp.window(i.array, 0, 1, dtype="bool"), prepare=prepare)(image)
    assert type(mask.array) is type(image.array)
    expected = np.zeros((5, 6, 7), bool)
    expected[1:4, 1:5, 1:6] = (SCAN.array > -0.5)[1:4, 1:5, 1:6]
    np.testing.assert_array_equal(mask.array.get(), expected)


# ---- PyTorch --------------------------------------------------------------------------------------------------------


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


def net(torch, ndim=3, channels=1, out=1):
    """Three times the sum of the channels, less 30, by a convolution; and a dropout that must not be at work."""
    kind = getattr(torch.nn, f"Conv{ndim}d")
    conv = kind(channels, out, 1)
    with torch.no_grad():
        conv.weight.fill_(3.0)
        conv.bias.copy_(torch.tensor([-30.0 + 60 * k for k in range(out)]))
    return torch.nn.Sequential(conv, torch.nn.Dropout(0.9))


def test_a_module(torch):
    module = net(torch)
    found = as_segmenter(module, activation="sigmoid")
    assert not module.training
    module.train()
    mask = found(SCAN)
    assert isinstance(mask.array, np.ndarray)
    np.testing.assert_array_equal(mask.array, SCAN.array > 10)
    tensor = replace(SCAN, array=torch.from_numpy(SCAN.array))
    assert isinstance(found(tensor).array, torch.Tensor)
    np.testing.assert_array_equal(found(tensor).array.numpy(), SCAN.array > 10)
    for x in (SCAN.array.astype(">i2"), SCAN.array.astype(np.float64), SCAN.array[:, ::-1].copy()[:, ::-1]):
        np.testing.assert_array_equal(found(replace(SCAN, array=x)).array, x > 10)


def test_channels_and_slices_of_a_module(torch):
    two = Image(np.stack([SCAN.array, SCAN.array]), GRID)
    np.testing.assert_array_equal(as_segmenter(net(torch, channels=2), activation="sigmoid")(two).array, SCAN.array > 5)
    flat = as_segmenter(net(torch, ndim=2, channels=2), activation="sigmoid", slices=True)
    np.testing.assert_array_equal(flat(two).array, SCAN.array > 5)
    best = as_segmenter(net(torch, out=3), activation="softmax")(SCAN)
    assert (best.array == 2).all() and best.array.dtype == np.uint8
    with pytest.raises(SegmenterError, match=r"failed on an image of shape \(2, 5, 6, 7\): RuntimeError"):
        as_segmenter(net(torch))(two)


def test_types_of_a_module(torch):
    for dtype in (torch.float64, torch.bfloat16):
        found = as_segmenter(net(torch).to(dtype), activation="sigmoid")
        np.testing.assert_array_equal(found(replace(SCAN, array=SCAN.array.round(-1))).array, SCAN.array.round(-1) > 10)


def test_identity_of_a_module(torch):
    module = net(torch)
    found = as_segmenter(module)
    first = found.identity
    assert first["kind"] == "torch" and first["name"] == "torch.nn.modules.container.Sequential"
    assert as_segmenter(net(torch)).identity == first
    module[0].weight.data += 1e-6
    assert found.identity["sha256"] != first["sha256"], "weights changed, and the record does not tell"
    assert as_segmenter(net(torch).double()).identity["sha256"] != first["sha256"]
    wide, tall = torch.nn.Linear(2, 3, bias=False), torch.nn.Linear(3, 2, bias=False)
    tall.load_state_dict({"weight": wide.weight.detach().reshape(2, 3)})
    assert as_segmenter(wide).identity["sha256"] != as_segmenter(tall).identity["sha256"]
    other = torch.nn.Sequential(net(torch)[0])
    assert as_segmenter(other).identity["sha256"] == first["sha256"]  # Dropout has no weights: as documented


def test_elsewhere(torch):
    module = net(torch).to("meta")
    with pytest.raises(DeviceError, match="the image on cpu, model .* on meta"):
        as_segmenter(module)(SCAN)


def test_torchscript(torch, tmp_path):
    file = tmp_path / "net.pt"
    with pytest.warns(DeprecationWarning, match="torch.jit"):
        torch.jit.trace(net(torch).eval(), torch.zeros(1, 1, 5, 6, 7)).save(str(file))
    found = load_segmenter(str(file), activation="sigmoid")
    np.testing.assert_array_equal(found(SCAN).array, SCAN.array > 10)
    assert found.identity["kind"] == "torchscript" and found.identity["name"] == "net.pt"
    assert found.identity["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()


def test_pickles_are_refused(torch, tmp_path):
    """What would run code is not even opened."""
    ran = tmp_path / "ran"
    evil = type("Evil", (), {"__reduce__": lambda self: (Path.touch, (ran,))})()
    (tmp_path / "plain.pt").write_bytes(pickle.dumps(evil))
    torch.save(net(torch).state_dict(), tmp_path / "weights.pt")
    torch.save(evil, tmp_path / "evil.pth")
    for name in ("plain.pt", "weights.pt", "evil.pth"):
        with pytest.raises(ReadError, match=f"{name} is a pickle, or no model: to read it may run any code"):
            as_segmenter(tmp_path / name)
    assert not ran.exists()
    with pytest.raises(ReadError, match="cannot be read: No such file"):
        as_segmenter(tmp_path / "none.pt")


# ---- ONNX -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def onnx_file(tmp_path):
    """Writes ``3 x - 30`` as a model, of any number of space axes."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")

    def write(name="net.onnx", slope=3.0, kind="FLOAT", outside=False):
        dtype = getattr(onnx.TensorProto, kind)
        a, b = (onnx.helper.make_tensor(n, dtype, [1], [v]) for n, v in (("a", slope), ("b", -30.0)))
        nodes = [onnx.helper.make_node("Mul", ["x", "a"], ["y"]), onnx.helper.make_node("Add", ["y", "b"], ["out"])]
        ends = [onnx.helper.make_tensor_value_info(n, dtype, None) for n in ("x", "out")]
        graph = onnx.helper.make_graph(nodes, "net", ends[:1], ends[1:], [a, b])
        model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9)
        how = {"save_as_external_data": True, "size_threshold": 0, "location": "weights.bin"} if outside else {}
        if outside:
            for tensor in model.graph.initializer:
                tensor.raw_data = onnx.numpy_helper.to_array(tensor).tobytes()
                tensor.ClearField("float_data")
        onnx.save(model, str(tmp_path / name), **how)
        return tmp_path / name

    return write


@pytest.mark.parametrize("kind", ["FLOAT", "DOUBLE"])
def test_onnx(onnx_file, kind):
    file = onnx_file(kind=kind)
    found = as_segmenter(file, activation="sigmoid")
    np.testing.assert_array_equal(found(SCAN).array, SCAN.array > 10)
    assert found.identity["kind"] == "onnx" and found.identity["name"] == "net.onnx"
    assert found.identity["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert str(file.parent) not in json.dumps(found.identity)
    # What was read is what runs, whatever the file becomes.
    file.write_bytes(b"")
    np.testing.assert_array_equal(found(SCAN).array, SCAN.array > 10)
    flat = Image(SCAN.array[0], Grid.from_spacing((6, 7), (1, 1)))
    np.testing.assert_array_equal(found(flat).array, SCAN.array[0] > 10)


def test_onnx_of_torch(torch, tmp_path):
    """A module and what PyTorch exports of it say the same."""
    for name in ("onnx", "onnxruntime"):
        pytest.importorskip(name)
    file = tmp_path / "net.onnx"
    with pytest.warns(DeprecationWarning, match="TorchScript|removed"):
        torch.onnx.export(net(torch).eval(), (torch.zeros(1, 1, 5, 6, 7),), str(file), dynamo=False)
    one, two = (as_segmenter(m, activation="sigmoid", threshold=0.3)(SCAN) for m in (net(torch), file))
    np.testing.assert_array_equal(one.array, two.array)
    # A model of one size says so.
    small = Image(SCAN.array[:4], Grid.from_spacing((4, 6, 7), (2, 1, 1)))
    with pytest.raises(SegmenterError, match=r"segmenter 'net.onnx' failed on an image of shape \(4, 6, 7\)"):
        as_segmenter(file)(small)


def test_files_that_are_no_onnx(onnx_file, tmp_path, monkeypatch):
    (tmp_path / "odd.onnx").write_bytes(b"not a model")
    with pytest.raises(ReadError, match="odd.onnx: cannot be read as an ONNX model in one file"):
        as_segmenter(tmp_path / "odd.onnx")
    outside = onnx_file("outside.onnx", outside=True)
    assert (tmp_path / "weights.bin").exists()
    monkeypatch.chdir(tmp_path)  # where it would be found
    with pytest.raises(ReadError, match="outside.onnx: cannot be read as an ONNX model in one file"):
        as_segmenter(outside)


@pytest.mark.gpu
def test_onnx_and_a_gpu(onnx_file, gpu):
    with pytest.raises(DeviceError, match="the image is on a GPU, model 'net.onnx' on the CPU"):
        as_segmenter(onnx_file())(Image(gpu(SCAN.array), GRID))


def test_without_onnxruntime(tmp_path, monkeypatch):
    (tmp_path / "net.onnx").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingExtraError, match=r"pip install fastprep\[onnx\]"):
        as_segmenter(tmp_path / "net.onnx")


# ---- from text ------------------------------------------------------------------------------------------------------


def test_load_by_name():
    for text in (f"{__name__}:positive", f"{__name__}:make_positive()"):
        np.testing.assert_array_equal(load_segmenter(text)(SCAN).array, SCAN.array > 0)
    assert load_segmenter(f"{__name__}:ABOVE") is ABOVE
    assert load_segmenter(f"{__name__}:Above()", sha256="ab" * 32).identity["name"] == "above"
    for text, match in (
        ("no_such_package:model", "No module named 'no_such_package'"),
        (f"{__name__}:negative", "has no attribute 'negative'"),
        (":model", "Empty module name"),
        (f"{__name__}:", "expected a file"),
    ):
        with pytest.raises(ConfigError, match=match):
            load_segmenter(text)
    with pytest.raises(ArgumentError, match="model is the class Above"):
        load_segmenter(f"{__name__}:Above")


def test_another_model_is_refused(onnx_file):
    one, two = onnx_file("one.onnx"), onnx_file("two.onnx", slope=2.0)
    digest = as_segmenter(one).identity["sha256"]
    for wanted in (digest, digest.upper(), digest[:12]):
        load_segmenter(str(one), sha256=wanted)
        with pytest.raises(ArgumentError, match="it is another model"):
            load_segmenter(str(two), sha256=wanted)
    for wanted in ("", digest[:11], digest + "0", "z" * 64):
        with pytest.raises(ArgumentError, match="expected 64 hexadecimal digits"):
            load_segmenter(str(one), sha256=wanted)


def test_config(onnx_file):
    how = {
        "activation": "sigmoid",
        "threshold": 0.4,
        "prepare": Pipeline([ClipHu(-100, 100)], name="clip"),
        "name": "lungs",
    }
    first = load_segmenter(str(onnx_file()), **how)
    config = first.to_config()
    assert json.loads(json.dumps(config)) == config and config["sha256"] == first.identity["sha256"]
    second = load_segmenter(**config)
    assert second.identity == first.identity and second.to_config() == config
    np.testing.assert_array_equal(second(SCAN).array, first(SCAN).array)
    with pytest.raises(ArgumentError, match="of a model in memory"):
        as_segmenter(positive).to_config()


# ---- boundaries -----------------------------------------------------------------------------------------------------


def test_import_loads_no_framework(tmp_path):
    code = "import sys, fastprep.segment; print(sorted({'torch', 'onnxruntime', 'onnx'} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=os.environ, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
