"""Dockerfiles as data: their lines, and what each says, read as the classic builder reads them."""
