# SPDX-License-Identifier: BSD-2-Clause
"""A running simulation: started with a limit, stopped with its owner, whatever happens to that."""

import atexit
import os
import select
import signal
import sys
import time
from pathlib import Path

from mixpe.errors import DeviceError, ToolError
from mixpe.tools import start_tool, stop_tool, wait_tool
from mixpe_sim.build import build_sim
from mixpe_sim.options import SimOptions
from mixpe_sim.runfolder import RunFolder

# LiteEth answers to its own port number, so the SoC's end has an address on loopback of its own.
URLS = {"uart": "serial+tcp://127.0.0.1:{port}", "etherbone": "etherbone://127.0.0.2:{port}"}
TAP_URL = "etherbone://192.168.1.50:{port}"  # as a board's
START_LIMIT_S = 60.0
STOP_LIMIT_S = 5.0


class SimProcess:
    """The simulated SoC as a child process that listens on loopback, TCP or (Etherbone) UDP.

    It ends with `close`, with the ``with`` statement, at the interpreter's exit, and within a second when this process
    dies otherwise, SIGKILL included; so does its temporary folder.

    Parameters
    ----------
    options : SimOptions
    port : int
        0 takes a free one.
    idle : bool
        Stop the clock while nothing is under way, which frees the processor core.
    foreground : bool
        Share our terminal: the BIOS's console is there, and Ctrl-C reaches the simulation.
    run_folder : path or None
        Working directory, which is kept: traces are written there. None takes a temporary one, which is removed.
    show : bool or None
        Report a build's stages on stderr; None does so when it is a terminal.
    start_limit_s : float
        From the start of the program to its port.
    tap : str or None
        Name of a tap device for the simulated Ethernet, instead of the UDP port on loopback: this machine's network
        stack is then the wire's other end, with the address 192.168.1.100. It takes the right to make one.

    Attributes
    ----------
    url : str
        For `mixpe.open`.
    port : int
    pid : int
    build : mixpe_sim.build.Build

    Raises
    ------
    ToolError
        The simulation cannot be built.
    DeviceError
        It does not start: the port is taken, or no answer within the limit.
    """

    def __init__(self, options=None, *, port=0, idle=True, foreground=False, run_folder=None, show=None,
                 start_limit_s=START_LIMIT_S, tap=None):
        options = SimOptions.create() if options is None else options
        if not isinstance(port, int) or not 0 <= port < 1 << 16:
            raise ToolError(f"port must be 0 … 65535, not {port!r}")
        if tap is not None and (options.link != "etherbone" or not isinstance(tap, str) or not tap):
            raise ToolError(f"tap is the name of a tap device, for link=etherbone, not {tap!r} for "
                            f"link={options.link}")
        if tap and port:
            raise ToolError(f"the SoC on a tap device has port 1234 of its own address, not {port}")
        self._launch(build_sim(options, show=show), port, idle, foreground, run_folder, start_limit_s, tap)
        self.url = (TAP_URL if tap else URLS[options.link]).format(port=self.port)

    def _launch(self, build, port, idle, foreground, run_folder, limit_s, tap):
        """Start a build's program in a folder of its own, and wait until it listens."""
        self.process = None
        self.owner = os.getpid()
        self.build = build
        self._temporary = RunFolder("mixpe-sim-") if run_folder is None else None
        self.folder = Path(run_folder).absolute() if self._temporary is None else self._temporary.path
        self.log = self.folder / "sim.log"
        try:
            self._prepare_folder()
            self._start(port, idle, foreground, limit_s, tap)
        except BaseException:
            self.close()
            raise
        atexit.register(self.close)

    @property
    def pid(self):
        """Process id."""
        return self.process.pid

    def is_running(self):
        """Tell whether the simulation still runs."""
        return self.process is not None and self.process.poll() is None

    def wait(self, limit_s=None):
        """Wait for the simulation to end and return its exit code; None when the limit came first."""
        return wait_tool(self.process, limit_s)

    def close(self, limit_s=STOP_LIMIT_S):
        """Stop the simulation; kill it when it does not stop within the limit."""
        if os.getpid() != self.owner:
            return  # a forked child has no part in it
        atexit.unregister(self.close)
        if self.process is not None:
            stop_tool(self.process, limit_s)
        if self._temporary is not None:
            self._temporary.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self.close()

    def _prepare_folder(self):
        # The program looks for its modules, its configuration and its memory images in the working directory.
        self.folder.mkdir(parents=True, exist_ok=True)
        for source in [self.build.folder / "modules", self.build.folder / "sim_config.js",
                       *self.build.folder.glob("*.init"), *self.build.folder.glob("csr.*")]:
            link = self.folder / source.name
            link.unlink(missing_ok=True)
            link.symlink_to(source)

    def _start(self, port, idle, foreground, limit_s, tap):
        read_end, write_end = os.pipe()
        environment = {
            "MIXPE_LINK_PORT": str(port),
            "MIXPE_LINK_REPORT": str(write_end),
            "MIXPE_LINK_PARENT": str(self.owner),
            "MIXPE_LINK_IDLE": "1" if idle else "0",
            "MIXPE_ETH_TAP": tap or "",
        }
        try:
            with open(self.log, "wb") as log:
                # A session of its own in the background: Ctrl-C at a prompt is not meant for the device.
                self.process = start_tool([str(self.build.folder / "Vsim")], self.folder, log, environment=environment,
                                          pass_fds=[write_end], foreground=foreground)
            os.close(write_end)
            write_end = None
            self.port = self._read_port(read_end, limit_s)
        finally:
            os.close(read_end)
            if write_end is not None:
                os.close(write_end)

    def _read_port(self, read_end, limit_s):
        end = time.monotonic() + limit_s
        text = b""
        while not text.endswith(b"\n"):
            left = end - time.monotonic()
            if left <= 0 or not select.select([read_end], [], [], left)[0]:
                raise DeviceError(f"the simulation did not report its port within {limit_s:g} s")
            part = os.read(read_end, 64)
            if not part:
                code = self.wait(STOP_LIMIT_S)
                raise DeviceError(f"the simulation ended at once with {code}: {self.log_tail() or 'no output'}")
            text += part
        return int(text)

    def log_tail(self, lines=5):
        """Return the last lines of the simulation's output."""
        try:
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        except OSError:
            return ""


def open_sim(*, port=0, idle=True, foreground=False, run_folder=None, show=None, tap=None, **options):
    """Build (once) and start a simulated SoC.

    Parameters
    ----------
    port, idle, foreground, run_folder, show, tap
        See `SimProcess`.
    **options
        Fields of `SimOptions` and of the accelerator's `Config`; `port_bits` follows the memory.
        ``accelerator=False`` leaves the accelerator out.

    Returns
    -------
    SimProcess
        A context manager; `url` is what to open.
    """
    return SimProcess(SimOptions.create(**options), port=port, idle=idle, foreground=foreground, run_folder=run_folder,
                      show=show, tap=tap)


def terminate_on_signals(process):
    """Make SIGTERM and SIGHUP of this process end the simulation in good order."""
    def end(number, _frame):
        process.close()
        sys.exit(128 + number)
    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGHUP, end)
