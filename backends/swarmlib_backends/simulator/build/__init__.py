"""The classic builder of a simulated engine: a Dockerfile and its context in, an image out.

request     what a call asks for            stage         a stage as it goes on
context     the files that come with it     configuration what steps change of an image's configuration
builder     a build, step by step           copying       COPY and ADD

What a Dockerfile says is read by the package `dockerfile`, which other stages use too.
"""
