"""`cdp resolve`: batch identity resolution with probabilistic linkage."""

from dataclasses import asdict

import click

from cdp.cli.session import Session, runs
from cdp.identity.linkage.spark import compare_on_spark
from cdp.identity.linkage.vectors import compare_here
from cdp.identity.rules import Cuts
from cdp.refresh import follow
from cdp.resolving import Resolved, resolve_batch


@click.command("resolve")
@click.option(
    "--full", is_flag=True, help="Train a new model on everybody; else go on with whoever is new."
)
@click.option(
    "--calibrate",
    is_flag=True,
    help="Train, and make the cuts for these data even where a person has set them.",
)
@click.option(
    "--engine",
    type=click.Choice(["duckdb", "spark"]),
    default="duckdb",
    show_default=True,
    help="Where pairs are compared: in this process, or on the cluster of Spark's own settings.",
)
@runs
async def resolve(session: Session, *, full: bool, calibrate: bool, engine: str) -> None:
    """Compare customers across sources, join who is alike enough, and ask about who may be.

    What to join and what to ask is learned from the data themselves; cdp identity rules shows the
    cuts, and those that a person applies there stay. The first run trains a model, later ones
    compare whoever is new with everybody.
    """
    compare = compare_on_spark if engine == "spark" else compare_here
    async with session.database() as database:
        workspace = await session.workspace(database)
        resolved = await resolve_batch(
            database, workspace, full=full, calibrate=calibrate, engine=compare
        )
        await follow(database, workspace)
    session.show(asdict(resolved), _text(resolved))


def _text(run: Resolved) -> str:
    done = "Trained linkage model" if run.is_full else "Went on with linkage model"
    return (
        f"{done} {run.model_version}: {run.compared:,} of {run.profiles:,} source profiles compared"
        f" in {run.candidates:,} pairs.\n"
        f"Alike enough to join (weight {run.join_weight:.1f} and more): {run.joining:,} pairs."
        f" Left to a person ({run.review_weight:.1f} and more): {run.asking:,}.\n"
        f"{_cuts(run)}"
        f"Customers joined: {run.joined:,}, parted: {run.parted:,};"
        f" {run.more_customers:+,} customers. {run.seconds:.1f} s, of which linkage"
        f" {run.link_seconds:.1f} s."
    )


def _cuts(run: Resolved) -> str:
    """A line on whose the cuts are, where that is news; else empty."""
    calibrated, former = run.calibrated, run.former
    if run.held_by is not None:
        return (
            f"The cuts are those that {run.held_by} set. Made for these data they would be"
            f" {calibrated.join_weight:.1f} and {calibrated.review_weight:.1f}: cdp resolve"
            " --calibrate takes them.\n"
        )
    if former not in (Cuts(), Cuts(run.join_weight, run.review_weight)):
        return (
            f"The cuts are made for these data; before they were {former.join_weight:.1f} and"
            f" {former.review_weight:.1f}.\n"
        )
    return ""
