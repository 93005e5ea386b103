"""Networks as evaluators: what runs them, which is fastest here, and ONNX."""
