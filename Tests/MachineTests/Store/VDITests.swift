import Foundation
import Hardware
import Testing

@testable import Machine

@Suite("storage · VDI") struct VDITests {
    private func withImage(_ mib: UInt64 = 8, _ format: NewImage.Format = .dynamic, _ body: (String) throws -> Void) throws {
        try withTemporaryFolder { folder in
            let path = folder + "/disk.vdi"
            try NewImage.make(path, bytes: mib << 20, format: format)
            try body(path)
        }
    }

    private func put(_ path: String, _ offset: Int, _ bytes: [UInt8]) throws {
        let handle = try FileHandle(forUpdating: URL(fileURLWithPath: path))
        try handle.seek(toOffset: UInt64(offset))
        try handle.write(contentsOf: Data(bytes))
        try handle.close()
    }

    private func size(_ path: String) throws -> Int {
        try #require(FileManager.default.attributesOfItem(atPath: path)[.size] as? Int)
    }

    private func sectors(_ count: Int, _ value: UInt8) -> [UInt8] { [UInt8](repeating: value, count: count * 512) }

    @Test("a new image is empty, small and found by content", arguments: [NewImage.Format.dynamic, .fixed])
    func new(format: NewImage.Format) throws {
        try withImage(8, format) { path in
            let image = try #require(try DiskImage.open(path: path, access: .readWrite) as? VDIImage)
            #expect(image.sectorCount == 8 << 11 && image.isFixed == (format == .fixed))
            #expect(image.allocatedBlocks == (format == .fixed ? 8 : 0))
            var data = sectors(16, 9)
            #expect(data.withUnsafeMutableBytes { image.read(sector: 100, into: $0) })
            #expect(data == sectors(16, 0))
            if format == .dynamic { #expect(try size(path) == 1 << 20) }
        }
    }

    @Test("what was written is read, across blocks, and after closing") func roundTrip() throws {
        try withImage { path in
            var data = [UInt8](repeating: 0, count: 512 * 3000)
            for i in data.indices { data[i] = UInt8(truncatingIfNeeded: i &* 31 &+ i >> 11) }
            do {
                let image = try VDIImage(path: path, readOnly: false)
                #expect(data.withUnsafeBytes { image.write(sector: 5000, from: $0) })
                #expect(image.flush())
                #expect(image.allocatedBlocks == 2)
                expectReads(image, 5000, data)
            }
            let image = try VDIImage(path: path, readOnly: true)
            expectReads(image, 5000, data)
            expectReads(image, 4999, sectors(1, 0))
            expectReads(image, 8000, sectors(1, 0))
            #expect(image.allocatedBlocks == 2)
            #expect(try size(path) == 3 << 20)
            #expect(data.withUnsafeBytes { !image.write(sector: 0, from: $0) })
        }
    }

    private func expectReads(_ image: VDIImage, _ sector: UInt64, _ data: [UInt8], _ place: SourceLocation = #_sourceLocation) {
        var read = [UInt8](repeating: 0xEE, count: data.count)
        #expect(read.withUnsafeMutableBytes { image.read(sector: sector, into: $0) }, sourceLocation: place)
        #expect(read == data, sourceLocation: place)
    }

    @Test("zeros need no room; discarded blocks read as zeros and give theirs back") func zeros() throws {
        try withImage { path in
            let image = try VDIImage(path: path, readOnly: false)
            #expect(sectors(4096, 0).withUnsafeBytes { image.write(sector: 0, from: $0) })
            #expect(image.zero(sector: 0, count: 4096, discard: false))
            #expect(image.allocatedBlocks == 0)
            #expect(sectors(4096, 7).withUnsafeBytes { image.write(sector: 0, from: $0) })
            let full = try ImageFacts.hostBytes(path)
            #expect(image.zero(sector: 100, count: 3000, discard: true))
            expectReads(image, 99, sectors(1, 7) + sectors(3000, 0) + sectors(1, 7))
            #expect(try ImageFacts.hostBytes(path) < full)
            #expect(!image.zero(sector: 16383, count: 2, discard: false))
            #expect(!image.zero(sector: .max, count: 2, discard: true))
        }
    }

    @Test("out of range is refused and touches nothing") func range() throws {
        try withImage { path in
            let image = try VDIImage(path: path, readOnly: false)
            var data = sectors(2, 5)
            #expect(data.withUnsafeMutableBytes { !image.read(sector: 16383, into: $0) })
            #expect(data.withUnsafeMutableBytes { !image.read(sector: .max, into: $0) })
            #expect(data.withUnsafeBytes { !image.write(sector: 16383, from: $0) })
            #expect(data == sectors(2, 5))
            #expect(data.withUnsafeBytes { image.write(sector: 16382, from: $0) })
        }
    }

    @Test("a disk that does not fill its last block keeps its size") func odd() throws {
        try withTemporaryFolder { folder in
            try NewImage.make(folder + "/d.vdi", bytes: (5 << 20) + 512, format: .dynamic)
            let image = try VDIImage(path: folder + "/d.vdi", readOnly: false)
            #expect(image.sectorCount == 5 << 11 | 1)
            #expect(sectors(1, 3).withUnsafeBytes { image.write(sector: 5 << 11, from: $0) })
            expectReads(image, 5 << 11, sectors(1, 3))
            #expect(throws: MachineError.self) { try NewImage.make(folder + "/d.vdi", bytes: 1 << 20, format: .raw) }
            #expect(throws: MachineError.self) { try NewImage.make(folder + "/e.vdi", bytes: (1 << 20) + 1, format: .raw) }
            #expect(FolderWork.names(folder) == ["d.vdi"])
        }
    }

    @Test(
        "a header that cannot be true is refused with what is wrong",
        arguments: [
            (0x44, [2, 0, 0, 0], "VDI 0.2 image"), (0x44, [0, 0, 9, 0], "VDI 9.0 image"),
            (0x48, [0, 0, 0, 0], "header says that it has 0 bytes"),
            (0x48, [0xFF, 0xFF, 0xFF, 0xFF], "header says"), (0x4C, [4, 0, 0, 0], "does not say on which"),
            (0x4C, [9, 0, 0, 0], "no image type 9"),
            (0x1A8, [1], "names an image below"), (0x154, [0, 0, 0, 0], "block map"), (0x154, [0xFF, 0xFF, 0xFF, 0xFF], "block map"),
            (0x154, [1, 16, 0, 0], "block map"), (0x158, [0, 0, 0, 0], "block map"), (0x158, [1, 0, 16, 0], "middle of a sector"),
            (0x168, [0, 16, 0, 0], "sectors of 4096 bytes"), (0x170, [0, 0, 0, 0, 0, 0, 0, 0], "a disk of 0 bytes"),
            (0x170, [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF], "a disk of 18446744073709551615 bytes"),
            (0x170, [1, 0, 0x80, 0], "in 8 blocks"),
            (0x178, [0, 0, 0, 0], "its blocks have 0 bytes"), (0x178, [0, 2, 0, 0], "its blocks have 512 bytes"),
            (0x178, [1, 0, 16, 0], "power of two"),
            (0x178, [0, 0, 0, 0x80], "power of two"), (0x17C, [1, 0, 0, 0], "before each block"),
            (0x17C, [0, 0, 32, 0], "before each block"),
            (0x180, [0, 0, 0, 0], "it has 0 blocks"), (0x180, [0xFF, 0xFF, 0xFF, 0xFF], "it has 4294967295 blocks"),
            (0x180, [0xFF, 0xFF, 0xFF, 0x00], "block map"),
            (0x184, [9, 0, 0, 0], "9 of 8 blocks"), (0x1000, [8, 0, 0, 0], "behind the end"),
            (0x1000, [0xFD, 0xFF, 0xFF, 0xFF], "behind the end"),
            (0x1000, [0, 0, 0, 0, 0, 0, 0, 0], "same place"),
        ] as [(Int, [UInt8], String)])
    func damaged(offset: Int, bytes: [UInt8], message: String) throws {
        try withImage(8, .fixed) { path in
            try put(path, offset, bytes)
            do throws(MediaError) {
                _ = try DiskImage.open(path: path, access: .readOnly)
                Issue.record("opened")
            } catch {
                #expect(error.description.contains(message), "\(error)")
                #expect(error.description.hasPrefix(path))
            }
        }
    }

    @Test("a file that ends early is refused, wherever", arguments: [0x44, 0x100, 0x1C7, 0x1D8, 4096, 4100])
    func short(bytes: Int) throws {
        try withImage { path in
            #expect(truncate(path, bytes) == 0)
            #expect(throws: MediaError.self) { try DiskImage.open(path: path, access: .readOnly) }
        }
    }

    @Test("random headers never trap: they open, or say why not") func noise() throws {
        var state: UInt64 = 88_172_645_463_325_252
        func next() -> UInt64 {
            state ^= state << 13
            state ^= state >> 7
            state ^= state << 17
            return state
        }
        try withImage(4, .fixed) { path in
            let original = try Data(contentsOf: URL(fileURLWithPath: path)).prefix(8192)
            var opened = 0
            for _ in 0..<600 {
                var head = original
                for _ in 0...Int(next() % 3) {
                    let at = next() % 4 == 0 ? 4096 + Int(next() % 16) : 0x44 + Int(next() % 0x194)
                    head[at] = next() % 3 == 0 ? 0xFF : UInt8(truncatingIfNeeded: next())
                }
                try put(path, 0, Array(head))
                guard let image = try? DiskImage.open(path: path, access: .readOnly) else { continue }
                opened += 1
                var data = sectors(64, 0)
                for sector in [0, image.sectorCount / 2, image.sectorCount - 1] {
                    _ = data.withUnsafeMutableBytes { image.read(sector: sector, into: $0) }
                }
            }
            #expect(opened > 20)
        }
    }

    @Test("a block that a dead process had written but not entered is clean when it is used") func leak() throws {
        try withImage { path in
            // What is behind the data is no block of the map.
            try put(path, 1 << 20, sectors(2048, 0xAA))
            let image = try VDIImage(path: path, readOnly: false)
            #expect(sectors(1, 1).withUnsafeBytes { image.write(sector: 10, from: $0) })
            expectReads(image, 9, sectors(1, 0) + sectors(1, 1) + sectors(1, 0))
        }
    }

    @Test("a throw-away layer over a VDI leaves it as it is") func disposable() throws {
        try withImage { path in
            let before = try Data(contentsOf: URL(fileURLWithPath: path))
            let image = try DiskImage.open(path: path, access: .disposable)
            #expect(sectors(1, 1).withUnsafeBytes { image.write(sector: 10, from: $0) })
            #expect(try Data(contentsOf: URL(fileURLWithPath: path)) == before)
        }
    }
}

/// Beside the reference: what we make it reads, what it makes we read.
@Suite("storage · VDI and qemu-img", .enabled(if: Reference.tool != nil, Reference.missing))
struct VDIReferenceTests {

    private func pattern(_ count: Int, _ seed: Int) -> [UInt8] {
        (0..<count).map { UInt8(truncatingIfNeeded: ($0 &* 2_654_435_761 &+ seed) >> 7) }
    }

    @Test("what we write it finds whole and equal", arguments: [NewImage.Format.dynamic, .fixed])
    func ours(format: NewImage.Format) throws {
        try withTemporaryFolder { folder in
            let raw = folder + "/r.img"
            let vdi = folder + "/d.vdi"
            try NewImage.make(raw, bytes: 40 << 20, format: .raw)
            try NewImage.make(vdi, bytes: 40 << 20, format: format)
            #expect(try Reference.run("check", "-f", "vdi", vdi).status == 0)
            do {
                let images = try [raw, vdi].map { try DiskImage.open(path: $0, access: .readWrite) }
                for (round, sector) in [70_000, 3, 2047, 40_000, 2040, 81_919 - 100].enumerated() {
                    let data = pattern(512 * 100, round)
                    for image in images { #expect(data.withUnsafeBytes { image.write(sector: UInt64(sector), from: $0) }) }
                }
                for image in images {
                    #expect(image.zero(sector: 40_050, count: 3000, discard: true))
                    #expect(image.flush())
                }
            }
            let check = try Reference.run("check", "-f", "vdi", vdi)
            #expect(check.status == 0, "\(check.output)")
            let compare = try Reference.run("compare", "-f", "raw", "-F", "vdi", raw, vdi)
            #expect(compare.status == 0, "\(compare.output)")
            #expect(try Reference.run("info", vdi).output.contains("virtual size: 40 MiB"))
        }
    }

    @Test("what it makes we read and write, and it finds that whole") func theirs() throws {
        try withTemporaryFolder { folder in
            let raw = folder + "/r.img"
            let vdi = folder + "/d.vdi"
            let data = pattern(5 << 20, 1) + [UInt8](repeating: 0, count: 5 << 20) + pattern(1 << 20, 2)
            try Data(data).write(to: URL(fileURLWithPath: raw))
            for options in ["static=off", "static=on"] {
                #expect(try Reference.run("convert", "-f", "raw", "-O", "vdi", "-o", options, raw, vdi).status == 0)
                do {
                    let image = try #require(try DiskImage.open(path: vdi, access: .readWrite) as? VDIImage)
                    #expect(image.sectorCount == UInt64(data.count / 512))
                    var read = [UInt8](repeating: 1, count: data.count)
                    #expect(read.withUnsafeMutableBytes { image.read(sector: 0, into: $0) })
                    #expect(read == data)
                    #expect(pattern(4096, 5).withUnsafeBytes { image.write(sector: 12_288, from: $0) })
                    let plain = try DiskImage.open(path: raw, access: .readWrite)
                    #expect(pattern(4096, 5).withUnsafeBytes { plain.write(sector: 12_288, from: $0) })
                }
                #expect(try Reference.run("check", "-f", "vdi", vdi).status == 0)
                #expect(try Reference.run("compare", "-f", "raw", "-F", "vdi", raw, vdi).status == 0)
                try Data(data).write(to: URL(fileURLWithPath: raw))
                try FileManager.default.removeItem(atPath: vdi)
            }
        }
    }
}

extension ImageFacts {
    fileprivate static func hostBytes(_ path: String) throws -> UInt64 {
        var facts = stat()
        guard stat(path, &facts) == 0 else { throw MachineError.failed("no file") }
        return UInt64(facts.st_blocks) * 512
    }
}
