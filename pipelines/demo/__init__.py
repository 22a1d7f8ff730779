"""What `make demo` runs: a catalogue of views of some photographs, all jobs on it, the score.

Others use `run.demo`. May import every room but cli and evaluate.
"""
