"""Programs that tests start and listen to."""

import select
import subprocess


def line(process: "subprocess.Popen[bytes]") -> str:
    """The next line that a program prints, within two minutes. The program is started with `bufsize=0`: what
    a buffer holds already, nobody could wait for."""
    assert process.stdout
    assert select.select([process.stdout], [], [], 120)[0], "it prints nothing more"
    text = process.stdout.readline()
    assert text, "it has ended"
    return text.decode().rstrip()
