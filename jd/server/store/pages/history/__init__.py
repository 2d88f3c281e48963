"""What has happened so far: the best of a metric, who ran what when, and what it has cost."""
