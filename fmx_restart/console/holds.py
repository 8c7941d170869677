"""What people are told of holds of the queue."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from shlex import quote

from fmx_restart.engine.errors import BenchBusy, HoldLapsed, OperationError
from fmx_restart.engine.format import count, span
from fmx_restart.engine.identity import describe
from fmx_restart.engine.ports import HeldQueue, Release, ReleaseEnd
from fmx_restart.engine.queue_hold import QueueHold, by_whom, clock_time

RELEASE = "bench safe-restart release"
LONGER = "Next time hold it for longer: bench safe-restart hold --for 2h; typed again, it extends the hold."
LAPSED = (ReleaseEnd.BROKEN, ReleaseEnd.EXPIRED)
BROKEN = "someone lifted the suspension meanwhile (rq resume), or Redis lost it: jobs may have run since {}"


def held_lines(made: QueueHold, queue: HeldQueue, *, owner: str | None) -> list[str]:
	"""After a hold was made. `owner`: as it was typed; None where it is the user's own name."""
	left = span(round(made.until - queue.look.time))
	lines = [
		f"The queue is held until {clock_time(made.until)} ({left}) by {made.name}. No worker starts a job until then."
	]
	if not made.has_stood:
		lines.append(f"Warning: the hold was there before, and {BROKEN.format(clock_time(made.since))}.")
	if queue.running:
		lines.append(f"{count(queue.running, 'job')} still {verb(queue.running)}; --drain waits for that.")
	if queue.look.other_benches:
		lines.append(f"Held too, as they use the same Redis: {workers_of(queue.look.other_benches)}.")
	others = [hold for hold in queue.holds if not is_same(hold, made)]
	lines += each(others, queue.bench)
	typed = "" if owner is None else f" --owner {quote(owner)}"
	return [*lines, f"To lift it, type: {RELEASE}{typed}"]


def is_same(hold: QueueHold, other: QueueHold) -> bool:
	"""By the same owner of the same bench."""
	return (hold.bench, hold.owner) == (other.bench, other.owner)


def verb(number: int) -> str:
	"""1 job runs, 2 jobs run."""
	return "runs" if number == 1 else "run"


def workers_of(benches: Mapping[str, int]) -> str:
	"""How many of each bench."""
	return ", ".join(f"{count(number, 'worker')} of {bench}" for bench, number in sorted(benches.items()))


def each(holds: Collection[QueueHold], bench: str) -> Iterator[str]:
	"""A sentence or two for each hold. `bench`: the one in which it is told."""
	for hold in holds:
		who = hold.name if hold.bench == bench else f"{hold.name} of bench {hold.bench}"
		typed = f"; typed by {hold.by}" if hold.by else ""
		if hold.is_beginning:
			yield f"{who} is about to hold the queue, and waits for running jobs{typed}."
			continue
		since = f" at {clock_time(hold.since)}" if typed and hold.since else ""
		yield f"{who} holds the queue until {clock_time(hold.until)}{typed}{since}."
		if not hold.has_stood:
			yield f"That hold has not stood all the time: {BROKEN.format(clock_time(hold.since))}."


def status_lines(queue: HeldQueue, asked: Sequence[QueueHold]) -> list[str]:
	"""`asked`: those that are meant. The first line tells whether the queue is held."""
	holds = [hold for hold in asked if not hold.is_beginning]
	if queue.look.suspension is None:
		first = "The queue is running." if not holds else "The queue is running, although it was to be held."
	elif holds:
		first = f"The queue is held {by_whom(holds)}."
	else:
		first = f"No hold stands. The queue is suspended by: {describe(queue.look.suspension)}"
	lines = [first, *(f"  {line}" for line in each(asked, queue.bench))]
	if holds and (other := suspended_by(queue)):
		lines.append(f"  It is also suspended by: {other}")
	waiting = sum(queue.look.depths.values())
	return [*lines, f"{count(queue.running, 'job')} {verb(queue.running)}, {waiting:,} wait."]


def suspended_by(queue: HeldQueue) -> str:
	"""Whom RQ's key names, in words; empty where that is a hold."""
	value = queue.look.suspension
	return "" if value is None or QueueHold.parse(value) else describe(value)


def queue_now(queue: HeldQueue) -> str:
	"""Whether it runs, after a release."""
	holds = [hold for hold in queue.holds if not hold.is_beginning]
	if queue.look.suspension is None:
		return "The queue is running."
	if holds:
		return f"The queue stays held {by_whom(holds)}."
	return f"The queue stays suspended by: {describe(queue.look.suspension)}."


def released_line(owner: str, done: Release) -> str:
	"""One that was lifted, now or before."""
	if done.end is ReleaseEnd.RELEASED_BEFORE:
		return f"The hold by {owner} was released before, at {clock_time(done.ended)}."
	lasted = f" It stood for {span(done.ended - done.hold.since)}." if done.hold else ""
	return f"The hold by {owner} is lifted.{lasted}"


def lapse(owner: str, done: Release, now: float) -> str:
	"""One that had ended before it was to be lifted, or had not stood. `now`: by Redis' clock."""
	since = clock_time(done.hold.since) if done.hold else ""
	if done.end is ReleaseEnd.BROKEN:
		return f"The hold by {owner} has not stood all the time: {BROKEN.format(since)}. It is lifted now."
	ago = span(max(0.0, round(now - done.ended)))
	return (
		f"The hold by {owner} had ended at {clock_time(done.ended)}, {ago} ago: jobs may have run since then."
	)


def unknown(owner: str, serves_since: float) -> str:
	"""Nothing is known of such a hold, and nobody else holds the queue."""
	return (
		f"There is no hold by {owner} to lift. If one was made before {clock_time(serves_since)}, when Redis was started, it was"
		" lost then, and jobs may have run."
	)


def release_refusal(
	owner: str, done: Release, queue: HeldQueue, serves_since: Callable[[], float]
) -> OperationError | None:
	"""
	HoldLapsed for a hold that had ended before it was to be lifted, or has not stood; BenchBusy where only others hold the
	queue; None where all is well. `serves_since`: when Redis was started.
	"""
	if done.end in LAPSED:
		hint = LONGER if done.end is ReleaseEnd.EXPIRED else ""
		return HoldLapsed(f"{lapse(owner, done, queue.look.time)} {queue_now(queue)}", hint=hint)
	if done.end is not ReleaseEnd.UNKNOWN:
		return None
	if not queue.holds:
		return HoldLapsed(unknown(owner, serves_since()), hint=queue_now(queue))
	text = f"There is no hold by {owner}. {' '.join(each(queue.holds, queue.bench))} Nothing was changed."
	return BenchBusy(text, hint=how_to_lift(queue))


def how_to_lift(queue: HeldQueue) -> str:
	"""What others hold."""
	ours = [hold for hold in queue.holds if hold.bench == queue.bench and not hold.is_beginning]
	if ours:
		return f"To lift that one, type: {RELEASE} --owner {quote(ours[-1].owner)}"
	if any(hold.is_beginning for hold in queue.holds):
		return "A hold that waits for running jobs ends with its command: stop that with Ctrl-C."
	return "Lift it in that bench."
