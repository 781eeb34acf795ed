"""The network: addresses, and the byte streams to and from them (TCP, TLS, unix sockets, ssh, stdio).

`address` says which there are, `dialling` opens one, `listening` waits for them. The sessions of the wire and the HTTP
of the docker backends both run over these streams, which know neither.
"""
