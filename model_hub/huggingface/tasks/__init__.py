"""One module a task: pure pre- and post-processing functions and the task's metric reducer."""
