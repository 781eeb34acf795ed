"""The registries of images, and what they say of an image before it is pulled."""
