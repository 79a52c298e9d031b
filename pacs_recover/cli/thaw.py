"""``pacs-recover thaw``: the one request of this program that changes a bucket."""

from __future__ import annotations

import click

from pacs_recover import catalog, thawing
from pacs_recover.cli import output
from pacs_recover.cli.asking import ask
from pacs_recover.cli.context import Context, guarded, interactive, json_option
from pacs_recover.errors import Refused, UsageError
from pacs_recover.text import both_times, safe, size
from pacs_recover.thawing import Offer, Tier


@click.command()
@click.argument("backup")
@click.option("--tier", type=click.Choice(thawing.TIERS), default="Standard", show_default=True, help="How fast.")
@click.option("--days", type=int, default=thawing.DAYS, show_default=True, help="How long the copy stays.")
@click.option("--yes", is_flag=True, help="Ask for it without a question, for scripts.")
@json_option
@click.pass_obj
@guarded
def thaw(context: Context, backup: str, tier: Tier, days: int, yes: bool, as_json: bool) -> None:
    """Have an archived BACKUP in S3 made readable, which costs.

    Shows first how long each tier takes against the RTO. At a terminal you type yes; without one it needs --yes. What
    can be read or is being thawed already is left alone. Exit status: 0; 3 where the bucket cannot be read; 5 refused.
    """
    context.must_write("a thaw")
    if not yes and not interactive():
        raise Refused("a thaw costs, and is confirmed at a terminal", "without one: pacs-recover thaw BACKUP --yes")
    offer = thawing.look(context.site, catalog.find(context.catalog(), backup), context.state)
    asked = tier if offer.tiers else None
    if asked:
        _must_have(offer, tier)
        if not yes:
            _print(offer, err=True)
            _confirm(tier, days)
        offer = thawing.ask(context.site, offer.backup, context.state, context.authority, tier, days)
    if as_json:
        return output.document(thawing.to_json(offer, asked, days))
    _print(offer)
    if asked:
        output.say(f"asked for; its state: pacs-recover catalog {offer.backup.component}")
    return None


def _must_have(offer: Offer, tier: Tier) -> None:
    """UsageError for a tier that this storage class lacks."""
    if tier not in offer.tiers:
        what = f"{safe(offer.now.storage_class)} has no tier {tier}"
        raise UsageError(what, f"name --tier {' or '.join(offer.tiers)}")


def _print(offer: Offer, *, err: bool = False) -> None:
    backup = offer.backup
    output.paragraph(f"{safe(backup.id)}, taken {both_times(backup.taken_at)}, {size(backup.size)}", err=err)
    output.facts(offer.facts(), err=err)


def _confirm(tier: Tier, days: int) -> None:
    """Have the operator type yes. Refused where it is anything else, Interrupted by ctrl-c."""
    if ask(f"Ask for it with tier {tier}, to stay {days} days? Type yes: ", "nothing was asked for") != "yes":
        raise Refused("nothing was asked for", "type yes, in full, to ask for it")
