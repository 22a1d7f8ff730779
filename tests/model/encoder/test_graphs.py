"""A SavedModel that could do more than compute is refused before it is loaded; what is loaded can only compute."""

from pathlib import Path

import numpy as np
import pytest

from lookalike.model.encoder.graphs import checked_saved_model
from lookalike.model.encoder.runtimes import FloatNetwork
from lookalike.model.errors import LookalikeError
from tests.conftest import tiny_network

tf = pytest.importorskip("tensorflow")
raw = tf.raw_ops


def saved(folder: Path, compute, **parts) -> bytes:
    """The `saved_model.pb` of a network whose `serve` is `compute`."""
    module = tf.Module()
    module.weight = tf.Variable([2.0])
    module.serve = tf.function(compute, input_signature=[tf.TensorSpec([None, 2, 2, 3], tf.float32)])
    for name, part in parts.items():
        setattr(module, name, part)
    tf.saved_model.save(module, str(folder))
    return (folder / "saved_model.pb").read_bytes()


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def refused(content: bytes) -> str:
    with pytest.raises(LookalikeError, match="is refused") as error:
        checked_saved_model(content, "x/saved_model.pb")
    return str(error.value)


def returning(*_: object) -> np.ndarray:
    return np.float32(1)


ATTACKS = {
    "WriteFile": lambda file: tf.io.write_file(file, "x"),
    "ReadFile": lambda file: tf.io.read_file(file),
    "MatchingFiles": lambda file: raw.MatchingFiles(pattern=file),
    "PrintV2": lambda file: tf.print("x", output_stream=f"file://{file}"),
    "Assert": lambda file: raw.Assert(condition=False, data=[file]),
    "SaveV2": lambda file: raw.SaveV2(
        prefix=file, tensor_names=["a"], shape_and_slices=[""], tensors=[tf.constant([1.0])]
    ),
    "Save": lambda file: raw.Save(filename=file, tensor_names=["a"], data=[tf.constant([1.0])]),
    "SaveSlices": lambda file: raw.SaveSlices(
        filename=file, tensor_names=["a"], shapes_and_slices=[""], data=[tf.constant([1.0])]
    ),
    "RestoreV2": lambda file: raw.RestoreV2(
        prefix=file, tensor_names=["a"], shape_and_slices=[""], dtypes=[tf.float32]
    ),
    "MergeV2Checkpoints": lambda file: raw.MergeV2Checkpoints(
        checkpoint_prefixes=[file], destination_prefix=file
    ),
    "ShardedFilename": lambda file: raw.ShardedFilename(basename=file, shard=0, num_shards=1),
    "GenerateVocabRemapping": lambda file: raw.GenerateVocabRemapping(
        new_vocab_file=file, old_vocab_file=file, new_vocab_offset=0, num_new_vocab=1
    ),
    "EagerPyFunc": lambda file: tf.py_function(returning, [file], tf.float32),
    "PyFunc": lambda file: tf.numpy_function(returning, [file], tf.float32),
    "TextLineDataset": lambda file: raw.TextLineDataset(filenames=file, compression_type="", buffer_size=1),
    "FixedLengthRecordReaderV2": lambda file: raw.FixedLengthRecordReaderV2(record_bytes=1),
    "CreateSummaryFileWriter": lambda file: raw.CreateSummaryFileWriter(
        writer=raw.SummaryWriter(), logdir=file, max_queue=1, flush_millis=1, filename_suffix=""
    ),
    "DebugIdentityV2": lambda file: raw.DebugIdentityV2(input=1.0, debug_urls=[f"file://{file}"]),
    "CollectiveReduce": lambda file: raw.CollectiveReduce(
        input=1.0,
        group_size=2,
        group_key=1,
        instance_key=1,
        merge_op="Add",
        final_op="Id",
        subdiv_offsets=[0],
    ),
    "AssignVariableOp": lambda file: raw.AssignVariableOp(
        resource=raw.VarHandleOp(dtype=tf.float32, shape=[], shared_name="x"), value=1.0
    ),
    "DecodeJpeg": lambda file: tf.io.decode_jpeg(file),
}
"""Operation -> what makes a graph with it; none of them is ever run."""


@pytest.mark.parametrize("operation", ATTACKS)
def test_an_operation_that_reaches_outside_is_refused_wherever_it_hides(tmp_path, operation):
    file = str(tmp_path / "never-written")

    def attack(x):
        ATTACKS[operation](file)
        return x

    def nested(x):
        return tf.function(lambda y: tf.function(attack)(y))(x)

    def other(x):
        return x

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32)])
    def unsigned(x):
        return attack(x)

    assert operation in refused(saved(tmp_path / "plain", attack))
    assert operation in refused(saved(tmp_path / "nested", nested))
    assert operation in refused(saved(tmp_path / "unsigned", other, unsigned=unsigned))
    assert not Path(file).exists()


def test_an_operation_is_refused_in_a_gradient_a_branch_and_a_loop(tmp_path):
    def attack(x):
        tf.io.write_file(str(tmp_path / "never-written"), "x")
        return x

    @tf.custom_gradient
    def with_gradient(x):
        return x, attack

    def branch(x):
        return tf.cond(tf.reduce_sum(x) > 0, lambda: attack(x), lambda: x)

    def loop(x):
        return tf.while_loop(lambda i, x: i < 3, lambda i, x: (i + 1, attack(x)), (0, x))[1]

    for name, compute in {"branch": branch, "loop": loop}.items():
        assert "WriteFile" in refused(saved(tmp_path / name, compute))
    module = tf.Module()
    module.serve = tf.function(with_gradient, input_signature=[tf.TensorSpec([None], tf.float32)])
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=True)
    tf.saved_model.save(module, str(tmp_path / "gradient"), options=options)
    assert "WriteFile" in refused((tmp_path / "gradient/saved_model.pb").read_bytes())


def test_a_table_that_is_filled_from_a_file_is_refused(tmp_path):
    (tmp_path / "words.txt").write_text("a\nb\n")
    keys = tf.lookup.KeyValueTensorInitializer(["a"], tf.constant([1], tf.int64))
    line = tf.lookup.TextFileIndex
    lines = tf.lookup.TextFileInitializer(
        str(tmp_path / "words.txt"), tf.string, line.WHOLE_LINE, tf.int64, line.LINE_NUMBER
    )
    for number, filled in enumerate((keys, lines)):
        table = tf.lookup.StaticHashTable(filled, -1)
        content = saved(tmp_path / str(number), lambda x: x * 2, table=table)
        assert "an object of kind resource" in refused(content)
    assert "asset words.txt" in refused(content)


def edited(content: bytes, change) -> bytes:
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    model = SavedModel()
    model.ParseFromString(content)
    change(model.meta_graphs[0], model)
    return model.SerializeToString()


def test_what_is_put_into_the_file_by_hand_is_refused(tmp_path):
    content = saved(tmp_path / "model", lambda x: x * 2)

    def hidden(name, operation):
        def change(graph, model):
            function = graph.graph_def.library.function.add()
            function.signature.name = name
            if operation:
                function.node_def.add(name="n", op=operation)

        return change

    def main_graph(graph, model):
        graph.graph_def.node.add(name="init", op="WriteFile")
        graph.collection_def["saved_model_main_op"].node_list.value[:] = ["init"]

    def registered(graph, model):
        graph.object_graph_def.nodes[0].registered_name = "Package.Class"

    def saver(graph, model):
        graph.object_graph_def.nodes[0].registered_saver = "Package.saver"

    def revived(graph, model):
        graph.object_graph_def.nodes[0].user_object.identifier = "_tf_keras_model"

    assert "WriteFile" in refused(edited(content, hidden("unused", "WriteFile")))
    assert "XlaCustomCallV2" in refused(edited(content, hidden("unused", "XlaCustomCallV2")))
    assert "WriteFile" in refused(edited(content, hidden("WriteFile", "")))
    assert "Relu" in refused(edited(content, hidden("Relu", "")))
    assert "WriteFile" in refused(edited(content, main_graph))
    assert "Package.Class" in refused(edited(content, registered))
    assert "Package.saver" in refused(edited(content, saver))
    assert "_tf_keras_model" in refused(edited(content, revived))


def test_two_graphs_and_graphs_of_tensorflow_1_are_refused(tmp_path):
    content = saved(tmp_path / "model", lambda x: x * 2)
    for change in (
        lambda graph, model: model.meta_graphs.append(graph),
        lambda graph, model: graph.ClearField("object_graph_def"),
        lambda graph, model: model.ClearField("meta_graphs"),
    ):
        with pytest.raises(LookalikeError, match="one graph of TensorFlow 2"):
            checked_saved_model(edited(content, change), "x")


def test_a_constant_that_would_take_all_memory_is_refused(tmp_path):
    content = saved(tmp_path / "model", lambda x: x * tf.constant([3.0]))

    def grow(graph, model):
        for function in graph.graph_def.library.function:
            for node in function.node_def:
                if node.op == "Const":
                    node.attr["value"].tensor.tensor_shape.dim.add(size=1 << 40)

    with pytest.raises(LookalikeError, match="constants of at most"):
        checked_saved_model(edited(content, grow), "x")


def test_a_saved_model_that_cannot_be_read_is_refused():
    with pytest.raises(LookalikeError, match="unreadable"):
        checked_saved_model(b"\xff" * 20, "x")


def test_what_saves_and_restores_is_left_out_and_the_rest_computes_the_same(tmp_path):
    network = tiny_network()
    network.export(str(tmp_path), verbose=False)
    checked = checked_saved_model((tmp_path / "saved_model.pb").read_bytes(), "x")
    assert all(name not in checked for name in (b"SaveV2", b"RestoreV2", b"MergeV2Checkpoints"))
    x = np.random.default_rng(0).random((2, 32, 32, 3)).astype(np.float32)
    loaded = FloatNetwork(files_of(tmp_path), tmp_path, 8)
    np.testing.assert_array_equal(loaded._model.serve(x), network(x))
