"""
Help in sections, the name under which a command was called, and a group that refuses what click would drop silently.
Click only: every bench command imports this.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click

from fmx_restart.commands.file_faults import exit_with
from fmx_restart.engine.file_faults import is_file_fault

WIDTH = 100  # columns that a help page uses at most
LONGEST_NAME = 30  # columns of an option; the text of a longer one begins on the next line
MARGIN = 20  # columns that a text gets at least, however narrow the terminal is
BENCH_GROUP = ["bench", "frappe"]  # how Frappe nests the commands of all apps; nobody types it

Rows = list[tuple[str, str]]


class ShortPath(click.Context):
	"""Shows `bench safe-restart`, or `python -m fmx_restart safe-restart`: what the person has typed."""

	@property
	def command_path(self) -> str:
		"""As typed, "bench safe-restart": without the name of the group that Frappe puts between."""
		words = super().command_path.split()
		if words[:2] == BENCH_GROUP:
			words = ["bench", *words[2:]]
		return " ".join(words)  # the group's name is empty once its callback has run


class SectionedCommand(click.Command):
	"""
	`sections`: title → options. An option of no section is not shown, but for --help. `examples`: what follows the
	command's name. `exit_codes`: code → meaning.
	"""

	context_class = ShortPath

	def __init__(
		self,
		*args,
		sections: Mapping[str, Sequence[click.Option]],
		examples: Sequence[str] = (),
		exit_codes: Mapping[str, str] | None = None,
		**settings,
	) -> None:
		shown = [option for section in sections.values() for option in section]
		settings["params"] = [*shown, *settings.get("params", ())]
		super().__init__(*args, context_settings={"max_content_width": WIDTH}, **settings)
		self.sections, self.examples, self.exit_codes = sections, examples, exit_codes or {}

	def invoke(self, ctx: click.Context) -> Any:
		"""The edge of every command. Raises Exit where a file cannot be read."""
		try:
			return super().invoke(ctx)
		except OSError as error:
			if not is_file_fault(error):
				raise
			return exit_with(ctx, error)

	def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
		"""In several tables, each under its heading; --help comes last."""
		tables = {title: option_rows(ctx, options) for title, options in self.sections.items()}
		last = next(reversed(tables))
		tables[last] += option_rows(ctx, filter(None, [self.get_help_option(ctx)]))
		write_tables(formatter, {**self.tables_before(ctx), **tables})

	def tables_before(self, ctx: click.Context) -> dict[str, Rows]:
		"""What stands above the options."""
		return {}

	def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
		"""Examples and exit codes, after the options."""
		if self.examples:
			with formatter.section("Examples"):
				for example in self.examples:
					formatter.write(f"  {ctx.command_path} {example}".rstrip() + "\n")
		write_tables(formatter, {"Exit codes": list(self.exit_codes.items())} if self.exit_codes else {})


class SectionedGroup(SectionedCommand, click.Group):
	"""
	Without a subcommand it does its own work. Raises UsageError for a name that is none of its subcommands, and for an
	option that was typed before one: click would read it and do nothing with it.
	"""

	def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
		"""Keep the words as typed, for what an error quotes."""
		ctx.meta[TYPED] = tuple(args)
		return super().parse_args(ctx, args)

	def resolve_command(
		self, ctx: click.Context, args: list[str]
	) -> tuple[str | None, click.Command | None, list[str]]:
		"""
		Raises UsageError (exit code 2) for a misspelt command, and for options before it, which click would drop silently.
		"""
		if not ctx.resilient_parsing:  # else it only completes what is being typed
			self._refuse_unknown(ctx, args[0])
			self._refuse_options_before(ctx, args)
		return super().resolve_command(ctx, args)

	def tables_before(self, ctx: click.Context) -> dict[str, Rows]:
		"""The subcommands, above the options."""
		return {
			"Commands": [(name, command.get_short_help_str(WIDTH)) for name, command in self.commands.items()]
		}

	def _refuse_unknown(self, ctx: click.Context, name: str) -> None:
		if name in self.commands:
			return
		from difflib import get_close_matches

		near = get_close_matches(name, self.commands, n=1)
		advice = (
			f"Did you mean: {ctx.command_path} {near[0]}?"
			if near
			else f"Commands: {', '.join(self.commands)}."
		)
		raise click.UsageError(f"There is no command {name!r}. {advice} Nothing was changed.", ctx)

	def _refuse_options_before(self, ctx: click.Context, args: list[str]) -> None:
		typed = ctx.meta[TYPED]
		before = [word for word in typed[: len(typed) - len(args)] if word.startswith("-") and word != "--"]
		if not before:
			return
		options = " ".join(word.partition("=")[0] for word in before)
		raise click.UsageError(
			f"{options} stands before {args[0]}, where it does nothing. Type the options of a command after its name:"
			f" {ctx.command_path} {args[0]} --help lists them. Nothing was changed.",
			ctx,
		)


TYPED = f"{__name__}.typed"  # in click's context: the words of the group, subcommand included


def option_rows(ctx: click.Context, options: Iterable[click.Parameter]) -> Rows:
	"""Without click's notes in brackets, such as [x>=0]: the texts say what a person needs to know."""
	records = [record for option in options if (record := option.get_help_record(ctx))]
	return [(name, text.partition("  [")[0]) for name, text in records]


def write_tables(formatter: click.HelpFormatter, tables: Mapping[str, Rows]) -> None:
	"""All texts begin in the same column. Unlike click's own tables these break no line inside of --an-option."""
	from textwrap import wrap

	names = [len(name) for rows in tables.values() for name, _ in rows]
	column = min(max(names, default=0), LONGEST_NAME)
	for title, rows in tables.items():
		with formatter.section(title):
			for name, text in rows:
				lines = wrap(text, max(formatter.width - column - 4, MARGIN), break_on_hyphens=False)
				lines = lines if len(name) <= column else ["", *lines]
				texts = "\n".join(f"{'':{column + 4}}{line}" for line in lines)
				formatter.write(f"  {name:{column}}  {texts.lstrip(' ')}\n")
