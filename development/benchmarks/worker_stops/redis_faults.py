"""Redis that is restarted, stays away, or breaks connections, while jobs come and run."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from redis.exceptions import ConnectionError, ResponseError

from development.benchmarks.worker_stops.job_kills import ended
from development.benchmarks.worker_stops.trial import AWAY, Keeper, Row, Trial, fresh_bench
from fmx_restart.tests.adapters.redis_server import RedisServer

AWAY_FOR = 10.0  # seconds
KILL_EVERY = (0.01, 0.06)  # seconds, between all connections killed and all killed once more


class FrappesRedis(RedisServer):
	"""It writes its data as the configuration that bench writes says: Redis' own save points, no log of writes."""

	persistence = ()


class LoggingRedis(RedisServer):
	"""With an append-only file."""

	persistence = ("--appendonly", "yes", "--save", "")


def rows(kind: str, jobs: int, seed: int) -> Iterator[Row]:
	yield connections_killed(kind, jobs, seed)
	yield restarted(
		kind, jobs, seed, FrappesRedis, signal.SIGTERM, "Redis restarted, data as bench configures it"
	)
	yield restarted(kind, jobs, seed, LoggingRedis, signal.SIGKILL, "Redis killed, with append-only file")
	yield restarted(
		kind, jobs, seed, FrappesRedis, signal.SIGKILL, "Redis killed, data as bench configures it"
	)
	yield away(kind, jobs, seed)


@contextmanager
def workers_of(kind: str, seed: int, server: type[RedisServer]) -> Iterator[tuple[Trial, Keeper]]:
	"""Two workers. At the end, whatever they make of the jobs is waited for."""
	with fresh_bench(server) as bench:
		trial = Trial(bench, kind, seed)
		with Keeper(trial) as keeper:
			yield trial, keeper


def connections_killed(kind: str, jobs: int, seed: int) -> Row:
	with workers_of(kind, seed, RedisServer) as (trial, keeper):
		killer, kills = trial.bench.server.connection(), 0
		with trial.load(0.06):
			while len(trial.ids) < jobs:
				with suppress(ConnectionError, ResponseError):
					killer.client_kill_filter(_type="normal", skipme=True)
				kills += 1
				time.sleep(trial.chance.uniform(*KILL_EVERY))
		killer.close()
		trial.settle()
		return trial.row(
			"all connections killed every 10 to 60 ms", kills, "all the time", remark=ended(keeper)
		)


def restarted(kind: str, jobs: int, seed: int, server: type, number: int, what: str) -> Row:
	with workers_of(kind, seed, server) as (trial, keeper):

		def restart() -> None:
			time.sleep(trial.chance.uniform(0.5, 2))
			trial.bench.server.stop(number)
			time.sleep(trial.chance.uniform(0, 1))
			trial.bench.server.start()

		times = until(trial, jobs, restart)
		return trial.row(what, times, "all the time", remark=ended(keeper))


def away(kind: str, jobs: int, seed: int) -> Row:
	with workers_of(kind, seed, FrappesRedis) as (trial, keeper):

		def absence() -> None:
			trial.enqueue(seconds=AWAY_FOR / 2)  # it ends while Redis is away
			time.sleep(trial.chance.uniform(3, 6))
			trial.bench.server.stop(signal.SIGTERM)
			time.sleep(AWAY_FOR)
			trial.bench.server.start()

		times = until(trial, jobs, absence)
		return trial.row(f"Redis away for {AWAY_FOR:.0f} s", times, "all the time", remark=ended(keeper))


def until(trial: Trial, jobs: int, act: Callable[[], None]) -> int:
	"""How often it was done until so many jobs had come."""
	times = 0
	with trial.load(0.04):
		while len(trial.ids) < jobs:
			act()
			times += 1
	with suppress(*AWAY):
		trial.bench.connection.ping()
	trial.settle()
	return times
