import Foundation
import Hardware
import Machine
import Testing

/// Real guests, scripted: the quick half of Tests/acceptance.sh.
@Suite("program · guests", .serialized) struct GuestsTests {
    @Test("GRUB starts from CD; a typed command is answered", .enabled(if: Guest.has(Guest.cdrom)))
    func grub() throws {
        let stats = try Program.script(
            """
            wait-for automatically 60
            keys c
            wait-for ^grub> 20
            type echo hello-$grub_platform\\n
            wait-for ^hello-pc
            stop
            """, ["--cdrom", Guest.cdrom])
        #expect(stats.exit_status == 0, "\(stats.errors)")
    }

    @Test("iPXE comes to its prompt at Ctrl-B", .enabled(if: Guest.has(Guest.ipxe)))
    func ipxe() throws {
        let stats = try Program.script(
            """
            wait-for Ctrl-B 60
            keys ctrl-b
            wait-for ^iPXE> 30
            type echo hello-ipxe\\n
            wait-for ^hello-ipxe
            stop
            """, ["--kernel", Guest.ipxe])
        #expect(stats.exit_status == 0, "\(stats.errors)")
    }

    @Test("Linux gives shells on the screen and on COM1, and ends the run with 0", .enabled(if: Guest.has(Guest.kernel, Guest.initrd)))
    func linux() throws {
        let stats = try Program.script(
            """
            wait-for-serial "/ # " 300
            type echo screen-$((6*7))\\n
            wait-for ^screen-42
            type-serial echo serial-$((6*7))\\n
            wait-for-serial serial-42
            type poweroff -f\\n
            wait 60
            """,
            ["--kernel", Guest.kernel, "--initrd", Guest.initrd, "--append", "quiet console=tty0 console=ttyS0", "--serial", "none"])
        #expect(stats.exit_status == 0, "\(stats.errors)")
        #expect(stats.outcome == "power-off")
    }

    @Test("the demo of sensitive instructions shows what each returned; the census has what ran in ring 3 and V86 mode", arguments: ["interpreter", "auto"])
    func sensitive(engine: String) throws {
        try withFolder { folder in
            let result = try Program.run(
                [
                    "demo", "sensitive", "--headless", "--clock", "virtual", "--engine", engine, "--debug-exit", "0xF4", "--timeout", "60",
                    "--screen-text", folder + "/screen", "--stats", folder + "/stats",
                ], environment: ["XDG_CACHE_HOME": folder])
            #expect(result.status == 1, "\(result.errors)")
            let screen = try String(contentsOfFile: folder + "/screen", encoding: .utf8)
            #expect(screen.contains("CALL far        00000008            #GP                 00000000"), "\(screen)")
            #expect(screen.contains("STR             00000028            00000028            #UD"))
            let stats = try JSONDecoder().decode(CensusStats.self, from: try Data(contentsOf: URL(fileURLWithPath: folder + "/stats")))
            #expect(stats.census.direct + stats.census.emulated == stats.instructions)
            func counts(_ place: String) -> [String: [UInt64]] {
                Dictionary(uniqueKeysWithValues: stats.census.sensitive.filter { $0.place == place }.map { ($0.instruction, [$0.executed, $0.faulted]) })
            }
            let both: [String: [UInt64]] = ["sgdt": [1, 0], "sidt": [1, 0], "smsw": [1, 0], "push-sreg": [1, 0], "mov-sreg": [1, 0]]
            #expect(counts("ring 3") == both.merging([
                "sldt": [1, 0], "pushf": [1, 0], "popf": [1, 0], "lar": [1, 0], "lsl": [1, 0], "verr": [2, 0], "pop-sreg": [0, 1],
                "call-far": [0, 1], "jmp-far": [0, 1], "int": [1, 0], "ret-far": [0, 1], "str": [1, 0],
            ]) { $1 })
            #expect(counts("V86") == both.merging([
                "sldt": [0, 1], "pushf": [0, 1], "popf": [0, 1], "lar": [0, 1], "lsl": [0, 1], "verr": [0, 1], "pop-sreg": [1, 0],
                "call-far": [1, 0], "jmp-far": [1, 0], "int": [0, 1], "ret-far": [1, 0], "str": [0, 1],
            ]) { $1 })
        }
    }

    private struct CensusStats: Decodable {
        var instructions: UInt64
        var census: CensusReport
    }

    /// What Linux would say of bad tables or clocks.
    static let complaints = "acpi (bios )?(error|warning)|firmware bug|bios bug|unstable|lost ticks|unable to calibrate|calibration failed|broken"

    @Test("Linux has no complaints about tables and clocks, with one processor and with four", .enabled(if: Guest.has(Guest.kernel, Guest.initrd)),
        arguments: [1, 4])
    func tables(cpus: Int) throws {
        let stats = try Program.script(
            """
            wait-for-serial "/ # " 300
            type-serial dmesg -n 1; echo complaints $(dmesg | grep -E -i -c '\(GuestsTests.complaints)')\\n
            wait-for-serial "complaints 0"
            type-serial echo processors $(grep -c ^processor /proc/cpuinfo)\\n
            wait-for-serial "processors \(cpus)"
            type-serial poweroff\\n
            wait 60
            """,
            [
                "--kernel", Guest.kernel, "--initrd", Guest.initrd, "--append", "console=ttyS0", "--serial", "none", "--cpus", "\(cpus)",
            ])
        #expect(stats.exit_status == 0, "\(stats.errors)")
        #expect(stats.outcome == "power-off")
    }

    @Test("the ACPI power button makes Linux shut down", .enabled(if: Guest.has(Guest.kernel, Guest.initrd))) func powerButton() throws {
        var settings = RunSettings()
        (settings.kernel, settings.initrd, settings.append) = (Guest.kernel, Guest.initrd, "quiet console=tty0")
        // Somebody must look at the screen, or no picture is taken.
        (settings.clock, settings.headless, settings.timeoutSeconds) = (.virtual, false, 300)
        let session = try RunSession(settings, diagnose: { _ in })
        session.start()
        // The shell starts when the event daemon runs.
        #expect(eventually(250) { session.machine.view().frame.text.contains("/ #") })
        session.machine.post(.acpiPowerButton)
        #expect(session.machine.waitForEnd().0 == .poweredOff)
        #expect(session.finish() == 0)
    }

    @Test(
        "Linux reads, writes and discards a virtio disk, gets random bytes, talks on hvc0 and gives memory back, by either interface",
        .enabled(if: Guest.has(Guest.kernel, Guest.initrd)), arguments: [false, true])
    func virtio(legacy: Bool) throws {
        try withFolder { folder in
            // Every sector is different.
            var image = [UInt8](repeating: 0, count: 4 << 20)
            for i in image.indices { image[i] = UInt8(truncatingIfNeeded: (i >> 9) &* 37 &+ i) }
            let disk = URL(fileURLWithPath: folder + "/disk")
            try Data(image).write(to: disk)
            let modules = "virtio_balloon virtio_rng virtio_console virtio_blk virtio_pci"
            let reload = """
                type-serial for m in \(modules); do rmmod $m; done; cd /lib/modules; insmod virtio_pci.ko force_legacy=1\\n
                type-serial for m in virtio_blk virtio_rng virtio_balloon virtio_console; do insmod $m.ko; done; cd /; echo again-$((6*7))\\n
                wait-for-serial again-42 60
                wait-for-console "/ # "
                """
            let stats = try Program.script(
                """
                wait-for-serial "/ # " 300
                wait-for-console "/ # "
                \(legacy ? reload : "# the modern interface")
                type-serial echo modern-$(cat /sys/bus/virtio/devices/*/features | grep -c '^.\\{32\\}1')\\n
                wait-for-serial modern-\(legacy ? 0 : 4) 20
                type-serial md5sum </dev/vda; cat /sys/block/vda/serial; echo\\n
                wait-for-serial \(try md5(disk.path)) 60
                wait-for-serial vitrine-disk-1
                type-serial echo random-$(dd if=/dev/hwrng bs=64 count=1 2>/dev/null | tr -d '\\\\0' | wc -c)\\n
                wait-for-serial random-6[0-4] 30
                type-serial dd if=/dev/vda of=/dev/vda bs=64k skip=3 seek=9 count=1 conv=fsync 2>/dev/null; blkdiscard -o 65536 -l 65536 /dev/vda\\n
                type-serial echo 3 >/proc/sys/vm/drop_caches; echo left-$(dd if=/dev/vda bs=64k skip=1 count=1 2>/dev/null | tr -d '\\\\0' | wc -c)\\n
                wait-for-serial left-0 30
                type-serial echo to-$((6*7)) >/dev/hvc0\\n
                wait-for-console to-42
                type-console echo from-$((6*7))\\n
                wait-for-console from-42
                type-serial grep MemAvailable /proc/meminfo\\n
                wait-for-serial "MemAvailable: +(8|9|1[0-9])[0-9]{4} "
                balloon 40
                wait 3
                type-serial grep MemAvailable /proc/meminfo\\n
                wait-for-serial "MemAvailable: +[3-6][0-9]{4} "
                type-serial poweroff -f\\n
                wait 60
                """,
                [
                    "--kernel", Guest.kernel, "--initrd", Guest.initrd, "--append", "quiet console=ttyS0", "--disk", disk.path,
                    "--disk-interface", "virtio", "--virtio-rng", "--virtio-balloon", "--virtio-console", "none",
                ] + (legacy ? ["--disposable"] : []))
            #expect(stats.exit_status == 0, "\(stats.errors)")
            #expect(stats.outcome == "power-off")
            guard !legacy else {
                #expect(try Data(contentsOf: disk) == Data(image), "--disposable leaves the file as it was")
                return
            }
            let piece = 64 << 10
            image.replaceSubrange(9 * piece..<10 * piece, with: image[3 * piece..<4 * piece])
            image.replaceSubrange(piece..<2 * piece, with: [UInt8](repeating: 0, count: piece))
            #expect(try Data(contentsOf: disk) == Data(image), "the host's file is what the guest made of it")
        }
    }

    private func md5(_ path: String) throws -> String {
        let process = Process(), output = Pipe()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/md5sum")
        process.arguments = [path]
        process.standardOutput = output
        try process.run()
        let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        return String(text.prefix(32))
    }
}
