import Foundation
import Hardware
import Testing

@testable import Machine

/// Images whose heads and tables are wrong in random ways open, or say why not; nothing crashes, hangs or takes much memory.
///
/// `VITRINE_DISK_MUTATIONS` is the number for all formats together, `VITRINE_DISK_SEED` where they begin.
@Suite("storage · mutated images", .serialized) struct MutatedImageTests {
    static let count = ProcessInfo.processInfo.environment["VITRINE_DISK_MUTATIONS"].flatMap { Int($0) } ?? 1500
    static let seed = ProcessInfo.processInfo.environment["VITRINE_DISK_SEED"].flatMap { UInt64($0) } ?? 1

    /// An image's name, its file and where in it heads and tables are.
    private struct Sample {
        var name: String
        var bytes: [UInt8]
        var areas: [Range<Int>]
        var sums: [(range: Range<Int>, at: Int)] = []
    }

    private static func sample(_ folder: String, _ name: String, _ areas: [Range<Int>], _ make: (String) throws -> Void) throws -> Sample {
        let path = folder + "/" + name
        try make(path)
        let bytes = try Array(Data(contentsOf: URL(fileURLWithPath: path)))
        return Sample(name: name, bytes: bytes, areas: areas.map { $0.clamped(to: 0..<bytes.count) })
    }

    private static func samples(_ folder: String) throws -> [Sample] {
        func scribbled(_ path: String) throws {
            var rig = ImageRig(path, bytes: 2 << 20)
            var dice = Dice(4)
            _ = rig.scribble(try DiskImage.open(path: path, access: .readWrite), &dice, rounds: 6, most: 40)
        }
        func new(_ format: NewImage.Format) -> (String) throws -> Void {
            { path in
                try NewImage.make(path, bytes: 2 << 20, format: format)
                try scribbled(path)
            }
        }
        func child(_ parent: String) -> (String) throws -> Void {
            { path in
                try NewImage.differencing(path: path, parent: folder + "/" + parent, format: parent == "raw" ? .qcow2 : nil)
                try scribbled(path)
            }
        }
        let qcow2 = [0..<104, 0..<0x200, 0x10000..<0x10010, 0x20000..<0x20040, 0x30000..<0x30008, 0x40000..<0x40200]
        var samples = [
            try sample(folder, "vdi", [0x40..<0x1D8, 0x1000..<0x1008], new(.dynamic)),
            try sample(folder, "vdi-fixed", [0x40..<0x1D8, 0x1000..<0x1008], new(.fixed)),
            try sample(folder, "vdi-child", [0x40..<0x1D8, 0x1000..<0x1008], child("vdi")),
            try sample(folder, "qcow2", qcow2, new(.qcow2)), try sample(folder, "qcow2-v2", qcow2, new(.qcow2v2)),
            try sample(folder, "raw", [], new(.raw)), try sample(folder, "qcow2-child", qcow2, child("raw")),
            try sample(folder, "vmdk", [0..<80, 0x200..<0x400, 0x2A00..<0x3A00], new(.vmdk)),
            try sample(folder, "vmdk-child", [0..<80, 0x200..<0x400, 0x2A00..<0x3A00], child("vmdk")),
            try sample(folder, "vmdk-flat", [0..<400], new(.vmdkFlat)),
            try sample(folder, "vhd", [0..<85, 512..<560, 1536..<1544], new(.vhd)),
            try sample(folder, "vhd-fixed", [(2 << 20)..<(2 << 20) + 85], new(.vhdFixed)),
            try sample(folder, "vhd-child", [0..<85, 512..<600, 1088..<1120, 1536..<1544, 0x1600..<0x1640], child("vhd")),
        ]
        if Reference.tool != nil {
            for (name, format, options) in [("qcow2-packed", "qcow2", "compat=1.1"), ("vmdk-packed", "vmdk", "subformat=streamOptimized")] {
                let path = folder + "/" + name
                let made = try Reference.run("convert", "-c", "-f", "raw", "-O", format, "-o", options, folder + "/raw", path)
                if made.status != 0 { try Reference.run("convert", "-f", "raw", "-O", format, "-o", options, folder + "/raw", path) }
                let all = try Array(Data(contentsOf: URL(fileURLWithPath: path)))
                samples.append(Sample(name: name, bytes: all, areas: [0..<104, 0x200..<0x400, max(0, all.count - 1100)..<all.count, 0..<all.count]))
            }
        }
        for i in samples.indices where samples[i].name.hasPrefix("vhd") {
            let end = samples[i].bytes.count
            samples[i].areas.append(end - 512..<end - 427)
            samples[i].sums = [(end - 512..<end, 64)]
            if samples[i].name != "vhd-fixed" { samples[i].sums += [(0..<512, 64), (512..<1536, 36)] }
        }
        return samples.filter { !$0.areas.isEmpty }
    }

    private static let values: [UInt64] = [
        0, 1, 2, 3, 0x1FF, 0x200, 0x201, 0xFFFF, 0x10000, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 0xFFFF_FFFE, .max, .max - 1, 1 << 62, 1 << 63, 1 << 40,
    ]

    private static func mutate(_ sample: Sample, _ dice: inout Dice) -> (bytes: [UInt8], changed: [Range<Int>]) {
        var bytes = sample.bytes
        var changed: [Range<Int>] = []
        for _ in 0...dice.below(3) {
            let area = sample.areas[dice.below(sample.areas.count)]
            guard !area.isEmpty else { continue }
            var at = area.lowerBound + dice.below(area.count)
            switch dice.below(4) {
            case 0:
                bytes[at] = UInt8(truncatingIfNeeded: dice.next())
                changed.append(at..<at + 1)
            case 1:
                bytes[at] ^= 1 << UInt8(dice.below(8))
                changed.append(at..<at + 1)
            default:
                let width = [2, 4, 8][dice.below(3)]
                at = at / width * width
                guard at + width <= bytes.count else { continue }
                var value = values[dice.below(values.count)]
                if dice.below(4) == 0 { value = dice.next() >> UInt64(dice.below(64)) }
                if dice.below(2) == 0 { bytes.putLittle(at, value, width) } else { bytes.putBig(at, value, width) }
                changed.append(at..<at + width)
            }
        }
        // Most of what a checksum guards would never be looked at otherwise.
        if dice.below(4) != 0 {
            for (range, at) in sample.sums {
                var part = Array(bytes[range])
                part.putBig(at, VHDHeader.sum(part, at))
                bytes.replaceSubrange(range, with: part)
                changed.append(range)
            }
        }
        return (bytes, changed)
    }

    @Test("opened, read, written, checked and repaired") func mutations() throws {
        try withTemporaryFolder { folder in
            let samples = try MutatedImageTests.samples(folder)
            var opened = 0
            let perSample = max(1, MutatedImageTests.count / samples.count)
            for (number, sample) in samples.enumerated() {
                // In the same folder: what it stands on is found.
                let path = folder + "/mutated.vmdk"
                let descriptor = open(path, O_RDWR | O_CREAT | O_TRUNC, 0o600)
                defer { close(descriptor) }
                func restore() {
                    ftruncate(descriptor, 0)
                    _ = sample.bytes.withUnsafeBytes { pwrite(descriptor, $0.baseAddress, $0.count, 0) }
                }
                restore()
                var dice = Dice(MutatedImageTests.seed &* 1000 &+ UInt64(number))
                for round in 0..<perSample {
                    let (bytes, changed) = MutatedImageTests.mutate(sample, &dice)
                    for range in changed { _ = bytes[range].withUnsafeBytes { pwrite(descriptor, $0.baseAddress, $0.count, range.lowerBound) } }
                    let cut = dice.below(16) == 0
                    if cut { ftruncate(descriptor, dice.below(bytes.count)) }
                    let began = ContinuousClock.now
                    let writes = dice.below(4) == 0, checks = dice.below(8) == 0
                    if checks { _ = try? DiskCheck.run(path, repair: dice.below(2) == 0) }
                    if MutatedImageTests.use(path, writes: writes, &dice) { opened += 1 }
                    let took = ContinuousClock.now - began
                    if took > .seconds(5) { Issue.record("\(sample.name), round \(round): \(took)") }
                    if writes || checks || cut {
                        restore()
                    } else {
                        for range in changed { _ = sample.bytes[range].withUnsafeBytes { pwrite(descriptor, $0.baseAddress, $0.count, range.lowerBound) } }
                    }
                }
            }
            #expect(opened > MutatedImageTests.count / 20)
            var usage = rusage()
            getrusage(0, &usage)
            if ProcessInfo.processInfo.environment["VITRINE_DISK_MUTATIONS"] != nil {
                #expect(usage.ru_maxrss < 256 << 10, "\(usage.ru_maxrss) KiB")
            }
        }
    }

    private static func use(_ path: String, writes: Bool, _ dice: inout Dice) -> Bool {
        guard let image = try? DiskImage.layer(path: path, writable: writes) else { return false }
        guard image.sectorCount > 0 else { return true }
        var data = [UInt8](repeating: 0, count: 64 * 512)
        for _ in 0..<4 {
            let sector = dice.below(2) == 0 ? UInt64(dice.below(4096)) : dice.next() % image.sectorCount
            let count = Int(min(64, image.sectorCount - min(sector, image.sectorCount)))
            _ = data.withUnsafeMutableBytes { image.read(sector: sector, into: UnsafeMutableRawBufferPointer(rebasing: $0[0..<count * 512])) }
            _ = image.visibleExtent(sector, limit: UInt64(dice.below(1 << 20) + 1))
            guard writes else { continue }
            data[0] = 1
            _ = data.withUnsafeBytes { image.write(sector: sector, from: UnsafeRawBufferPointer(rebasing: $0[0..<count * 512])) }
            _ = image.zero(sector: sector, count: UInt64(count), discard: true)
        }
        if writes { _ = image.flush() }
        return true
    }

    @Test("journals and undo files that are wrong change nothing") func journals() throws {
        try withTemporaryFolder { folder in
            var dice = Dice(MutatedImageTests.seed)
            let chain = try MergeRig(folder, .qcow2, &dice, bytes: 1 << 20)
            let journal = try JSONEncoder().encode(MergeJournal(target: chain.path(0), direction: .intoParent, modification: .randomUUID()))
            let undo = try MergeUndo(creating: chain.path(0) + ".undo")
            var buffer = [UInt8](repeating: 0, count: 1 << 16)
            buffer.withUnsafeMutableBytes { _ = undo.keep(3, 20, of: Holes(), $0) }
            let kept = try Array(Data(contentsOf: URL(fileURLWithPath: chain.path(0) + ".undo")))
            for _ in 0..<max(60, MutatedImageTests.count / 100) {
                var text = Array(journal), bytes = kept
                if dice.below(2) == 0 { text[dice.below(text.count)] = UInt8(truncatingIfNeeded: dice.next()) }
                bytes[dice.below(bytes.count)] = UInt8(truncatingIfNeeded: dice.next())
                try Data(text).write(to: URL(fileURLWithPath: chain.path(0) + ".merge"))
                try Data(bytes).write(to: URL(fileURLWithPath: chain.path(0) + ".undo"))
                _ = DiskMerge.recover(in: folder)
            }
            #expect(FolderWork.names(folder).filter { $0.count == 1 }.count >= 1)
        }
    }
}

/// A disk of zeros.
private final class Holes: ImageLayer {
    let sectorBytes = 512
    let sectorCount: UInt64 = 2048
    let readOnly = true
    let path = ""
    func read(sector: UInt64, into buffer: UnsafeMutableRawBufferPointer) -> Bool { true }
    func write(sector: UInt64, from buffer: UnsafeRawBufferPointer) -> Bool { false }
    func flush() -> Bool { true }
    func extent(_ sector: UInt64, limit: UInt64) -> ImageExtent? { ImageExtent(kind: .data, sectors: limit) }
}
