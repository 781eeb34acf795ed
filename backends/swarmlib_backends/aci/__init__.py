"""`aci`: Azure Container Instances. The SDK is imported when a chain is opened."""

from .aci import Aci

__all__ = ["Aci"]
