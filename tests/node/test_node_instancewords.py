"""The word list of worker instances."""

import re

from jd.node.instancewords import WORDS


def test_there_are_enough_words() -> None:
    assert len(WORDS) >= 1500


def test_words_need_no_quoting_and_are_easy_to_type() -> None:
    assert [word for word in WORDS if not re.fullmatch(r"[a-z]{3,6}", word)] == []


def test_no_word_stands_twice() -> None:
    assert len(set(WORDS)) == len(WORDS)


def test_words_are_sorted() -> None:
    assert list(WORDS) == sorted(WORDS)


def test_no_two_words_look_the_same_in_a_narrow_font() -> None:
    looks = [word.replace("rn", "m").replace("vv", "w").replace("cl", "d").replace("l", "i")
             for word in WORDS]
    assert len(set(looks)) == len(looks)


def test_no_word_is_one_that_commands_and_dashboards_use() -> None:
    used = {"all", "idle", "busy", "run", "pause", "drain", "stop", "job", "worker", "server",
            "host", "slot", "port", "test", "none", "null", "true", "false", "help", "exit"}
    assert used.intersection(WORDS) == set()
