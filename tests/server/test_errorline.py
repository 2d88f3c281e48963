"""The line that tells why an attempt failed, found in what programs of many kinds print; and its form."""

import time
from typing import Optional

import pytest

from jd import protocol as p
from jd.server.store import errorform, errorline

FRAMES = 'Traceback (most recent call last):\n  File "/a/train.py", line 3, in <module>\n    main()\n'
INNER = '  File "/a/train.py", line 9, in main\n    raise it\n    ^^^^^^^^\n'
BECAUSE = "\nThe above exception was the direct cause of the following exception:\n\n"
DURING = "\nDuring handling of the above exception, another exception occurred:\n\n"
GROUP = """\
  + Exception Group Traceback (most recent call last):
  |   File "/a/g.py", line 3, in <module>
  |     raise ExceptionGroup("several", es)
  | ExceptionGroup: several (2 sub-exceptions)
  +-+---------------- 1 ----------------
    | Traceback (most recent call last):
    |   File "/a/g.py", line 8, in one
    |     try: one()
    | ZeroDivisionError: division by zero
    +---------------- 2 ----------------
    | Traceback (most recent call last):
    |   File "/a/g.py", line 9, in two
    |     int("y")
    | ValueError: invalid literal for int() with base 10: 'y'
    +------------------------------------
"""
NESTED = """\
  + Exception Group Traceback (most recent call last):
  |   File "g.py", line 9, in <module>
  |     raise outer
  | ExceptionGroup: outer (2 sub-exceptions)
  | a note of it
  +-+---------------- 1 ----------------
    | ExceptionGroup: inner (1 sub-exception)
    +-+---------------- 1 ----------------
      | TypeError: deep
      +------------------------------------
    +---------------- 2 ----------------
    | ValueError: b
    +------------------------------------
"""


@pytest.mark.parametrize("output, line", [
    # ---- Python
    (FRAMES + INNER + "ValueError: lr is 3\n", "ValueError: lr is 3"),
    (FRAMES + "AssertionError\n", "AssertionError"),
    (FRAMES + "torch.cuda.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 MiB\n",
     "torch.cuda.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 MiB"),
    (FRAMES + "__main__.f.<locals>.E: mine: yes\n", "__main__.f.<locals>.E: mine: yes"),
    (FRAMES + "KeyError: 'lr'\n" + BECAUSE + FRAMES + "RuntimeError: no lr\n", "RuntimeError: no lr"),
    (FRAMES + "KeyError: 'lr'\n" + DURING + FRAMES + "ValueError: other\n", "ValueError: other"),
    (FRAMES + "ValueError: bad\nthe first note: an error in the file\nFile \"x\" was read\n",
     "ValueError: bad"),
    (FRAMES + "RuntimeError: Error(s) in loading state_dict for Net:\n\tsize mismatch for fc.weight: no\n",
     "RuntimeError: Error(s) in loading state_dict for Net: size mismatch for fc.weight: no"),
    (FRAMES + "torch.distributed.elastic.multiprocessing.errors.ChildFailedError: \n=======\n"
     "train.py FAILED\n-------\nFailures:\n  <NO_OTHER_FAILURES>\n",
     "torch.distributed.elastic.multiprocessing.errors.ChildFailedError: train.py FAILED"),
    (FRAMES + "  [Previous line repeated 995 more times]\nRecursionError: maximum recursion depth exceeded\n",
     "RecursionError: maximum recursion depth exceeded"),
    (GROUP, "ExceptionGroup: several (2 sub-exceptions): ZeroDivisionError: division by zero"),
    (NESTED, "ExceptionGroup: outer (2 sub-exceptions): TypeError: deep"),
    (GROUP + FRAMES + "OSError: after it\n", "OSError: after it"),
    ('  File "s.py", line 1\n    def f(\n         ^\nSyntaxError: \'(\' was never closed\n',
     "SyntaxError: '(' was never closed"),
    (INNER + "ValueError: the beginning is cut off\n", "ValueError: the beginning is cut off"),
    (FRAMES + "ValueError: real\n/a/x.py:3: UserWarning: this will be an error\n  warn(it)\n"
     "\r 50%|#####     | 5/10 [00:01<00:01,  5.00it/s]", "ValueError: real"),
    (FRAMES + "ValueError: real\nException ignored in: <function D.__del__ at 0x7f>\n" + FRAMES
     + "AttributeError: gone\n", "ValueError: real"),
    ("Exception ignored in: <function D.__del__ at 0x7f>\n" + FRAMES + "AttributeError: gone\n",
     "AttributeError: gone"),
    (FRAMES + "ValueError: real\n--- Logging error ---\n" + FRAMES + "TypeError: format\nCall stack:\n"
     '  File "x.py", line 3, in <module>\n    log()\nMessage: \'it\'\nArguments: (1,)\n', "ValueError: real"),
    ("[rank0]: " + FRAMES.replace("\n", "\n[rank0]: ") + "ValueError: lr\n[rank1]: other words\n",
     "ValueError: lr"),
    ("".join("%d: %s\n" % (0, line) for line in (FRAMES + "ValueError: one").splitlines()),
     "ValueError: one"),
    (FRAMES + "ValueError: real\nsrun: error: node07: task 0: Exited with exit code 1\n", "ValueError: real"),
    ("Error executing job with overrides: ['lr=1']\n" + FRAMES + "ValueError: x\n\nSet the environment"
     " variable HYDRA_FULL_ERROR=1 for a complete stack trace.\n", "ValueError: x"),
    ("\033[31m" + FRAMES + "\033[1mValueError\033[0m: \033[35mred\033[0m\n", "ValueError: red"),
    (FRAMES + "ValueError: größe ≠ 3 – ‘x’\n", "ValueError: größe ≠ 3 – ‘x’"),
    ("2026-11-27 12:00:00,123 ERROR training failed\n" + FRAMES + "ValueError: logged\n",
     "ValueError: logged"),
    ("".join("2026-11-27T12:00:0%dZ %s\n" % (at, line)
             for at, line in enumerate((FRAMES + "ValueError: stamped").splitlines())),
     "ValueError: stamped"),
    (FRAMES + "KeyboardInterrupt\n", "KeyboardInterrupt"),
    # ---- no traceback
    ("loading\nfatal: no data\n", "fatal: no data"),
    ("usage: t.py [-h]\nt.py: error: unrecognized arguments: --foo 3\n",
     "t.py: error: unrecognized arguments: --foo 3"),
    ("epoch 1: train error 0.31\nepoch 2: val_error=0.25 acc=0.7\nno space is left\n", "no space is left"),
    ("CUDA error: device-side assert\nTrain Error: 0.25, 3 files\n0 errors, 0 warnings\n",
     "CUDA error: device-side assert"),
    ("error: 5 files are missing\nbye\n", "error: 5 files are missing"),
    ("one\ntwo\n\n  \n", "two"),
    ("it stopped\n 99%|#########9| 99/100 [00:09<00:00, 10.1it/s]\n", "it stopped"),
    (" 99%|#########9| 99/100 [00:09<00:00, 10.1it/s]\n", "99%|#########9| 99/100 [00:09<00:00, 10.1it/s]"),
    ("DeprecationWarning: this fails in future\ndone with it\n", "done with it"),
    ("", ""),
    ("\n \r\n", ""),
    # ---- C, C++, Fortran, shells
    ("as: as.c:2: main: Assertion `c==5' failed.\nbash: line 1: 28988 Aborted (core dumped) ./as\n",
     "as: as.c:2: main: Assertion `c==5' failed."),
    ("terminate called after throwing an instance of 'std::runtime_error'\n  what():  bad thing\nAborted\n",
     "std::runtime_error: bad thing"),
    ("terminate called after throwing an instance of 'int'\n", "int"),
    ("bash: line 1: 28988 Segmentation fault      (core dumped) ./sg\n",
     "bash: line 1: 28988 Segmentation fault (core dumped) ./sg"),
    (("At line 5 of file x.f90\nFortran runtime error: End of file\n\nError termination. Backtrace:\n"
     "#0  0x7f in ???\n#1  0x55 in main\n"), "Fortran runtime error: End of file"),
    ("run.sh: line 3: nosuch: command not found\nleaving\n", "run.sh: line 3: nosuch: command not found"),
    ("bash: line 1: foo: unbound variable\n", "bash: line 1: foo: unbound variable"),
    ("main.c:3:5: error: unknown type name 'x'\nmake[1]: *** [Makefile:3: all] Error 1\n",
     "main.c:3:5: error: unknown type name 'x'"),
    ("make: *** [Makefile:3: all] Error 1\n", "make: *** [Makefile:3: all] Error 1"),
    ("solver: matrix is singular: failed\nslurmstepd: error: *** JOB 7 ON n1 CANCELLED AT 2026 ***\n",
     "solver: matrix is singular: failed"),
    # ---- R, Julia, Java, JavaScript, Perl, Rust, Go
    ("Error in f(3) : bad lr: 3\nCalls: f\nExecution halted\n", "Error in f(3) : bad lr: 3"),
    ("Error in read_it(\"a very long name\", and = \"more\") :\n  cannot open the file\nExecution halted\n",
     'Error in read_it("a very long name", and = "more") : cannot open the file'),
    (('Error in file(file, "rt") : cannot open the connection\nCalls: read.csv -> read.table -> file\n'
     "In addition: Warning message:\nIn file(file, \"rt\") :\n  cannot open file 'nofile.csv': No such file\n"
     "Execution halted\n"), 'Error in file(file, "rt") : cannot open the connection'),
    (("ERROR: LoadError: boom\nStacktrace:\n [1] error(s::String)\n   @ Base ./error.jl:35\n [2] top-level"
     " scope\n   @ ~/x.jl:1\nin expression starting at /home/u/x.jl:1\n"), "ERROR: LoadError: boom"),
    (('Exception in thread "main" java.lang.RuntimeException: outer\n\tat E.main(E.java:3)\n'
     "\tat a.ErrorHandler.run(ErrorHandler.java:9)\nCaused by: java.io.IOException: disk full\n"
     "\tat E.main(E.java:2)\n\t... 1 more\n"), "Caused by: java.io.IOException: disk full"),
    (("[eval]:1\nthrow new TypeError(\"js bad\")\n^\n\nTypeError: js bad\n    at [eval]:1:7\n"
     "    at runScriptInThisContext (node:internal/vm:209:10)\n\nNode.js v18.19.0\n"), "TypeError: js bad"),
    ("perl died at -e line 1.\n", "perl died at -e line 1."),
    ("thread 'main' panicked at src/main.rs:2:5:\nboom\nnote: run with `RUST_BACKTRACE=1`\n",
     "thread 'main' panicked at src/main.rs:2:5: boom"),
    (("panic: runtime error: index out of range [5]\n\ngoroutine 1 [running]:\nmain.main()\n\t/x.go:5 +0x1d\n"
     "exit status 2\n"), "panic: runtime error: index out of range [5]"),
])
def test_the_line_in_what_a_program_printed(output: str, line: str) -> None:
    assert errorline.in_output(output) == line


@pytest.mark.parametrize("verdict, exit_code, message, output, line", [
    (p.VERDICT_FAILED, 1, "exit status 1\nnothing", FRAMES + "ValueError: x", "ValueError: x"),
    (p.VERDICT_FAILED, 1, "exit status 1", "", "exit status 1"),
    (p.VERDICT_FAILED, 1, "exit status 1\n2 files were left out", "", "exit status 1"),
    (p.VERDICT_FAILED, None, "the script /a/t.py is not there", "", "the script /a/t.py is not there"),
    (p.VERDICT_FAILED, None, "Script failed\n" + FRAMES + "ValueError: base", "", "ValueError: base"),
    (p.VERDICT_KILLED, -11, "killed by SIGSEGV\nerror", "an error before", "killed by SIGSEGV"),
    (p.VERDICT_KILLED, -6, "killed by SIGABRT", "a.c:2: main: Assertion `x' failed.",
     "a.c:2: main: Assertion `x' failed."),
    (p.VERDICT_KILLED, -6, "killed by SIGABRT", "epoch 3", "killed by SIGABRT"),
    (p.VERDICT_OOM, -9, "killed by SIGKILL: out of memory", "ValueError: x",
     "killed by SIGKILL: out of memory"),
    (p.VERDICT_TIMEOUT, 0, "ran for 61s, and its limit is 60s: stopped", "error",
     "ran for 61s, and its limit is 60s: stopped"),
    (p.VERDICT_PREEMPTED, None, "the worker was told to stop", "error", "the worker was told to stop"),
    (p.VERDICT_LOST, None, "no heartbeat for 600 s", "error", "no heartbeat for 600 s"),
    (p.VERDICT_LOST, None, "", "", ""),
])
def test_the_line_of_an_attempt(verdict: str, exit_code: Optional[int], message: str, output: str,
                                line: str) -> None:
    assert errorline.of(verdict, exit_code, message, output) == line


@pytest.mark.parametrize("line, form", [
    ("CUDA out of memory. Tried to allocate 20.00 MiB (GPU 3; 79.15 GiB total, 1,234 MiB free)",
     "CUDA out of memory. Tried to allocate <n> MiB (GPU <n>; <n> GiB total, <n> MiB free)"),
    ("KeyError: 'lr'", "KeyError: <text>"),
    ("can't open file '/home/u/x.py': [Errno 2] No such file",
     "can't open file <text>: [Errno <n>] No such file"),
    ("don't, can't", "don't, can't"),
    ("a.out: src/a.c:5: main: Assertion `x == 1' failed.",
     "<path>: <path>:<n>: main: Assertion <text> failed."),
    ("ran for 61s, and its limit is 1 min: stopped", "ran for <time>, and its limit is <time>: stopped"),
    ("ran for 1 h 5 min, and", "ran for <time>, and"),
    ("shapes (3,4) (5,) [1]", "shapes (<n>) (<n>) [<n>]"),
    ("no heartbeat for 600 s; with the last one 95 % of the memory was used",
     "no heartbeat for <time>; with the last one <n> % of the memory was used"),
    ("it took down 2 workers: a_egg_0, b_fox_1; no heartbeat for 600 s",
     "it took down workers; no heartbeat for <time>"),
    ("2026-11-27 12:00:00,123 - ERROR - boom at 0x7f00ab in libfoo.so.6",
     "<time> - ERROR - boom at <hex> in <path>"),
    ("[Fri Nov 27 14:43:17 2026] x", "[<time>] x"),
    ("shapes cannot be multiplied (32x784 and 512x10)", "shapes cannot be multiplied (<n> and <n>)"),
    ("expected [32, 64, 3], got [32, 64]", "expected [<n>], got [<n>]"),
    ("x=-3.5e-7 y=.5 z=+4", "x=<n> y=<n> z=<n>"),
    ("[node07:29500] refused by 10.0.0.3:29500 and node3.cluster.local",
     "[node<n>:<n>] refused by <host> and <host>"),
    ("fermi.lab:3 died, on fermi, fermions do not", "<host>:<n> died, on <host>, fermions do not"),
    ("commit deadbeef01 of 123e4567-e89b-12d3-a456-426614174000", "commit <hex> of <uuid>"),
    ("no such file model_12.ckpt and/or data/train.csv", "no such file <path> and/or <path>"),
    ("C:\\data\\x.csv is missing, ./y/z too, ~/q", "<path> is missing, <path> too, <path>"),
    ("torch.cuda.OutOfMemoryError: encoder.layer1.weight",
     "torch.cuda.OutOfMemoryError: encoder.layer<n>.weight"),
    ("https://a.b/c?d=3 failed", "<url> failed"),
    ("device cuda:1 on rank 5", "device cuda:<n> on rank <n>"),
    ("  two\t blanks ", "two blanks"),
    ("decade", "decade"),
])
def test_what_differs_from_job_to_job_gives_way(line: str, form: str) -> None:
    assert errorform.normal(line, "fermi") == form
    assert errorform.normal(form) == form


@pytest.mark.parametrize("ran, limit", [
    ("59.12s", "29.5s"), ("1m 01s", "30s"), ("1h 01m", "30m 50s"), ("1d 01h", "12h 30m")])
def test_limits_of_any_length_have_one_form(ran: str, limit: str) -> None:
    form = "ran for <time>, and its limit is <time>: stopped"
    assert errorform.normal("ran for %s, and its limit is %s: stopped" % (ran, limit)) == form


def test_a_form_has_an_end_and_long_lines_that_differ_early_are_alike() -> None:
    long = [errorform.normal("x %s " % number + "word " * 100) for number in ("1", "123456789")]
    assert long[0] == long[1] and len(long[0]) == errorform.MOST


@pytest.mark.parametrize("piece", [
    "a", " ", "a/", "1,", "1x", "'", '"', "a.", "0x", "-", "(", 'File "',"\033[", "`", "[1] ", "1:", "ab12"])
def test_odd_output_takes_no_time(piece: str) -> None:
    """No expression goes back and forth over a line."""
    began = time.process_time()
    line = errorline.of(p.VERDICT_FAILED, 1, "", (piece * 20000)[:16000])
    errorform.normal(line, "fermi")
    errorline.of(p.VERDICT_FAILED, 1, "", "\n".join([piece * 20] * 700))
    assert time.process_time() - began < 1.0
