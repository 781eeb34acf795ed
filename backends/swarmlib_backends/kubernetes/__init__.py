"""A Kubernetes cluster that answers the Docker API."""

from .kubernetes import Kubernetes

__all__ = ["Kubernetes"]
