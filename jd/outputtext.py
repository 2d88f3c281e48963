"""How what a job prints is cut and joined: between characters, with a line that says what is missing."""


def to_last_character(data: bytes) -> int:
    """Where the last whole character of UTF-8 ends; where that is something else, the end of `data`."""
    for back in range(1, min(4, len(data)) + 1):
        byte = data[-back]
        if byte >= 0xC0:  # begins a character of 2, 3 or 4 bytes
            size = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return len(data) - back if back < size else len(data)
        if byte < 0x80:
            break
    return len(data)


def to_first_character(data: bytes) -> int:
    """How many bytes at the beginning belong to a character that has begun before."""
    return next((at for at, byte in enumerate(data[:4]) if byte & 0xC0 != 0x80), min(4, len(data)))


def joint(before: str, left_out: int) -> str:
    """What stands after `before` where so many bytes are not there: a line of its own, or nothing."""
    if not left_out:
        return ""
    begin = "" if before.endswith("\n") or not before else "\n"
    return "%s[... %s bytes of output are left out here ...]\n" % (begin, format(left_out, ","))
