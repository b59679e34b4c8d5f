import Foundation
import Hardware
import Testing

@testable import Machine

@Suite("guests of the demo") struct GuestTests {
    @Test("the archive writer makes the header, name and contents that the format asks for")
    func cpio() {
        var archive = CpioArchive()
        archive.add(file: "etc/rc", Array("hello".utf8), executable: true)
        let bytes = archive.finished()
        #expect(bytes.count == 512)
        let text = String(decoding: bytes, as: UTF8.self)
        #expect(text.hasPrefix("07070100000001000041ED"))  // folder etc, 0755
        let file = 110 + 6  // header, "etc\0", padded to 4
        #expect(text.dropFirst(file).hasPrefix("07070100000002000081ED"))
        #expect(text.dropFirst(file + 110).hasPrefix("etc/rc\0"))
        #expect(text.contains("TRAILER!!!"))
    }

    @Test("cpio unpacks it again", .enabled(if: FileManager.default.isExecutableFile(atPath: "/usr/bin/cpio")))
    func unpacked() throws {
        try withTemporaryFolder { folder in
            let archive = BusyBoxSystem.archive(busybox: [1, 2, 3], modules: [("a", [4]), ("b", [5, 6])])
            try WholeFile.write(archive, to: folder + "/a.cpio", what: "archive")
            let process = Process()
            process.executableURL = URL(fileURLWithPath: "/bin/sh")
            process.arguments = ["-c", "cd '\(folder)' && cpio --quiet -i <a.cpio"]
            try process.run()
            process.waitUntilExit()
            #expect(process.terminationStatus == 0)
            #expect(try WholeFile.read(folder + "/bin/busybox", what: "file") == [1, 2, 3])
            #expect(try WholeFile.read(folder + "/lib/modules/b.ko", what: "file") == [5, 6])
            #expect(String(decoding: try WholeFile.read(folder + "/lib/modules/order", what: "file"), as: UTF8.self) == "a\nb\n")
            #expect(try FileManager.default.destinationOfSymbolicLink(atPath: folder + "/sbin/init") == "/bin/busybox")
        }
    }

    @Test("a guest whose files are missing says what to install; one whose files are there is ready")
    func catalog() throws {
        try withTemporaryFolder { folder in
            var catalog = GuestCatalog(root: folder)
            let found = catalog.guests.filter { $0.debian == nil && $0.name != "sensitive" }  // no files of the host
            #expect(found.allSatisfy { !$0.isReady && $0.needs.contains(/install|run/) })
            try FileManager.default.createDirectory(atPath: folder + "/usr/lib/ipxe", withIntermediateDirectories: true)
            try WholeFile.write([1], to: folder + "/usr/lib/ipxe/ipxe.lkrn", what: "file")
            catalog = GuestCatalog(root: folder)
            let ipxe = try #require(catalog.guests.first { $0.name == "ipxe" })
            #expect(ipxe.isReady)
            #expect(ipxe.apply(to: RunSettings(), memoryWasGiven: false).kernel == folder + "/usr/lib/ipxe/ipxe.lkrn")
            let grub = try #require(catalog.guests.first { $0.name == "grub" })
            #expect(throws: MachineError.self) { try catalog.prepared(grub) }
        }
    }

    @Test("the guest of sensitive instructions is what its source makes", .enabled(if: access("/usr/bin/nasm", X_OK) == 0, "nasm is not installed"))
    func sensitive() throws {
        try withTemporaryFolder { folder in
            let source = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
                .appendingPathComponent("Fixtures/Guests/sensitive.asm").path
            let process = Process()
            process.executableURL = URL(fileURLWithPath: "/usr/bin/nasm")
            process.arguments = ["-w+error", "-f", "bin", "-o", folder + "/image", source]
            try process.run()
            process.waitUntilExit()
            let made = try WholeFile.read(folder + "/image", what: "image")
            #expect(Array(SensitiveGuest.image.prefix(made.count)) == made)
            #expect(SensitiveGuest.image.count == SensitiveGuest.imageBytes && SensitiveGuest.code.count <= made.count)
            let guest = try GuestCatalog(root: folder).prepared(try #require(GuestCatalog(root: folder).guest("sensitive")))
            let floppy = try #require(guest.apply(to: RunSettings(), memoryWasGiven: false).floppy)
            #expect(try WholeFile.read(floppy, what: "floppy") == SensitiveGuest.image)
        }
    }

    @Test("Linux is put together from a kernel in /boot and a static busybox; the newest kernel wins")
    func linux() throws {
        try withTemporaryFolder { folder in
            for path in ["/boot", "/bin"] {
                try FileManager.default.createDirectory(atPath: folder + path, withIntermediateDirectories: true)
            }
            for name in ["vmlinuz-6.1.0-9-686", "vmlinuz-6.1.0-50-686-pae", "vmlinuz-6.1.0-47-amd64"] {
                try WholeFile.write([1], to: folder + "/boot/" + name, what: "file")
            }
            let catalog = GuestCatalog(root: folder)
            let incomplete = try #require(catalog.guests.first { $0.name == "linux" })
            #expect(!incomplete.isReady)
            var busybox = [UInt8](repeating: 0, count: 84)
            for (at, byte) in [(0, 0x7F), (1, 0x45), (2, 0x4C), (3, 0x46), (4, 1), (18, 3), (28, 52), (42, 32), (44, 1), (52, 1)] {
                busybox[at] = UInt8(byte)
            }
            try WholeFile.write(busybox, to: folder + "/bin/busybox", what: "file")
            let guest = try catalog.prepared(try #require(catalog.guests.first { $0.name == "linux" }))
            #expect(guest.kernel == folder + "/boot/vmlinuz-6.1.0-50-686-pae")
            let initrd = try WholeFile.read(try #require(guest.initrd), what: "initrd")
            #expect(initrd.starts(with: Array("070701".utf8)))
            busybox[52] = 3  // PT_INTERP: dynamically linked
            #expect(!BusyBoxSystem.isStatic386(busybox))
        }
    }
}

@Suite("pictures") struct PictureTests {
    @Test("get the first free number; a display that is off gives none")
    func numbered() throws {
        try withTemporaryFolder { folder in
            let frame = PixelFrame(width: 2, height: 1, pixels: [0xFF_0000, 0x00_00FF])
            let first = try Picture.save(frame, in: folder, prefix: "vitrine-a")
            let second = try Picture.save(frame, in: folder, prefix: "vitrine-a")
            #expect([first, second] == ["vitrine-a-1.png", "vitrine-a-2.png"])
            #expect(try WholeFile.read(folder + "/vitrine-a-2.png", what: "picture").starts(with: [0x89, 0x50, 0x4E, 0x47]))
            #expect(throws: MachineError.self) { try Picture.save(nil, in: folder, prefix: "vitrine-b") }
        }
    }
}
