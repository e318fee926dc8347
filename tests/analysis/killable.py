"""Runs analyses in children of a process that has imported everything; started by a test.

Reads lines of JSON, ``{"config": ..., "output": ..., "kill_after": seconds or null}``, from
standard input. For each a child runs the analysis; after ``kill_after`` seconds it is killed by the
operating system, as if the machine had lost its power. Writes ``{"status": ..., "seconds": ...}``.
"""

import json
import os
import signal
import sys
import time

import dmgammapy.analysis._figure_steps
import dmgammapy.analysis._report_steps
import dmgammapy.analysis._steps  # noqa: F401
from dmgammapy.analysis import DMAnalysis


def run(config, output):
    analysis = DMAnalysis.read(config, output=output)
    analysis.run(show_progress=False)
    return len(analysis.computed)


def main():
    print("ready", flush=True)
    for line in sys.stdin:
        job = json.loads(line)
        begin, end = os.pipe()
        start = time.monotonic()
        child = os.fork()
        if child == 0:
            os.close(begin)
            try:
                os.write(end, str(run(job["config"], job["output"])).encode())
                os._exit(0)
            except BaseException as error:
                os.write(2, f"{type(error).__name__}: {error}\n".encode())
                os._exit(1)
        os.close(end)
        if job["kill_after"] is not None:
            time.sleep(job["kill_after"])
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        seconds = time.monotonic() - start
        computed = os.read(begin, 100).decode()
        os.close(begin)
        print(json.dumps([os.waitstatus_to_exitcode(status), computed, seconds]), flush=True)


if __name__ == "__main__":
    main()
