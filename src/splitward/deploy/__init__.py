"""From what was audited to what is deployed: the two halves as ONNX, in signed bundles."""
