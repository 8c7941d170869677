"""
Locks as an NFS client has them, on any file system: it makes of flock a lock of fcntl on the whole file, which wants it open
for writing (flock(2)). The kind that belongs to the open file, as flock does.
"""

from __future__ import annotations

import fcntl
import struct

KINDS = {fcntl.LOCK_EX: fcntl.F_WRLCK, fcntl.LOCK_SH: fcntl.F_RDLCK, fcntl.LOCK_UN: fcntl.F_UNLCK}
#: Lines for a program of its own
AS_ON_NFS = "import fcntl\nfrom fmx_restart.tests.adapters.nfs_locks import flock_as_on_nfs as flock\nfcntl.flock = flock\n"


def flock_as_on_nfs(file: int, kind: int) -> None:
	"""In place of fcntl.flock. Raises OSError (EBADF) for a lock that the file is not open for."""
	command = fcntl.F_OFD_SETLK if kind & fcntl.LOCK_NB else fcntl.F_OFD_SETLKW
	fcntl.fcntl(file, command, struct.pack("hhqqi", KINDS[kind & ~fcntl.LOCK_NB], 0, 0, 0, 0))
