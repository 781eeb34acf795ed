"""`tenant`: a stage that gives each tenant a virtual Docker host of its own."""

from .tenant import Tenant

__all__ = ["Tenant"]
