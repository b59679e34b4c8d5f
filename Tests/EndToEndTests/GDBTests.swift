import Foundation
import Machine
import Testing

/// A machine with `--gdb`, and Debian's own gdb.
private enum GDB {
    static let path: String? = (ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin").split(separator: ":").map { $0 + "/gdb" }
        .first { access($0, X_OK) == 0 }

    /// Starts a machine that stands before its first instruction, lets a gdb carry commands out, and ends both.
    /// - Returns: what gdb said, and how the machine ended.
    static func drive(_ commands: String, symbols: String? = nil, _ arguments: [String], in folder: String) throws -> (said: String, status: Int32) {
        let socket = folder + "/gdb.sock"
        try? FileManager.default.removeItem(atPath: socket)
        let machine = Process()
        machine.executableURL = URL(fileURLWithPath: Program.path)
        machine.arguments = ["run", "--headless", "--clock", "virtual", "--debug-stop", "--gdb", socket, "--timeout", "280"] + arguments
        machine.standardInput = FileHandle.nullDevice
        machine.standardError = FileHandle.nullDevice
        let ended = DispatchSemaphore(value: 0)
        machine.terminationHandler = { _ in ended.signal() }
        try machine.run()
        defer { if machine.isRunning { kill(machine.processIdentifier, SIGKILL) } }
        // The socket is there before the guest runs.
        for _ in 0..<600 where access(socket, F_OK) != 0 { usleep(100_000) }
        let script = "set confirm off\nset pagination off\nset width 0\nset height 0\ntarget remote \(socket)\n\(commands)\nkill\n"
        try script.write(toFile: folder + "/commands", atomically: true, encoding: .utf8)
        let gdb = Process(), output = Pipe()
        gdb.executableURL = URL(fileURLWithPath: path ?? "/usr/bin/gdb")
        gdb.arguments = ["-nx", "-batch", "-x", folder + "/commands"] + (symbols.map { [$0] } ?? [])
        gdb.standardInput = FileHandle.nullDevice
        (gdb.standardOutput, gdb.standardError) = (output, output)
        try gdb.run()
        let watchdog = DispatchWorkItem { if gdb.isRunning { kill(gdb.processIdentifier, SIGKILL) } }
        DispatchQueue.global().asyncAfter(deadline: .now() + 240, execute: watchdog)
        let said = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        gdb.waitUntilExit()
        watchdog.cancel()
        guard ended.wait(timeout: .now() + 30) == .success else { return (said, -1) }
        return (said, machine.terminationStatus)
    }

    /// Symbols of a kernel that runs without KASLR, as the guest itself names them: a small ELF file, kept beside the kernel's copy.
    static func symbols(_ kernel: String, is64: Bool, in folder: String) throws -> String {
        let file = folder + "/symbols.elf"
        let facts = try FileManager.default.attributesOfItem(atPath: kernel)
        let id = "\(facts[.size] ?? 0)-\((facts[.modificationDate] as? Date)?.timeIntervalSince1970 ?? 0)"
        let kept = FileManager.default.temporaryDirectory.appendingPathComponent("vitrine-symbols-\(id).txt").path
        var text = (try? String(contentsOfFile: kept, encoding: .utf8)) ?? ""
        if !text.contains("start_kernel") {
            let stats = try Program.script(
                """
                wait-for-serial "/ # " 300
                type-serial grep -E ' (start_kernel|do_timer)$' /proc/kallsyms; echo no-more-$((6*7))\\n
                wait-for-serial no-more-42 60
                stop
                """,
                [
                    "--kernel", kernel, "--initrd", Guest.initrd, "--append", "quiet nokaslr console=ttyS0", "--serial", "file:" + folder + "/serial",
                ])
            #expect(stats.exit_status == 0, "\(stats.errors)")
            text = String(decoding: try Data(contentsOf: URL(fileURLWithPath: folder + "/serial")), as: UTF8.self)
            try text.write(toFile: kept, atomically: true, encoding: .utf8)
        }
        var found: [(String, UInt64)] = []
        for line in text.split(whereSeparator: \.isNewline) {
            let words = line.split(separator: " ")
            guard words.count == 3, words[1].count == 1, let address = UInt64(words[0], radix: 16) else { continue }
            found.append((String(words[2]), address))
        }
        try Data(SymbolFile.elf(found, is64: is64)).write(to: URL(fileURLWithPath: file))
        return file
    }
}

/// An ELF file that has names of functions and nothing else.
enum SymbolFile {
    static func elf(_ symbols: [(name: String, address: UInt64)], is64: Bool) -> [UInt8] {
        func bytes(_ value: UInt64, _ count: Int) -> [UInt8] { (0..<count).map { UInt8(truncatingIfNeeded: value >> UInt64(8 * $0)) } }
        let word = is64 ? 8 : 4
        var names: [UInt8] = [0], table = [UInt8](repeating: 0, count: is64 ? 24 : 16)
        for (name, address) in symbols {
            let at = UInt64(names.count)
            names += Array(name.utf8) + [0]
            // Global function in section 1.
            let kind: [UInt8] = [0x12, 0, 1, 0]
            table += is64 ? bytes(at, 4) + kind + bytes(address, 8) + bytes(0, 8) : bytes(at, 4) + bytes(address, 4) + bytes(0, 4) + kind
        }
        let sectionNames = Array("\0.text\0.symtab\0.strtab\0.shstrtab\0".utf8)
        let header = is64 ? 64 : 52
        let start = (symbols.map(\.address).min() ?? 0) & ~0xFFF
        let tableAt = header, namesAt = tableAt + table.count, sectionNamesAt = namesAt + names.count
        let sectionsAt = (sectionNamesAt + sectionNames.count + 7) & ~7
        func section(
            _ name: Int, _ type: Int, _ flags: Int, _ address: UInt64, _ offset: Int, _ size: Int, link: Int = 0, info: Int = 0, entry: Int = 0
        ) -> [UInt8] {
            bytes(UInt64(name), 4) + bytes(UInt64(type), 4) + bytes(UInt64(flags), word) + bytes(address, word) + bytes(UInt64(offset), word)
                + bytes(UInt64(size), word) + bytes(UInt64(link), 4) + bytes(UInt64(info), 4) + bytes(1, word) + bytes(UInt64(entry), word)
        }
        var file: [UInt8] = [0x7F, 0x45, 0x4C, 0x46, is64 ? 2 : 1, 1, 1, 0] + bytes(0, 8)
        file += bytes(2, 2) + bytes(is64 ? 62 : 3, 2) + bytes(1, 4) + bytes(0, word) + bytes(0, word) + bytes(UInt64(sectionsAt), word)
        file += bytes(0, 4) + bytes(UInt64(header), 2) + bytes(0, 2) + bytes(0, 2) + bytes(is64 ? 64 : 40, 2) + bytes(5, 2) + bytes(4, 2)
        file += table + names + sectionNames
        file += [UInt8](repeating: 0, count: sectionsAt - file.count)
        file += section(0, 0, 0, 0, 0, 0)
        file += section(1, 8, 6, start, tableAt, 0x200_0000)
        file += section(7, 2, 0, 0, tableAt, table.count, link: 3, info: 1, entry: is64 ? 24 : 16)
        file += section(15, 3, 0, 0, namesAt, names.count)
        file += section(23, 3, 0, 0, sectionNamesAt, sectionNames.count)
        return file
    }
}

@Suite("program · gdb", .serialized, .enabled(if: GDB.path != nil, "gdb is not installed"))
struct GDBProgramTests {
    private func firstMatch(_ pattern: String, _ text: String) -> [String] {
        guard let expression = try? NSRegularExpression(pattern: pattern, options: [.anchorsMatchLines]),
            let match = expression.firstMatch(in: text, range: NSRange(text.startIndex..., in: text))
        else { return [] }
        return (0..<match.numberOfRanges).map { Range(match.range(at: $0), in: text).map { String(text[$0]) } ?? "" }
    }

    @Test("a boot sector in real mode: breakpoint, steps, registers, a watched word, and back") func bootSector() throws {
        try withFolder { folder in
            let source = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
                .appendingPathComponent("Fixtures/GDB/counter.asm").path
            let nasm = Process()
            nasm.executableURL = URL(fileURLWithPath: "/usr/bin/env")
            nasm.arguments = ["nasm", "-w+error", "-f", "bin", "-o", folder + "/counter.img", source]
            try nasm.run()
            nasm.waitUntilExit()
            let disk = try FileHandle(forWritingTo: URL(fileURLWithPath: folder + "/counter.img"))
            try disk.truncate(atOffset: 1_474_560)
            try disk.close()
            let (said, status) = try GDB.drive(
                """
                show architecture
                printf "reset %x\\n", $pc
                break *0x7c00
                continue
                printf "sector %x %x\\n", $pc, $sp
                x/2i $pc
                stepi 2
                printf "stepped %x ax %x\\n", $pc, $ax
                delete
                watch *(short *) 0x600
                continue
                continue
                printf "count %d at %x\\n", *(short *) 0x600, $pc
                reverse-stepi
                printf "before %d at %x\\n", *(short *) 0x600, $pc
                delete
                break *0x7c16
                reverse-continue
                printf "round %x cx %d\\n", $pc, $cx
                reverse-continue
                info threads
                monitor timeline
                """, ["--floppy", folder + "/counter.img", "--disposable"], in: folder)
            #expect(status == 0, "\(said)")
            for expected in [
                "currently \"i8086\"", "reset fffffff0", "Breakpoint 1, 0x00007c00", "cli", "stepped 7c03 ax 0", "count 2 at 7c29", "before 1 at 7c25",
                "round 7c16 cx 9", "Thread 1 (CPU 0, real)", "recorded from instruction 0",
            ] { #expect(said.contains(expected), "\(expected) is missing in:\n\(said)") }
        }
    }

    private func linux(_ kernel: String, is64: Bool) throws {
        try withFolder { folder in
            let symbols = try GDB.symbols(kernel, is64: is64, in: folder)
            let machine = ["--kernel", kernel, "--initrd", Guest.initrd, "--append", "quiet nokaslr console=ttyS0"]
            // Where jiffies is, do_timer says: it adds to it.
            let found = try GDB.drive("break start_kernel\ncontinue\nx/12i do_timer", symbols: symbols, machine, in: folder)
            #expect(found.said.contains("Breakpoint 1, 0x") && found.said.contains("in start_kernel ()"), "\(found.said)")
            let jiffies = firstMatch(is64 ? "add .*# (0x[0-9a-f]+)" : "add .*,(0x[0-9a-f]+)$", found.said).last ?? "0"
            let (said, status) = try GDB.drive(
                """
                break start_kernel
                continue
                printf "cr0 %x\\n", $cr0
                delete
                watch *(unsigned int *) \(jiffies)
                continue
                continue
                printf "jiffies %u\\n", *(unsigned int *) \(jiffies)
                set $at = $pc
                stepi
                stepi
                reverse-stepi
                reverse-stepi
                printf "again %d\\n", $pc == $at
                reverse-continue
                printf "earlier %u\\n", *(unsigned int *) \(jiffies)
                """, symbols: symbols, machine, in: folder)
            #expect(status == 0, "\(said)")
            #expect(said.contains("in start_kernel ()") && said.contains("Hardware watchpoint 2"), "\(said)")
            #expect(firstMatch("^cr0 [0-9a-f]*1[0-9a-f]?$|^cr0 8[0-9a-f]+$", said).first != nil, "\(said)")
            let later = firstMatch("^jiffies ([0-9]+)$", said).last.flatMap { UInt32($0) }
            let earlier = firstMatch("^earlier ([0-9]+)$", said).last.flatMap { UInt32($0) }
            #expect(said.contains("again 1"), "\(said)")
            if let later, let earlier { #expect(earlier == later &- 1, "\(said)") } else { Issue.record("\(said)") }
        }
    }

    @Test("Linux i386: start_kernel by its symbol, jiffies watched, and back", .enabled(if: Guest.has(Guest.kernel, Guest.initrd), "no Linux guest"))
    func i386() throws { try linux(Guest.kernel, is64: false) }

    @Test("Linux amd64: start_kernel by its symbol, jiffies watched, and back") func amd64() throws {
        let kernel = Guest.cache + "debian-amd64.vmlinuz"
        guard Guest.has(kernel, Guest.initrd) else {
            FileHandle.standardError.write(Data("gdb: no 64-bit kernel in the cache ('vitrine demo debian-amd64' makes one); its test is left out\n".utf8))
            return
        }
        try linux(kernel, is64: true)
    }
}
