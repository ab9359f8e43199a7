"""Pixels and tensors: decoding, augmentation, SimCLR, encoding, probes. Runs alone, on torch, timm and scikit-learn."""
