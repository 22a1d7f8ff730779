"""An int8 network for OpenVINO is made by NNCF, and gives what the float one does."""

from __future__ import annotations

import logging
import os
import re
from types import SimpleNamespace

import numpy as np
import pytest

from lookalike.model import imports
from lookalike.model.encoder import export, openvino
from lookalike.model.encoder.bundle import BATCH, Encoder
from lookalike.model.encoder.export import BundleRecipe, _export
from lookalike.model.encoder.manifest import read_manifest
from lookalike.model.encoder.openvino import OpenVinoNetwork
from lookalike.model.encoder.openvino_export import quantise
from lookalike.model.errors import LookalikeError
from lookalike.model.images.preprocess import parse_spec
from lookalike.model.networks import backbone
from tests.conftest import SPEC, tiny_network
from tests.support.openvino_files import XML

pytest.importorskip("nncf")
PIXELS = np.random.default_rng(0).integers(0, 256, (11, 32, 32, 3)).astype(np.uint8)


def layers(xml: bytes) -> list[str]:
    return re.findall(r'name="([^"]*)" type="([^"]*)"', xml.decode())


@pytest.mark.slow
def test_a_bundle_with_it_has_one_projection_and_says_what_it_is_made_for(make_encoder, tmp_path, pictures):
    summary = make_encoder(tmp_path / "new", variant="openvino", instructions="avx2")
    manifest = read_manifest(tmp_path / "new")
    assert (manifest["variant"], manifest["instructions"]) == ("openvino", "avx2")
    assert summary.fingerprint == Encoder.load(tmp_path / "new").fingerprint
    assert summary.variant == "openvino"
    assert summary.agreement > 0.98
    assert set(summary.rates) == {"int8", "float", "openvino"}
    assert summary.speeds.startswith("openvino; ")
    # Without a word of the machine that made it; on another processor the ranges differ in their last bits.
    assert layers((tmp_path / "new/openvino.xml").read_bytes()) == layers(XML)


@pytest.mark.slow
def test_normalize_is_part_of_it_and_each_channel_has_its_own(tmp_path):
    spec = parse_spec(SPEC.replace("normalize(127,128)", "normalize((10, 100, 200), (30, 60, 90))"))
    network = tiny_network()
    _export(network, tmp_path)
    made = OpenVinoNetwork(*quantise(tmp_path, spec, PIXELS, BATCH, "avx2"), tmp_path, BATCH, "avx2")
    expected = network(spec.normalize(PIXELS[:3])).numpy()
    found = made.run(PIXELS[:3], spec)
    cosine = (found * expected).sum(axis=1) / np.linalg.norm(found, axis=1) / np.linalg.norm(expected, axis=1)
    assert cosine.min() > 0.98


@pytest.mark.slow
@pytest.mark.parametrize("name", ["MobileNetV3Small"])
def test_networks_that_can_be_built_are_accepted(tmp_path, name):
    network = backbone(name, weights="none", size=64).network
    _export(network, tmp_path)
    spec = parse_spec("decode|resize(64,64)|normalize(127,128)")
    pixels = np.random.default_rng(0).integers(0, 256, (BATCH, 64, 64, 3)).astype(np.uint8)
    made = OpenVinoNetwork(*quantise(tmp_path, spec, pixels, BATCH, "avx2"), tmp_path, BATCH, "avx2")
    assert made.run(pixels, spec).shape == (BATCH, network.output_shape[-1])


def test_a_network_that_openvino_does_not_know_is_one_sentence_that_names_the_way_out(tmp_path):
    (tmp_path / "saved_model.pb").write_bytes(b"no network")
    with pytest.raises(LookalikeError, match=r"^OpenVINO cannot compute .*--variant int8") as error:
        quantise(tmp_path, parse_spec(SPEC), PIXELS, BATCH, "avx2")
    assert "\n" not in str(error.value)


def test_making_one_starts_onednn_as_using_it_will(monkeypatch, tmp_path):
    """Otherwise a machine with AMX could not open in this process what it has just made for all."""
    seen = []

    def convert(*_, **__):
        seen.append(os.environ.get("ONEDNN_MAX_CPU_ISA"))
        raise RuntimeError("enough")

    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)
    monkeypatch.setattr(openvino, "_flags", lambda: frozenset({"avx2", "fma", "amx_int8"}))
    monkeypatch.setattr(imports, "openvino", lambda: SimpleNamespace(convert_model=convert))
    for instructions in ("avx2", "amx"):
        with pytest.raises(LookalikeError, match="enough"):
            quantise(tmp_path, parse_spec(SPEC), PIXELS, BATCH, instructions)
    assert seen == ["AVX512_CORE_VNNI", None]


@pytest.mark.parametrize(
    "options",
    [
        {"variant": "openvino", "instructions": "vnni"},
        {"variant": "int8", "instructions": "avx2"},
        {"variant": "float", "instructions": "amx"},
    ],
)
def test_instructions_that_mean_nothing_are_refused(options):
    with pytest.raises(LookalikeError, match="Expected instructions of avx2, amx"):
        BundleRecipe("x", **options)


def test_a_bundle_that_this_machine_could_not_open_is_refused_before_anything_is_made(
    make_encoder, tmp_path, monkeypatch
):
    monkeypatch.setattr(openvino, "_flags", lambda: frozenset({"avx2", "fma"}))
    monkeypatch.setattr(export, "_read_sample", None)
    with pytest.raises(LookalikeError, match="a processor with amx"):
        make_encoder(tmp_path / "new", variant="openvino", instructions="amx")
    assert not (tmp_path / "new").exists()


@pytest.mark.slow
def test_making_one_leaves_the_log_of_the_process_alone(tmp_path):
    _export(tiny_network(), tmp_path)
    root = logging.getLogger()
    before = (root.level, root.filters[:], root.handlers[:], logging.getLoggerClass())
    quantise(tmp_path, parse_spec(SPEC), PIXELS, BATCH, "avx2")
    assert (root.level, root.filters, root.handlers, logging.getLoggerClass()) == before
