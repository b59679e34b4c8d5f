import Foundation
import Hardware
import Testing

@testable import Machine

@Suite("storage · all image formats") struct ImageFormatTests {
    @Test("random writes, zeros and discards are read back, before and after closing", arguments: NewImage.Format.allCases)
    func scribble(format: NewImage.Format) throws {
        try withTemporaryFolder { folder in
            var rig = ImageRig(folder + "/disk", bytes: 9 << 20 | 0x2A00)
            try NewImage.make(rig.path, bytes: UInt64(rig.model.count), format: format)
            var dice = Dice(UInt64(format.rawValue.utf8.reduce(7) { $0 &* 31 &+ Int($1) }))
            for _ in 0..<4 {
                let image = try DiskImage.layer(path: rig.path, writable: true)
                #expect(image.bytes == UInt64(rig.model.count) && image.format == format.imageFormat)
                #expect(rig.scribble(image, &dice, rounds: 60))
                #expect(ImageRig.contents(image) == rig.model)
                #expect(image.flush())
            }
            #expect(try ImageRig.contents(rig.path) == rig.model)
        }
    }

    @Test("a child shows its parent until it is written, and leaves it alone", arguments: ImageFormat.allCases)
    func child(format: ImageFormat) throws {
        guard format != .raw else { return }
        try withTemporaryFolder { folder in
            var rig = ImageRig(folder + "/base", bytes: 5 << 20 | 0x600)
            let base: NewImage.Format = format == .vdi ? .dynamic : NewImage.Format(rawValue: format.rawValue) ?? .raw
            try NewImage.make(rig.path, bytes: UInt64(rig.model.count), format: base)
            var dice = Dice(5)
            do {
                let image = try DiskImage.open(path: rig.path, access: .readWrite)
                #expect(rig.scribble(image, &dice, rounds: 60))
            }
            let below = rig.model
            var previous = rig.path
            for depth in 1...3 {
                rig.path = folder + "/child\(depth)"
                try NewImage.differencing(path: rig.path, parent: previous, format: format)
                #expect(try ImageRig.contents(rig.path) == rig.model)
                for _ in 0..<2 {
                    let image = try DiskImage.layer(path: rig.path, writable: true)
                    #expect(image.chain.count == depth + 1)
                    #expect(rig.scribble(image, &dice, rounds: 30))
                    #expect(ImageRig.contents(image) == rig.model)
                    #expect(image.flush())
                }
                #expect(try ImageRig.contents(rig.path) == rig.model)
                previous = rig.path
            }
            #expect(try ImageRig.contents(folder + "/base") == below)
        }
    }

    @Test("a chain that does not carry is one sentence", arguments: [ImageFormat.vdi, .qcow2])
    func broken(format: ImageFormat) throws {
        try withTemporaryFolder { folder in
            let (a, b, c) = (folder + "/a", folder + "/b", folder + "/c")
            try NewImage.make(a, bytes: 2 << 20, format: format == .vdi ? .dynamic : .qcow2)
            try NewImage.differencing(path: b, parent: a)
            try NewImage.differencing(path: c, parent: b)
            func refusal(_ path: String) -> String {
                do throws(MediaError) {
                    _ = try DiskImage.open(path: path, access: .readWrite)
                    return "opened"
                } catch {
                    return error.description
                }
            }
            #expect(refusal(c) == "opened")
            rename(a, folder + "/elsewhere")
            #expect(refusal(c).contains("'\(a)', cannot be opened") || refusal(c).contains("'a', is not there"), "\(refusal(c))")
            // A loop: b is below c and c below b.
            try FileManager.default.copyItem(atPath: c, toPath: a)
            #expect(refusal(c).contains("loop"), "\(refusal(c))")
            unlink(a)
            rename(folder + "/elsewhere", a)
            #expect(refusal(c) == "opened")
            guard format == .vdi else { return }
            do {
                let image = try DiskImage.open(path: a, access: .readWrite)
                #expect([UInt8](repeating: 1, count: 512).withUnsafeBytes { image.write(sector: 1, from: $0) })
            }
            #expect(refusal(c).contains("has been changed since"), "\(refusal(c))")
        }
    }

    @Test("64 images in a row open, one more is refused") func deep() throws {
        try withTemporaryFolder { folder in
            try NewImage.make(folder + "/0", bytes: 1 << 20, format: .qcow2)
            var data = [UInt8](repeating: 0, count: 512)
            for depth in 1..<64 {
                try NewImage.differencing(path: folder + "/\(depth)", parent: folder + "/\(depth - 1)")
                let image = try DiskImage.open(path: folder + "/\(depth)", access: .readWrite)
                data[0] = UInt8(depth)
                #expect(data.withUnsafeBytes { image.write(sector: UInt64(depth), from: $0) })
            }
            let all = try ImageRig.contents(folder + "/63")
            #expect((1..<64).allSatisfy { all[$0 * 512] == UInt8($0) })
            #expect(throws: MachineError.self) { try NewImage.differencing(path: folder + "/64", parent: folder + "/63") }
        }
    }
}

@Suite("storage · qemu-img", .enabled(if: Reference.tool != nil, Reference.missing))
struct InterchangeTests {
    @Test("what we write it finds whole and equal", arguments: NewImage.Format.allCases)
    func ours(format: NewImage.Format) throws {
        try withTemporaryFolder { folder in
            var rig = ImageRig(folder + "/disk", bytes: 24 << 20)
            try NewImage.make(rig.path, bytes: UInt64(rig.model.count), format: format)
            let name = Reference.name(format.imageFormat)
            func expectSound(_ place: SourceLocation = #_sourceLocation) throws {
                if format.imageFormat != .raw, format.imageFormat != .vhd, format != .vmdkFlat, format != .vmdkSplit {
                    let check = try Reference.run("check", "-f", name, rig.path)
                    #expect(check.status == 0, "\(check.output)", sourceLocation: place)
                }
                try Data(rig.model).write(to: URL(fileURLWithPath: folder + "/raw"))
                let compare = try Reference.run("compare", "-f", "raw", "-F", name, folder + "/raw", rig.path)
                #expect(compare.status == 0, "\(compare.output)", sourceLocation: place)
            }
            try expectSound()
            var dice = Dice(3)
            for _ in 0..<3 {
                do {
                    let image = try DiskImage.open(path: rig.path, access: .readWrite)
                    #expect(rig.scribble(image, &dice, rounds: 40))
                }
                try expectSound()
            }
        }
    }

    static let kinds: [(ImageFormat, String)] = [
        (.raw, "preallocation=off"), (.vdi, "static=off"), (.vdi, "static=on"), (.qcow2, "compat=0.10"), (.qcow2, "compat=1.1"),
        (.qcow2, "cluster_size=512"), (.qcow2, "cluster_size=2M"), (.qcow2, "refcount_bits=1"), (.qcow2, "refcount_bits=64"),
        (.qcow2, "lazy_refcounts=on"), (.qcow2, "preallocation=metadata"), (.qcow2, "compressed"),
        (.vmdk, "subformat=monolithicSparse"), (.vmdk, "subformat=monolithicFlat"), (.vmdk, "subformat=twoGbMaxExtentFlat"),
        (.vmdk, "subformat=twoGbMaxExtentSparse"), (.vmdk, "subformat=streamOptimized"),
        (.vhd, "subformat=dynamic,force_size=on"), (.vhd, "subformat=fixed,force_size=on"),
    ]

    @Test("what it makes we read and write, and it finds that whole", arguments: kinds)
    func theirs(format: ImageFormat, options: String) throws {
        try withTemporaryFolder { folder in
            var rig = ImageRig(folder + "/disk", bytes: 12 << 20)
            let raw = folder + "/raw", name = Reference.name(format)
            var dice = Dice(11)
            do {
                try NewImage.make(raw, bytes: UInt64(rig.model.count), format: .raw)
                #expect(rig.scribble(try DiskImage.open(path: raw, access: .readWrite), &dice, rounds: 40))
            }
            let made =
                options == "compressed"
                ? try Reference.run("convert", "-c", "-f", "raw", "-O", name, raw, rig.path)
                : try Reference.run("convert", "-f", "raw", "-O", name, "-o", options, raw, rig.path)
            try #require(made.status == 0, "\(made.output)")
            #expect(try ImageRig.contents(rig.path) == rig.model)
            guard options != "subformat=streamOptimized" else {
                #expect(throws: MediaError.self) { try DiskImage.open(path: rig.path, access: .readWrite) }
                return
            }
            for _ in 0..<2 {
                do {
                    let image = try DiskImage.open(path: rig.path, access: .readWrite)
                    #expect(rig.scribble(image, &dice, rounds: 40))
                    #expect(ImageRig.contents(image) == rig.model)
                }
                if [.vdi, .qcow2].contains(format) {
                    let check = try Reference.run("check", "-f", name, rig.path)
                    #expect(check.status == 0, "\(check.output)")
                }
                try Data(rig.model).write(to: URL(fileURLWithPath: raw))
                let compare = try Reference.run("compare", "-f", "raw", "-F", name, raw, rig.path)
                #expect(compare.status == 0, "\(compare.output)")
            }
        }
    }

    @Test("chains of its making and of ours are the same to both", arguments: [ImageFormat.raw, .vdi, .qcow2, .vmdk, .vhd])
    func chains(base: ImageFormat) throws {
        try withTemporaryFolder { folder in
            var rig = ImageRig(folder + "/base", bytes: 6 << 20)
            let made: NewImage.Format = base == .vdi ? .dynamic : NewImage.Format(rawValue: base.rawValue) ?? .raw
            try NewImage.make(rig.path, bytes: UInt64(rig.model.count), format: made)
            var dice = Dice(17)
            func write() throws {
                let image = try DiskImage.open(path: rig.path, access: .readWrite)
                #expect(rig.scribble(image, &dice, rounds: 40))
            }
            func expectSame(_ format: String) throws {
                try Data(rig.model).write(to: URL(fileURLWithPath: folder + "/raw"))
                if format == "qcow2" {
                    let check = try Reference.run("check", "-f", format, rig.path)
                    #expect(check.status == 0, "\(check.output)")
                }
                let compare = try Reference.run("compare", "-f", "raw", "-F", format, folder + "/raw", rig.path)
                #expect(compare.status == 0, "\(compare.output)")
            }
            try write()
            try NewImage.differencing(path: folder + "/ours", parent: rig.path, format: .qcow2)
            rig.path = folder + "/ours"
            try expectSame("qcow2")
            try write()
            try expectSame("qcow2")
            let create = try Reference.run("create", "-f", "qcow2", "-b", "ours", "-F", "qcow2", folder + "/theirs")
            #expect(create.status == 0, "\(create.output)")
            rig.path = folder + "/theirs"
            #expect(try ImageRig.contents(rig.path) == rig.model)
            try write()
            try expectSame("qcow2")
            guard base == .vmdk else { return }
            let below = try ImageRig.contents(folder + "/base")
            rig = ImageRig(folder + "/delta", bytes: 6 << 20)
            rig.model = below
            try NewImage.differencing(path: rig.path, parent: folder + "/base", format: .vmdk)
            try write()
            try expectSame("vmdk")
            let second = try Reference.run("create", "-f", "vmdk", "-b", folder + "/delta", "-F", "vmdk", folder + "/delta2")
            #expect(second.status == 0, "\(second.output)")
            rig.path = folder + "/delta2"
            try write()
            try expectSame("vmdk")
        }
    }
}

@Suite("storage · qcow2 as QEMU makes it") struct QCOW2ForeignTests {
    @Test("clusters packed by Zstandard are read", .enabled(if: Reference.tool != nil, Reference.missing)) func zstandard() throws {
        try withTemporaryFolder { folder in
            let raw = folder + "/raw.img", packed = folder + "/packed.qcow2"
            let data = ImageRig.noise(3 << 20, 5) + [UInt8](repeating: 0, count: 1 << 20)
            try Data(data).write(to: URL(fileURLWithPath: raw))
            let made = try Reference.run("convert", "-c", "-f", "raw", "-O", "qcow2", "-o", "compression_type=zstd", raw, packed)
            try #require(made.status == 0, "\(made.output)")
            #expect(try ImageRig.contents(packed) == data)
            // Written to, what is still packed stays readable.
            do {
                let image = try DiskImage.open(path: packed, access: .readWrite)
                #expect([UInt8](repeating: 7, count: 512).withUnsafeBytes { image.write(sector: 1, from: $0) } && image.flush())
            }
            var changed = data
            changed.replaceSubrange(512..<1024, with: [UInt8](repeating: 7, count: 512))
            #expect(try ImageRig.contents(packed) == changed)
            #expect(try Reference.run("check", packed).status == 0)
            // Damaged: no trap, no contents.
            var bytes = Array(try Data(contentsOf: URL(fileURLWithPath: packed)))
            for at in stride(from: 0x50000, to: bytes.count, by: 97) { bytes[at] ^= 0x55 }
            try Data(bytes).write(to: URL(fileURLWithPath: packed))
            if let image = try? DiskImage.open(path: packed, access: .readOnly) { _ = ImageRig.contents(image) }
        }
    }

    @Test("snapshots inside are listed and can be read and copied out", .enabled(if: Reference.tool != nil, Reference.missing)) func inside() throws {
        try withTemporaryFolder { folder in
            let image = folder + "/disk.qcow2"
            try NewImage.make(image, bytes: 4 << 20, format: .qcow2)
            func write(_ seed: UInt64) throws {
                // Others keep what the snapshots have.
                let raw = folder + "/raw-\(seed)"
                try Data(ImageRig.noise(4 << 20, seed)).write(to: URL(fileURLWithPath: raw))
                #expect(try Reference.run("convert", "-n", "-f", "raw", "-O", "qcow2", raw, image).status == 0)
            }
            try write(1)
            #expect(try Reference.run("snapshot", "-c", "first", image).status == 0)
            try write(2)
            #expect(try Reference.run("snapshot", "-c", "second one", image).status == 0)
            try write(3)
            let facts = try ImageFacts(path: image)
            #expect(facts.snapshots.map(\.name) == ["first", "second one"] && facts.snapshots.allSatisfy { $0.stateBytes == 0 && $0.diskBytes == 4 << 20 })
            #expect(try ImageRig.contents(image) == ImageRig.noise(4 << 20, 3))
            for (name, seed) in [("first", UInt64(1)), ("second one", 2), ("1", 1)] {
                let layer = try DiskChain.snapshot(name, of: image)
                #expect(ImageRig.contents(layer) == ImageRig.noise(4 << 20, seed))
            }
            try DiskCopy.convert(image, to: folder + "/out.vdi", format: .dynamic, snapshot: "first")
            #expect(try ImageRig.contents(folder + "/out.vdi") == ImageRig.noise(4 << 20, 1))
            #expect(throws: MachineError.self) { try DiskCopy.convert(image, to: folder + "/no.vdi", format: .dynamic, snapshot: "third") }
            #expect(throws: MachineError.self) { try DiskCopy.convert(folder + "/raw-1", to: folder + "/no.vdi", format: .dynamic, snapshot: "x") }
            // Tables that point anywhere.
            let bytes = Array(try Data(contentsOf: URL(fileURLWithPath: image))), table = Int(bytes.big(64, 8))
            var dice = Dice(3)
            for _ in 0..<200 {
                var bad = bytes
                for _ in 0...dice.below(3) { bad[table + dice.below(160)] = UInt8(truncatingIfNeeded: dice.next()) }
                try Data(bad).write(to: URL(fileURLWithPath: image))
                guard let names = try? ImageFacts(path: image).snapshots.map(\.id) else { continue }
                for name in names.prefix(3) { if let layer = try? DiskChain.snapshot(name, of: image) { _ = layer.extent(0, limit: layer.sectorCount) } }
            }
        }
    }
}
