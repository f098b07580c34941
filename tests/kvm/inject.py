# SPDX-License-Identifier: BSD-2-Clause
"""Has a thread of another process make system calls, by ptrace(2): for root, on x86-64."""

from __future__ import annotations

import ctypes
import os
import signal

SEIZE, INTERRUPT, GETREGS, SETREGS, SINGLESTEP, DETACH = 0x4206, 0x4207, 12, 13, 9, 17
WALL = 0x40000000
REGS = """r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi orig_rax rip cs eflags rsp ss
fs_base gs_base ds es fs gs""".split()

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.restype = ctypes.c_long
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]


class Registers(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in REGS]


def ptrace(request: int, tid: int, address: int = 0, data: object = 0) -> None:
    if libc.ptrace(request, tid, address, data) < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


class Thread:
    """Stopped, and its registers put back in the end."""

    def __init__(self, pid: int, tid: int) -> None:
        self.pid, self.tid = pid, tid

    def __enter__(self) -> Thread:
        ptrace(SEIZE, self.tid)
        ptrace(INTERRUPT, self.tid)
        self.wait()
        self.before = Registers()
        ptrace(GETREGS, self.tid, 0, ctypes.byref(self.before))
        with open(f"/proc/{self.pid}/mem", "rb", buffering=0) as memory:
            memory.seek(self.before.rip - 2)
            assert memory.read(2) == b"\x0f\x05", "it is not in a system call"
        # Below all that it has on its stack.
        self.scratch = (self.before.rsp - 8192) & ~4095
        return self

    def __exit__(self, *_: object) -> None:
        ptrace(SETREGS, self.tid, 0, ctypes.byref(self.before))
        ptrace(DETACH, self.tid)

    def wait(self) -> int:
        _, status = os.waitpid(self.tid, WALL)
        assert os.WIFSTOPPED(status), f"it has ended: {status:#x}"
        return os.WSTOPSIG(status)

    def write(self, data: bytes) -> int:
        """Its address there."""
        with open(f"/proc/{self.pid}/mem", "r+b", buffering=0) as memory:
            memory.seek(self.scratch)
            memory.write(data)
        return self.scratch

    def call(self, number: int, *args: int | bytes) -> int | None:
        """The result; None when a filter would have ended the process."""
        regs = Registers.from_buffer_copy(self.before)
        values = [self.write(arg + b"\0") if isinstance(arg, bytes) else arg for arg in args]
        values += [0] * (6 - len(values))
        regs.rdi, regs.rsi, regs.rdx, regs.r10, regs.r8, regs.r9 = (
            value & 0xFFFFFFFFFFFFFFFF for value in values
        )
        regs.rax, regs.orig_rax, regs.rip = number, 0xFFFFFFFFFFFFFFFF, self.before.rip - 2
        ptrace(SETREGS, self.tid, 0, ctypes.byref(regs))
        stop = self.step()
        ptrace(GETREGS, self.tid, 0, ctypes.byref(regs))
        # A call that a filter stopped leaves its number there, and SIGSYS comes behind the step's.
        if stop == signal.SIGTRAP and regs.rax == number:
            stop = self.step()
        if stop == signal.SIGSYS:
            while self.step() != signal.SIGTRAP:
                pass
            return None
        return ctypes.c_int64(regs.rax).value

    def step(self) -> int:
        """The signal that comes of it, which is not delivered."""
        while True:
            ptrace(SINGLESTEP, self.tid)
            stop = self.wait()
            if stop in (signal.SIGSYS, signal.SIGTRAP):
                return stop
