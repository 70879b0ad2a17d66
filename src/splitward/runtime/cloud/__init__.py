"""The server of the cloud's halves: the Open Inference Protocol over gRPC and HTTP, with dynamic batching."""
