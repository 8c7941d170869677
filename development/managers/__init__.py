"""
Real process managers for tests and benchmarks: a supervisord of its own, and a systemd, a dockerd and a Kubernetes in machines
inside of this one. They need root, and leave nothing behind.
"""
