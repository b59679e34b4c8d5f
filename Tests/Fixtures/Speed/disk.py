#!/usr/bin/env python3
"""Measures disks inside Linux beside QEMU's TCG, for image formats and interfaces; prints Markdown. Started by Tests/speed-disk.sh.

A program in the guest reads and writes the disk past the guest's cache. Wall time between its start and its end, and processor time, each the best
of several rounds, the emulators taking turns. On a host with other work the second says more."""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile

from linux import qemu, run_input
from speed import Best, fail, geometric, run, say, watch

# Name, title, arguments of the program, bytes moved.
WORK = [
    ("seqwrite", "sequential write", "w s 262144 1000 1", 1000 << 18),
    ("seqread", "sequential read", "r s 262144 1000 1", 1000 << 18),
    ("randwrite", "random write, 4 KiB", "w r 4096 10000 16384", 10000 << 12),
    ("randread", "random read, 4 KiB", "r r 4096 10000 16384", 10000 << 12),
]
NAMES = {"raw": "raw", "vdi": "vdi", "qcow2": "qcow2", "vmdk": "vmdk", "vhd": "vpc"}


def archive(tools, work):
    root = os.path.join(work, "root")
    for folder in ["bin", "dev", "proc", "lib"]:
        os.makedirs(os.path.join(root, folder))
    run("cp", tools.busybox, os.path.join(root, "bin/busybox"))
    run("cp", tools.program, os.path.join(root, "bin/iotest"))
    os.chmod(os.path.join(root, "bin/iotest"), 0o755)
    for applet in ("sh", "mount", "insmod", "poweroff", "sleep", "cat"):
        os.symlink("busybox", os.path.join(root, "bin", applet))
    shutil.copytree(os.path.join(tools.guests, "modules"), os.path.join(root, "lib/modules"))
    lines = ["#!/bin/sh", "export PATH=/bin", "mount -t devtmpfs devtmpfs /dev", "mount -t proc proc /proc",
             "while read module; do insmod /lib/modules/$module.ko 2>/dev/null; done </lib/modules/order",
             "disk=/dev/vda; while [ ! -e $disk ]; do if [ -e /dev/sda ]; then disk=/dev/sda; else sleep 1; fi; done"]
    for key, _, arguments, _ in WORK:
        lines.append(f"echo '<'{key}'<'; iotest $disk {arguments} || echo FAILED; echo '>'{key}'>'")
    lines += ["poweroff -f", "while :; do :; done", ""]
    with open(os.path.join(root, "init"), "w") as f:
        f.write("\n".join(lines))
    os.chmod(os.path.join(root, "init"), 0o755)
    image = os.path.join(work, "initrd.img")
    names = "".join(sorted(os.path.relpath(os.path.join(base, entry), root) + "\n" for base, folders, files in os.walk(root) for entry in folders + files))
    with open(image, "wb") as f:
        run_input(["cpio", "--quiet", "-o", "-H", "newc"], names, f, root)
    return image


def command(tools, program, interface, name, disk, initrd, fifo):
    append = "quiet console=ttyS0,115200"
    if program == "vitrine":
        return [tools.vitrine, "run", "--headless", "--memory", "128", "--disk", disk, "--disk-interface", interface, "--kernel", tools.kernel,
                "--initrd", initrd, "--append", append, "--serial", f"file:{fifo}"]
    return [*qemu("i386"), "-m", "128", "-drive", f"if={interface},format={NAMES[name]},file={disk}", "-kernel", tools.kernel,
            "-initrd", initrd, "-append", append, "-serial", f"file:{fifo}"]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("vitrine", "guests", "kernel", "busybox", "program"):
        parser.add_argument("--" + name, required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--timeout", type=float, default=300)
    parser.add_argument("--formats", default="raw,vdi,qcow2")
    parser.add_argument("--interfaces", default="virtio,ide")
    tools = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory(prefix="vitrine-speed-", dir=os.environ.get("TMPDIR", "/var/tmp")) as work:
        initrd = archive(tools, work)
        fifo = os.path.join(work, "serial")
        patterns = [p.encode() for key, _, _, _ in WORK for p in (f"<{key}<", f">{key}>")]
        for interface in tools.interfaces.split(","):
            for name in tools.formats.split(","):
                best = {}
                for turn in range(tools.rounds):
                    for program in ("vitrine", "qemu"):
                        disk = os.path.join(work, "disk." + ("img" if name == "raw" else name))
                        if os.path.exists(disk):
                            os.unlink(disk)
                        made = subprocess.run([tools.vitrine, "disk", "create", disk, "--size", "256M"], stdout=subprocess.DEVNULL)
                        if made.returncode:
                            fail(f"no image of the format {name}")
                        try:
                            points, text = watch(command(tools, program, interface, name, disk, initrd, fifo), patterns, tools.timeout, work, fifo=fifo)
                        except RuntimeError as error:
                            fail(str(error))
                        if b"FAILED" in text:
                            fail(f"{program} {interface} {name}: the guest could not read or write")
                        for index, (key, _, _, _) in enumerate(WORK):
                            best.setdefault((program, key), Best()).add(points[1 + 2 * index], points[2 + 2 * index])
                        say(f"speed: round {turn + 1} {interface} {name} {program}: " + ", ".join(f"{k} {best[program, k].wall:.2f}" for k, _, _, _ in WORK))
                for key, title, _, size in WORK:
                    rows.append((f"{title}, {name} on {interface}", size, best["vitrine", key], best["qemu", key]))
    print("| MiB a second | Vitrine | QEMU TCG | QEMU / Vitrine | the same, by processor time |")
    print("|---|---|---|---|---|")
    ratios, works = [], []
    for title, size, ours, theirs in rows:
        ratios.append(ours.wall / theirs.wall)
        works.append(ours.cpu / max(theirs.cpu, 0.01))
        print(f"| {title} | {size / ours.wall / 2**20:.0f} | {size / theirs.wall / 2**20:.0f} | {ours.wall / theirs.wall:.2f} | {works[-1]:.2f} |")
    print(f"| *geometric mean* | | | **{geometric(ratios):.2f}** | **{geometric(works):.2f}** |")


if __name__ == "__main__":
    main()
