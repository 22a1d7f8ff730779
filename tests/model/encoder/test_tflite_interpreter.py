"""TFLite without TensorFlow around it gives the same bits, and both can be in one process, whichever comes first."""

import subprocess
import sys

import numpy as np
import pytest

from lookalike.model import imports
from lookalike.model.encoder.tflite_interpreter import Interpreter

BOTH = """
import numpy as np
from lookalike.model import imports
from lookalike.model.encoder.tflite_interpreter import Interpreter
content = open({model!r}, "rb").read()
pixels = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3)).astype(np.uint8)

def ours():
    return Interpreter(content, 8)(pixels)

def theirs():
    theirs = imports.tensorflow().lite.Interpreter(model_content=content, num_threads=1)
    source, target = theirs.get_input_details()[0]["index"], theirs.get_output_details()[0]["index"]
    theirs.resize_tensor_input(source, pixels.shape)
    theirs.allocate_tensors()
    theirs.set_tensor(source, pixels)
    theirs.invoke()
    return theirs.get_tensor(target)

assert np.array_equal({first}(), {second}())
"""


def model_of(encoder) -> bytes:
    return (encoder / "int8.tflite").read_bytes()


def test_it_gives_what_tensorflow_gives(encoder):
    exec(BOTH.format(model=str(encoder / "int8.tflite"), first="ours", second="theirs"), {})


@pytest.mark.slow
@pytest.mark.parametrize("first", ["ours", "theirs"])
def test_either_may_come_first(encoder, first):
    code = BOTH.format(
        model=str(encoder / "int8.tflite"), first=first, second="theirs" if first == "ours" else "ours"
    )
    code += (
        f"imports.keras(), imports.tensorflow().saved_model.load({str(encoder / 'saved_model')!r}), ours()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert not done.returncode, done.stderr


def test_xnnpack_computes_it(encoder):
    """Else it were the same network with other numbers, at a third of the speed."""
    pixels = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3)).astype(np.uint8)
    lite = imports.tensorflow().lite
    plain = lite.Interpreter(
        model_content=model_of(encoder),
        num_threads=1,
        experimental_op_resolver_type=lite.experimental.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    ours = Interpreter(model_of(encoder), 8)
    assert ours._native.NumNodes() > plain._interpreter.NumNodes()
    assert ours(pixels).shape == ours.output_shape == (8, 32)


def test_shapes_and_the_scale_of_the_input_are_told(encoder):
    interpreter = Interpreter(model_of(encoder), 3)
    assert (interpreter.input_shape, interpreter.output_shape) == ((3, 32, 32, 3), (3, 32))
    assert interpreter.input_type is np.uint8
    scale, zero = interpreter.input_scale
    assert 0 < scale < 1
    assert 0 <= zero <= 255


def test_results_are_not_changed_by_the_next_call(encoder):
    interpreter = Interpreter(model_of(encoder), 1)
    first = interpreter(np.zeros((1, 32, 32, 3), np.uint8))
    kept = first.copy()
    second = interpreter(np.full((1, 32, 32, 3), 255, np.uint8))
    assert np.array_equal(first, kept)
    assert not np.array_equal(first, second)
