"""The tables are those of the TensorFlow that is installed."""

from lookalike.model.encoder.tflite_schema import OPERATIONS, OPERATOR, OPTIONS, TENSOR


def test_the_tables_are_those_of_tensorflow():
    """As many slots as the generated module has, and its names of operations."""
    from tensorflow.lite.python import schema_py_generated as generated

    for name, schema in (
        *OPTIONS.items(),
        ("Tensor", TENSOR),
        ("Operator", OPERATOR),
    ):
        counted = []
        builder = type("Builder", (), {"StartObject": staticmethod(counted.append)})
        getattr(generated, f"{name}Start")(builder)
        assert counted == [len(schema.fields)], name
    for name, operation in OPERATIONS.items():
        assert hasattr(generated.BuiltinOperator, name)
        assert not operation.options or hasattr(generated.BuiltinOptions, operation.options)
