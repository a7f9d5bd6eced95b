"""Ask for long work and watch it: collections, labels, scores, maps."""

import time
from collections.abc import Iterator, Sequence
from typing import Final, Literal, cast

from scopebook.client.errors import JobEndedError
from scopebook.client.transport import Transport
from scopebook.client.types.job import JobRead, RunRead, StepRead
from scopebook.client.types.label import LanguageModelRequest
from scopebook.client.types.score import JudgeRequest

JobState = Literal["queued", "running", "done", "failed", "cancelling", "cancelled"]

#: Seconds between two looks at a job that is waited for.
LOOK_S: Final = 1.0
_ENDED: Final = ("done", "failed", "cancelled")


class Work(Transport):
    """What viewers may watch and editors may ask for."""

    def jobs(self, *, state: JobState | None = None, limit: int | None = None) -> Iterator[JobRead]:
        """List jobs, newest first, without their steps."""
        return self._items("/jobs", {"state": state}, limit)

    def job(self, job_id: int) -> JobRead:
        """Return one job with its workers and steps."""
        return cast(JobRead, self._get(f"/jobs/{job_id}"))

    def steps(
        self,
        job_id: int,
        *,
        state: JobState | None = None,
        stage: int | None = None,
        limit: int | None = None,
    ) -> Iterator[StepRead]:
        """List a job's steps, stage by stage."""
        return self._items(f"/jobs/{job_id}/steps", {"state": state, "stage": stage}, limit)

    def wait(self, job_id: int, *, timeout_s: float | None = None) -> JobRead:
        """Return a job once it is done; raise `JobEndedError` where it fails or is cancelled.

        Raises TimeoutError after `timeout_s`; the job goes on.
        """
        until = None if timeout_s is None else time.monotonic() + timeout_s
        while (job := self.job(job_id))["state"] not in _ENDED:
            if until is not None and time.monotonic() >= until:
                raise TimeoutError(
                    f"Job {job_id} is {job['state']} after {timeout_s:g} s and goes on; wait again."
                )
            time.sleep(LOOK_S)
        if job["state"] != "done":
            raise JobEndedError(
                f"Job {job_id} ({job['title']}) is {job['state']}: {job['error'] or 'no reason'}; "
                "`retry_job` does again what is not done."
            )
        return job

    def cancel_job(self, job_id: int) -> JobRead:
        """Cancel what is queued and stop what runs."""
        return cast(JobRead, self._send("POST", f"/jobs/{job_id}/cancel"))

    def retry_job(self, job_id: int) -> JobRead:
        """Do a job's failed and cancelled steps again."""
        return cast(JobRead, self._send("POST", f"/jobs/{job_id}/retry"))

    def runs(
        self, *, release: str | None = None, job: int | None = None, limit: int | None = None
    ) -> Iterator[RunRead]:
        """List runs, newest first."""
        return self._items("/runs", {"release": release, "job": job}, limit)

    def run(self, run_id: int) -> RunRead:
        """Return one run."""
        return cast(RunRead, self._get(f"/runs/{run_id}"))

    def use_run(self, run_id: int, *, layers: Sequence[int] | None = None) -> RunRead:
        """Let the dictionary show this run's evidence."""
        return cast(RunRead, self._send("POST", f"/runs/{run_id}/use", {"layers": _some(layers)}))

    def collect(
        self,
        release: str,
        corpus: str,
        *,
        layers: Sequence[int] | None = None,
        max_tokens: int | None = None,
        label: bool = True,
        anew: bool = False,
    ) -> JobRead:
        """Collect the evidence of a release's features over a corpus, as a job."""
        body = {
            "release": release,
            "corpus": corpus,
            "layers": _some(layers),
            "max_tokens": max_tokens,
            "label": label,
            "anew": anew,
        }
        return cast(JobRead, self._send("POST", "/runs", body))

    def label(
        self,
        release: str,
        *,
        layers: Sequence[int] | None = None,
        features: Sequence[int] | None = None,
        anew: bool = False,
        llm: LanguageModelRequest | None = None,
        embedder: str | None = None,
        embedder_model: str | None = None,
    ) -> JobRead:
        """Word features by keywords, then by a language model where one is given, as a job."""
        body = {
            "release": release,
            "layers": _some(layers),
            "features": _some(features),
            "anew": anew,
            "llm": llm,
            "embedder": embedder,
            "embedder_model": embedder_model,
        }
        return cast(JobRead, self._send("POST", "/labels", body))

    def score(
        self,
        release: str,
        *,
        layers: Sequence[int] | None = None,
        scorers: Sequence[str] | None = None,
        sample: int | None = None,
        source: Literal["keywords", "llm"] | None = None,
        same_judge: bool = False,
        judge: JudgeRequest | None = None,
    ) -> JobRead:
        """Measure how well labels tell where their features fire, as a job."""
        body = {
            "release": release,
            "layers": _some(layers),
            "scorers": _some(scorers),
            "sample": sample,
            "source": source,
            "same_judge": same_judge,
            "judge": judge,
        }
        return cast(JobRead, self._send("POST", "/scores", body))

    def draw_map(self, release: str, *, layers: Sequence[int] | None = None) -> JobRead:
        """Draw the map of a release from its labels in force, as a job."""
        body = {"release": release, "layers": _some(layers)}
        return cast(JobRead, self._send("POST", "/maps", body))


def _some(values: Sequence[object] | None) -> list[object] | None:
    return None if values is None else list(values)
