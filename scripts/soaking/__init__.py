"""The soak: the same faults as in the tests, for as long as one likes."""
