"""
Workers of this app beside RQ's, with the rq of the Python that runs this: stopped, killed, cut off from Redis, and restarted
by process managers while jobs arrive; and what they cost. No bench is needed.
"""
