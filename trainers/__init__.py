"""Recipes that train small networks with PyTorch and export them to ONNX; the `train` extra brings what they need."""
