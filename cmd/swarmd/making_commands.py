"""`swarmd certs` and `swarmd new-backend`: files for a first try."""

from __future__ import annotations

from pathlib import Path

import click

from .reporting import EXIT_USAGE, reporting


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.argument("hosts", nargs=-1, metavar="[HOST]...")
@click.option("--client", "clients", multiple=True, metavar="NAME", help="Also make a certificate for the client NAME.")
def certs(folder: Path, hosts: tuple[str, ...], clients: tuple[str, ...]) -> None:
    """Make certificates for a first try of TLS, with Docker's file names.

    The files in FOLDER are an authority (ca.pem, ca-key.pem), a server's certificate for localhost and each HOST
    (server-cert.pem, server-key.pem), and a client's certificate (cert.pem, key.pem). --client adds NAME-cert.pem and
    NAME-key.pem, also later and from the same authority; a chain knows that client as cert:NAME. No file is
    overwritten.

    \b
      swarmd certs certs swarm.example.org
      swarmd 'dockerserver tcp://0.0.0.0:2376 --tlsverify --tlscacert certs/ca.pem
              --tlscert certs/server-cert.pem --tlskey certs/server-key.pem' docker
      docker --tlsverify --tlscacert certs/ca.pem --tlscert certs/cert.pem --tlskey certs/key.pem
             -H tcp://swarm.example.org:2376 ps
    \b
      swarmd certs certs b.example.org --client laptop
      swarmd 'listen tls://0.0.0.0:4244 --ca certs/ca.pem
              --cert certs/server-cert.pem --key certs/server-key.pem' docker
      swarmd 'dockerserver unix:///tmp/b.sock' 'remote tls://b.example.org:4244 --ca certs/ca.pem
              --cert certs/laptop-cert.pem --key certs/laptop-key.pem'
    """
    with reporting(EXIT_USAGE):
        from .certs import make

        for path in make(folder, hosts, clients):
            click.echo(path)


@click.command("new-backend")
@click.option(
    "--kind",
    type=click.Choice(["filter", "leaf", "source"]),
    default="filter",
    show_default=True,
    help="The kind of the backend.",
)
@click.argument("name")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
def new_backend(name: str, folder: Path, kind: str) -> None:
    """Write a working package for a new backend, with tests.

    A filter stands between stages, a leaf runs workloads, and a source stands at the head of a chain. FOLDER must be
    new or empty.

    \b
      swarmd new-backend mine swarmlib-mine
      cd swarmlib-mine
      pip install -e '.[test]'
      pytest
      swarmd "dockerserver unix://$PWD/swarm.sock" mine exec
    """
    with reporting(EXIT_USAGE):
        from .new_backend import make

        for path in make(name, folder, kind):
            click.echo(path)
