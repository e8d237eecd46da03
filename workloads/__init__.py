"""What is computed: problems, the network's graph, the ONNX reader, the model zoo."""
