"""`python -m bench`: everything, or with `--quick` what a closing note needs.

With `--url` and `--pid` it measures another server in Antiphon's place. That server must be told to use
`http://127.0.0.1:PORT/v1` of `--upstream-port` as its model's server, and be running.
"""

import argparse
import contextlib
import resource
from collections.abc import Iterator
from functools import partial
from urllib.parse import urlsplit

from rich.console import Console

from bench import measure, plot, server
from bench.client import Job
from bench.report import RESULTS, Report
from bench.server import Server
from bench.workloads import DEALT, RECORDED, WORKLOADS, Workload


def main() -> None:
    arguments = _arguments()
    console = Console(width=None if Console().is_terminal else 160, highlight=False)
    _allow_files()
    with console.status("compiling") as status, server.upstream(arguments.upstream_port) as upstream:
        url = f"http://{server.HOST}:{upstream.port}/v1"
        server.compile_all()
        report = Report("server" if arguments.url else "antiphon")
        with (
            server.floor(url) as floor,
            server.haproxy(url) as haproxy,
            _subject(arguments, url) as subject,
        ):
            for workload in _chosen(arguments):
                status.update(workload.name)
                prefix = arguments.model_prefix
                report.costs.append(measure.compare(workload, floor, subject, haproxy, prefix))
            if not arguments.url:
                status.update("recordings, and two workers")
                _add_surcharges(report, (floor, subject), url, arguments)
            status.update("chains and reads")
            _add_reads(report, subject, floor, arguments)
        if not arguments.url and not arguments.only:
            status.update("start-up and memory")
            _add_lives(report, url, arguments.quick)
    report.write()
    report.show(console)
    console.print(f"As JSON: {RESULTS}; drawn: {plot.write()}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="less than a minute")
    parser.add_argument("--only", metavar="WORD", help="workloads with this word in their names")
    parser.add_argument("--url", help="another server's, without /v1")
    parser.add_argument("--pid", type=int, help="its process; without, only times are measured")
    parser.add_argument("--upstream-port", type=int, default=0, help="where our upstream listens [any]")
    parser.add_argument("--model-prefix", default="", help="put before the models' names, as openai/")
    return parser.parse_args()


def _allow_files() -> None:
    """A thousand streams are two thousand open files."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 65536), most))


@contextlib.contextmanager
def _subject(arguments: argparse.Namespace, url: str) -> Iterator[Server]:
    if arguments.url:
        place = urlsplit(arguments.url)
        yield Server(place.port or 80, arguments.pid, place.hostname or server.HOST)
    else:
        with server.antiphon(url) as subject:
            yield subject


def _chosen(arguments: argparse.Namespace) -> list[Workload]:
    return [workload for workload in WORKLOADS if _is_chosen(workload, arguments)]


def _is_chosen(workload: Workload, arguments: argparse.Namespace) -> bool:
    return (workload.quick or not arguments.quick) and (arguments.only or "") in workload.name


def _add_surcharges(
    report: Report, alone: tuple[Server, Server], url: str, arguments: argparse.Namespace
) -> None:
    """What it costs that all is recorded, and that there are two workers, beside a server that is `alone`
    and records nothing. Two floors tell what of the latter is the machine's."""
    floor, subject = alone
    with server.antiphon(url, record="all") as recording:
        for workload, most in RECORDED:
            if _is_chosen(workload, arguments):
                what = "recorded, against not"
                report.surcharges.append(measure.surcharge(workload, what, most, subject, recording))
    two = ("--workers", "2")
    with server.antiphon(url, *two) as workers, server.floor(url, *two) as floors:
        for workload, most in DEALT:
            if _is_chosen(workload, arguments):
                what = "two workers, against one"
                report.surcharges.append(
                    measure.surcharge(workload, what, most, subject, workers, (floor, floors))
                )


def _add_reads(report: Report, subject: Server, floor: Server, arguments: argparse.Namespace) -> None:
    if arguments.only:
        return
    if arguments.quick:
        report.chain = measure.chain(subject, 50, 12, arguments.model_prefix)
        return
    report.costs += [measure.after_turns(subject, n, arguments.model_prefix) for n in (10, 50, 200)]
    report.costs += measure.reads(subject, arguments.model_prefix)
    report.chain = measure.chain(subject, 200, 10, arguments.model_prefix)
    report.grown = {
        kind: measure.grown(asked, kind, 200, arguments.model_prefix)
        for kind, asked in (("chain", subject), ("conversation", subject), ("floor", floor))
    }


def _add_lives(report: Report, url: str, quick: bool) -> None:
    """What needs a server of its own."""
    report.start_up = measure.start_up(url, times=3)
    lives: list[tuple[str, measure.Start, measure.Ask]] = [
        ("antiphon", partial(server.antiphon, url), _for_antiphon),
        ("floor", partial(server.floor, url), _for_floor),
    ]
    for name, start, request in lives:
        report.sizes[name] = measure.memory(start, request)
        if not quick:
            report.idle[name] = measure.idle_streams(start, request)
            report.unread[name] = measure.slow_reader(start, request)


def _for_antiphon(subject: Server, workload: Workload) -> Job:
    return workload.job(subject)


def _for_floor(subject: Server, workload: Workload) -> Job:
    return workload.floor_job(subject)


if __name__ == "__main__":
    main()
