"""The translation between Docker's containers and Kubernetes' objects: pure functions, without any I/O."""
