"""The classic builder of a simulated engine: a Dockerfile and its context in, an image out.

request     what a call asks for            expansion     variables in words
context     the files that come with it     stage         a stage as it goes on, and its ARGs
builder     a build, step by step           configuration what steps change of an image's configuration
copying     COPY and ADD

What a Dockerfile says is read by the package `dockerfile`, which balance reads contexts with, too.
"""
