"""Images: what their registries say of them. The nodes of the cluster pull them when a container needs them."""
