"""Beam's local job service with as many worker processes as the job asks for.

    python two_worker_service.py --port_file FILE

Beam's own reads `--direct_num_workers` only where the job starts in its process; from
the job API it always takes one worker.
"""

import signal
import sys

from apache_beam.options.pipeline_options import DirectOptions
from apache_beam.runners.portability import local_job_service_main
from apache_beam.runners.portability.fn_api_runner import fn_runner


class _Runner(fn_runner.FnApiRunner):
    def run_via_runner_api(self, pipeline_proto, options):
        self._num_workers = int(options.view_as(DirectOptions).direct_num_workers)
        return super().run_via_runner_api(pipeline_proto, options)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    fn_runner.FnApiRunner = _Runner
    local_job_service_main.run(sys.argv[1:])
