import Foundation
import Hardware
import Testing

@testable import Machine

/// Disks with file systems that others have made.
enum FileSystemRig {
    static func tool(_ name: String) -> String? { ["/usr/bin/", "/bin/", "/usr/sbin/", "/sbin/"].map { $0 + name }.first { access($0, X_OK) == 0 } }
    static let canMakeFAT = tool("mformat") != nil && tool("mcopy") != nil && tool("mmd") != nil
    static let canMakeExt = tool("mke2fs") != nil && tool("debugfs") != nil
    static let noFAT: Comment = "mformat and mcopy (Debian: mtools) are not installed"
    static let noExt: Comment = "mke2fs and debugfs (Debian: e2fsprogs) are not installed"

    @discardableResult
    static func run(_ name: String, _ arguments: [String], input: String? = nil) throws -> String {
        let process = Process(), output = Pipe()
        process.executableURL = URL(fileURLWithPath: try #require(tool(name)))
        process.arguments = arguments
        process.environment = ["MTOOLS_SKIP_CHECK": "1", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"]
        process.standardOutput = output
        process.standardError = FileHandle.nullDevice
        try process.run()
        let data = output.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        #expect(process.terminationStatus == 0, "\(name) \(arguments)")
        return String(decoding: data, as: UTF8.self)
    }

    static func truncate(_ path: String, _ bytes: Int) throws {
        #expect(FileManager.default.createFile(atPath: path, contents: nil))
        try #require(Glibc.truncate(path, bytes) == 0)
    }

    /// A folder with files of several sizes, a link, long names.
    static func source(_ folder: String) throws -> String {
        let root = folder + "/source"
        try FileManager.default.createDirectory(atPath: root + "/etc/deep/deeper", withIntermediateDirectories: true)
        try "127.0.0.1 localhost\n".write(toFile: root + "/etc/hosts", atomically: true, encoding: .utf8)
        try Data(ImageRig.noise(300_032, 3)).write(to: URL(fileURLWithPath: root + "/etc/deep/A rather long name.bin"))
        try Data(ImageRig.noise(5120, 4)).write(to: URL(fileURLWithPath: root + "/etc/deep/deeper/KERNEL.SYS"))
        return root
    }

    /// - Parameter size: decides the width of the table.
    static func fat(_ path: String, kilobytes: Int, clusterSectors: Int, wide: Bool = false, _ root: String, at offset: Int = 0) throws {
        if access(path, F_OK) != 0 { try truncate(path, kilobytes << 10 + offset) }
        let drive = ["-i", offset == 0 ? path : "\(path)@@\(offset)"]
        try run("mformat", drive + (wide ? ["-F"] : []) + ["-T", "\(kilobytes * 2)", "-h", "16", "-s", "63", "-c", "\(clusterSectors)", "::"])
        for name in try FileManager.default.contentsOfDirectory(atPath: root).sorted() { try run("mcopy", drive + ["-s", "-m", root + "/" + name, "::/"]) }
    }

    static func ext(_ path: String, type: String, kilobytes: Int, _ root: String, options: [String] = []) throws {
        try run("mke2fs", ["-q", "-F", "-t", type] + options + ["-d", root, path, "\(kilobytes)"])
    }

    static func tree(_ path: String, _ partition: PartitionTable.Partition? = nil) throws -> FileTree {
        let layer = try DiskImage.layer(path: path, writable: false)
        let view = partition.map { DiskView(layer, start: $0.start, bytes: $0.bytes) } ?? DiskView(layer)
        do {
            return try #require(try FileTree.read(view))
        } catch let problem as FileSystemProblem {
            throw MachineError.failed(problem.reason)
        }
    }

    /// A file's bytes by its record.
    static func contents(_ path: String, _ record: FileRecord) throws -> [UInt8] {
        let view = DiskView(try DiskImage.layer(path: path, writable: false))
        return try record.pieces.flatMap { try #require(view.read($0.start, Int($0.bytes))) }
    }
}

@Suite("file systems · what others have made is read") struct FileSystemTests {
    private func check(_ path: String, _ tree: FileTree, _ kind: String) throws {
        #expect(tree.kind == kind)
        let paths = tree.files.keys.filter { !$0.hasPrefix("lost+found") }.sorted()
        #expect(
            paths == ["etc", "etc/deep", "etc/deep/A rather long name.bin", "etc/deep/deeper", "etc/deep/deeper/KERNEL.SYS", "etc/hosts"], "\(paths)")
        let long = try #require(tree.files["etc/deep/A rather long name.bin"])
        #expect(long.bytes == 300_032 && long.kind == .file)
        #expect(try FileSystemRig.contents(path, long) == ImageRig.noise(300_032, 3))
        #expect(tree.files["etc/deep"]?.kind == .folder)
    }

    @Test(
        "FAT of every width: long names, folders, contents", .enabled(if: FileSystemRig.canMakeFAT, FileSystemRig.noFAT),
        arguments: [("FAT12", 1440, 1, false), ("FAT16", 20_000, 4, false), ("FAT32", 40_000, 1, true)])
    func fat(kind: String, kilobytes: Int, clusterSectors: Int, wide: Bool) throws {
        try withTemporaryFolder { folder in
            let path = folder + "/disk.img"
            try FileSystemRig.fat(path, kilobytes: kilobytes, clusterSectors: clusterSectors, wide: wide, FileSystemRig.source(folder))
            try check(path, FileSystemRig.tree(path), kind)
        }
    }

    @Test(
        "ext2, ext3 and ext4: maps of blocks and of extents, small and wide descriptors",
        .enabled(if: FileSystemRig.canMakeExt, FileSystemRig.noExt),
        arguments: [
            ("ext2", ["-b", "1024"]), ("ext3", ["-b", "2048"]), ("ext4", []), ("ext4", ["-b", "1024", "-O", "meta_bg,^resize_inode", "-g", "1024"]),
            ("ext4", ["-O", "^64bit,inline_data"]),
        ])
    func ext(type: String, options: [String]) throws {
        try withTemporaryFolder { folder in
            let path = folder + "/disk.img", root = try FileSystemRig.source(folder)
            try FileSystemRig.ext(path, type: type, kilobytes: 16 << 10, root, options: options)
            try check(path, FileSystemRig.tree(path), type)
        }
    }

    @Test("links, devices and holes have no contents that could be read by mistake", .enabled(if: FileSystemRig.canMakeExt, FileSystemRig.noExt))
    func special() throws {
        try withTemporaryFolder { folder in
            let path = folder + "/disk.img", root = folder + "/source"
            try FileManager.default.createDirectory(atPath: root, withIntermediateDirectories: true)
            try FileManager.default.createSymbolicLink(atPath: root + "/link", withDestinationPath: "some/where")
            try FileSystemRig.truncate(root + "/hole", 3 << 20)
            try FileSystemRig.ext(path, type: "ext4", kilobytes: 8 << 10, root)
            let tree = try FileSystemRig.tree(path)
            #expect(tree.files["link"]?.kind == .link && tree.files["link"]?.inline == Array("some/where".utf8))
            #expect(tree.files["hole"]?.bytes == 3 << 20 && tree.files["hole"]?.pieces == [])
        }
    }

    @Test("partitions of both kinds of table, logical ones too") func partitions() throws {
        var disk = [UInt8](repeating: 0, count: 1 << 20)
        func entry(_ at: Int, _ kind: UInt8, _ first: UInt64, _ count: UInt64) {
            disk[at + 4] = kind
            disk.putLittle(at + 8, first)
            disk.putLittle(at + 12, count)
        }
        func sign(_ sector: Int) { disk.replaceSubrange(sector * 512 + 510..<sector * 512 + 512, with: [0x55, 0xAA]) }
        entry(446, 0x06, 64, 100)
        entry(462, 0x0F, 200, 1000)
        sign(0)
        entry(200 * 512 + 446, 0x83, 8, 50)
        entry(200 * 512 + 462, 0x05, 100, 100)
        sign(200)
        entry(300 * 512 + 446, 0x83, 4, 60)
        // And round again.
        entry(300 * 512 + 462, 0x05, 0, 100)
        sign(300)
        try withTemporaryFolder { folder in
            let path = folder + "/disk.img"
            try Data(disk).write(to: URL(fileURLWithPath: path))
            let found = PartitionTable(DiskView(try DiskImage.layer(path: path, writable: false))).partitions
            #expect(found.map(\.number) == [1, 5, 6])
            #expect(found.map { $0.start / 512 } == [64, 208, 304])
            #expect(found.map { $0.bytes / 512 } == [100, 50, 60])
        }
    }

    /// `VITRINE_FS_MUTATIONS` is the number for each sample, `VITRINE_DISK_SEED` where they begin.
    @Test(
        "file systems that are wrong in random ways are read or refused; nothing traps, hangs or takes much memory",
        .enabled(if: FileSystemRig.canMakeFAT && FileSystemRig.canMakeExt, "mtools or e2fsprogs is not installed"),
        arguments: ["FAT12", "FAT16", "ext2", "ext4", "GPT"])
    func mutated(kind: String) throws {
        let count = ProcessInfo.processInfo.environment["VITRINE_FS_MUTATIONS"].flatMap { Int($0) } ?? 150
        try withTemporaryFolder { folder in
            let path = folder + "/disk.img", root = try FileSystemRig.source(folder)
            switch kind {
            case "FAT12": try FileSystemRig.fat(path, kilobytes: 1440, clusterSectors: 1, root)
            case "FAT16": try FileSystemRig.fat(path, kilobytes: 20_000, clusterSectors: 4, root)
            case "ext2": try FileSystemRig.ext(path, type: "ext2", kilobytes: 2048, root, options: ["-b", "1024"])
            default: try FileSystemRig.ext(path, type: "ext4", kilobytes: 2048, root, options: ["-b", "1024", "-O", "^has_journal"])
            }
            var bytes = Array(try Data(contentsOf: URL(fileURLWithPath: path)))
            if kind == "GPT" { bytes = Gap.gpt(around: bytes) }
            // Where anything but contents is: what is not zeros, near the start and in the places of tables.
            let places = bytes.indices.filter { bytes[$0] != 0 && $0 < 400_000 }
            let medium = BytesMedium(bytes)
            var dice = Dice(MutatedImageTests.seed &+ UInt64(kind.utf8.count))
            for _ in 0..<count {
                medium.bytes = bytes
                for _ in 0...dice.below(4) {
                    let at = places[dice.below(places.count)] + dice.below(4)
                    let width = [1, 2, 4, 4][dice.below(4)]
                    let value = dice.below(3) == 0 ? dice.next() : [0, 1, 2, 0x7FFF, 0x8000, 0xFFFF, 0x7FFF_FFFF, 0xFFFF_FFFF, 0xF30A][dice.below(9)]
                    medium.bytes.putLittle(at, value, width)
                }
                let disk = DiskView(medium)
                for place in [.init(number: 0, start: 0, bytes: disk.bytes)] + PartitionTable(disk).partitions {
                    do throws(FileSystemProblem) {
                        let tree = try FileTree.read(DiskView(medium, start: place.start, bytes: place.bytes))
                        for record in tree?.files.values.prefix(50) ?? [:].values.prefix(0) {
                            for piece in record.pieces.prefix(4) { _ = disk.read(piece.start, Int(min(piece.bytes, 4096))) }
                        }
                    } catch {
                        #expect(!error.reason.isEmpty)
                    }
                }
            }
        }
    }

    private enum Gap {
        /// A disk with a GPT and one partition.
        static func gpt(around volume: [UInt8]) -> [UInt8] {
            var disk = [UInt8](repeating: 0, count: 40 * 512) + volume + [UInt8](repeating: 0, count: 40 * 512)
            disk[446 + 4] = 0xEE
            disk.putLittle(446 + 8, 1)
            disk.putLittle(446 + 12, UInt64(disk.count / 512 - 1))
            (disk[510], disk[511]) = (0x55, 0xAA)
            var head = [UInt8](repeating: 0, count: 92)
            head.put(0, Array("EFI PART".utf8))
            head.putLittle(12, 92)
            head.putLittle(72, 2, 8)
            head.putLittle(80, 128)
            head.putLittle(84, 128)
            head.putLittle(16, UInt64(head.withUnsafeBytes { Unpacking.sum($0) }))
            disk.put(512, head)
            disk[1024] = 0xAF
            disk.putLittle(1024 + 32, 40, 8)
            disk.putLittle(1024 + 40, UInt64(40 + volume.count / 512 - 1), 8)
            return disk
        }
    }
}

/// A disk in memory.
final class BytesMedium: Medium {
    var bytes: [UInt8]
    init(_ bytes: [UInt8]) { self.bytes = bytes }
    let sectorBytes = 512
    var sectorCount: UInt64 { UInt64(bytes.count / 512) }
    let readOnly = true
    func read(sector: UInt64, into buffer: UnsafeMutableRawBufferPointer) -> Bool {
        guard holds(sector, buffer.count) else { return false }
        let start = Int(sector) * 512
        bytes.withUnsafeBytes { buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[start..<start + buffer.count])) }
        return true
    }
    func write(sector: UInt64, from buffer: UnsafeRawBufferPointer) -> Bool { false }
    func flush() -> Bool { true }
    func zero(sector: UInt64, count: UInt64, discard: Bool) -> Bool { false }
}
