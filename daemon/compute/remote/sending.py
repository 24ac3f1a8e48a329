"""The second connection to a machine, on which it gets the models that it lacks: `tiffsd worker --receive` is at its end."""

import os
import signal
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from daemon.compute.addresses import SshAddress
from daemon.compute.process import END_SECONDS
from daemon.compute.remote.fetching import send
from daemon.compute.remote.fingerprints import Fingerprints
from daemon.compute.remote.framing import FramedPipe, Malformed
from daemon.compute.remote.identity import references_of
from daemon.compute.remote.missing import RawReference
from daemon.compute.remote.references import NoReference, Reference
from daemon.compute.remote.ssh import Ssh
from daemon.cores import unpinned
from daemon.errors import ModelMissing
from daemon.models.stage_settings import StageSettings
from daemon.stray import overhear

RECEIVE = "--receive"


class Sender:
    """Sends machines what they lack, over a connection of its own each time."""

    def __init__(self, ssh: Ssh, fingerprints: Fingerprints) -> None:
        self._ssh, self._fingerprints = ssh, fingerprints

    def send(self, address: SshAddress, settings: StageSettings, lacking: Sequence[RawReference]) -> None:
        """Send the files of a call that are lacking there; returns when they are there.

        Raises a DaemonError where they cannot be sent or are not taken, and EOFError or OSError where the connection ended: the
        next time is gone on with."""
        here = dict(references_of(settings, self._fingerprints))
        try:
            wanted = [Reference.read(one) for one in lacking]
        except NoReference as error:
            raise ModelMissing(f"what {address.host} lacks is not to be understood: {error}") from error
        # What a call is not computed with is nobody's business there.
        if strange := [reference for reference in wanted if reference not in here]:
            raise ModelMissing(f"{address.host} asks for {strange[0].in_words()}, which the call does not need")
        with self._connection(address) as pipe:
            for reference in wanted:
                try:
                    send(reference, here[reference], pipe)
                except Malformed as error:
                    raise ModelMissing(f"{address.host} does not take {reference.in_words()}: {error}") from error

    @contextmanager
    def _connection(self, address: SshAddress) -> Iterator[FramedPipe]:
        ours, theirs = socket.socketpair()
        with ours:
            try:
                with unpinned():
                    process = subprocess.Popen(
                        self._ssh.arguments(address, RECEIVE),
                        stdin=theirs.fileno(),
                        stdout=theirs.fileno(),
                        stderr=subprocess.PIPE,
                        start_new_session=True,
                    )
            finally:
                theirs.close()
            assert process.stderr is not None
            overhear(process.stderr, f"models for {address.host}")
            try:
                yield FramedPipe(ours.fileno(), ours.fileno())
                ours.shutdown(socket.SHUT_WR)
                with suppress(subprocess.TimeoutExpired):
                    process.wait(END_SECONDS)
            finally:
                if process.poll() is None:
                    with suppress(ProcessLookupError):
                        os.killpg(process.pid, signal.SIGKILL)
                process.wait()
