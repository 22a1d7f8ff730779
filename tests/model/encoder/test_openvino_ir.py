"""A network for OpenVINO that could do more than compute, or is not whole, is refused before OpenVINO sees it."""

import re

import numpy as np
import pytest

from lookalike.model.encoder.openvino_ir import checked_ir
from lookalike.model.errors import LookalikeError
from tests.support.openvino_files import WEIGHTS, XML

TEXT = XML.decode()
SECOND_INPUT = (
    '<layer id="99" name="p" type="Parameter" version="opset1"><data shape="8" element_type="f32"/>'
    '<output><port id="0" precision="FP32"><dim>8</dim></port></output></layer>'
)


def refused(xml: str | bytes, weights: bytes = WEIGHTS) -> str:
    with pytest.raises(LookalikeError) as error:
        checked_ir(xml.encode() if isinstance(xml, str) else xml, weights, "x.xml")
    assert "\n" not in str(error.value)
    return str(error.value)


def changed(find: str, replace: str) -> str:
    assert find in TEXT
    return TEXT.replace(find, replace, 1)


def test_what_is_written_is_what_was_checked():
    assert checked_ir(XML, WEIGHTS, "x.xml") == XML


def test_names_notes_and_whatever_else_is_not_needed_are_left_out():
    noted = changed("<layers>", '<rt_info><input_model value="/home/x"/></rt_info><layers>')
    noted = noted.replace('name="1"', 'name="../../etc/passwd"').replace(
        "</output>", "</output><rt_info/>", 2
    )
    noted = noted.replace("<edges>", "<meta_data/><edges>")
    assert checked_ir(noted.encode(), WEIGHTS, "x.xml") == XML


@pytest.mark.parametrize(
    ("kind", "version"),
    [
        *(("ReadValue", "opset6"), ("Assign", "opset6"), ("If", "opset8"), ("Loop", "opset5")),
        *(("TensorIterator", "opset1"), ("Custom", "extension"), ("ReLU", "extension"), ("ReLU", "opset99")),
        *(("RandomUniform", "opset8"), ("Broadcast", "opset3"), ("Tile", "opset1"), ("ReLU", "")),
    ],
)
def test_an_operation_that_is_not_known_is_named(kind, version):
    other = re.sub(r'type="Clamp" version="opset1"|type="ReLU" version="opset1"', "WHERE", TEXT, count=1)
    assert "WHERE" in other
    message = refused(other.replace("WHERE", f'type="{kind}" version="{version}"'))
    assert "is refused" in message
    assert f"{kind} ({version})" in message


@pytest.mark.parametrize(
    "xml",
    [
        *(b"", b"<", b"text", b"\xff\xfe<net/>", b"<net/>", b'<net version="10"/>', b'<net version="11"/>'),
        b'<!DOCTYPE net [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><net version="11">&b;</net>',
        b'<!DOCTYPE net [<!ENTITY a SYSTEM "file:///secret">]><net version="11">&a;</net>',
        b'<?xml version="1.0" encoding="utf-16"?>' + '<net version="11"/>'.encode("utf-16"),
        b'<net version="11"><layers/><edges/></net>',
        b'<net version="11"><layers/><layers/><edges/></net>',
        b"<a>" * 100_000,
        b"<a>" * 10_000 + b"</a>" * 10_000,
    ],
    ids=range(14),
)
def test_what_is_no_network_is_one_sentence(xml):
    assert "x.xml" in refused(xml)


@pytest.mark.parametrize(
    ("find", "replace"),
    [
        ('strides="2, 2"', 'strides="0, 2"'),
        ('strides="2, 2"', 'strides="5000, 2"'),
        ('strides="2, 2"', 'strides="2, x"'),
        ('strides="2, 2"', 'strides=""'),
        ('strides="2, 2"', 'strides="1,1,1,1,1,1,1"'),
        ('strides="2, 2"', ""),
        ('strides="2, 2"', 'strides="2, 2" path="/etc/passwd"'),
        ('levels="256"', 'levels="1"'),
        ('levels="256"', 'levels="-256"'),
        ('levels="256"', 'levels="99999999999999999999"'),
        ('auto_pad="same_upper"', 'auto_pad="same_other"'),
        ('pads_begin="0, 0"', 'pads_begin="-1, 0"'),
        ('shape="8,32,32,3"', 'shape="8,32,32,-1"'),
        ('shape="8,32,32,3"', 'shape="8,32,32,0"'),
        ('shape="8,32,32,3"', 'shape="8,16777217,32,3"'),
        ('shape="8,32,32,3"', 'shape="16777216,16777216,32,3"'),
        ('element_type="u8"', 'element_type="string"'),
        ('element_type="u8"', 'element_type="f64"'),
        ("<dim>32</dim>", "<dim>-1</dim>"),
        ("<dim>32</dim>", "<dim>x</dim>"),
        ("<dim>32</dim>", "<dim/>"),
        ('precision="FP32"', 'precision="FP99"'),
        ('offset="0"', 'offset="-4"'),
        ('offset="0"', 'offset="7404"'),
        ('offset="0"', 'offset="1000000000000"'),
        ('size="4"', 'size="8"'),
        ('size="4"', 'size="0"'),
        ('id="1"', 'id="0"'),
        ('to-layer="1"', 'to-layer="9999"'),
        ('from-layer="0"', 'from-layer="5"'),
        ('from-layer="0"', 'from-layer="9999"'),
        ('from-port="0"', 'from-port="1"'),
        ('from-port="0"', 'from-port="-1"'),
        ("<edges>", '<edges><edge from-layer="0" from-port="0" to-layer="1" to-port="0"/>'),
        ("<edges>", '<edges><edge from-layer="0" from-port="0" to-layer="1" to-port="7"/>'),
        ("<layers>", f"<layers>{SECOND_INPUT}"),
    ],
)  # fmt: skip
def test_a_value_that_no_network_has_is_one_sentence(find, replace):
    refused(changed(find, replace))


def test_constants_must_lie_within_the_file():
    for length in (0, len(WEIGHTS) // 2, len(WEIGHTS) - 1):
        assert "for a constant" in refused(XML, WEIGHTS[:length])
    checked_ir(XML, WEIGHTS + b"more", "x.xml")


def test_what_decides_a_shape_must_be_a_constant():
    """The axes of the mean, taken from the picture instead."""
    reduction = re.search(r'<layer id="(\d+)"[^>]*type="ReduceMean"', TEXT)[1]
    other = re.sub(rf'from-layer="\d+" from-port="\d+" to-layer="{reduction}" to-port="1"',
                   f'from-layer="0" from-port="0" to-layer="{reduction}" to-port="1"', TEXT)  # fmt: skip
    assert other != TEXT
    assert "that is no constant" in refused(other)


def test_paddings_are_neither_negative_nor_long():
    def padded(amount: int) -> tuple[str, bytes]:
        weights = WEIGHTS + np.array([0, amount, 0, 0], "<i8").tobytes() + np.zeros(1, "<f4").tobytes()
        at = len(WEIGHTS)
        four = '<port id="0" precision="I64"><dim>4</dim></port>'
        const = (
            '<layer id="{}" name="c" type="Const" version="opset1"><data shape="{}" element_type="{}" offset="{}" '
            'size="{}"/><output>{}</output></layer>'
        )
        picture = "".join(f"<dim>{n}</dim>" for n in (8, 32, 32, 3))
        layers = (
            TEXT[TEXT.index("<layer id") : TEXT.index("</layer>") + 8]
            + const.format(1, "4", "i64", at, 32, four)
            + const.format(2, "", "f32", at + 32, 4, '<port id="0" precision="FP32"/>')
            + '<layer id="3" name="p" type="Pad" version="opset1"><data pad_mode="constant"/><input>'
            + f'<port id="0" precision="U8">{picture}</port>{four.replace("0", "1", 1)}{four.replace("0", "2", 1)}'
            + f'</input><output><port id="3" precision="U8">{picture}</port></output></layer>'
            + f'<layer id="4" name="r" type="Result" version="opset1"><input><port id="0" precision="U8">{picture}'
            + "</port></input></layer>"
        )
        edges = [(0, 0, 3, 0), (1, 0, 3, 1), (1, 0, 3, 2), (3, 3, 4, 0)]
        lines = "".join(
            f'<edge from-layer="{a}" from-port="{b}" to-layer="{c}" to-port="{d}"/>' for a, b, c, d in edges
        )
        return f'<net version="11"><layers>{layers}</layers><edges>{lines}</edges></net>', weights

    checked_ir(padded(4096)[0].encode(), padded(4096)[1], "x.xml")
    for amount in (-1, 4097, 1 << 60):
        assert "paddings" in refused(*padded(amount))
