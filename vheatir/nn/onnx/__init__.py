"""The networks as ONNX graphs, written node by node: milliseconds, where tracing a pyramid takes many minutes."""
