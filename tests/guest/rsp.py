# SPDX-License-Identifier: BSD-2-Clause
"""A client of the GDB remote serial protocol: for what gdb would never send, or where it is not.

Its packets and answers are bytes; an answer that does not come in time fails the test.
"""

from __future__ import annotations

import socket
import struct
import time

ANSWER = 60

# Numbers of registers as target.xml has them
RAX, RBX, RSP, RIP, EFLAGS = 0, 1, 7, 16, 17


def frame(content: bytes) -> bytes:
    return b"$" + content + b"#%02x" % (sum(content) & 0xFF)


class Client:
    def __init__(self, path: str, limit: float = ANSWER) -> None:
        deadline = time.monotonic() + limit
        while True:
            self.socket = socket.socket(socket.AF_UNIX)
            try:
                self.socket.connect(path)
                break
            except (FileNotFoundError, ConnectionRefusedError):
                self.socket.close()
                assert time.monotonic() < deadline, f"nobody listens at {path}"
                time.sleep(0.05)
        self.socket.settimeout(limit)
        self.got = b""

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def answer(self, limit: float = ANSWER) -> bytes:
        """The content of the next packet."""
        self.socket.settimeout(limit)
        while True:
            self.got = self.got.lstrip(b"+")
            end = self.got.find(b"#")
            if end >= 0 and len(self.got) >= end + 3:
                end += 3
                packet, self.got = self.got[:end], self.got[end:]
                assert packet == frame(packet[1:-3]), packet
                try:
                    self.send(b"+")
                except BrokenPipeError:
                    pass  # it was a goodbye
                return packet[1:-3]
            data = self.socket.recv(65536)
            assert data, f"hung up after {self.got!r}"
            self.got += data

    def ask(self, content: bytes) -> bytes:
        self.send(frame(content))
        return self.answer()

    def ok(self, content: bytes) -> None:
        answer = self.ask(content)
        assert answer == b"OK", (content, answer)

    def silent(self, seconds: float) -> bool:
        """Nothing but the receipt of what was sent comes for so long."""
        self.socket.settimeout(seconds)
        try:
            self.got += self.socket.recv(65536)
            self.got += self.socket.recv(65536)
        except TimeoutError:
            pass
        return not self.got.strip(b"+")

    def hung_up(self) -> bool:
        self.socket.settimeout(ANSWER)
        try:
            while self.socket.recv(65536):
                pass
        except ConnectionResetError:
            pass
        return True

    # ---- what the target does ----

    def stop(self, limit: float = ANSWER) -> str:
        """The next stop."""
        answer = self.answer(limit)
        assert answer[:1] == b"T", answer
        return answer.decode()

    def interrupt(self) -> str:
        self.send(b"\3")
        return self.stop()

    def go(self, actions: bytes = b"c") -> None:
        self.send(frame(b"vCont;" + actions))

    def step(self, thread: int) -> str:
        self.go(b"s:%x" % thread)
        return self.stop()

    def go_past(self, point: bytes, thread: int = 1) -> str:
        """From a breakpoint, as gdb does it: away with it, one step, and there again."""
        self.ok(b"z" + point)
        self.step(thread)
        self.ok(b"Z" + point)
        self.go()
        return self.stop()

    def register(self, number: int) -> int:
        return int.from_bytes(bytes.fromhex(self.ask(b"p%x" % number).decode()), "little")

    def set_register(self, number: int, value: int, size: int = 8) -> None:
        self.ok(b"P%x=" % number + value.to_bytes(size, "little").hex().encode())

    def read(self, address: int, length: int) -> bytes:
        answer = self.ask(b"m%x,%x" % (address, length))
        assert answer[:1] != b"E" or len(answer) != 3, answer
        return bytes.fromhex(answer.decode())

    def write(self, address: int, data: bytes) -> None:
        self.ok(b"M%x,%x:" % (address, len(data)) + data.hex().encode())

    def number(self, address: int) -> int:
        return struct.unpack("<Q", self.read(address, 8))[0]

    def monitor(self, line: str) -> str:
        self.send(frame(b"qRcmd," + line.encode().hex().encode()))
        text = b""
        while True:
            answer = self.answer()
            if answer == b"OK":
                return text.decode()
            assert answer[:1] == b"O", answer
            text += bytes.fromhex(answer[1:].decode())
