"""What `import lookalike` gives to a program: the calls behind the commands, and what they open.

May import every room but cli and demo.
"""

import os

# Before TensorFlow is imported: it prints dozens of lines about the processor otherwise.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
