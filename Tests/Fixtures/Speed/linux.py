#!/usr/bin/env python3
"""Measures work inside Linux and the boot of the Debian disks, beside QEMU's TCG and User-Mode Linux; prints Markdown. Started by
Tests/speed-linux.sh.

Wall time between two marks in the guest's output, best of several rounds, the programs taking turns within a round. Processor time would
leave out what User-Mode Linux does, as its guest's programs are processes of their own; --processor-time takes it all the same."""

import argparse
import os
import subprocess
import sys
import tempfile

from speed import Best, fail, geometric, run, say, watch

# Name, what is done, the commands of BusyBox's shell.
WORK = [
    ("sha256sum", "sha256sum of 16 MiB", "sha256sum /tmp/data"),
    ("gzip", "gzip of 4 MiB", "head -c 4194304 /tmp/data | gzip -c"),
    ("awk", "awk, floating point", "awk 'BEGIN { for (i = 1; i <= 100000; i++) s += i * 1.5 / (i + 0.25); print s }'"),
    ("fork", "300 fork and exec", "i=0; while [ $i -lt 300 ]; do /bin/true; i=$((i + 1)); done"),
    ("shell", "shell loop", "i=0; while [ $i -lt 50000 ]; do i=$((i + 1)); done"),
]

FOLDERS = ["bin", "dev", "proc", "tmp"]


def archive(busybox, work, name):
    """A newc archive: BusyBox and an init that does the work between marks on the console and powers off."""
    root = os.path.join(work, name)
    for folder in FOLDERS:
        os.makedirs(os.path.join(root, folder))
    run("cp", busybox, os.path.join(root, "bin/busybox"))
    for applet in ("sh", "true", "sha256sum", "gzip", "awk", "head", "cat", "mount", "poweroff"):
        os.symlink("busybox", os.path.join(root, "bin", applet))
    lines = ["#!/bin/sh", "export PATH=/bin", "mount -t devtmpfs devtmpfs /dev", "mount -t proc proc /proc",
             # Bytes of a program, not zeros: gzip shall have something to do.
             "i=0; while [ $i -lt 16 ]; do cat /bin/busybox; i=$((i + 1)); done | head -c 16777216 >/tmp/data"]
    for key, _, command in WORK:
        # Once to have programs and files in memory, then measured.
        lines.append(f"{{ {command}; }} >/dev/null; echo '<'{key}'<'; {{ {command}; }} >/dev/null; echo '>'{key}'>'")
    lines += ["poweroff -f", "while :; do :; done", ""]
    init = os.path.join(root, "init")
    with open(init, "w") as f:
        f.write("\n".join(lines))
    os.chmod(init, 0o755)
    image = os.path.join(work, name + ".img")
    names = "".join(sorted(os.path.relpath(os.path.join(base, entry), root) + "\n" for base, folders, files in os.walk(root) for entry in folders + files))
    with open(image, "wb") as f:
        run_input(["cpio", "--quiet", "-o", "-H", "newc"], names, f, root)
    return image


def run_input(command, text, output, cwd):
    if subprocess.run(command, input=text.encode(), stdout=output, cwd=cwd).returncode:
        fail(f"{' '.join(command)} failed")


def qemu(arch):
    return ["qemu-system-i386" if arch == "i386" else "qemu-system-x86_64", "-accel", "tcg", "-display", "none", "-nodefaults", "-vga", "std"]


def work_command(program, arch, kernel, image, tools, fifo):
    append = "quiet console=ttyS0,115200"
    if program == "vitrine":
        return [tools.vitrine, "run", "--engine", tools.engine, "--headless", "--memory", "256", "--kernel", kernel, "--initrd", image, "--append", append, "--serial", f"file:{fifo}"]
    if program == "qemu":
        return [*qemu(arch), "-m", "256", "-kernel", kernel, "-initrd", image, "-append", append, "-serial", f"file:{fifo}"]
    return ["linux.uml", "mem=256M", f"initrd={image}", "quiet", "con=null", "con0=null,fd:1", "ssl=null"]


def works(tools, arch, work, rows):
    kernel, busybox = {"i386": (tools.kernel32, tools.busybox32), "amd64": (tools.kernel64, tools.busybox64)}[arch]
    image = archive(busybox, work, "work-" + arch)
    programs = ["vitrine", "qemu"] + (["uml"] if arch == "amd64" and tools.uml and not tools.processor_time else [])
    programs = [p for p in programs if p in tools.programs.split(",")]
    fifo = os.path.join(work, "serial")
    best = {}
    patterns = [pattern.encode() for key, _, _ in WORK for pattern in (f"<{key}<", f">{key}>")]
    for turn in range(tools.rounds):
        for program in programs:
            command = work_command(program, arch, kernel, image, tools, fifo)
            points, _ = watch(command, patterns, tools.timeout, work, fifo=None if program == "uml" else fifo)
            best.setdefault((program, "boot"), Best()).add(points[0], points[1])
            for index, (key, _, _) in enumerate(WORK):
                best.setdefault((program, key), Best()).add(points[1 + 2 * index], points[2 + 2 * index])
            say(f"speed: round {turn + 1} {arch} {program}: " + ", ".join(f"{key} {best[program, key].of(tools):.2f}" for key, _, _ in WORK))
    for key, title, _ in WORK:
        rows.append((f"{title}, {arch}", [best[p, key].of(tools) if (p, key) in best else None for p in ("vitrine", "qemu", "uml")]))


def boots(tools, work, rows):
    fifo = os.path.join(work, "serial")
    best = {}
    cases = [(arch, interface) for arch in tools.arch.split(",") for interface in ("ide", "virtio")]
    for turn in range(tools.rounds):
        for arch, interface in cases:
            image = os.path.join(tools.guests, f"debian-{arch}.img")
            for program in ("vitrine", "qemu"):
                if program == "vitrine":
                    command = [tools.vitrine, "run", "--engine", tools.engine, "--headless", "--memory", "256", "--disk", image, "--disk-interface", interface, "--disposable",
                               "--serial", f"file:{fifo}"]
                else:
                    command = [*qemu(arch), "-m", "256", "-drive", f"if={interface},format=raw,snapshot=on,file={image}", "-serial", f"file:{fifo}"]
                points, _ = watch(command, [rb"login: "], tools.timeout, work, fifo=fifo)
                b = best.setdefault((program, arch, interface), Best())
                b.add(points[0], points[1])
                say(f"speed: round {turn + 1} boot of {arch} on {interface}, {program}: {points[1][0]:.1f} s, best {b.of(tools):.1f}")
    for arch, interface in cases:
        rows.append((f"boot of Debian {arch} from {interface} to its login", [best[p, arch, interface].of(tools) for p in ("vitrine", "qemu")] + [None]))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vitrine", required=True)
    parser.add_argument("--guests", required=True)
    for name in ("kernel32", "kernel64", "busybox32", "busybox64"):
        parser.add_argument("--" + name, required=True)
    parser.add_argument("--engine", default="auto", help="Vitrine's engine")
    parser.add_argument("--arch", default="i386,amd64", help="guests, separated by commas")
    parser.add_argument("--programs", default="vitrine,qemu,uml", help="what to measure, separated by commas")
    parser.add_argument("--processor-time", action="store_true", help="not wall time: on a busy host; User-Mode Linux is left out")
    parser.add_argument("--uml", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--timeout", type=float, default=900)
    parser.add_argument("--no-boot", action="store_true")
    parser.add_argument("--no-work", action="store_true")
    tools = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory(prefix="vitrine-speed-") as work:
        try:
            if not tools.no_work:
                for arch in tools.arch.split(","):
                    works(tools, arch, work, rows)
            if not tools.no_boot:
                boots(tools, work, rows)
        except RuntimeError as error:
            fail(str(error))
    print(f"| seconds of {'processor' if tools.processor_time else 'wall'} time | Vitrine | QEMU TCG | User-Mode Linux | Vitrine / QEMU | Vitrine / UML |")
    print("|---|---|---|---|---|---|")
    ratios = []
    for title, (ours, theirs, uml) in rows:
        if ours is None or theirs is None:
            print(f"| {title} | {ours or theirs or 0:.2f} |")
            continue
        ratios.append(ours / theirs)
        print(f"| {title} | {ours:.2f} | {theirs:.2f} | {f'{uml:.2f}' if uml else '-'} | {ours / theirs:.1f} | {f'{ours / uml:.1f}' if uml else '-'} |")
    print(f"| *geometric mean* | | | | **{geometric(ratios):.1f}** | |")


if __name__ == "__main__":
    sys.exit(main())
