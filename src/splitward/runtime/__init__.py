"""What runs where split inference runs: bundles, the edge and the cloud. Free of torch."""
