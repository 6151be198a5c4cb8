"""Segmenters: any model, a function, a PyTorch module or an ONNX file, as what maps an Image to a mask of it.

Where thresholds don't work, as for the lungs on a radiograph, a model makes the mask; this is how it gets its image,
how its answer becomes a mask on that image's grid, and how the record beside an output names it.
"""

from fastprep.segment.load import load_segmenter
from fastprep.segment.protocol import Segmenter, segment
from fastprep.segment.wrap import ModelSegmenter, as_segmenter

__all__ = ["ModelSegmenter", "Segmenter", "as_segmenter", "load_segmenter", "segment"]
