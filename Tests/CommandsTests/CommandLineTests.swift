import Foundation
import Hardware
import Machine
import Synchronization
import Testing

@testable import Commands

@Suite("command line") @MainActor struct CommandLineTests {
    @Test(
        "--version and --help go to standard output and end with 0",
        arguments: [["--version"], ["--help"], ["run", "--help"], ["demo", "--help"]])
    func help(arguments: [String]) {
        let host = TestHost()
        #expect(host.execute(arguments) == 0)
        #expect(!host.standardOutput.isEmpty)
        #expect(host.standardError.isEmpty)
    }

    @Test("every option of the contract is in the help of run")
    func complete() {
        let host = TestHost()
        _ = host.execute(["run", "--help"])
        let options = """
            floppy disk cdrom boot kernel initrd append bios memory cpus engine clock rtc disposable serial debug-console debug-exit \
            no-reboot headless script screen-text timeout max-instructions stats disk-interface virtio-console virtio-rng virtio-balloon \
            record record-memory
            """
        for option in options.split(separator: " ") { #expect(host.standardOutput.contains("--\(option)"), "\(option)") }
    }

    @Test(
        "dates are seconds since 1970",
        arguments: [
            ("1980-01-01", 315_532_800), ("2000-02-29T12:34:56", 951_827_696), ("2001-02-03T04:05:06Z", 981_173_106),
            ("2038-01-19 03:14:08", 2_147_483_648), ("2024-01-01T00:00+01:00", 1_704_063_600), ("2099-12-31T23:59:59Z", 4_102_444_799),
        ] as [(String, Int64)])
    func dates(text: String, seconds: Int64) throws { #expect(try OptionValue.date(text) == seconds) }

    @Test(
        "ports are decimal or hexadecimal",
        arguments: [("0x402", 0x402), ("1026", 1026), ("E9h", 0xE9), ("0", 0), ("0xffff", 0xFFFF)] as [(String, UInt16)])
    func ports(text: String, port: UInt16) throws { #expect(try OptionValue.port(text) == port) }

    @Test("options reach the settings")
    func settings() throws {
        let line =
            "--floppy f --disk a --disk b --cdrom c --boot dc --memory 64 --clock virtual --serial none --serial pty "
            + "--debug-console 0x402=x --no-reboot --disk-interface virtio --virtio-console file:y --virtio-rng --virtio-balloon"
        let run = try Run.parse(line.split(separator: " ").map(String.init))
        var settings = RunSettings()
        run.media.apply(to: &settings)
        run.machine.apply(to: &settings)
        run.ports.apply(to: &settings)
        run.control.apply(to: &settings)
        #expect(settings.floppy == "f")
        #expect(settings.disks == ["a", "b"])
        #expect(settings.boot == [.cdrom, .disk])
        #expect(settings.memoryMiB == 64)
        #expect(settings.clock == .virtual)
        #expect(settings.serial == [SerialTarget.none, .pty])
        #expect(settings.debugConsoles == [.init(port: 0x402, path: "x")])
        #expect(settings.noReboot)
        #expect(settings.diskInterface == .virtio)
        #expect(settings.virtioConsole == .file("y"))
        #expect(settings.virtioRNG && settings.virtioBalloon)
        #expect(!settings.headless)
        #expect(settings.displayName == "f")
        settings.kernel = "/boot/vmlinuz.old.gz"
        #expect(settings.displayName == "vmlinuz.old")
    }

    @Test("the demo lists every guest with what is missing")
    func demoList() throws {
        try withFolder { folder in
            let host = TestHost(environment: ["HOME": folder])
            #expect(host.execute(["demo", "--list"]) == 0)
            for name in ["linux", "grub", "grub-cd", "memtest", "ipxe"] { #expect(host.standardOutput.contains("\(name) "), "\(name)") }
        }
    }
}

/// Boots nothing longer than the firmware needs; the firmware must be installed, as the README says.
@Suite("run · short runs") @MainActor struct ShortRunTests {
    /// A 64 KiB BIOS image that runs the given code at F000:0000.
    private func bios(_ code: [UInt8], in folder: String) throws -> String {
        var image = [UInt8](repeating: 0xF4, count: 1 << 16)
        image.replaceSubrange(0..<code.count, with: code)
        image.replaceSubrange(0xFFF0..<0xFFF5, with: [0xEA, 0x00, 0x00, 0x00, 0xF0])  // jmp F000:0000
        let path = folder + "/bios.bin"
        try Data(image).write(to: URL(fileURLWithPath: path))
        return path
    }

    private func stats(_ path: String) throws -> [String: Any] {
        try #require(JSONSerialization.jsonObject(with: Data(contentsOf: URL(fileURLWithPath: path))) as? [String: Any])
    }

    @Test("--debug-exit ends the run with ((V << 1) | 1) & 255", arguments: [0, 1, 0x7F, 0x80, 0xFF])
    func debugExit(value: UInt8) throws {
        try withFolder { folder in
            // mov al,V; out F4h,al
            let bios = try bios([0xB0, value, 0xE6, 0xF4], in: folder)
            let host = TestHost()
            let status = host.execute(["run", "--headless", "--bios", bios, "--debug-exit", "0xF4", "--timeout", "20"])
            #expect(status == Int32((UInt16(value) << 1 | 1) & 0xFF))
        }
    }

    @Test("--debug-console gets the guest's bytes, and reading its port gives E9")
    func debugConsole() throws {
        try withFolder { folder in
            // mov dx,402h; mov al,'H'; out dx,al; in al,dx; out E8h... ; mov dx,402h; out dx,al; out F4h,al
            let bios = try bios([0xBA, 0x02, 0x04, 0xB0, 0x48, 0xEE, 0xEC, 0xEE, 0xE6, 0xF4], in: folder)
            let host = TestHost()
            _ = host.execute([
                "run", "--headless", "--bios", bios, "--debug-exit", "0xF4", "--debug-console", "0x402=\(folder)/log", "--timeout", "20",
            ])
            #expect(try [UInt8](Data(contentsOf: URL(fileURLWithPath: folder + "/log"))) == [0x48, 0xE9])
        }
    }

    @Test("a triple fault is a Guru Meditation: exit 3 and a sentence")
    func guru() throws {
        try withFolder { folder in
            // lidt with a limit of zero from F000:0010, then int3.
            let bios = try bios([0x2E, 0x0F, 0x01, 0x1E, 0x10, 0x00, 0xCC] + [UInt8](repeating: 0, count: 16), in: folder)
            let host = TestHost()
            #expect(host.execute(["run", "--headless", "--bios", bios, "--timeout", "20"]) == 3)
            #expect(host.standardError.hasPrefix("vitrine: Guru Meditation: "))
            #expect(host.standardError.hasSuffix(".\n"))
        }
    }

    @Test("--no-reboot ends the run at a guest reset with 0")
    func noReboot() throws {
        try withFolder { folder in
            // mov al,FEh; out 64h,al: the keyboard controller pulls the reset line.
            let bios = try bios([0xB0, 0xFE, 0xE6, 0x64, 0xEB, 0xFE], in: folder)
            let host = TestHost()
            #expect(host.execute(["run", "--headless", "--bios", bios, "--no-reboot", "--timeout", "20", "--stats", folder + "/s"]) == 0)
            #expect(try stats(folder + "/s")["outcome"] as? String == "reset")
        }
    }

    @Test("--timeout ends a guest that spins, and one that has halted, with 124", arguments: [[0xEB, 0xFE], [0xFA, 0xF4]] as [[UInt8]])
    func timeout(code: [UInt8]) throws {
        try withFolder { folder in
            let bios = try bios(code, in: folder)
            #expect(TestHost().execute(["run", "--headless", "--bios", bios, "--timeout", "0.2"]) == 124)
        }
    }

    @Test("--max-instructions is exact, and the virtual clock makes two runs of SeaBIOS equal", arguments: [1, 1_000_001, 7_654_321])
    func exact(limit: Int) throws {
        try withFolder { folder in
            var digests: [String] = []
            for round in 0..<2 {
                let file = folder + "/s\(round)"
                let host = TestHost()
                #expect(host.execute(["run", "--headless", "--clock", "virtual", "--max-instructions", "\(limit)", "--stats", file]) == 0)
                let stats = try stats(file)
                #expect(stats["instructions"] as? Int == limit)
                digests.append(stats["state_digest"] as? String ?? "none")
            }
            #expect(digests[0] == digests[1])
            #expect(digests[0].count == 16)
        }
    }

    @Test("a script reads the firmware's banner from the screen, and --screen-text keeps it")
    func banner() throws {
        try withFolder { folder in
            try Data("wait-for SeaBIOS.*version 60\nstop\n".utf8).write(to: URL(fileURLWithPath: folder + "/script"))
            let host = TestHost()
            let status = host.execute([
                "run", "--headless", "--clock", "virtual", "--script", folder + "/script", "--screen-text", folder + "/screen", "--timeout",
                "60",
            ])
            #expect(status == 0, "\(host.standardError)")
            #expect(try String(contentsOfFile: folder + "/screen", encoding: .utf8).contains("SeaBIOS (version"))
        }
    }

    @Test("a script whose wait fails ends with 4 and shows the screen")
    func failingScript() throws {
        try withFolder { folder in
            try Data("wait-for SeaBIOS 60\nwait-for NeverShown 0.2\n".utf8).write(to: URL(fileURLWithPath: folder + "/script"))
            let host = TestHost()
            #expect(host.execute(["run", "--headless", "--clock", "virtual", "--script", folder + "/script", "--timeout", "60"]) == 4)
            #expect(host.standardError.contains("line 2: the screen did not match 'NeverShown' within 0.2 seconds."))
            #expect(host.standardError.contains("| SeaBIOS (version"))
        }
    }

    /// A Multiboot image with load addresses: writes its command line, `|` and its first module to port 402h, then CR0.PE and IF
    /// as digits and the byte at 3 MiB after 2 MiB was written (A20), and ends with debug exit 10h. It stops at once, with
    /// another status, when EAX is not the loader's magic.
    private static let multibootKernel: [UInt8] = [
        // magic, flags: load addresses, memory information, aligned modules; checksum; header, load, load end, bss end, entry
        0x02, 0xB0, 0xAD, 0x1B, 0x03, 0x00, 0x01, 0x00, 0xFB, 0x4F, 0x51, 0xE4, 0x00, 0x00, 0x10, 0x00,
        0x00, 0x00, 0x10, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x20, 0x00, 0x10, 0x00,
        // mov dx,402h; cmp eax,2BADB002h; jne bad; mov esi,[ebx+16]; next: lodsb; test al,al; jz mods; out dx,al; jmp next
        0x66, 0xBA, 0x02, 0x04, 0x3D, 0x02, 0xB0, 0xAD, 0x2B, 0x75, 0x46, 0x8B, 0x73, 0x10, 0xAC, 0x84, 0xC0, 0x74, 0x03, 0xEE, 0xEB, 0xF8,
        // mods: mov al,'|'; out dx,al; mov edi,[ebx+24]; mov esi,[edi]; mov ecx,[edi+4]; sub ecx,esi; rep outsb
        0xB0, 0x7C, 0xEE, 0x8B, 0x7B, 0x18, 0x8B, 0x37, 0x8B, 0x4F, 0x04, 0x29, 0xF1, 0xF3, 0x6E,
        // smsw ax; and al,1; add al,'0'; out dx,al; pushfd; pop eax; shr eax,9; and al,1; add al,'0'; out dx,al
        0x66, 0x0F, 0x01, 0xE0, 0x24, 0x01, 0x04, 0x30, 0xEE, 0x9C, 0x58, 0xC1, 0xE8, 0x09, 0x24, 0x01, 0x04, 0x30, 0xEE,
        // mov eax,[7C00h]; mov byte [300000h],'U'; mov byte [200000h],0AAh; mov al,[300000h]; out dx,al
        0xA1, 0x00, 0x7C, 0x00, 0x00, 0xC6, 0x05, 0x00, 0x00, 0x30, 0x00, 0x55, 0xC6, 0x05, 0x00, 0x00, 0x20, 0x00, 0xAA, 0xA0,
        0x00, 0x00, 0x30, 0x00, 0xEE,
        // bad: mov al,10h; out F4h,al; hlt
        0xB0, 0x10, 0xE6, 0xF4, 0xF4,
    ]

    @Test("a Multiboot kernel finds magic, command line, module, protected mode and A20 as the specification says")
    func multiboot() throws {
        try withFolder { folder in
            try Data(ShortRunTests.multibootKernel).write(to: URL(fileURLWithPath: folder + "/kernel"))
            try Data("MODULE".utf8).write(to: URL(fileURLWithPath: folder + "/module"))
            let host = TestHost()
            let status = host.execute([
                "run", "--headless", "--clock", "virtual", "--kernel", folder + "/kernel", "--initrd", folder + "/module", "--append",
                "hello world",
                "--debug-exit", "0xF4", "--debug-console", "0x402=\(folder)/log", "--timeout", "60",
            ])
            #expect(status == 0x21, "\(host.standardError)")
            #expect(try String(contentsOfFile: folder + "/log", encoding: .utf8).hasSuffix("hello world|MODULE10U"))
        }
    }

    @Test("--rtc is what the guest's clock shows")
    func rtc() throws {
        try withFolder { folder in
            // For registers 0 2 4 7 8 9: out 70h; in 71h; out 402h. Then out F4h.
            let registers: [UInt8] = [4, 7, 8, 9, 0x32]
            let bios = try bios(
                [0xBA, 0x02, 0x04] + registers.flatMap { [0xB0, $0, 0xE6, 0x70, 0xE4, 0x71, 0xEE] as [UInt8] } + [0xE6, 0xF4], in: folder)
            _ = TestHost().execute([
                "run", "--headless", "--bios", bios, "--rtc", "1999-12-31T23:00:00", "--debug-exit", "0xF4", "--debug-console",
                "0x402=\(folder)/log",
                "--timeout", "20",
            ])
            #expect(try [UInt8](Data(contentsOf: URL(fileURLWithPath: folder + "/log"))) == [0x23, 0x31, 0x12, 0x99, 0x19])
        }
    }

    @Test("the screen is given a running machine, and its end is the status of the run")
    func console() throws {
        try withFolder { folder in
            let bios = try bios([0xFA, 0xF4], in: folder)
            let seen = Mutex<ConsoleSettings?>(nil)
            let hook = ConsoleHook { machine, settings in
                seen.withLock { $0 = settings }
                machine.post(.powerOff)
                while machine.view().outcome == nil {
                    var entry = pollfd(fd: machine.wakeDescriptor, events: Int16(POLLIN), revents: 0)
                    guard poll(&entry, 1, 10_000) > 0 else { return .unusable("The machine did not end.") }
                    var bytes = [UInt8](repeating: 0, count: 64)
                    _ = read(machine.wakeDescriptor, &bytes, 64)
                }
                return .ended
            }
            let host = TestHost(terminal: true, console: hook)
            #expect(host.execute(["run", "--bios", bios, "--theme", "mono", "--ascii"]) == 0)
            #expect(seen.withLock { $0?.theme } == "mono")
            #expect(seen.withLock { $0?.ascii } == true)
        }
    }

    @Test(
        "a console that leaves ends the machine with the status that says why",
        arguments: [(ConsoleEnd.signalled(15), 143), (.hangup, 129), (.unusable("No."), 2), (.badData("No."), 66)] as [(ConsoleEnd, Int32)])
    func consoleLeaves(end: ConsoleEnd, status: Int32) throws {
        try withFolder { folder in
            let bios = try bios([0xFA, 0xF4], in: folder)
            let host = TestHost(terminal: true, console: ConsoleHook { _, _ in end })
            #expect(host.execute(["run", "--bios", bios]) == status)
        }
    }
}
