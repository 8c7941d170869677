"""Whether a restart can begin now, in one sentence, which everybody shows: Desk, the terminal, the doctor, --json, the API."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from fmx_restart.engine.events import Level
from fmx_restart.engine.format import span
from fmx_restart.engine.frozen import frozen
from fmx_restart.engine.identity import Holder, is_strangers
from fmx_restart.engine.notes import MOST_SHOWN
from fmx_restart.engine.options import ONE_BY_ONE, OnTimeout, Options, Strategy
from fmx_restart.engine.phases import doing
from fmx_restart.engine.plain_text import printable
from fmx_restart.engine.plan import Plan, likely, longest
from fmx_restart.engine.ports import Job, Look
from fmx_restart.engine.queue_hold import QueueHold
from fmx_restart.engine.steps.findings import plan_refusals

#: From English into the language of the reader
Translate = Callable[[str], str]


def untranslated(text: str) -> str:
	"""For a terminal and for programs."""
	return text


@frozen
class Verdict:
	"""
	`level`: info where nothing has to be waited for, note where running jobs end in time, warning where jobs would be
	killed or the restart would give up, error where it would be refused.
	"""

	level: Level
	text: str
	has_reason: bool = False  # the text names one, which may be of the bench's own matters

	@property
	def is_refusal(self) -> bool:
		"""A restart would be refused now."""
		return self.level is Level.ERROR

	def as_dict(self) -> dict[str, str]:
		"""For JSON."""
		return {"level": self.level.value, "text": self.text}


@frozen
class AtWork:
	"""The operation that holds the bench. `phase`: empty where its note does not say it."""

	operation: str
	phase: str = ""

	@classmethod
	def of_note(cls, note: str | None) -> AtWork | None:
		"""`note`: the value of the bench's lock; None while nobody holds the bench."""
		if not note:
			return None
		holder = Holder.parse(note)
		if holder is None:  # of another version, or of someone else
			return cls(printable(note.partition(" ")[0], MOST_SHOWN))
		return cls(holder.operation, holder.phase)


@frozen
class Situation:
	"""What the verdict depends on. Durations are seconds."""

	jobs: int = 0  # that run
	longest: float | None = 0.0  # until the last of them hits its own limit; None: no limit
	likely: float | None = 0.0  # if they take as long as their like did; None: nobody knows
	at_work: AtWork | None = None
	waiting: int = 0  # jobs in queues
	suspension: str | None = None  # the value of rq:suspended while no operation holds the bench
	refusals: tuple[str, ...] = ()  # why the preflight would refuse a restart
	trouble: str = ""  # why it would fail, although nothing refuses it

	@classmethod
	def of_look(
		cls,
		look: Look,
		jobs: Iterable[Job],
		usual: Mapping[str, float],
		*,
		at_work: AtWork | None = None,
		refusals: Iterable[str] = (),
	) -> Situation:
		"""`jobs`: those that run and are worth naming. `usual`: method → seconds that finished jobs of it took."""
		jobs = tuple(jobs)
		return cls(
			jobs=len(jobs),
			longest=longest(jobs, look.time),
			likely=likely(jobs, usual, look.time),
			waiting=sum(look.depths.values()),
			suspension=look.suspension,
			at_work=at_work,
			refusals=tuple(refusals),
		)


def verdict_of_plan(
	plan: Plan, options: Options, at_work: AtWork | None = None, _: Translate = untranslated
) -> Verdict:
	"""Of one restart with these options."""
	return verdict(situation_of_plan(plan, options, at_work), options, _)


def situation_of_plan(plan: Plan, options: Options, at_work: AtWork | None = None) -> Situation:
	"""What the plan knows of it."""
	return Situation(
		jobs=len(plan.jobs),
		longest=plan.longest,
		likely=plan.likely,
		waiting=sum(plan.depths.values()),
		suspension=plan.suspension,
		at_work=at_work,
		refusals=tuple(plan_refusals(plan, options)),
		trouble=str(plan.web_taken or ""),
	)


def verdict(situation: Situation, options: Options, _: Translate = untranslated) -> Verdict:
	"""`options`: of the restart that someone thinks of."""
	if situation.at_work:
		return refused(under_way(situation.at_work, _), _)
	if situation.refusals:
		return refused(situation.refusals[0], _)
	if situation.trouble:
		return troubled(situation.trouble, _)
	found = about_jobs(situation, options, _)
	stopped = how_queue_is_stopped(situation, _)
	return Verdict(Level.WARNING, f"{found.text}. {stopped}") if stopped else found


def how_queue_is_stopped(situation: Situation, _: Translate) -> str:
	"""That no job starts, before the restart nor after it; empty where the queue runs. Names nobody: every site may see it."""
	if QueueHold.parse(situation.suspension):
		what = _("The queue is held")
	elif is_strangers(situation.suspension):
		what = _("The queue is suspended")
	else:
		return ""
	if not situation.waiting:
		return _("{0}, also after a restart: no job starts").format(what)
	waiting = _("1 job waits") if situation.waiting == 1 else _("{0} jobs wait").format(situation.waiting)
	return _("{0}, also after a restart: {1}").format(what, waiting)


def about_jobs(situation: Situation, options: Options, _: Translate) -> Verdict:
	"""What becomes of those that run."""
	if not options.touches_jobs:
		return Verdict(Level.INFO, _("Safe now: workers and their jobs are left alone"))
	if not situation.jobs:
		return Verdict(Level.INFO, _("Safe now: no job is running"))
	if options.strategy in ONE_BY_ONE:
		return Verdict(Level.INFO, one_by_one(situation.jobs, _))
	return with_jobs(situation, options, _)


def recommended(situation: Situation, options: Options, _: Translate = untranslated) -> tuple[Strategy, str]:
	"""The safest strategy that does not kill a job, and why."""
	if options.migration:
		return Strategy.WAIT_WORKERS, _("A migration needs idle workers.")
	if not situation.jobs:
		return Strategy.WAIT_WORKERS, _("No job is running: there is nothing to wait for.")
	patience = options.drain_timeout if options.strategy is Strategy.WAIT_WORKERS else Options().drain_timeout
	if situation.longest is not None and situation.longest <= patience:
		return Strategy.WAIT_WORKERS, _("The running jobs end within the time they get, by their own limits.")
	if situation.likely is not None and situation.likely <= patience:
		return Strategy.WAIT_WORKERS, _("The running jobs usually end within the time they get.")
	text = _("A job may need more than {0}: this way none is cut off, and waiting jobs go on starting.")
	return Strategy.ROLLING, text.format(span(patience))


def verdict_of_recommended(situation: Situation) -> Verdict:
	"""What a person who has chosen nothing yet is told."""
	strategy, _why = recommended(situation, Options())
	return verdict(situation, Options(strategy))


def under_way(at_work: AtWork, _: Translate) -> str:
	"""The other operation, and where it stands."""
	if not at_work.phase:
		return _("operation {0} is under way").format(at_work.operation)
	return _("operation {0} is under way, {1}").format(at_work.operation, _(doing(at_work.phase)))


def refused(reason: str, _: Translate = untranslated) -> Verdict:
	"""`reason`: a sentence, or the beginning of several."""
	return Verdict(Level.ERROR, _("Not now: {0}").format(reason.rstrip(".")), has_reason=True)


def first_sentence(text: str) -> str:
	"""What happened; what was not changed by it goes without saying where nothing was tried."""
	return text.partition(". ")[0].rstrip(".")


def troubled(reason: str, _: Translate) -> Verdict:
	"""Nothing would refuse it, and yet it would fail."""
	text = _("Web would not come up again: {0}").format(reason.rstrip("."))
	return Verdict(Level.WARNING, text, has_reason=True)


def for_other_sites(found: Verdict, _: Translate = untranslated) -> Verdict:
	"""For sites that do not command the bench: a reason may name its programs, its files, or other sites."""
	if not found.has_reason:
		return found
	why = _("the people who run this bench see why")
	return refused(why, _) if found.is_refusal else troubled(why, _)


def may_kill(plan: Plan, options: Options) -> bool:
	"""Whether jobs run that this restart kills, unless they end sooner than can be expected."""
	if not plan.jobs or options.strategy in ONE_BY_ONE or options.on_timeout is OnTimeout.ABORT:
		return False
	return about_jobs(situation_of_plan(plan, options), options, untranslated).level is Level.WARNING


def one_by_one(jobs: int, _: Translate) -> str:
	"""Each worker is replaced after its own job."""
	if jobs == 1:
		return _("Safe now, worker by worker: 1 job is running, and its worker is replaced when it ends")
	text = _(
		"Safe now, worker by worker: {0} jobs are running, and each worker is replaced when its job ends"
	)
	return text.format(jobs)


def with_jobs(situation: Situation, options: Options, _: Translate) -> Verdict:
	"""How long they take, and what happens where that is longer than they get."""
	jobs, patience = situation.jobs, options.drain_timeout
	running = _("1 job is running") if jobs == 1 else _("{0} jobs are running").format(jobs)
	text = f"{running}, {how_long(situation, _)}"
	expected = situation.longest if situation.likely is None else situation.likely
	if expected is not None and expected <= patience:
		return Verdict(Level.NOTE, text)
	return Verdict(Level.WARNING, f"{text}: {at_the_end(jobs, patience, options.on_timeout, _)}")


def how_long(situation: Situation, _: Translate) -> str:
	"""As their like did; else by their own limits."""
	if situation.likely is not None:
		return _("likely {0} more").format(span(situation.likely))
	if situation.longest is None:
		return _("without a time-out")
	text = _("with {0} until its time-out") if situation.jobs == 1 else _("with {0} until their time-out")
	return text.format(span(situation.longest))


def at_the_end(jobs: int, patience: float, on_timeout: OnTimeout, _: Translate) -> str:
	"""What happens to those that still run after `patience` seconds."""
	time = span(patience)
	if on_timeout is OnTimeout.ABORT:
		return _("a restart waits {0}, then gives up").format(time)
	if on_timeout is OnTimeout.REQUEUE:
		text = (
			_("it is killed after {0} and runs again")
			if jobs == 1
			else _("they are killed after {0} and run again")
		)
	else:
		text = _("it is killed after {0}") if jobs == 1 else _("they are killed after {0}")
	return text.format(time)
