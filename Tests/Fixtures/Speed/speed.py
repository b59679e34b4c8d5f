#!/usr/bin/env python3
"""Measures Vitrine beside Debian's Bochs and QEMU's TCG; prints Markdown. Started by Tests/speed.sh.

Every number is the best of several rounds, of the kernels the median, the emulators taking turns within a round. Between two marks in the guest's output the
emulator's processor time is read (all threads, user and system; other programs on the host hardly disturb it), and wall time too.
"""

import argparse
import json
import os
import re
import select
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
KERNELS = {
    "crc32": "table CRC-32",
    "sieve": "sieve, byte stores",
    "fib": "recursive calls",
    "qsort": "quicksort",
    "interp": "byte-code switch",
    "muldiv": "MUL, IMUL, DIV",
    "copy": "REP MOVSD, STOSD",
    "matmul": "x87 matrix product",
    "ssemul": "SSE2 matrix product",
    "jit": "code that rewrites code",
}
BUILDS = ("i386", "x86-64")
COMMON = ["-O2", "-ffreestanding", "-nostdlib", "-fno-pic", "-fno-pie", "-fno-stack-protector", "-fno-asynchronous-unwind-tables",
          "-fno-tree-loop-distribute-patterns", "-fcf-protection=none"]
# How a build is compiled and linked, and what a kernel gets besides.
FLAGS = {
    "i386": ["-m32", "-march=i686", "-mno-sse", "-mno-mmx"],
    "x86-64": ["-m64", "-march=x86-64", "-mno-red-zone", "-mfpmath=387", "-mno-sse", "-mno-mmx"],
}
LINK = {"i386": "elf_i386", "x86-64": "elf_x86_64"}
MORE = {
    ("ssemul", "i386"): ["-msse2", "-mfpmath=sse", "-mincoming-stack-boundary=2"],
    ("ssemul", "x86-64"): ["-msse2", "-mfpmath=sse"],
}
# Floating point is reported, but is no integer kernel; REP MOVSD is kept apart too, as it measures memcpy more than the processor.
INTEGER = ["crc32", "sieve", "fib", "qsort", "interp", "muldiv"]


def fail(text):
    print(f"speed: {text}", file=sys.stderr)
    sys.exit(1)


def processor_time(pid):
    """Seconds of processor time of a whole process: its CPU-time clock, as clock_getcpuclockid(3) numbers it."""
    return time.clock_gettime((~pid << 3) | 2)


def watch(command, patterns, timeout, cwd, fifo=None, stream="stdout"):
    """Runs a command until its output has matched all patterns in turn; returns [(wall, cpu)] at start and at each match, and the text.

    The output is what comes through `fifo`, or through the given stream. The process is given ten seconds to end by itself."""
    log = open(os.path.join(cwd, "log"), "ab")
    pipe = {"stdout": log, "stderr": log}
    source = None
    if fifo:
        if os.path.exists(fifo):
            os.unlink(fifo)
        os.mkfifo(fifo)
        source = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    else:
        pipe[stream] = subprocess.PIPE
    start = time.monotonic()
    process = subprocess.Popen(command, cwd=cwd, stdin=subprocess.DEVNULL, **pipe)
    if source is None:
        source = getattr(process, stream).fileno()
    points = [(0.0, 0.0)]
    text = b""
    searched = 0
    try:
        while len(points) <= len(patterns):
            left = timeout - (time.monotonic() - start)
            if left <= 0:
                raise RuntimeError(f"timeout after {timeout} s: {' '.join(command)}\n{text[-500:].decode(errors='replace')}")
            select.select([source], [], [], min(left, 0.2))
            try:
                data = os.read(source, 65536)
            except BlockingIOError:
                data = b""
            if data:
                text += data
                while len(points) <= len(patterns) and (match := re.compile(patterns[len(points) - 1]).search(text, searched)):
                    searched = match.end()
                    points.append((time.monotonic() - start, processor_time(process.pid)))
            elif process.poll() is not None:
                raise RuntimeError(f"ended early ({process.returncode}): {' '.join(command)}\n{text[-500:].decode(errors='replace')}")
            elif fifo:
                time.sleep(0.01)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            pass
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        if fifo:
            os.close(source)
        log.close()
    return points, text


# The emulators. Each function gives the command line for a floppy image or for the Linux CD.

BOCHSRC = """\
megs: 128
cpu: count=1, model=p4_willamette, ips=40000000, reset_on_triple_fault=0
romimage: file=/usr/share/bochs/BIOS-bochs-latest
vgaromimage: file=/usr/share/bochs/VGABIOS-lgpl-latest
display_library: rfb, options="timeout=0"
clock: sync=none
mouse: enabled=0
port_e9_hack: enabled=1
log: bochs.log
panic: action=fatal
error: action=report
info: action=ignore
debug: action=ignore
magic_break: enabled=0
"""


def bochs(work, extra):
    with open(os.path.join(work, "bochsrc"), "w") as f:
        f.write(BOCHSRC + extra)
    with open(os.path.join(work, "debugger"), "w") as f:
        f.write("c\n")
    return ["bochs", "-q", "-f", "bochsrc", "-rc", "debugger"]


def kernel_command(name, build, image, work, tools):
    if name == "vitrine":
        stats = os.path.join(work, "stats.json")
        return [tools.vitrine, "run", "--engine", tools.engine, "--headless", "--memory", "128", "--floppy", image, "--boot", "a", "--disposable", "--debug-console", "0xE9",
                "--debug-exit", "0x501", "--stats", stats], "stderr"
    if name == "qemu":
        program = "qemu-system-i386" if build == "i386" else "qemu-system-x86_64"
        return [program, "-accel", "tcg", "-m", "128", "-display", "none", "-nodefaults", "-drive", f"if=floppy,format=raw,readonly=on,file={image}",
                "-boot", "a", "-debugcon", "stdio", "-device", "isa-debug-exit,iobase=0x501"], "stdout"
    return bochs(work, f'floppya: 1_44="{image}", status=inserted\nboot: floppy\n'), "stdout"


def linux_command(name, iso, work, tools, fifo):
    if name == "vitrine":
        return [tools.vitrine, "run", "--engine", tools.engine, "--headless", "--memory", "128", "--cdrom", iso, "--boot", "d", "--serial", f"file:{fifo}"]
    if name == "qemu":
        return ["qemu-system-i386", "-accel", "tcg", "-m", "128", "-display", "none", "-nodefaults", "-vga", "std", "-cdrom", iso, "-boot", "d",
                "-serial", f"file:{fifo}"]
    return bochs(work, f'ata1: enabled=1, ioaddr1=0x170, ioaddr2=0x370, irq=15\nata1-master: type=cdrom, path="{iso}", status=inserted\n'
                 f'boot: cdrom\ncom1: enabled=1, mode=file, dev="{fifo}"\n')


def direct_command(name, tools, fifo):
    """Without firmware and boot loader: the kernel and the archive given."""
    guest = [os.path.join(tools.guests, f) for f in ("vmlinuz", "initrd.img")]
    append = "quiet console=ttyS0,115200"
    if name == "vitrine":
        return [tools.vitrine, "run", "--engine", tools.engine, "--headless", "--memory", "128", "--kernel", guest[0], "--initrd", guest[1], "--append", append, "--serial",
                f"file:{fifo}"]
    return ["qemu-system-i386", "-accel", "tcg", "-m", "128", "-display", "none", "-nodefaults", "-vga", "std", "-kernel", guest[0], "-initrd", guest[1],
            "-append", append, "-serial", f"file:{fifo}"]


# Building

def run(*command, **options):
    done = subprocess.run(command, capture_output=True, text=True, **options)
    if done.returncode:
        fail(f"{' '.join(command)}: {done.stderr.strip()}")


def build_image(name, build, work):
    elf, flat, image = (os.path.join(work, f"{name}-{build}{suffix}") for suffix in (".elf", ".bin", ".img"))
    run("gcc", *COMMON, *FLAGS[build], *MORE.get((name, build), []), "-no-pie", f"-Wl,-m,{LINK[build]},--build-id=none", "-T", f"{HERE}/kernel.ld", "-o", elf,
        f"{HERE}/start.c", f"{HERE}/{name}.c")
    run("objcopy", "-O", "binary", "-j", ".text", elf, flat)
    run("nasm", "-f", "bin", *(["-D", "LONG"] if build == "x86-64" else []), f"{HERE}/boot.asm", "-o", os.path.join(work, "boot.bin"))
    with open(os.path.join(work, "boot.bin"), "rb") as f:
        content = f.read()
    with open(flat, "rb") as f:
        content += f.read()
    if len(content) > 36 * 512:
        fail(f"{name} is larger than the boot sector loads")
    with open(image, "wb") as f:
        f.write(content.ljust(1474560, b"\0"))
    return image


def build_iso(work, guests):
    """The guests' kernel and archive behind a GRUB that does not wait."""
    root = os.path.join(work, "iso")
    os.makedirs(os.path.join(root, "boot/grub"))
    for file in ("vmlinuz", "initrd.img"):
        source = os.path.join(guests, file)
        if not os.path.exists(source):
            fail(f"{source} is missing; Tests/guests.sh makes it")
        shutil.copy(source, os.path.join(root, "boot", file))
    with open(os.path.join(root, "boot/grub/grub.cfg"), "w") as f:
        f.write("set timeout=0\nmenuentry linux {\n linux /boot/vmlinuz quiet console=ttyS0,115200\n initrd /boot/initrd.img\n}\n")
    iso = os.path.join(work, "linux.iso")
    run("grub-mkrescue", "-d", "/usr/lib/grub/i386-pc", "-o", iso, root)
    return iso


# Measuring

class Best:
    """Least processor time and least wall time seen, each for itself."""

    def __init__(self):
        self.wall = self.cpu = float("inf")

    def of(self, tools):
        return self.cpu if tools.processor_time else self.wall

    def add(self, begin, end):
        self.wall = min(self.wall, end[0] - begin[0])
        self.cpu = min(self.cpu, end[1] - begin[1])


class Median:
    """For what takes hundredths of a second: there a mark that is read late, on a loaded host, makes a time too short."""

    def __init__(self):
        self.times = []

    def add(self, begin, end):
        self.times.append((max(end[0] - begin[0], 1e-4), max(end[1] - begin[1], 1e-4)))

    wall = property(lambda self: statistics.median(t[0] for t in self.times))
    cpu = property(lambda self: statistics.median(t[1] for t in self.times))


def instructions(work):
    with open(os.path.join(work, "stats.json")) as f:
        return json.load(f)["instructions"]


def geometric(values):
    product = 1.0
    for value in values:
        product *= value
    return product ** (1 / len(values)) if values else float("nan")


def say(text):
    print(text, file=sys.stderr, flush=True)


def kernels(tools, work):
    every = [(name, build) for build in tools.builds for name in ["empty", *tools.kernels]]
    images = {key: build_image(*key, work) for key in every}
    counts, sums, middle = {}, {}, {}
    for turn in range(tools.rounds):
        for key in every:
            name, build = key
            for emulator in tools.emulators:
                # Bochs has the i686 of the others' first build.
                if name == "empty" and (emulator != "vitrine" or turn) or build != "i386" and emulator == "bochs":
                    continue
                command, stream = kernel_command(emulator, build, images[key], work, tools)
                points, text = watch(command, [rb"\{", rb"=[0-9a-f]{8}\}"], tools.timeout, work, stream=stream)
                value = re.search(rb"\{=([0-9a-f]{8})\}", text).group(1).decode()
                if sums.setdefault(key, value) != value:
                    fail(f"{name}, {build}: {emulator} computes {value}, the one before it {sums[key]}")
                middle.setdefault((key, emulator), Median()).add(points[1], points[2])
                if emulator == "vitrine":
                    counts[key] = instructions(work)
                b = middle[key, emulator]
                say(f"speed: round {turn + 1} {name} {build} {emulator}: {points[2][1] - points[1][1]:.3f} s of processor, median {b.cpu:.3f}")
    for build in tools.builds:
        table(tools, build, counts, middle)


def table(tools, build, counts, middle):
    rows, slower, against = [], {}, {}
    for name in tools.kernels:
        key = (name, build)
        cells = [name, KERNELS[name]]
        retired = counts[key] - counts["empty", build] if "vitrine" in tools.emulators else 0
        cells.append(f"{retired / 1e6:.0f}")
        for emulator in ("bochs", "vitrine", "qemu"):
            b = middle.get((key, emulator))
            cells.append(f"{b.cpu:.3f} ({retired / b.cpu / 1e6:.0f})" if b else "-")
        for found, (over, under) in ((slower, ("bochs", "vitrine")), (against, ("vitrine", "qemu"))):
            if (key, over) in middle and (key, under) in middle:
                found[name] = middle[key, over].cpu / middle[key, under].cpu
                wall = middle[key, over].wall / middle[key, under].wall
                cells.append(f"{found[name]:.2f} ({wall:.2f})")
            else:
                cells.append("-")
        rows.append(cells)
    print(f"| {build} | | million instructions | Bochs s (MIPS) | Vitrine s (MIPS) | QEMU TCG s (MIPS) | Bochs / Vitrine | Vitrine / QEMU |")
    print("|---|---|---|---|---|---|---|---|")
    for cells in rows:
        print("| " + " | ".join(cells) + " |")
    integer = [name for name in tools.kernels if name in INTEGER]
    mean = lambda ratios: f"{geometric([ratios[n] for n in integer]):.2f}" if ratios and integer else "-"
    print(f"| *geometric mean* | the {len(integer)} integer kernels | | | | | **{mean(slower)}** | **{mean(against)}** |")
    print()


def linux(tools, work):
    iso = build_iso(work, tools.guests)
    fifo = os.path.join(work, "serial")
    best = {}
    ways = [(e, "CD") for e in tools.emulators] + [(e, "--kernel") for e in tools.emulators if e != "bochs"]
    for turn in range(tools.rounds):
        for emulator, way in ways:
            command = linux_command(emulator, iso, work, tools, fifo) if way == "CD" else direct_command(emulator, tools, fifo)
            points, _ = watch(command, [rb"[~/] # "], tools.timeout, work, fifo=fifo)
            best.setdefault((emulator, way), Best()).add(points[0], points[1])
            say(f"speed: round {turn + 1} Linux {way} {emulator}: {points[1][1]:.2f} s of processor, {points[1][0]:.2f} s")
    print("| Debian Linux 6.1 to the shell's prompt | Bochs s | Vitrine s | QEMU TCG s | Bochs / Vitrine | Vitrine / QEMU |")
    print("|---|---|---|---|---|---|")
    for way, label in (("CD", "GRUB CD, processor time"), ("--kernel", "`--kernel`, processor time")):
        for kind in ("cpu", "wall"):
            times = [getattr(best[e, way], kind) if (e, way) in best else None for e in ("bochs", "vitrine", "qemu")]
            cells = [label if kind == "cpu" else label.replace("processor", "wall")] + [f"{t:.2f}" if t else "-" for t in times]
            cells += [f"{over / under:.1f}" if over and under else "-" for over, under in zip(times, times[1:])]
            print("| " + " | ".join(cells) + " |")
    print()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vitrine", required=True, help="the release binary")
    parser.add_argument("--guests", required=True, help="folder of Tests/guests.sh")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--timeout", type=float, default=900, help="seconds for one run")
    parser.add_argument("--kernels", default=",".join(KERNELS), help="comma-separated; empty for none")
    parser.add_argument("--builds", default=",".join(BUILDS), help="of the kernels, separated by commas")
    parser.add_argument("--engine", default="auto", help="Vitrine's engine")
    parser.add_argument("--emulators", default="vitrine,qemu,bochs")
    parser.add_argument("--no-linux", action="store_true")
    tools = parser.parse_args()
    tools.kernels = [k for k in tools.kernels.split(",") if k]
    tools.emulators = tools.emulators.split(",")
    tools.builds = tools.builds.split(",")
    for build in tools.builds:
        if build not in BUILDS:
            fail(f"no build {build}; there are {', '.join(BUILDS)}")
    for name in tools.kernels:
        if name not in KERNELS:
            fail(f"no kernel {name}; there are {', '.join(KERNELS)}")
    with tempfile.TemporaryDirectory(prefix="vitrine-speed-") as work:
        try:
            if tools.kernels:
                kernels(tools, work)
            if not tools.no_linux:
                linux(tools, work)
        except RuntimeError as error:
            fail(str(error))


if __name__ == "__main__":
    main()
