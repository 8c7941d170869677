"""Whatever a text tells a person to type exists: the options in README, docs, hints and remedies are those of the commands."""

from __future__ import annotations

import re
import unittest
from pathlib import Path

import click

from fmx_restart.commands import commands, safe_restart
from fmx_restart.commands.options import FORMER

PACKAGE = Path(__file__).parents[2]
CHECKOUT = PACKAGE.parent
COMMAND = re.compile(r"bench (safe-restart|doctor|restart-doctor)\b((?:[ \w=%/.,:-]|\\\n)*)")
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
OTHERS = {"--help"}


#: A command in an inline code or a code block, or one that a message says to type: its next word is a subcommand
TYPED = re.compile(r"(?:`|^|: |with |-)bench (?:--site [\w.]+ )?safe-restart ([a-z][a-z-]*)\b", re.MULTILINE)


def options_of(command: click.Command) -> set[str]:
	"""Of its subcommands too."""
	own = {
		name
		for parameter in command.params
		for name in (*parameter.opts, *parameter.secondary_opts)
		if name.startswith("--")
	}
	return own.union(*map(options_of, getattr(command, "commands", {}).values()))


KNOWN = {command.name: options_of(command) | OTHERS for command in commands}


def texts() -> list[Path]:
	sources = [path for path in PACKAGE.rglob("*.py") if "tests" not in path.relative_to(PACKAGE).parts]
	return [*sources, *CHECKOUT.glob("*.md"), *(CHECKOUT / "docs").rglob("*.md")]


class TestDocs(unittest.TestCase):
	def test_each_command_that_a_text_shows_has_the_options_that_it_shows(self):
		wrong, seen = [], 0
		for path in texts():
			for name, rest in COMMAND.findall(path.read_text()):
				seen += 1
				wrong += [
					f"{path.relative_to(CHECKOUT)}: bench {name} {option}"
					for option in OPTION.findall(rest.partition("bench ")[0])
					if option not in KNOWN.get(name, KNOWN["doctor"])
				]
		self.assertGreater(seen, 50)
		self.assertEqual(wrong, [])

	def test_each_subcommand_that_a_text_shows_exists(self):
		shown = {(path.name, name) for path in texts() for name in TYPED.findall(path.read_text())}
		self.assertEqual({it for it in shown if it[1] not in safe_restart.commands}, set())
		self.assertGreater(len(shown), 10)

	def test_no_text_tells_a_person_to_type_a_former_flag(self):
		former = "|".join(name for option in FORMER for name in option.opts if name != "--take-over")
		pattern = re.compile(rf"safe-restart (?:{former})\b")
		self.assertEqual([path.name for path in texts() if pattern.search(path.read_text())], [])

	@unittest.skipUnless((CHECKOUT / "README.md").is_file(), "only a checkout has the documents")
	def test_each_subcommand_and_no_other_is_in_the_table_of_the_readme(self):
		table = (
			(CHECKOUT / "README.md")
			.read_text()
			.partition("| Command | What it does |")[2]
			.partition("\n\n")[0]
		)
		self.assertEqual(re.findall(r"^\| `([a-z]+)", table, re.MULTILINE), list(safe_restart.commands))

	@unittest.skipUnless((CHECKOUT / "README.md").is_file(), "only a checkout has the documents")
	def test_each_option_of_safe_restart_is_in_the_readme_or_its_page_and_no_others_are_in_the_table(self):
		readme = (CHECKOUT / "README.md").read_text()
		pages = readme + "".join(path.read_text() for path in (CHECKOUT / "docs").glob("*.md"))
		shown = {
			name
			for parameter in next(it for it in commands if it.name == "safe-restart").params
			if not getattr(parameter, "hidden", False)
			for name in (*parameter.opts, *parameter.secondary_opts)
			if name.startswith("--")
		}
		self.assertEqual({name for name in shown if name not in OPTION.findall(pages)}, set())
		table = readme.partition("| Option | Meaning | Default |")[2].partition("\n\n")[0]
		first = " ".join(line.split(" | ")[0] for line in table.splitlines())
		self.assertEqual(set(OPTION.findall(first)) - KNOWN["safe-restart"], set())
