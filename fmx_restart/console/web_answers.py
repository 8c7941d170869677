"""What users got from web, in one sentence for each address: for the terminal and for Desk."""

from __future__ import annotations

from fmx_restart.engine.format import span
from fmx_restart.engine.web_answers import WebAnswers

WORTH_TELLING = 1.0  # seconds that nobody measured


def web_sentence(answers: WebAnswers) -> str:
	"""Its subject is the address; then what it did, most important first."""
	return f"{web_at(answers.through, answers.address)} {'; '.join(parts(answers))}"


def web_at(through: str, address: str) -> str:
	"""Web at 127.0.0.1:8000, or Web through nginx at 127.0.0.1:80."""
	return f"Web at {address}" if through == "web" else f"Web through {through} at {address}"


def parts(answers: WebAnswers) -> list[str]:
	"""What users got, in the order of importance: answers, silence, maintenance mode, what was not measured."""
	told = [f"answered throughout, slowest {answers.slowest:.2f} s"] if answers.is_flawless else []
	if answers.before:
		told.append(f"did not answer before ({answers.before})")
	if answers.unanswered:
		told.append(silence(answers))
	if answers.closed:
		told.append(f"was closed by the maintenance mode of this operation for {span(answers.closed)}")
	if not answers.answers_now and answers.requests:
		told.append(silent_at_the_end(answers))
	elif answers.before:
		told.append("answered at the end")
	if answers.unmeasured >= WORTH_TELLING or not answers.requests:
		told.append(unmeasured(answers))
	return told


def silence(answers: WebAnswers) -> str:
	"""For how long in all, and the longest time without a break."""
	several = answers.longest < answers.unanswered
	longest = f", {span(answers.longest)} of it without a break" if several else ""
	return f"gave no answer for {span(answers.unanswered)}{longest} ({answers.reason})"


def silent_at_the_end(answers: WebAnswers) -> str:
	"""It may have been slow only: for how long there had been no answer when the operation ended."""
	if not answers.silence:
		return "did not answer at the end"
	return f"had not answered for {span(answers.silence)} when the operation ended"


def unmeasured(answers: WebAnswers) -> str:
	"""For how long nobody asked, as while the operation was stopped."""
	return f"was not measured for {span(answers.unmeasured)}" if answers.unmeasured else "was not measured"
