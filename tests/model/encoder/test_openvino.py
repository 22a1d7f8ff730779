"""OpenVINO computes with what a bundle was made for, or not at all, and tells nobody of it."""

import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from lookalike.model import imports
from lookalike.model.encoder import openvino
from lookalike.model.encoder.bundle import Encoder
from lookalike.model.encoder.manifest import fingerprint, manifest_digest, read_manifest
from lookalike.model.encoder.openvino import OpenVinoNetwork, best_instructions, check_processor
from lookalike.model.errors import LookalikeError
from tests.support.encoding import encode
from tests.support.openvino_files import WEIGHTS, XML, with_openvino

pytest.importorskip("openvino")
if "avx2" not in openvino._flags():
    pytest.skip("needs AVX2", allow_module_level=True)
PIXELS = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3)).astype(np.uint8)
SUM = """
import hashlib, socket, sys
def refused(*_, **__): raise SystemExit("a socket")
socket.socket = socket.create_connection = socket.getaddrinfo = refused
import numpy as np
from lookalike.model.encoder.openvino import OpenVinoNetwork
from lookalike.model import imports
from pathlib import Path
folder = Path(sys.argv[1])
xml, weights = ((folder / name).read_bytes() for name in ("openvino.xml", "openvino.bin"))
network = OpenVinoNetwork(xml, weights, folder, 8, "avx2")
pixels = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3)).astype(np.uint8)
print(hashlib.sha256(network.run(pixels, None).tobytes()).hexdigest())
assert "openvino_telemetry.main" not in sys.modules and "tensorflow" not in sys.modules
"""


@pytest.fixture(scope="module")
def bundle(encoder, tmp_path_factory) -> Path:
    return with_openvino(encoder, tmp_path_factory.mktemp("openvino") / "encoder")


@pytest.fixture
def flags(monkeypatch):
    """Says what the processor can."""
    return lambda *names: monkeypatch.setattr(openvino, "_flags", lambda: frozenset(names))


def refused(folder, **options) -> str:
    with pytest.raises(LookalikeError) as error:
        Encoder.load(folder, **options)
    return str(error.value)


def rewrite(folder: Path, **fields: object) -> None:
    manifest = json.loads((folder / "encoder.json").read_text()) | fields
    manifest["digest"] = manifest_digest(manifest)
    (folder / "encoder.json").write_text(json.dumps(manifest))


def test_its_vectors_are_near_those_of_the_float_variant(bundle, pictures):
    opened = Encoder.load(bundle)
    assert opened.variant == "openvino"
    ours, errors = encode(opened, pictures.values())
    theirs, _ = encode(Encoder.load(bundle, variant="float"), pictures.values())
    assert not errors
    assert (ours * theirs).sum(axis=1).mean() > 0.98


def test_a_vector_is_the_same_to_the_bit_alone_in_any_company_and_on_any_thread(bundle, pictures):
    images = list(pictures.values())
    together, _ = encode(Encoder.load(bundle, threads=3), images)
    opened = Encoder.load(bundle, threads=1)
    np.testing.assert_array_equal(together, np.concatenate([encode(opened, [image])[0] for image in images]))


def test_threads_that_come_and_go_get_the_same(bundle):
    network = OpenVinoNetwork(XML, WEIGHTS, bundle, 8, "avx2")
    expected, found = network.run(PIXELS, None), []
    for _ in range(3):
        threads = [threading.Thread(target=lambda: found.append(network.run(PIXELS, None))) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(found) == 9
    for features in found:
        np.testing.assert_array_equal(features, expected)


def test_what_a_call_gave_is_not_changed_by_the_next(bundle):
    network = OpenVinoNetwork(XML, WEIGHTS, bundle, 8, "avx2")
    first = network.run(PIXELS, None)
    kept = first.copy()
    network.run(PIXELS[::-1], None)
    np.testing.assert_array_equal(first, kept)


@pytest.mark.slow
def test_a_process_that_is_limited_to_less_is_refused(bundle):
    environment = os.environ | {"ONEDNN_MAX_CPU_ISA": "SSE41"}
    done = subprocess.run(
        [sys.executable, "-c", SUM, str(bundle)], env=environment, capture_output=True, text=True
    )
    assert "with avx2. Received: sse" in done.stderr


@pytest.mark.slow
def test_each_set_of_vector_instructions_gives_the_same_bits_and_no_socket_is_opened(bundle, tmp_path):
    found = set()
    for limit in ("", "AVX512_CORE_VNNI", "AVX512_CORE", "AVX2_VNNI", "AVX2"):
        environment = os.environ | {"HOME": str(tmp_path), "CI": ""}
        environment |= {"ONEDNN_MAX_CPU_ISA": limit} if limit else {}
        done = subprocess.run(
            [sys.executable, "-c", SUM, str(bundle)], env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr + done.stdout
        found.add(done.stdout.strip())
    assert len(found) == 1
    assert os.listdir(tmp_path) == []  # openvino-telemetry would leave a number of this user there


def test_the_fingerprint_says_which_instructions(bundle):
    manifest = read_manifest(bundle)
    amx = {**manifest, "instructions": "amx"}
    assert fingerprint(manifest) != fingerprint(amx)
    assert fingerprint(manifest, "int8") == fingerprint(amx, "int8")
    assert fingerprint(manifest, "float") == fingerprint(amx, "float")
    for name in ("openvino.xml", "openvino.bin", "projection.npz", "int8.tflite"):
        other = {**manifest, "files": {**manifest["files"], name: "0" * 64}}
        assert (fingerprint(other) != fingerprint(manifest)) == (name != "int8.tflite")


def test_a_further_variant_changes_no_fingerprint_of_the_others(bundle, encoder):
    for variant in ("int8", "float"):
        assert fingerprint(read_manifest(bundle), variant) == fingerprint(read_manifest(encoder), variant)


def test_fingerprints_of_bundles_without_it_are_those_of_earlier_versions():
    manifest = {"format": 1, "dim": 2, "preprocessing": "decode", "pooling": "avg", "unit_length": True}
    files = {"int8.tflite": "a", "projection.npz": "b", "saved_model/saved_model.pb": "c"}
    manifest |= {"files": files, "variant": "int8", "name": "x", "projection": {}}
    assert fingerprint(manifest) == "914e94e97372929cdf1ec5c2ec96b9184e1b3645b66855323599708984a6ec30"
    assert (
        fingerprint(manifest, "float") == "28b45b11125a33854e31a1daaeac1b5b59264a8b3fd677f8ebe1238557a1aa87"
    )


@pytest.mark.parametrize("instructions", [None, "avx512", "vnni"])
def test_a_bundle_that_does_not_say_which_instructions_is_refused(bundle, tmp_path, instructions):
    folder = Path(shutil.copytree(bundle, tmp_path / "bundle"))
    rewrite(folder, instructions=instructions)
    assert "instructions" in refused(folder)
    assert "instructions" in refused(folder, variant="int8")


def test_instructions_without_a_network_for_them_are_refused(encoder, tmp_path):
    folder = Path(shutil.copytree(encoder, tmp_path / "bundle"))
    rewrite(folder, instructions="avx2")
    assert "instructions" in refused(folder)


def test_a_bundle_without_the_variant_says_so(encoder):
    assert "has no openvino variant" in refused(encoder, variant="openvino")


@pytest.mark.parametrize(
    ("instructions", "has", "machine", "sentence"),
    [
        ("avx2", {"avx2", "fma"}, "x86_64", None),
        ("avx2", {"avx2", "fma", "amx_int8"}, "x86_64", None),
        ("amx", {"avx2", "fma", "amx_int8"}, "x86_64", None),
        ("amx", {"avx2", "fma", "avx512_vnni"}, "x86_64", "--instructions avx2"),
        ("avx2", {"sse4_1"}, "x86_64", "--variant int8"),
        ("avx2", {"avx2", "fma"}, "aarch64", "--variant int8"),
    ],
)
def test_a_processor_that_would_give_other_bits_is_refused(
    flags, monkeypatch, instructions, has, machine, sentence
):
    flags(*has)
    monkeypatch.setattr("platform.machine", lambda: machine)
    if sentence is None:
        check_processor(instructions, "x")
        return
    with pytest.raises(LookalikeError, match=f"^Expected a processor with {instructions} for x.*{sentence}"):
        check_processor(instructions, "x")


def test_the_best_instructions_are_those_that_there_are(flags):
    flags("avx2", "fma", "avx512_vnni")
    assert best_instructions() == "avx2"
    flags("avx2", "fma", "avx512_vnni", "amx_int8")
    assert best_instructions() == "amx"


def test_a_network_that_falls_back_in_silence_is_refused(flags, bundle):
    """The kernel says AMX, and OpenVINO does not use it, as where the process may not."""
    if best_instructions() == "amx":
        pytest.skip("needs a processor without AMX")
    flags("avx2", "fma", "amx_int8")
    with pytest.raises(LookalikeError, match=r"to compute .* with amx\. Received: avx2"):
        OpenVinoNetwork(XML, WEIGHTS, bundle, 8, "amx")


@pytest.mark.parametrize(
    ("instructions", "kernel", "used"),
    [
        ("avx2", "brgconv_avx512_core_amx_I8", "amx"),
        ("avx2", "jit_sse42_1x1_I8", "sse"),
        ("amx", "brgconv_avx512_I8", "avx2"),
        ("avx2", "brgconv_avx512_I8", None),
        ("amx", "brgconv_avx512_core_amx_I8", None),
    ],
)
def test_a_process_that_computes_with_other_instructions_is_refused(
    bundle, monkeypatch, instructions, kernel, used
):
    """OpenVINO was started with others, or may not use them."""
    network = OpenVinoNetwork(XML, WEIGHTS, bundle, 8, "avx2")
    monkeypatch.setattr(network, "_instructions", instructions)
    layers = [
        SimpleNamespace(get_rt_info=lambda name=name: {"primitiveType": np.array(name)})
        for name in ("unknown_f32", kernel)
    ]
    model = SimpleNamespace(get_ops=lambda: [SimpleNamespace(get_rt_info=dict), *layers])
    compiled = SimpleNamespace(get_runtime_model=lambda: model)
    if used is None:
        network._check_kernels(compiled)
        return
    with pytest.raises(
        LookalikeError, match=rf"with {instructions}\. Received: {used}, .* processes of their own"
    ):
        network._check_kernels(compiled)


@pytest.mark.parametrize(
    ("instructions", "has", "given", "expected"),
    [
        ("avx2", {"amx_int8"}, None, "AVX512_CORE_VNNI"),
        ("avx2", {"amx_int8"}, "AVX2", "AVX2"),
        ("avx2", {"avx2"}, None, None),
        ("amx", {"amx_int8"}, None, None),
    ],
)
def test_a_pin_limits_onednn_while_it_starts_and_nothing_after(
    flags, monkeypatch, instructions, has, given, expected
):
    flags(*has)
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)
    if given:
        monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", given)
    with openvino.limited(instructions):
        assert os.environ.get("ONEDNN_MAX_CPU_ISA") == expected
    assert os.environ.get("ONEDNN_MAX_CPU_ISA") == given


@pytest.mark.parametrize("package", ["openvino", "nncf"])
def test_without_the_package_there_is_one_sentence_that_says_what_to_install(monkeypatch, package):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == package else object())
    module = getattr(imports, package)
    module.cache_clear()
    try:
        with pytest.raises(LookalikeError, match=r"Received: none; pip install nncf==3"):
            module()
    finally:
        monkeypatch.undo()
        module.cache_clear()


def test_a_network_for_another_batch_is_one_sentence(bundle):
    with pytest.raises(LookalikeError, match="from 4 pictures of uint8"):
        OpenVinoNetwork(XML, WEIGHTS, bundle, 4, "avx2")


def test_what_openvino_cannot_use_is_one_sentence(bundle):
    other = XML.replace(b'shape="1, 8, 1, 1"', b'shape="1, 1, 8, 1"')
    assert other != XML
    with pytest.raises(LookalikeError, match=r"^OpenVINO cannot use the network ") as error:
        OpenVinoNetwork(other, WEIGHTS, bundle, 8, "avx2")
    assert "\n" not in str(error.value)
