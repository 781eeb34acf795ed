"""Dockerfiles as data: their lines and instructions, read as the classic builder reads them."""
