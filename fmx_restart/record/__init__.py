"""Former paths, for jobs that wait in Redis and for Scheduled Job Types: kept for one release."""
