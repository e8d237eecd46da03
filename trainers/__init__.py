"""PyTorch recipes that train networks and export ONNX (extra ``train``)."""
