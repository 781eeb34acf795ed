"""Microsoft.ContainerInstance: container groups, what runs in them, and their two WebSockets.

The behaviour is that of the API version 2023-05-01, by Microsoft's OpenAPI document and its examples. The sockets are
not in there: they are played as the Azure CLI and Docker's own integration (compose-cli) use them.
"""
