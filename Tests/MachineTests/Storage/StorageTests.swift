import Glibc
import Hardware
import Testing

@testable import Machine

/// A directory of its own for one test, removed with it.
private final class Scratch {
    let path: String
    init() throws {
        var template = Array("/tmp/vitrine-test-XXXXXX".utf8CString)
        path = String(cString: try #require(mkdtemp(&template)))
    }
    deinit {
        for name in names() {
            chmod(path + "/" + name, 0o600)
            unlink(path + "/" + name)
        }
        rmdir(path)
    }

    func names() -> [String] {
        guard let directory = opendir(path) else { return [] }
        defer { closedir(directory) }
        var found: [String] = []
        while let entry = readdir(directory) {
            let name = withUnsafeBytes(of: entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
            if name != "." && name != ".." { found.append(name) }
        }
        return found
    }

    func file(_ name: String, _ bytes: [UInt8]) -> String {
        let descriptor = open(path + "/" + name, O_CREAT | O_TRUNC | O_WRONLY, 0o600)
        defer { close(descriptor) }
        _ = bytes.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
        return path + "/" + name
    }

    /// A file of holes.
    func sparse(_ name: String, bytes: Int) -> String {
        let path = file(name, [])
        truncate(path, bytes)
        return path
    }

    func contents(_ path: String) -> [UInt8] {
        let descriptor = open(path, O_RDONLY)
        defer { close(descriptor) }
        var data = [UInt8](repeating: 0, count: Int(lseek(descriptor, 0, SEEK_END)))
        _ = data.withUnsafeMutableBytes { pread(descriptor, $0.baseAddress, $0.count, 0) }
        return data
    }
}

private func numbered(_ sectors: Int, of bytes: Int = 512) -> [UInt8] {
    (0..<sectors).flatMap { [UInt8](repeating: UInt8(truncatingIfNeeded: $0 + 1), count: bytes) }
}

extension Medium {
    fileprivate func sectors(_ first: UInt64, _ count: Int = 1) -> [UInt8]? {
        var data = [UInt8](repeating: 0xEE, count: count * sectorBytes)
        return data.withUnsafeMutableBytes { read(sector: first, into: $0) } ? data : nil
    }
    fileprivate func put(_ first: UInt64, _ data: [UInt8]) -> Bool { data.withUnsafeBytes { write(sector: first, from: $0) } }
}

@Suite("storage · media files") struct StorageTests {
    @Test("a raw image reads and writes its sectors in place")
    func raw() throws {
        let scratch = try Scratch()
        let path = scratch.file("disk", numbered(8))
        let disk = try DiskImage.open(path: path, access: .readWrite)
        #expect(disk.sectorCount == 8 && disk.sectorBytes == 512 && !disk.readOnly)
        #expect(disk.sectors(3, 2) == [UInt8](repeating: 4, count: 512) + [UInt8](repeating: 5, count: 512))
        #expect(disk.put(7, [UInt8](repeating: 0xAB, count: 512)))
        #expect(disk.flush())
        var expected = numbered(8)
        expected.replaceSubrange(7 * 512..<8 * 512, with: [UInt8](repeating: 0xAB, count: 512))
        #expect(scratch.contents(path) == expected)
    }

    @Test("out of range is refused and leaves buffer and file alone")
    func range() throws {
        let scratch = try Scratch()
        let path = scratch.file("disk", numbered(4))
        let disk = try DiskImage.open(path: path, access: .readWrite)
        for (first, count) in [(UInt64(4), 1), (3, 2), (.max, 1), (1 << 60, 1)] {
            var buffer = [UInt8](repeating: 0x77, count: count * 512)
            #expect(!buffer.withUnsafeMutableBytes { disk.read(sector: first, into: $0) })
            #expect(buffer.allSatisfy { $0 == 0x77 })
            #expect(!disk.put(first, buffer))
        }
        #expect(!disk.put(0, [1, 2, 3]))
        #expect(scratch.contents(path) == numbered(4))
    }

    @Test("odd bytes at the end of a disk are invisible and untouched")
    func oddSize() throws {
        let scratch = try Scratch()
        let path = scratch.file("disk", numbered(2) + [9, 9, 9])
        do {
            let disk = try DiskImage.open(path: path, access: .readWrite)
            #expect(disk.sectorCount == 2)
            #expect(disk.put(1, [UInt8](repeating: 7, count: 512)))
        }
        #expect(scratch.contents(path).suffix(4) == [7, 9, 9, 9])
    }

    @Test("2 TiB of holes is a disk whose last sector works")
    func large() throws {
        let scratch = try Scratch()
        let path = scratch.sparse("disk", bytes: 2 << 40)
        let disk = try DiskImage.open(path: path, access: .disposable)
        let last = disk.sectorCount - 1
        #expect(last == (1 << 32) - 1)
        #expect(disk.put(last, [UInt8](repeating: 3, count: 512)))
        #expect(disk.sectors(last) == [UInt8](repeating: 3, count: 512))
    }

    @Test("empty files, fragments, directories and missing files are refused with a sentence")
    func refusals() throws {
        let scratch = try Scratch()
        let empty = scratch.file("empty", [])
        let three = scratch.file("three", [1, 2, 3])
        for open in [{ try DiskImage.open(path: $0, access: .readWrite) }, { try ISOImage(path: $0) as any Medium }]
            as [(String) throws -> any Medium]
        {
            #expect(throws: MediaError.self) { _ = try open(empty) }
            #expect(throws: MediaError.self) { _ = try open(three) }
            #expect(throws: MediaError.notAFile(path: scratch.path)) { _ = try open(scratch.path) }
            #expect(throws: MediaError.cannotOpen(path: "/no/such/file", reason: "no such file or directory")) {
                _ = try open("/no/such/file")
            }
            #expect(throws: MediaError.notAFile(path: "/dev/null")) { _ = try open("/dev/null") }
        }
        let fifo = scratch.path + "/pipe"
        mkfifo(fifo, 0o600)
        #expect(throws: MediaError.notAFile(path: fifo)) { _ = try DiskImage.open(path: fifo, access: .readOnly) }
        #expect(scratch.contents(three) == [1, 2, 3])
    }

    @Test("every refusal is one sentence that names the file")
    func sentences() {
        let all: [MediaError] = [
            .cannotOpen(path: "/p", reason: "permission denied"), .notWritable(path: "/p", reason: "read-only file system"),
            .notAFile(path: "/p"),
            .tooSmall(path: "/p", bytes: 0, sectorBytes: 512), .tooSmall(path: "/p", bytes: 3, sectorBytes: 2048), .locked(path: "/p"),
            .formatNotSupported(path: "/p", format: "VDI"), .notAFloppySize(path: "/p", bytes: 5),
            .noScratchFile(directory: "/p", reason: "no"),
        ]
        for error in all {
            #expect(error.description.contains("/p") && error.description.hasSuffix(".") && !error.description.contains("\n"))
        }
    }

    @Test("other image formats are named, by content")
    func formats() throws {
        let scratch = try Scratch()
        // VDI is read, but not one of version 0.
        var vdi = [UInt8](repeating: 0, count: 1024)
        vdi.replaceSubrange(0x40..<0x44, with: [0x7F, 0x10, 0xDA, 0xBE])
        let samples: [(String, [UInt8])] = [
            ("qcow9", [0x51, 0x46, 0x49, 0xFB, 0, 0, 0, 9] + [UInt8](repeating: 0, count: 600)), ("VDI 0.0", vdi),
            ("VMDK 0", Array("KDMV".utf8) + [UInt8](repeating: 0, count: 600)), ("VMDK of VMware ESX 2", Array("COWD".utf8) + [0, 0, 0, 0]),
            ("VHDX", Array("vhdxfile".utf8) + [UInt8](repeating: 0, count: 600)),
        ]
        for (format, bytes) in samples {
            let path = scratch.file("image.img", bytes)
            #expect(throws: MediaError.formatNotSupported(path: path, format: format)) {
                _ = try DiskImage.open(path: path, access: .readOnly)
            }
        }
        for bytes in [
            Array("conectix".utf8) + [UInt8](repeating: 0, count: 600), numbered(2) + Array("conectix".utf8) + numbered(1).dropLast(8),
            Array("# Disk DescriptorFile\n".utf8),
        ] {
            let path = scratch.file("image.img", bytes)
            do throws(MediaError) {
                _ = try DiskImage.open(path: path, access: .readOnly)
                Issue.record("opened")
            } catch {
                #expect(error.description.contains("damaged V"), "\(error)")
            }
        }
        #expect(throws: Never.self) {
            _ = try DiskImage.open(path: scratch.file("plain", [UInt8](repeating: 0x51, count: 512)), access: .readOnly)
        }
    }

    @Test("a file can be written by one machine or read by several, not both")
    func locking() throws {
        let scratch = try Scratch()
        let path = scratch.file("disk", numbered(4))
        do {
            let writer = try DiskImage.open(path: path, access: .readWrite)
            #expect(throws: MediaError.locked(path: path)) { _ = try DiskImage.open(path: path, access: .readWrite) }
            #expect(throws: MediaError.locked(path: path)) { _ = try DiskImage.open(path: path, access: .disposable) }
            #expect(writer.sectors(0) != nil)
        }
        let first = try DiskImage.open(path: path, access: .disposable)
        let second = try DiskImage.open(path: path, access: .readOnly)
        #expect(throws: MediaError.locked(path: path)) { _ = try DiskImage.open(path: path, access: .readWrite) }
        #expect(first.sectors(0) == second.sectors(0))
    }

    @Test("a disposable layer keeps what was written and leaves the file alone")
    func disposable() throws {
        let scratch = try Scratch()
        let path = scratch.file("disk", numbered(200))
        let disk = try DiskImage.open(path: path, access: .disposable)
        #expect(!disk.readOnly && disk.sectorCount == 200)
        var expected = numbered(200)
        var state: UInt64 = 7
        for round in 0..<300 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            let first = Int(state >> 33) % 200
            let count = min(200 - first, Int(state >> 20) % 9 + 1)
            let data = [UInt8](repeating: UInt8(truncatingIfNeeded: round), count: count * 512)
            #expect(disk.put(UInt64(first), data))
            expected.replaceSubrange(first * 512..<(first + count) * 512, with: data)
        }
        #expect(disk.sectors(0, 200) == expected)
        #expect(disk.sectors(63, 3) == Array(expected[63 * 512..<66 * 512]))
        #expect(!disk.put(199, [UInt8](repeating: 0, count: 1024)))
        #expect(disk.flush())
        #expect(scratch.contents(path) == numbered(200))
        #expect(scratch.names() == ["disk"])
    }

    @Test("zeroed sectors read as zeros and nothing else changes, in a file and in a disposable layer", arguments: [true, false])
    func zero(discard: Bool) throws {
        let scratch = try Scratch()
        let path = scratch.file("disk", numbered(3000))
        var expected = numbered(3000)
        do {
            let disk = try DiskImage.open(path: path, access: .disposable)
            #expect(disk.put(12, [UInt8](repeating: 1, count: 512)))
            #expect(disk.zero(sector: 10, count: 2000, discard: discard))
            expected.replaceSubrange(10 * 512..<2010 * 512, with: [UInt8](repeating: 0, count: 2000 * 512))
            #expect(disk.sectors(0, 3000) == expected)
            #expect(scratch.contents(path) == numbered(3000))
        }
        let disk = try DiskImage.open(path: path, access: .readWrite)
        #expect(disk.zero(sector: 10, count: 2000, discard: discard))
        #expect(disk.zero(sector: 3000, count: 0, discard: discard))
        #expect(!disk.zero(sector: 2999, count: 2, discard: discard))
        #expect(!disk.zero(sector: .max, count: 2, discard: discard))
        #expect(disk.sectors(0, 3000) == expected)
        #expect(scratch.contents(path) == expected)
        let closed = try DiskImage.open(path: scratch.file("other", numbered(8)), access: .readOnly)
        #expect(!closed.zero(sector: 0, count: 1, discard: discard))
    }

    @Test("an image opened read-only takes no writes")
    func readOnly() throws {
        let scratch = try Scratch()
        let path = scratch.file("disk", numbered(4))
        chmod(path, 0o400)
        let disk = try DiskImage.open(path: path, access: .readOnly)
        #expect(disk.readOnly && !disk.put(0, numbered(1)))
        if geteuid() != 0 {
            #expect(throws: MediaError.self) { _ = try DiskImage.open(path: path, access: .readWrite) }
        }
    }

    @Test("floppies have floppy sizes", arguments: FloppyGeometry.sizes)
    func floppySizes(sectors: UInt64) throws {
        let scratch = try Scratch()
        let path = scratch.sparse("floppy", bytes: Int(sectors) * 512)
        let floppy = try FloppyImage.open(path: path, access: .readWrite)
        #expect(floppy.sectorCount == sectors)
        for bytes in [Int(sectors) * 512 - 1, Int(sectors) * 512 + 1, Int(sectors) * 512 + 512] {
            let wrong = scratch.sparse("wrong", bytes: bytes)
            #expect(throws: MediaError.notAFloppySize(path: wrong, bytes: UInt64(bytes))) {
                _ = try FloppyImage.open(path: wrong, access: .readOnly)
            }
        }
    }

    @Test("a boot floppy without its unused end is whole again, and grows when that is written")
    func shortFloppy() throws {
        let scratch = try Scratch()
        var bytes = [UInt8](repeating: 0x90, count: 2532 * 512)
        let path = scratch.file("floppy", bytes)
        #expect(throws: MediaError.notAFloppySize(path: path, bytes: 1_296_384)) { _ = try FloppyImage.open(path: path, access: .readOnly) }
        bytes.replaceSubrange(510..<512, with: [0x55, 0xAA])
        _ = scratch.file("floppy", bytes)
        do {
            let floppy = try FloppyImage.open(path: path, access: .disposable)
            #expect(floppy.sectorCount == 2880)
            #expect(floppy.sectors(2531, 2) == [UInt8](repeating: 0x90, count: 512) + [UInt8](repeating: 0, count: 512))
            #expect(floppy.put(2879, [UInt8](repeating: 1, count: 512)) && floppy.sectors(2880) == nil)
        }
        #expect(scratch.contents(path) == bytes)
        do {
            let floppy = try FloppyImage.open(path: path, access: .readWrite)
            #expect(floppy.put(2879, [UInt8](repeating: 1, count: 512)) && floppy.sectors(2600) == [UInt8](repeating: 0, count: 512))
        }
        #expect(scratch.contents(path).count == 1_474_560)
        for wrong in [bytes.count + 1, 3 << 20, 512] {
            let other = scratch.file("other", Array((bytes + bytes + bytes).prefix(wrong)))
            #expect(throws: MediaError.notAFloppySize(path: other, bytes: UInt64(wrong))) {
                _ = try FloppyImage.open(path: other, access: .readOnly)
            }
        }
    }

    @Test("a CD has sectors of 2048 bytes, the last one padded with zeros, and is never written")
    func iso() throws {
        let scratch = try Scratch()
        let path = scratch.file("cd", numbered(2, of: 2048) + [5, 6])
        let disc = try ISOImage(path: path)
        #expect(disc.sectorCount == 3 && disc.readOnly)
        #expect(disc.sectors(1) == [UInt8](repeating: 2, count: 2048))
        #expect(disc.sectors(2) == [5, 6] + [UInt8](repeating: 0, count: 2046))
        #expect(disc.sectors(3) == nil && disc.sectors(2, 2) == nil)
        #expect(!disc.put(0, numbered(1, of: 2048)))
        #expect(throws: MediaError.tooSmall(path: scratch.file("short", [1]), bytes: 1, sectorBytes: 2048)) {
            _ = try ISOImage(path: scratch.path + "/short")
        }
    }

    @Test("a file that shrank under a running machine fails to read instead of giving old bytes")
    func shrunk() throws {
        let scratch = try Scratch()
        let path = scratch.file("disk", numbered(4))
        let disk = try DiskImage.open(path: path, access: .readOnly)
        truncate(path, 1024)
        #expect(disk.sectors(1) != nil && disk.sectors(3) == nil)
    }
}
