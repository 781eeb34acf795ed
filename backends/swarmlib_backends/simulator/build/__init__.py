"""The classic builder of a simulated engine: a Dockerfile and its context in, an image out.

request     what a call asks for            lines         a Dockerfile's logical lines, and the words in them
context     the files that come with it     instructions  what the lines say: stages and their steps
builder     a build, step by step           expansion     variables in words
copying     COPY and ADD                    arguments     the values of ARG
                                            configuration what steps change of an image's configuration
"""
