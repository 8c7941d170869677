"""
What the engine needs from the outside, in the engine's words. Adapters implement these; the in-memory
twins in testing/ pass the same contract tests as the real ones.
"""

from fmx_restart.engine.ports.bench import Bench as Bench
from fmx_restart.engine.ports.bench import Health as Health
from fmx_restart.engine.ports.bench import Host as Host
from fmx_restart.engine.ports.bench import Likeness as Likeness
from fmx_restart.engine.ports.bench import NoOtherOperations as NoOtherOperations
from fmx_restart.engine.ports.bench import OtherOperation as OtherOperation
from fmx_restart.engine.ports.bench import OtherOperations as OtherOperations
from fmx_restart.engine.ports.bench import Trouble as Trouble
from fmx_restart.engine.ports.bench import Unexamined as Unexamined
from fmx_restart.engine.ports.managers import ProcessManagers as ProcessManagers
from fmx_restart.engine.ports.managers import Survey as Survey
from fmx_restart.engine.ports.processes import HostProcess as HostProcess
from fmx_restart.engine.ports.processes import LogTail as LogTail
from fmx_restart.engine.ports.processes import ManagerSettings as ManagerSettings
from fmx_restart.engine.ports.processes import Process as Process
from fmx_restart.engine.ports.processes import Processes as Processes
from fmx_restart.engine.ports.processes import ProcessKind as ProcessKind
from fmx_restart.engine.ports.processes import ProcessState as ProcessState
from fmx_restart.engine.ports.processes import ProgramSettings as ProgramSettings
from fmx_restart.engine.ports.queue import LONGEST_EXTENSION as LONGEST_EXTENSION
from fmx_restart.engine.ports.queue import Fence as Fence
from fmx_restart.engine.ports.queue import Hold as Hold
from fmx_restart.engine.ports.queue import Job as Job
from fmx_restart.engine.ports.queue import Lease as Lease
from fmx_restart.engine.ports.queue import LocalWorkers as LocalWorkers
from fmx_restart.engine.ports.queue import Look as Look
from fmx_restart.engine.ports.queue import Mail as Mail
from fmx_restart.engine.ports.queue import NoRequests as NoRequests
from fmx_restart.engine.ports.queue import PutBack as PutBack
from fmx_restart.engine.ports.queue import Queue as Queue
from fmx_restart.engine.ports.queue import Request as Request
from fmx_restart.engine.ports.queue import RequestKind as RequestKind
from fmx_restart.engine.ports.queue import Requests as Requests
from fmx_restart.engine.ports.queue import StartedJob as StartedJob
from fmx_restart.engine.ports.queue import UnreadableRecord as UnreadableRecord
from fmx_restart.engine.ports.queue import UnreadableRecords as UnreadableRecords
from fmx_restart.engine.ports.queue import Worker as Worker
from fmx_restart.engine.ports.queue import WorkerState as WorkerState
from fmx_restart.engine.ports.realtime import LiveMessages as LiveMessages
from fmx_restart.engine.ports.realtime import NoRealtime as NoRealtime
from fmx_restart.engine.ports.realtime import Realtime as Realtime
from fmx_restart.engine.ports.sites import Code as Code
from fmx_restart.engine.ports.sites import CodeFault as CodeFault
from fmx_restart.engine.ports.sites import Migrations as Migrations
from fmx_restart.engine.ports.sites import NewWorkers as NewWorkers
from fmx_restart.engine.ports.sites import Run as Run
from fmx_restart.engine.ports.sites import Setting as Setting
from fmx_restart.engine.ports.sites import SiteSettings as SiteSettings
from fmx_restart.engine.ports.sites import UncheckedCode as UncheckedCode
from fmx_restart.engine.ports.sites import Web as Web
from fmx_restart.engine.ports.sites import WebFault as WebFault
from fmx_restart.engine.ports.sites import WebMethod as WebMethod
from fmx_restart.engine.ports.sites import WebWay as WebWay
