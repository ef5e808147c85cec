"""A command: ``datakit shout WORDS``."""

import click


@click.command("shout")
@click.argument("words")
def command(words):
    """Say WORDS louder."""
    click.echo(words.upper())
