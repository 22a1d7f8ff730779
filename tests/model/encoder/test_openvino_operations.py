"""What a network for OpenVINO may use."""

from lookalike.model.encoder.openvino_operations import OPERATIONS, TYPES


def test_nothing_that_holds_a_state_a_body_or_a_name_of_a_file_is_among_them():
    names = {name for name, _ in OPERATIONS}
    assert not names & {
        "Assign",
        "ReadValue",
        "If",
        "Loop",
        "TensorIterator",
        "RandomUniform",
        "Broadcast",
        "Tile",
    }
    assert all(version.startswith("opset") for _, version in OPERATIONS)


def test_what_must_be_a_constant_is_an_input_and_what_may_be_left_out_an_attribute():
    for operation in OPERATIONS.values():
        least, most = operation.inputs
        assert 0 <= least <= most
        assert all(place < most for place in operation.constants)
        assert set(operation.optional) <= set(operation.data)


def test_numbers_are_read_as_long_as_they_are():
    assert [kind[-1] for _, kind in TYPES.values()] == ["4", "8", "4", "1", "1"]
