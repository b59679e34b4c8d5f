import Foundation
import Testing

@testable import Machine

@Suite("guests · Debian disks") struct DebianDiskTests {
    let disk = DebianDisk(.i386, uuid: "0A0B0C0D-1111-2222-3333-444455556666")

    // MARK: Boot record

    private func boot() -> [UInt8] { (0..<510).map { UInt8(truncatingIfNeeded: $0) } + [0x55, 0xAA] }

    @Test("the boot record keeps GRUB's code, lists one active Linux partition up to the disk's end, and is followed by the core")
    func bootRecord() throws {
        let core = [UInt8](repeating: 0xC0, count: 700)
        let head = try GRUBDisk.head(boot: boot(), core: core, signature: 0x0A0B_0C0D, start: 2048, sectors: 4_194_304)
        #expect(head.count == 512 + 700)
        #expect(Array(head[..<440]) == Array(boot()[..<440]))
        #expect(Array(head[440..<446]) == [0x0D, 0x0C, 0x0B, 0x0A, 0, 0])
        #expect(head[446] == 0x80 && head[450] == 0x83)
        #expect(Array(head[454..<462]) == [0, 8, 0, 0, 0, 0xF8, 0x3F, 0])  // 2048 and 4,194,304 − 2048
        #expect(head[462..<510].allSatisfy { $0 == 0 } && Array(head[510..<512]) == [0x55, 0xAA])
        #expect(Array(head[512...]) == core)
    }

    @Test("boot code without its mark, and a core that would reach into the partition, are refused")
    func badBootCode() throws {
        #expect(throws: GRUBDisk.Problem.noBootCode) {
            try GRUBDisk.head(boot: [UInt8](repeating: 0, count: 512), core: [1], signature: 0, start: 2048, sectors: 4096)
        }
        #expect(throws: GRUBDisk.Problem.noBootCode) { try GRUBDisk.head(boot: [0x55, 0xAA], core: [1], signature: 0, start: 2048, sectors: 4096) }
        let fitting = [UInt8](repeating: 1, count: 2047 * 512)
        #expect(throws: Never.self) { try GRUBDisk.head(boot: boot(), core: fitting, signature: 0, start: 2048, sectors: 4096) }
        #expect(throws: GRUBDisk.Problem.coreTooBig) {
            try GRUBDisk.head(boot: boot(), core: fitting + [1], signature: 0, start: 2048, sectors: 4096)
        }
    }

    // MARK: Commands

    @Test("kernel and table of mounts name the same file system; the screen is the last console")
    func identifiers() {
        let commands = (disk.bootstrap(tar: "/t") + disk.fileSystem(from: "/f", owners: "/o", image: "/i")).joined(separator: "\n")
        #expect(commands.matches(of: /0a0b0c0d-1111-2222-3333-444455556666/).count == 4)  // fstab, two menu entries, mke2fs -U
        #expect(commands.contains("nomodeset console=ttyS0 console=tty0\n"))
        #expect(commands.contains("linux-image-686,"))
        #expect(DebianDisk(.amd64, uuid: "").bootstrap(tar: "/t").joined().contains("linux-image-amd64,"))
    }

    @Test("without a mirror the archive is the tool's own choice, with one it is the last argument")
    func mirror() {
        #expect(disk.bootstrap(tar: "/t").last == "/t")
        #expect(DebianDisk(.i386, uuid: "", mirror: "http://m/debian").bootstrap(tar: "/t").suffix(3) == ["bookworm", "/t", "http://m/debian"])
    }

    @Test("a file is written as it is, quotes, backslashes and dollar signs too, and executable when asked")
    func hooks() throws {
        try withTemporaryFolder { folder in
            let text = "it's \"$HOME\" `x` \\n 100%\n\nend\n"
            let file = DebianDisk.File(path: "/etc/a b/file", text: text, executable: true)
            let shell = try #require(HostTool("sh", environment: ["PATH": "/bin"]))
            #expect(try shell.run(["-c", file.hook, "hook", folder], line: { _ in }, cancelled: { nil }) == .exited(0))
            #expect(String(decoding: try WholeFile.read(folder + "/etc/a b/file", what: "file"), as: UTF8.self) == text)
            #expect(access(folder + "/etc/a b/file", X_OK) == 0)
        }
    }

    // MARK: Progress

    @Test("progress follows what the tools say, never goes back, and counts packages")
    func progress() {
        var progress = DebianProgress()
        var seen: [DebianProgress.Step] = [], last = 0.0
        func read(_ line: String) {
            progress.read(line)
            #expect(progress.percent >= last, "\(line)")
            last = progress.percent
            if seen.last != progress.step { seen.append(progress.step) }
        }
        read("I: running apt-get update...")
        read("I: downloading packages with apt...")
        read("0 upgraded, 2 newly installed, 0 to remove and 0 not upgraded.")
        read("Get:1 http://m bookworm/main i386 libc6 i386 2.36 [2626 kB]")
        #expect(progress.percent == 8)  // half of the step from 4 to 12
        read("Get:2 http://m bookworm/main i386 bash i386 5.2 [1525 kB]")
        read("I: extracting archives...")
        read("Unpacking libc6:i386 (2.36) ...")
        #expect(progress.percent == 15.5)  // a quarter of the step from 12 to 26
        for line in ["Setting up libc6:i386 (2.36) ...", "Unpacking bash (5.2) ...", "Setting up bash (5.2) ...", "Unpacking bash (5.2) again"] {
            read(line)
        }
        #expect(progress.percent == 26)
        read("I: installing remaining packages inside the chroot...")
        read("0 upgraded, 1 newly installed, 0 to remove and 0 not upgraded.")
        read("Get:1 http://m bookworm/main i386 linux-image-686 i386 6.1 [1 kB]")
        read("Fetched 1 kB in 0s (1 kB/s)")
        read("Unpacking linux-image-686 (6.1) ...")
        #expect(progress.percent == 48 + (74 - 48) / 2)
        read("update-initramfs: Generating /boot/initrd.img-6.1.0-50-686")
        read("I: downloading packages with apt...")  // out of order: stays
        read("I: running --customize-hook in shell: sh -c '...'")
        read("I: creating tarball...")
        #expect(seen == [.lists, .fetchBase, .base, .fetch, .packages, .ramDisk, .checksums, .archive])
        for step in DebianProgress.Step.allCases { progress.enter(step) }
        #expect(progress.step == .bootLoader && progress.percent < 100)
    }

    // MARK: The host's programs

    private func shell() throws -> HostTool { try #require(HostTool("sh", environment: ["PATH": "/nowhere", "SEEN": "yes"])) }

    @Test("a program's lines, its environment and its exit status arrive")
    func output() throws {
        var lines: [String] = []
        let end = try shell().run(["-c", "echo one; echo two >&2; printf '%s' \"$SEEN\"; exit 7"], line: { lines.append(String($0)) }, cancelled: { nil })
        #expect(end == .exited(7))
        #expect(lines == ["one", "two", "yes"])
        #expect(try shell().run(["-c", "kill -9 $$"], line: { _ in }, cancelled: { nil }) == .killed(9))
        #expect(HostTool("no-such-program", environment: [:]) == nil)
    }

    @Test("a cancelled program may tidy up; its children end with it")
    func cancelled() throws {
        try withTemporaryFolder { folder in
            var started = false
            let script = "trap 'echo tidied >\"$0/mark\"; exit 1' TERM; sleep 600 & echo $! >\"$0/child\"; echo started; wait"
            let end = try shell().run(["-c", script, folder], line: { if $0 == "started" { started = true } }, cancelled: { started ? SIGINT : nil })
            #expect(end == .cancelled(SIGINT))
            #expect(String(decoding: try WholeFile.read(folder + "/mark", what: "file"), as: UTF8.self) == "tidied\n")
            let text = String(decoding: try WholeFile.read(folder + "/child", what: "file"), as: UTF8.self)
            let child = try #require(pid_t(text.trimmingCharacters(in: .newlines)))
            // It dies a moment later; a zombie that nobody has reaped yet is no longer running either.
            var state: Substring?
            for _ in 0..<1000 {
                state = (try? String(contentsOfFile: "/proc/\(child)/stat", encoding: .utf8))?.split(separator: " ").dropFirst(2).first
                if state == nil || state == "Z" || state == "X" { break }
                var none = pollfd(fd: -1, events: 0, revents: 0)
                _ = poll(&none, 1, 10)
            }
            #expect(state == nil || state == "Z" || state == "X")
        }
    }

    @Test("a program inherits none of our ignored or blocked signals")
    func signals() throws {
        signal(SIGPIPE, SIG_IGN)
        var lines: [String] = []
        _ = try shell().run(["-c", "grep -E '^Sig(Blk|Ign)' /proc/self/status"], line: { lines.append(String($0)) }, cancelled: { nil })
        #expect(lines.count == 2)
        for line in lines { #expect(UInt64(line.suffix(16), radix: 16).map { $0 & 0x5003 } == 0, "\(line)") }  // HUP INT PIPE TERM
    }

    // MARK: The build

    /// Programs of the right names that do as little as the test needs.
    private func fakes(_ folder: String, mmdebstrap: String) throws {
        try FileManager.default.createDirectory(atPath: folder + "/bin", withIntermediateDirectories: true)
        let scripts = [
            "mmdebstrap": mmdebstrap, "newuidmap": "", "fakeroot": "shift 3; PATH=\"\(folder)/bin:$PATH\" exec \"$@\"",
            "mke2fs": "exit 0",
            "tar": """
                mkdir -p "$2/boot/grub/i386-pc" && cd "$2" && echo kernel >boot/vmlinuz-1 && echo disk >boot/initrd.img-1
                ln -s boot/vmlinuz-1 vmlinuz && ln -s boot/initrd.img-1 initrd.img && echo core >boot/grub/i386-pc/core.img
                head -c 510 /dev/zero >boot/grub/i386-pc/boot.img && printf '\\125\\252' >>boot/grub/i386-pc/boot.img
                """,
        ]
        for (name, text) in scripts {
            let path = folder + "/bin/" + name
            try WholeFile.write(Array("#!/bin/sh\n\(text)\n".utf8), to: path, what: "script")
            chmod(path, 0o755)
        }
    }

    private func build(_ folder: String) -> DebianBuild {
        DebianBuild(disk, folder: folder + "/guests", environment: ["PATH": folder + "/bin", "TMPDIR": folder])
    }

    private func left(_ folder: String) throws -> [String] {
        let guests = try FileManager.default.contentsOfDirectory(atPath: folder + "/guests")
        let scratch = try FileManager.default.contentsOfDirectory(atPath: folder).filter { $0.hasPrefix("vitrine") }
        return (guests + scratch).filter { $0 != ".debian-i386.lock" }.sorted()
    }

    @Test("a build leaves disk, kernel and initial RAM disk, and nothing else; the disk begins with the boot record")
    func built() throws {
        try withTemporaryFolder { folder in
            try fakes(folder, mmdebstrap: "echo I: creating tarball...")
            var seen: [String] = []
            let outcome = try build(folder).run(progress: { seen.append($0.title) }, cancelled: { nil })
            #expect(outcome == .built)
            #expect(try left(folder) == ["debian-i386.img", "debian-i386.initrd.img", "debian-i386.vmlinuz"])
            #expect(seen.last == "Ready" && seen.contains("Packing"))
            let file = try #require(FileHandle(forReadingAtPath: build(folder).image))
            let head = [UInt8](try #require(try file.read(upToCount: 517)))
            #expect(Array(head[510...]) == [0x55, 0xAA] + Array("core\n".utf8))
            #expect(try file.seekToEnd() == DebianDisk.diskBytes)
        }
    }

    @Test("a tool's failure is told with its own words, and leaves only the log")
    func failed() throws {
        try withTemporaryFolder { folder in
            try fakes(folder, mmdebstrap: "echo 'E: no such archive.' >&2; echo 'E: mmdebstrap failed to run' >&2; exit 25")
            let error = try #require(throws: MachineError.self) { try build(folder).run(progress: { _ in }, cancelled: { nil }) }
            #expect(error.kind == .failed)
            #expect(error.description.contains("mmdebstrap ended with status 25: no such archive;"), "\(error)")
            #expect(try left(folder) == ["debian-i386.log"])
        }
    }

    @Test("a cancelled build leaves nothing, what the tool left in its scratch folder included")
    func cancelledBuild() throws {
        try withTemporaryFolder { folder in
            try fakes(folder, mmdebstrap: "case $1 in --unshare-helper) exit 0;; esac; mkdir \"$TMPDIR/left\"; echo I: extracting archives; sleep 600")
            var working = false
            let outcome = try build(folder).run(
                progress: { if $0.title.contains("Installing") { working = true } }, cancelled: { working ? SIGTERM : nil })
            #expect(outcome == .cancelled(SIGTERM))
            #expect(try left(folder) == [])
        }
    }

    @Test("missing tools are one sentence that names their packages")
    func missingTools() throws {
        try withTemporaryFolder { folder in
            let catalog = GuestCatalog(root: folder, environment: ["PATH": folder])
            let guest = try #require(catalog.guest("debian"))
            #expect(guest.name == "debian-\(DebianDisk.standard)")
            for (program, package) in DebianDisk.tools where HostTool(program, environment: [:]) == nil { #expect(guest.needs.contains(package)) }
        }
    }

    @Test("a 64-bit disk brings a processor for it, unless the user chose one")
    func processor() throws {
        let catalog = GuestCatalog(root: "/nowhere", environment: [:])
        let amd64 = try #require(catalog.guest("debian-amd64")), i386 = try #require(catalog.guest("debian-i386"))
        var settings = RunSettings()
        #expect(i386.apply(to: settings, memoryWasGiven: false).cpuModel == settings.cpuModel)
        #expect(amd64.apply(to: settings, memoryWasGiven: false).cpuModel == "x86-64-v2")
        settings.cpuModel = "x86-64-v3"
        #expect(amd64.apply(to: settings, memoryWasGiven: false, modelWasGiven: true).cpuModel == "x86-64-v3")
    }

    @Test("a disk that is there is not made again")
    func existing() throws {
        try withTemporaryFolder { folder in
            let catalog = GuestCatalog(root: folder, environment: [:])
            let guest = try #require(catalog.guest("debian-i386"))
            #expect(catalog.build(for: guest) != nil)
            try FileManager.default.createDirectory(atPath: folder + "/cache/guests", withIntermediateDirectories: true)
            try WholeFile.write([0], to: folder + "/cache/guests/debian-i386.img", what: "file")
            #expect(catalog.build(for: try #require(catalog.guest("debian-i386"))) == nil)
            #expect(try catalog.prepared(guest).apply(to: RunSettings(), memoryWasGiven: false).disks == [folder + "/cache/guests/debian-i386.img"])
        }
    }
}
