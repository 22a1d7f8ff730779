"""A TFLite model that could do more than compute, or end the process, is refused before TFLite sees it."""

import re

import numpy as np
import pytest

from lookalike.model.encoder.tflite import check_tflite
from lookalike.model.errors import LookalikeError
from tests.fuzz import tflite_models

tf = pytest.importorskip("tensorflow")


@pytest.fixture(scope="module")
def model(encoder) -> bytes:
    return (encoder / "int8.tflite").read_bytes()


def converted(compute, *shape: int, custom: bool = False) -> bytes:
    function = tf.function(compute, input_signature=[tf.TensorSpec(shape, tf.float32)])
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [function.get_concrete_function()], tf.Module()
    )
    converter.allow_custom_ops = custom
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS, tf.lite.OpsSet.SELECT_TF_OPS]
    return bytes(converter.convert())


def refused(content: bytes) -> str:
    with pytest.raises(LookalikeError) as error:
        check_tflite(content, "x.tflite")
    return str(error.value)


@pytest.mark.parametrize(
    ("operation", "compute"),
    [
        ("Betainc", lambda x: tf.raw_ops.Betainc(a=x + 1, b=x + 1, x=x)),
        ("FlexMatrixDeterminant", lambda x: x + tf.linalg.det(tf.reshape(x, [2, 2]))),
        (
            "WHILE",
            lambda x: tf.while_loop(lambda i, x: i < x[0, 0], lambda i, x: (i + 1, x + 1), (0.0, x))[1],
        ),
        ("IF", lambda x: tf.cond(tf.reduce_sum(x) > 0, lambda: x + 1, lambda: x)),
        ("RANDOM_UNIFORM", lambda x: x + tf.random.uniform([1, 4])),
    ],
)
def test_an_operation_that_is_not_known_is_named(operation, compute):
    content = converted(compute, 1, 4, custom=operation == "Betainc")
    assert re.search(rf"is refused.*\b{operation}\b", refused(content))


def test_a_network_with_variables_is_refused():
    module = tf.Module()
    module.state = tf.Variable(tf.zeros([1, 4]))
    module.f = tf.function(lambda x: module.state.assign_add(x), input_signature=[tf.TensorSpec([1, 4])])
    converter = tf.lite.TFLiteConverter.from_concrete_functions([module.f.get_concrete_function()], module)
    converter.experimental_enable_resource_variables = True
    assert "VAR_HANDLE" in refused(bytes(converter.convert()))


def test_what_is_no_model_is_refused(model):
    for content in (b"", b"TFL3", model[:7], model[: len(model) // 2], model[4:], bytes(len(model))):
        assert "Expected a network for TFLite" in refused(content)


def changed(content: bytes, change) -> bytes:
    import flatbuffers
    from tensorflow.lite.python.schema_py_generated import Model, ModelT

    model = ModelT.InitFromObj(Model.GetRootAs(content))
    change(model, model.subgraphs[0])
    builder = flatbuffers.Builder(len(content))
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def set_(thing, name, value):
    return lambda model, graph: setattr(thing(model, graph), name, value)


def item(thing, name, place, value):
    def change(model, graph):
        values = list(getattr(thing(model, graph), name))
        values[place] = value
        setattr(thing(model, graph), name, values)

    return change


def pixels(model, graph):
    return graph.tensors[graph.inputs[0]]


def convolution(model, graph):
    return next(one for one in graph.operators if hasattr(one.builtinOptions, "dilationWFactor"))


WRONG = {
    "a stride of 0": set_(lambda m, g: convolution(m, g).builtinOptions, "strideW", 0),
    "a negative dilation": set_(lambda m, g: convolution(m, g).builtinOptions, "dilationHFactor", -1),
    "options of another operation": set_(convolution, "builtinOptionsType", 2),
    "no weights": set_(convolution, "inputs", [0, -1, -1]),
    "an input that is not there": set_(convolution, "inputs", [10_000, 1, 2]),
    "too few inputs": set_(convolution, "inputs", [0]),
    "an operation that is not there": set_(convolution, "opcodeIndex", 99),
    "a loop": lambda m, g: item(convolution, "inputs", 0, g.outputs[0])(m, g),
    "an output made twice": lambda m, g: g.operators.append(g.operators[-1]),
    "no output": set_(lambda m, g: g, "outputs", []),
    "two inputs": lambda m, g: setattr(g, "inputs", [*g.inputs, *g.inputs]),
    "a shape that is not that of the data": item(
        lambda m, g: g.tensors[convolution(m, g).inputs[1]], "shape", 0, 9
    ),
    "a negative shape": item(pixels, "shape", 1, -32),
    "a shape of all memory": set_(pixels, "shape", [1, 1 << 20, 1 << 20, 3]),
    "a type without a size": set_(pixels, "type", 5),
    "a buffer that is not there": set_(pixels, "buffer", 999),
    "a variable": set_(pixels, "isVariable", True),
    "a scale of 0": item(lambda m, g: pixels(m, g).quantization, "scale", 0, 0.0),
    "no zero point": set_(lambda m, g: pixels(m, g).quantization, "zeroPoint", None),
    "a zero point out of range": item(lambda m, g: pixels(m, g).quantization, "zeroPoint", 0, 999),
    "custom options": set_(convolution, "customOptions", np.zeros(4, np.uint8)),
    "a second graph": lambda m, g: m.subgraphs.append(g),
    "data outside of the model": set_(lambda m, g: m.buffers[1], "offset", 12),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_model_that_is_whole_but_not_sound_is_refused(model, what):
    assert check_tflite(changed(model, lambda model, graph: None), "x") is None
    assert "Received one with" in refused(changed(model, WRONG[what]))


@pytest.mark.slow
def test_no_changed_model_that_passes_ends_the_process(capsys):
    """The short form of `python -m tests.fuzz.tflite_models`."""
    assert tflite_models.main(["--count", "25"]) == 0
    assert "refused" in capsys.readouterr().out
