"""
python -m fmx_restart.site_config_process, in the sites folder: tells the configuration of each site that is asked for, a
line of JSON for each line of JSON, until nobody asks any more. It holds passwords, and goes through a pipe alone.
"""

from __future__ import annotations

import json
import os
import sys
from typing import IO

from fmx_restart.engine.errors import WrongEnvironment


def main() -> None:
	"""What Frappe and apps print when they are imported goes elsewhere than the answers."""
	answers = os.fdopen(os.dup(1), "w")
	os.dup2(2, 1)
	for line in sys.stdin:
		tell(answers, json.loads(line))


def tell(answers: IO[str], site: str) -> None:
	"""Write one line of JSON: the site's `config` with what its environment adds, or `error` and `hint`."""
	from fmx_restart.wiring import site_config

	try:
		answer = {"config": site_config(site)}
	except WrongEnvironment as error:
		answer = {"error": str(error), "hint": error.hint}
	answers.write(json.dumps(answer, default=str) + "\n")
	answers.flush()


if __name__ == "__main__":
	main()
