"""Large libraries, imported when they are first needed, and one at a time whichever thread needs them.

Two threads that enter one package by different doors can wait for each other: the first holds the lock of
`tensorflow` and waits for `tensorflow.lite.python`, the second holds that and waits for `tensorflow`, its parent.
Python ends such a wait with an error in one of them. So no function imports TensorFlow, Keras, ScaNN, pydicom,
tifffile, imagecodecs, scikit-learn, DuckDB, OpenVINO, NNCF or Beam but within `one_at_a_time`
(tests/model/test_imports.py).

Seconds each costs a new process on a machine with 2 cores: TensorFlow 3.4, Beam 1.2, scikit-learn 0.9, pydicom 0.2,
tifffile with imagecodecs 0.1, and Keras 0.1 and tensorflow-io 0.03 behind TensorFlow.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import importlib.util
import logging
import os
import sys
import threading
from collections.abc import Iterator
from typing import Any

from .errors import LookalikeError
from .extras import install
from .memory_limit import unlimited
from .waiting import waiting

one_at_a_time = threading.RLock()
"""Held by the thread that imports a large library."""


@contextlib.contextmanager
def importing(library: str, remedy: str = "") -> Iterator[None]:
    """Context for the import of `library` within a function.

    Args:
        library: what people call it.
        remedy: the command that installs it, where the package comes without.

    Raises:
        LookalikeError: if it cannot be imported, whatever the reason; no file of the user's is to blame.
    """
    with waiting(f"importing {library}"), one_at_a_time, unlimited():
        try:
            yield
        except Exception as error:
            reason = (str(error).strip().splitlines() or [""])[0]
            raise LookalikeError(
                f"{library} is installed wrongly and cannot be imported: {type(error).__name__}: {reason}"
                + (f"; {remedy}" if remedy else "")
            ) from error


@functools.cache
def tensorflow() -> Any:
    """The module `tensorflow`, with the parts that it imports itself only when they are asked for."""
    with importing("TensorFlow"):
        import tensorflow
        import tensorflow.lite.python.schema_py_generated

        _ = tensorflow.lite.Interpreter
        # In an interactive session it would tell of every file that it writes.
        if (log := tensorflow.get_logger()).level == logging.INFO:
            log.setLevel(logging.WARNING)
        return tensorflow


def module_of(library: str, package: str, path: str, name: str) -> Any:
    """A module of a package by its file, without the package around it, which would import TensorFlow's Python.

    Native modules of TensorFlow and ScaNN need no more of it than one library (0.03 s).

    Args:
        library: what people call the package.
        package: that has the file, and is not imported.
        path: of the file within its folder.
        name: of the module in `sys.modules`. A native one may be loaded only once: under its own name, an import finds
            it that comes later, and is found if it came before.
    """
    with importing(library):
        if name not in sys.modules:
            ctypes.CDLL(os.path.join(_folder_of("tensorflow"), "libtensorflow_framework.so.2"))
            spec: Any = importlib.util.spec_from_file_location(name, os.path.join(_folder_of(package), path))
            module = sys.modules[name] = importlib.util.module_from_spec(spec)
            try:
                spec.loader.exec_module(module)
            except BaseException:
                del sys.modules[name]
                raise
        return sys.modules[name]


def _folder_of(package: str) -> str:
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise ImportError(f"no package {package}")
    return os.path.dirname(spec.origin)


def tflite() -> Any:
    """TFLite's native interpreter, with the function `CreateWrapperFromBuffer`."""
    package, name = "lite.python.interpreter_wrapper", "_pywrap_tensorflow_interpreter_wrapper"
    path = f"{package.replace('.', '/')}/{name}.so"
    return module_of("TensorFlow", "tensorflow", path, f"tensorflow.{package}.{name}")


def tflite_schema() -> Any:
    """The module of the names and numbers in a TFLite model."""
    name = "schema_py_generated"
    return module_of("TensorFlow", "tensorflow", f"lite/python/{name}.py", name)


@functools.cache
def tensorflow_io() -> Any:
    """The module `tensorflow_io`."""
    tensorflow()
    with importing("tensorflow-io"):
        import tensorflow_io

        return tensorflow_io


@functools.cache
def keras() -> Any:
    """The module `keras`."""
    tensorflow()
    with importing("Keras"):
        import keras

        return keras


@functools.cache
def pydicom() -> Any:
    """The module `pydicom`, with its parts that read pixels."""
    with importing("pydicom"):
        import pydicom
        import pydicom.encaps
        import pydicom.pixels

        return pydicom


@functools.cache
def openvino() -> Any:
    """The module `openvino`, which then tells nobody of it.

    It comes with openvino-telemetry, which sends what is imported and converted to Google Analytics unless a file in
    the user's home forbids it. Without that package it sends nothing: so it finds none.

    Raises:
        LookalikeError: if it is not installed, naming what to install.
    """
    _without_telemetry("openvino")
    with importing("OpenVINO"):
        import openvino

        return openvino


@functools.cache
def nncf() -> Any:
    """The module `nncf`, as `openvino`."""
    openvino()
    _without_telemetry("nncf")
    with importing("NNCF"):
        import nncf

        return nncf


def _without_telemetry(package: str) -> None:
    """Makes every later import of openvino-telemetry fail. Raises LookalikeError if `package` is not installed."""
    if importlib.util.find_spec(package) is None:
        raise LookalikeError(
            f"Expected {package}, for the OpenVINO variant of an encoder. Received: none; {install('openvino')}"
        )
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]


@functools.cache
def sklearn() -> Any:
    """The module `sklearn`, with `covariance`, `decomposition`, `isotonic` and `linear_model`."""
    with importing("scikit-learn"):
        import sklearn
        import sklearn.covariance
        import sklearn.decomposition
        import sklearn.isotonic
        import sklearn.linear_model

        return sklearn


@functools.cache
def tifffile() -> Any:
    """The module `tifffile`, which then keeps to itself what it thinks of a file: it would log it, file by file."""
    with importing("tifffile"):
        import tifffile

        logging.getLogger("tifffile").setLevel(logging.CRITICAL + 1)
        return tifffile


@functools.cache
def codec(name: str) -> Any:
    """A function of `imagecodecs`, which imports the library behind it only now, and logs nothing: as `tifffile`."""
    with importing("imagecodecs"):
        import imagecodecs

        logging.getLogger("imagecodecs").setLevel(logging.CRITICAL + 1)
        return getattr(imagecodecs, name)
