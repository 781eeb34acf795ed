"""Kubernetes' own documents, and a kubeconfig's client, for tests."""
