"""For every test: one thread per numerical library.

The networks here are tiny. Several threads of several processes on a few cores only wait for each other: a training of
forty steps took 110 s instead of 10 s beside another busy process.
"""

import os

for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(name, "1")  # before torch and numpy are imported; child processes inherit it
