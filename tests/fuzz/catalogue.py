"""All properties."""

from typing import Tuple

from tests.fuzz import (
    archives,
    backups,
    curves,
    error_lines,
    files_of_ours,
    http_answers,
    http_requests,
    jobs_files,
    json_texts,
    machines,
    messages_read,
    multipart_bodies,
    searches,
    tokens,
    words,
)
from tests.fuzz.properties import Property

PROPERTIES: Tuple[Property, ...] = (
    *http_requests.PROPERTIES,
    *multipart_bodies.PROPERTIES,
    *json_texts.PROPERTIES,
    *tokens.PROPERTIES,
    *words.PROPERTIES,
    *machines.PROPERTIES,
    *jobs_files.PROPERTIES,
    *searches.PROPERTIES,
    *error_lines.PROPERTIES,
    *messages_read.PROPERTIES,
    *curves.PROPERTIES,
    *files_of_ours.PROPERTIES,
    *archives.PROPERTIES,
    *backups.PROPERTIES,
    *http_answers.PROPERTIES,
)
