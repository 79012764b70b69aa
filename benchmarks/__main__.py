"""`python -m benchmarks [NAME ...]`: measures, and prints each figure as one line of JSON."""

from collections.abc import Callable, Iterator, Mapping
from typing import Final, TypeAlias

import click
import msgspec

from benchmarks.command import BenchmarkFailed
from benchmarks.demo import demo
from benchmarks.export import export
from benchmarks.figure import Figure
from benchmarks.figures import figures
from benchmarks.ground import Ground, open_ground
from benchmarks.identity import public_sets, shoppers
from benchmarks.ingest import ingest
from benchmarks.linkage import linkage
from benchmarks.memory import memory
from benchmarks.online import online
from benchmarks.reads import reads
from benchmarks.rebuild import rebuild
from benchmarks.scoring import scoring
from benchmarks.segments import segments
from cdp.errors import CdpError

Benchmark: TypeAlias = Callable[[Ground, float], Iterator[Figure]]

BENCHMARKS: Final[Mapping[str, Benchmark]] = {
    "ingest": ingest,
    "memory": memory,
    "demo": demo,
    "reads": reads,
    "scoring": scoring,
    "segments": segments,
    "rebuild": rebuild,
    "figures": figures,
    "public_sets": public_sets,
    "shoppers": shoppers,
    "linkage": linkage,
    "export": export,
    "online": online,
}


@click.command()
@click.argument("names", metavar="[NAME ...]", nargs=-1, type=click.Choice(list(BENCHMARKS)))
@click.option(
    "--scale",
    type=click.FloatRange(min=0, min_open=True),
    default=1.0,
    show_default=True,
    help="A share of the full sizes: 0.01 shows that it runs, and measures nothing.",
)
def main(names: tuple[str, ...], scale: float) -> None:
    """Measure, on CDP_DATABASE_URL's server or an embedded one; NAMEs in place of everything."""
    try:
        with open_ground() as ground:
            for name in names or BENCHMARKS:
                for figure in BENCHMARKS[name](ground, scale):
                    click.echo(msgspec.json.encode(figure))
    except (BenchmarkFailed, CdpError) as error:
        raise click.ClickException(str(error)) from error


if __name__ == "__main__":
    main()
