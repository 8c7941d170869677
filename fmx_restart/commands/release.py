"""What bench safe-restart release does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from shlex import quote

import click

from fmx_restart.commands.hold import owner_of, shown, tell
from fmx_restart.commands.parameters import Parameters
from fmx_restart.commands.restart import exit_on_error
from fmx_restart.console.holds import RELEASE, each, lapse, queue_now, released_line, unknown
from fmx_restart.current_bench import requester
from fmx_restart.engine.errors import BenchBusy, HoldLapsed, OperationError
from fmx_restart.engine.ports import HeldQueue, Release, ReleaseEnd
from fmx_restart.wiring import queue_holds, read_held_queue

LONGER = "Next time hold it for longer: bench safe-restart hold --for 2h; typed again, it extends the hold."
LAPSED = (ReleaseEnd.BROKEN, ReleaseEnd.EXPIRED)


def run(context: click.Context, parameters: Parameters) -> None:
	"""`parameters`: as click has read them."""
	owner, lifts_all, as_json = owner_of(context, parameters), parameters["lifts_all"], parameters["as_json"]
	if lifts_all and parameters["owner"]:
		raise click.UsageError("Use --owner or --all, not both. Nothing was changed.", context)
	with exit_on_error(as_json=as_json):
		owners = all_owners() if lifts_all else [owner]
		done = {name: queue_holds().release(name, requester()) for name in owners}
		queue = read_held_queue()
		refuse(done, queue)
		lines = [released_line(name, one) for name, one in done.items()]
		lines = [*(lines or ["No hold of this bench stands."]), queue_now(queue)]
		released = {name: asdict(one) for name, one in done.items()}
		tell(lines, {"released": released, **shown(queue)}, as_json=as_json)


def all_owners() -> Sequence[str]:
	"""Of the holds that commands of this bench made. Raises WrongEnvironment, QueueUnreachable."""
	queue = read_held_queue()
	ours = [hold for hold in queue.holds if hold.bench == queue.bench and not hold.is_beginning]
	return [hold.owner for hold in ours]


def refuse(done: dict[str, Release], queue: HeldQueue) -> None:
	"""Raises HoldLapsed for a hold that had ended before or has not stood, BenchBusy where only others hold the queue."""
	for owner, one in done.items():
		if one.end in LAPSED:
			hint = LONGER if one.end is ReleaseEnd.EXPIRED else ""
			raise HoldLapsed(f"{lapse(owner, one, queue.look.time)} {queue_now(queue)}", hint=hint)
		if one.end is ReleaseEnd.UNKNOWN:
			raise of_unknown(owner, queue)


def of_unknown(owner: str, queue: HeldQueue) -> OperationError:
	"""Nothing is known of a hold by this name."""
	if not queue.holds:
		return HoldLapsed(unknown(owner, queue_holds().serves_since()), hint=queue_now(queue))
	others = " ".join(each(queue.holds, queue.bench))
	ours = [hold for hold in queue.holds if hold.bench == queue.bench and not hold.is_beginning]
	hint = "A hold that waits for running jobs ends with its command: stop that with Ctrl-C."
	if ours:
		hint = f"To lift that one, type: {RELEASE} --owner {quote(ours[-1].owner)}"
	elif not any(hold.is_beginning for hold in queue.holds):
		hint = "Lift it in that bench."
	return BenchBusy(f"There is no hold by {owner}. {others} Nothing was changed.", hint=hint)
