"""
What runs inside a worker process, so that no stop of it loses a job, whoever stops it. Standard library, redis and rq;
`classes.py` alone imports Frappe. The sequence (docs/worker.md):

1. The worker waits for a job without taking one (`bells.py`). Of those with the same queues one wakes for a job, and calls the next.
2. POP (`scripts.py`) takes a job and writes a *claim* in the same step: this worker has this job.
3. START turns the claim of a popped job into that of a started one, in the process that runs the job.
4. A worker that leaves, or another one that finds the claim of a dead worker (`owners.py`), gives it up with LET_GO. A job
   that was not started goes back to the front of its queue. One that was started fails, or goes back (`killed_jobs.py`).

A worker that has no claim may be asked to go on with the code on the disk (`requests.py`, `reload.py`).

START and LET_GO both need the claim, and each is one step of Redis, so one of them wins.
"""
