# What a run says last: why jobs failed, or where the report lies. Snakemake has closing lines of its own below those of
# its handlers, so handlers only ask for what is said at exit; it is then back in the folder where it was started.
import atexit
import time

from snakemake.settings.enums import Quietness

from roftmol.cli import last_words, progress

FOLDER, STARTED = Path.cwd(), time.time()


def say(words, stream=None):
    if words:
        print(words, file=stream or sys.stderr, flush=True)


def say_the_result(words):
    """Say what came of a run: `roftmol recommend` has standard output for that alone."""
    say(words, sys.stdout if progress.asked() else sys.stderr)


def where_the_report_lies():
    """Return the last words of a run that was to make the page; "" if the run is to be quiet."""
    page = f"{OUT}/report.html"
    makes_page = any(page in job.output for job in workflow.dag.jobs)
    quiet = Quietness.ALL in (workflow.output_settings.quiet or ())
    if not makes_page or (quiet and not progress.asked()):
        return ""
    bundle = FOLDER / BUNDLE if EXPERIMENT.recommendation else None
    return last_words.of_success(FOLDER / page, bundle)


def why_jobs_failed():
    """Return the last words of a run with failed jobs; an interrupted run may have none."""
    jobs = [
        job
        for failed in workflow.scheduler.failed
        for job in (failed if failed.is_group() else [failed])
    ]
    failures = [
        last_words.Failure(job.rule.name, job.message, FOLDER / job.log[0])
        for job in jobs
    ]
    return last_words.of_failures(failures, STARTED)


def where_it_has_been():
    """Return the last words of a run with nothing to do, for which Snakemake calls no handler."""
    scheduled = workflow.scheduler is not None and len(workflow.dag) == 0
    return where_the_report_lies() if scheduled and not workflow.dryrun else ""


# A job on a cluster is a run of snakemake too, which must not print last words.
if workflow.is_main_process:
    atexit.register(lambda: say_the_result(where_it_has_been()))


onsuccess:
    atexit.register(lambda: say_the_result(where_the_report_lies()))


onerror:
    atexit.register(lambda: say(why_jobs_failed()))
