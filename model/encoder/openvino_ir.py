"""Looks into a network in OpenVINO's format before OpenVINO does, and writes down anew what was looked at.

Allowed is what networks of pictures are made of: operations of OpenVINO's own that compute, in the order in which they
are used, with constants that lie within the file beside. There are no operations of others, no variables, loops,
branches or bodies, no names and no notes. OpenVINO is given what is written here, not the file.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

import numpy as np

from ..errors import LookalikeError
from .openvino_operations import OPERATIONS, TYPES, Operation

_VERSION = "11"
_MOST_CHARACTERS = 16 << 20
"""Of the XML; that of EfficientNet-Lite2 has 0.4 MB."""
_MOST_LAYERS = 20_000
MOST_BYTES = 1 << 34
"""Of all that layers make of one batch: 2 GiB a picture, as for TFLite."""
_MOST_DIMENSIONS = 6
_LARGEST = 1 << 24
_LONGEST = 1 << 12
"""Of strides, dilations, kernels and paddings."""
_NUMBER = re.compile(r"-?[0-9]{1,12}")


def checked_ir(xml: bytes, weights: bytes, path: object) -> bytes:
    """A network in OpenVINO's format, version 11, with all in it that is needed to compute and nothing else.

    Args:
        xml: the network.
        weights: its constants.
        path: where the first was read, for messages.

    Returns:
        XML that gives itself when it is checked again.

    Raises:
        LookalikeError: if it has an operation that is not among those allowed, naming them, or is not whole.
    """
    try:
        text = xml.decode()
        if len(text) > _MOST_CHARACTERS or "<!" in text:  # entities, which can grow without end
            raise _DamagedError("a declaration, or more than 16 MiB")
        return _Checked(ElementTree.fromstring(text), weights).written()
    except _ForeignError as error:
        raise LookalikeError(
            f"The network {path} is refused: it has operations that are not known to do nothing but compute: {error}. "
            "If it is yours, make it of layers that do without them"
        ) from None
    except (ElementTree.ParseError, ValueError) as error:
        raise LookalikeError(
            f"Expected a network for OpenVINO in {path}. Received one with {error}"
        ) from None


class _DamagedError(ValueError):
    """What is wrong."""


class _ForeignError(ValueError):
    """Operations that are not allowed, by name."""


@dataclass(frozen=True)
class _Port:
    """What a layer makes, and of a constant its values."""

    type: str
    shape: tuple[int, ...]
    values: np.ndarray | None = None


@dataclass(frozen=True)
class _Layer:
    """A layer whose inputs are numbers of (layer, output) before it."""

    operation: tuple[str, str]
    data: Mapping[str, str]
    inputs: Sequence[tuple[int, int]]
    outputs: Sequence[_Port]


class _Checked:
    """The layers of a network, in the order of the file."""

    def __init__(self, net: Element, weights: bytes) -> None:
        self._weights = weights
        if net.tag != "net" or net.get("version") != _VERSION:
            raise _DamagedError(f"another version than {_VERSION}")
        self.layers: list[_Layer] = []
        described = list(_only(net, "layers"))
        if len(described) > _MOST_LAYERS:
            raise _DamagedError(f"{len(described)} layers")
        named = ((layer.get("type", ""), layer.get("version", "")) for layer in described)
        if foreign := sorted(
            {f"{kind} ({version})" for kind, version in named if (kind, version) not in OPERATIONS}
        ):
            raise _ForeignError(", ".join(foreign)[:300])
        edges = _edges(_only(net, "edges"))
        places: dict[str, int] = {}
        for layer in described:
            self.layers.append(self._layer(layer, edges, places))
            places[layer.get("id", "")] = len(self.layers) - 1
        if len(places) != len(described) or edges:
            raise _DamagedError("a layer or an edge that comes twice, or leads nowhere")
        self._check_whole()

    def _layer(
        self, layer: Element, edges: dict[tuple[str, str], tuple[str, str]], places: dict[str, int]
    ) -> _Layer:
        kind = (layer.get("type", ""), layer.get("version", ""))
        operation, number = OPERATIONS[kind], layer.get("id", "")
        data = layer.find("data")
        attributes = _attributes(kind[0], operation, {} if data is None else data.attrib)
        inputs = []
        for place, port in enumerate(_ports(layer, "input")):
            source = edges.pop((number, port.get("id", "")), None)
            if source is None or source[0] not in places:
                raise _DamagedError(f"an input of {kind[0]} that is not known")
            inputs.append(self._output(places[source[0]], source[1]))
            if place in operation.constants and self._port(inputs[-1]).values is None:
                raise _DamagedError(f"an input of {kind[0]} that is no constant")
        least, most = operation.inputs
        outputs = [_described(port) for port in _ports(layer, "output")]
        if not least <= len(inputs) <= most or len(outputs) != operation.outputs:
            raise _DamagedError(f"{len(inputs)} inputs and {len(outputs)} outputs of {kind[0]}")
        if kind[0] in ("Const", "Parameter"):
            outputs = [self._source(kind[0], attributes)]
        if kind[0] == "Pad":
            _check_paddings([self._port(at).values for at in inputs[1:3]])
        return _Layer(kind, attributes, inputs, outputs)

    def _output(self, layer: int, port: str) -> tuple[int, int]:
        """The place of an output: OpenVINO counts those of a layer behind its inputs."""
        place = _number(port) - len(self.layers[layer].inputs)
        if not 0 <= place < len(self.layers[layer].outputs):
            raise _DamagedError("an edge from an output that is not there")
        return layer, place

    def _port(self, place: tuple[int, int]) -> _Port:
        return self.layers[place[0]].outputs[place[1]]

    def _source(self, kind: str, data: Mapping[str, str]) -> _Port:
        """What a constant or the input gives, which its attributes alone decide."""
        name = data["element_type"]
        port = _Port(name, _shape(data["shape"].split(",") if data["shape"] else []))
        if kind == "Parameter":
            return port
        _, dtype = TYPES[name]
        begin, size = _number(data["offset"]), _number(data["size"])
        if begin < 0 or size != _bytes(port) or begin + size > len(self._weights):
            raise _DamagedError(f"{size} bytes at {begin} for a constant of shape {list(port.shape)}")
        values = np.frombuffer(self._weights, dtype, math.prod(port.shape), begin)
        return _Port(name, port.shape, values)

    def _check_whole(self) -> None:
        kinds = [layer.operation[0] for layer in self.layers]
        if (kinds.count("Parameter"), kinds.count("Result")) != (1, 1):
            raise _DamagedError(f"{kinds.count('Parameter')} inputs and {kinds.count('Result')} outputs")
        if sum(_bytes(port) for layer in self.layers for port in layer.outputs) > MOST_BYTES:
            raise _DamagedError(f"layers of more than {MOST_BYTES:,} bytes")

    def written(self) -> bytes:
        """The layers as XML."""
        net = Element("net", name="network", version=_VERSION)
        layers, edges = SubElement(net, "layers"), SubElement(net, "edges")
        for number, layer in enumerate(self.layers):
            kind, version = layer.operation
            element = SubElement(
                layers, "layer", id=str(number), name=f"{number}", type=kind, version=version
            )
            if layer.data:
                SubElement(element, "data", dict(layer.data))
            _write_ports(element, "input", [self._port(place) for place in layer.inputs], 0)
            _write_ports(element, "output", layer.outputs, len(layer.inputs))
            for port, (source, output) in enumerate(layer.inputs):
                behind = len(self.layers[source].inputs) + output
                ends = {"from-layer": source, "from-port": behind, "to-layer": number, "to-port": port}
                SubElement(edges, "edge", {name: str(value) for name, value in ends.items()})
        return ElementTree.tostring(net)


def _only(parent: Element, tag: str) -> Element:
    found = parent.findall(tag)
    if len(found) != 1:
        raise _DamagedError(f"{len(found)} of {tag}")
    return found[0]


def _ports(layer: Element, tag: str) -> Iterable[Element]:
    """The ports of a layer on one side, none where it has no such side."""
    sides = layer.findall(tag)
    if len(sides) > 1:
        raise _DamagedError(f"{len(sides)} of {tag}")
    return sides[0].findall("port") if sides else []


def _edges(edges: Element) -> dict[tuple[str, str], tuple[str, str]]:
    """Input (layer, port) -> the output (layer, port) that it gets."""
    found = {}
    for edge in edges:
        end = edge.get("to-layer", ""), edge.get("to-port", "")
        if end in found:
            raise _DamagedError("two edges to one input")
        found[end] = edge.get("from-layer", ""), edge.get("from-port", "")
    return found


def _attributes(kind: str, operation: Operation, given: Mapping[str, str]) -> dict[str, str]:
    if set(given) - set(operation.data):
        raise _DamagedError(f"attributes of {kind} that are not its own: {', '.join(sorted(given))[:200]}")
    attributes = {}
    for name, allowed in operation.data.items():
        value = given.get(name)
        if value is None:
            if name not in operation.optional:
                raise _DamagedError(f"no {name} of {kind}")
        elif not _fits(value, allowed):
            raise _DamagedError(f"{name} {value[:40]} of {kind}")
        else:
            attributes[name] = value
    return attributes


def _fits(value: str, allowed: str | tuple[str, ...]) -> bool:
    if isinstance(allowed, tuple):
        return value in allowed
    if allowed == "real":
        return math.isfinite(float(value)) and len(value) < 40
    least, most = {
        "size": (1, _LONGEST),
        "padding": (0, _LONGEST),
        "axis": (-6, 5),
        "levels": (2, 1 << 16),
    }.get(allowed, (0, 1 << 40))
    numbers = (
        [_number(part) for part in value.split(",")] if value or allowed not in ("shape", "padding") else []
    )
    return all(least <= number <= most for number in numbers) and len(numbers) <= _MOST_DIMENSIONS


def _number(text: str) -> int:
    if not _NUMBER.fullmatch(text.strip(" ")):
        raise _DamagedError(f"{text[:40]!r} for a number")
    return int(text)


def _shape(texts: Sequence[str]) -> tuple[int, ...]:
    shape = tuple(_number(text) for text in texts)
    if len(shape) > _MOST_DIMENSIONS or any(not 1 <= size <= _LARGEST for size in shape):
        raise _DamagedError(f"a shape of {list(shape)[:10]}")
    return shape


def _described(port: Element) -> _Port:
    names = {precision: name for name, (precision, _) in TYPES.items()}
    name = names.get(port.get("precision", ""))
    if name is None:
        raise _DamagedError(f"numbers of type {port.get('precision')}")
    return _Port(name, _shape([dim.text or "" for dim in port.findall("dim")]))


def _bytes(port: _Port) -> int:
    return math.prod(port.shape) * np.dtype(TYPES[port.type][1]).itemsize


def _check_paddings(amounts: Sequence[np.ndarray | None]) -> None:
    for values in amounts:
        if values is None or (values < 0).any() or (values > _LONGEST).any():
            raise _DamagedError("paddings that are negative or long")


def _write_ports(layer: Element, tag: str, ports: Sequence[_Port], first: int) -> None:
    if not ports:
        return
    side = SubElement(layer, tag)
    for number, port in enumerate(ports, first):
        element = SubElement(side, "port", id=str(number), precision=TYPES[port.type][0])
        for size in port.shape:
            SubElement(element, "dim").text = str(size)
