"""Lines of a stream, however it is cut into pieces."""

import io
import os

from keima.agent.system.line_stream import CHUNK, lines_of


def test_lines_come_without_their_ends():
    assert list(lines_of(io.BytesIO(b"one\n\ntwo\r\nthree"), 100)) == [b"one", b"", b"two\r", b"three"]
    assert list(lines_of(io.BytesIO(b""), 100)) == []
    assert list(lines_of(io.BytesIO(b"\n"), 100)) == [b""]


def test_lines_are_cut_and_may_be_longer_than_what_is_read_at_a_time():
    long = b"x" * (3 * CHUNK)
    assert list(lines_of(io.BytesIO(long + b"\nshort\n" + long), 7)) == [b"xxxxxxx", b"short", b"xxxxxxx"]
    assert list(lines_of(io.BytesIO(long + b"\nshort"), 4 * CHUNK)) == [long, b"short"]


def test_a_line_in_pieces_is_put_together():
    reader, writer = os.pipe()
    with open(reader, "rb", buffering=0) as stream:
        lines = lines_of(stream, 100)
        os.write(writer, b"one\nha")
        assert next(lines) == b"one"
        os.write(writer, b"lf\n")
        assert next(lines) == b"half"
        os.close(writer)
        assert list(lines) == []
