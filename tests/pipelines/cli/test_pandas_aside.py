"""pyarrow works without pandas, and pandas with pyarrow, once it has been left aside."""

import subprocess
import sys

import pytest

CODE = """
import sys
from lookalike.cli.pandas_aside import leave_pandas_aside
leave_pandas_aside()
import numpy as np, pyarrow as pa
table = pa.table({"a": pa.array(["x", None]), "b": np.arange(2)})
assert table.to_pylist() == [{"a": "x", "b": 0}, {"a": None, "b": 1}]
assert "pandas" not in sys.modules
"""
WITH = """
frame = table.to_pandas()
import pandas as pd
assert frame["b"].tolist() == [0, 1] and pa.Table.from_pandas(frame[["b"]]).num_rows == 2
"""


@pytest.mark.parametrize("more", ["", WITH])
def test_no_pandas_unless_somebody_wants_it(more):
    if more:
        pytest.importorskip("pandas")
    done = subprocess.run([sys.executable, "-c", CODE + more], capture_output=True, text=True, check=False)
    assert not done.returncode, done.stderr
