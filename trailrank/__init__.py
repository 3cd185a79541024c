"""From raw short-video impression logs to a served multi-task ranker."""
