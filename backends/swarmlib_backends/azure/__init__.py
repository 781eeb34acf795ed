"""`azure`: Azure's virtual machines, as workloads or as engines. The SDK is imported when a chain is opened."""

from .azure import Azure

__all__ = ["Azure"]
