import Foundation
import Hardware
import Testing

@testable import Machine

/// What was waited for is there after a power cut at any moment, and the image opens and can be written.
@Suite("storage · power cuts") struct PowerCutTests {
    /// Cuts behind each step, so many times each; all steps with `VITRINE_CUTS`, some in CI.
    static let cuts = ProcessInfo.processInfo.environment["VITRINE_CUTS"].flatMap { Int($0) }.flatMap { $0 > 0 ? $0 : nil }

    private static func moments(_ steps: Int, _ dice: inout Dice) -> [Int] {
        if let cuts { return (0...steps).flatMap { [Int](repeating: $0, count: cuts) } }
        return (0..<3).map { _ in dice.below(steps + 1) }
    }

    /// A sector is as it was flushed, or as it was written since.
    private struct History {
        var flushed: [UInt64]
        var since: [Int: Set<UInt64>] = [:]
        func allows(_ sectors: [UInt64]) -> Int? {
            for (i, value) in sectors.enumerated() where value != flushed[i] && since[i]?.contains(value) != true { return i }
            return nil
        }
    }

    /// A number for each sector's contents.
    private static func digest(_ bytes: [UInt8]) -> [UInt64] {
        bytes.withUnsafeBytes { bytes in
            stride(from: 0, to: bytes.count, by: 512).map { at in
                let (first, last) = (
                    bytes.loadUnaligned(fromByteOffset: at, as: UInt64.self), bytes.loadUnaligned(fromByteOffset: at + 504, as: UInt64.self)
                )
                return first ^ (last &* 31)
            }
        }
    }

    static let kinds: [(NewImage.Format, Bool)] = [
        (.raw, false), (.dynamic, false), (.dynamic, true), (.fixed, false), (.qcow2, false), (.qcow2, true), (.qcow2v2, false),
        (.qcow2v2, true), (.vmdk, false), (.vmdk, true), (.vmdkFlat, false), (.vhd, false), (.vhd, true),
    ]

    @Test("guest writes", arguments: kinds)
    func writes(format: NewImage.Format, child: Bool) throws {
        try withTemporaryFolder { folder in
            let folder = String(cString: realpath(folder, nil))
            var rig = ImageRig(folder + "/base.vmdk", bytes: 3 << 20)
            try NewImage.make(rig.path, bytes: UInt64(rig.model.count), format: format)
            var dice = Dice(UInt64(format.rawValue.count) * 2 + (child ? 1 : 0))
            do {
                let image = try DiskImage.open(path: rig.path, access: .readWrite)
                #expect(rig.scribble(image, &dice, rounds: 12))
            }
            if child {
                rig.path = folder + "/child"
                try NewImage.differencing(path: rig.path, parent: folder + "/base.vmdk")
                let image = try DiskImage.open(path: rig.path, access: .readWrite)
                #expect(rig.scribble(image, &dice, rounds: 4))
            }
            let before = PowerCut.contents(folder)
            let recorder = FileRecorder()
            // At each mark: what is flushed, and after each write what else may be there.
            var histories: [History] = [History(flushed: PowerCutTests.digest(rig.model))]
            try FileRecorder.$current.withValue(recorder) {
                for _ in 0..<2 {
                    let image = try DiskImage.open(path: rig.path, access: .readWrite)
                    for round in 0..<25 {
                        var history = histories[histories.count - 1]
                        if round % 6 == 5 {
                            #expect(image.flush())
                            history = History(flushed: PowerCutTests.digest(rig.model))
                            histories.append(history)
                            recorder.note(.mark("\(histories.count - 1)"))
                        } else {
                            let old = PowerCutTests.digest(rig.model)
                            var next = rig
                            // What it will be is known before it is written.
                            var probe = dice
                            _ = next.scribble(Nowhere(next.sectors), &probe, rounds: 1)
                            let new = PowerCutTests.digest(next.model)
                            for i in new.indices where new[i] != old[i] { history.since[i, default: []].insert(new[i]) }
                            histories.append(history)
                            recorder.note(.mark("\(histories.count - 1)"))
                            #expect(rig.scribble(image, &dice, rounds: 1))
                        }
                    }
                    // Closing is no flush.
                }
            }
            let cut = PowerCut(before: before, steps: recorder.steps)
            for moment in PowerCutTests.moments(cut.steps.count, &dice) {
                try PowerCut.restore(cut.after(moment, &dice), in: folder)
                let last = cut.steps.prefix(moment).compactMap { if case .mark(let number) = $0 { Int(number) } else { nil } }.last ?? 0
                let note = Comment(rawValue: "\(format) child \(child), step \(moment) of \(cut.steps.count), mark \(last)")
                do {
                    let image = try DiskImage.open(path: rig.path, access: .readWrite)
                    let found = try #require(ImageRig.contents(image), note)
                    if let sector = histories[last].allows(PowerCutTests.digest(found)) {
                        Issue.record("\(note): sector \(sector)")
                        return
                    }
                    var after = rig
                    after.model = found
                    #expect(after.scribble(image, &dice, rounds: 3) && image.flush(), note)
                    #expect(ImageRig.contents(image) == after.model, note)
                } catch {
                    Issue.record("\(note): \(error)")
                    return
                }
            }
        }
    }

    /// A file of an earlier merge with other contents, as a power cut may leave it.
    private static func leaveUndo(_ chain: MergeRig) throws {
        let undo = try MergeUndo(creating: chain.path(0) + ".undo"), layer = try DiskChain.quietly(chain.path(2))
        let kept = withUnsafeTemporaryAllocation(byteCount: 1 << 20, alignment: 4096) { undo.keep(0, layer.sectorCount, of: layer, $0) }
        #expect(kept != nil && undo.flush())
    }

    @Test("merges", arguments: [ImageFormat.vdi, .qcow2, .vmdk, .vhd], [DiskMerge.Direction.intoParent, .intoChild])
    func merges(format: ImageFormat, direction: DiskMerge.Direction) throws {
        try withTemporaryFolder { folder in
            let folder = String(cString: realpath(folder, nil))
            var dice = Dice(UInt64(format.rawValue.count) + 40)
            let chain = try MergeRig(folder, format, &dice)
            if direction == .intoParent { try PowerCutTests.leaveUndo(chain) }
            let before = PowerCut.contents(folder)
            let recorder = FileRecorder()
            try FileRecorder.$current.withValue(recorder) {
                try DiskMerge.run(
                    chain.path(1), direction, grandchildren: direction == .intoParent ? [chain.path(2)] : [],
                    removesParent: direction == .intoChild)
            }
            let cut = PowerCut(before: before, steps: recorder.steps)
            var outcomes: Set<String> = []
            for moment in PowerCutTests.moments(cut.steps.count, &dice) {
                try PowerCut.restore(cut.after(moment, &dice), in: folder)
                let said = DiskMerge.recover(in: folder)
                said.forEach { outcomes.insert(String($0.suffix(20))) }
                #expect(try ImageRig.contents(chain.path(2)) == chain.models[2], "step \(moment) of \(cut.steps.count): \(said)")
                // Rolled back, the other points in time are there too.
                if access(chain.path(1), F_OK) == 0, access(chain.path(0), F_OK) == 0 {
                    #expect(try ImageRig.contents(chain.path(0)) == chain.models[0])
                    #expect(try ImageRig.contents(chain.path(1)) == chain.models[1])
                }
                // What an earlier merge has left means nothing without a journal.
                #expect(!FolderWork.names(folder).contains { $0.hasSuffix(".merge") || (!said.isEmpty && $0.hasSuffix(".undo")) })
            }
            if PowerCutTests.cuts != nil { #expect(outcomes.count == 2, "\(outcomes)") }
        }
    }
}

/// Takes everything and keeps nothing.
private final class Nowhere: Medium {
    let sectorBytes = 512
    let sectorCount: UInt64
    let readOnly = false
    init(_ sectors: Int) { sectorCount = UInt64(sectors) }
    func read(sector: UInt64, into buffer: UnsafeMutableRawBufferPointer) -> Bool { false }
    func write(sector: UInt64, from buffer: UnsafeRawBufferPointer) -> Bool { true }
    func flush() -> Bool { true }
    func zero(sector: UInt64, count: UInt64, discard: Bool) -> Bool { true }
}

/// Three images, each on the one before.
struct MergeRig {
    var folder: String
    var models: [[UInt8]] = []
    func path(_ number: Int) -> String { folder + "/\(number)" }

    init(_ folder: String, _ format: ImageFormat, _ dice: inout Dice, bytes: Int = 4 << 20) throws {
        self.folder = folder
        var rig = ImageRig(folder + "/0", bytes: bytes)
        let base: NewImage.Format = format == .vdi ? .dynamic : NewImage.Format(rawValue: format.rawValue) ?? .raw
        for number in 0..<3 {
            rig.path = path(number)
            if number == 0 {
                try NewImage.make(rig.path, bytes: UInt64(bytes), format: base)
            } else {
                try NewImage.differencing(path: rig.path, parent: path(number - 1), format: format == .raw ? .qcow2 : format)
            }
            let image = try DiskImage.open(path: rig.path, access: .readWrite)
            guard rig.scribble(image, &dice, rounds: number == 0 ? 15 : 8, most: 100) else { throw MachineError.failed("no write") }
            models.append(rig.model)
        }
    }
}

@Suite("storage · merges") struct MergeTests {
    @Test("what the guest sees stays, and only the merged point in time goes", arguments: ImageFormat.allCases, [DiskMerge.Direction.intoParent, .intoChild])
    func merge(format: ImageFormat, direction: DiskMerge.Direction) throws {
        try withTemporaryFolder { folder in
            var dice = Dice(9)
            let chain = try MergeRig(folder, format, &dice)
            var shown: [UInt64] = []
            switch direction {
            case .intoParent:
                try DiskMerge.run(chain.path(1), direction, grandchildren: [chain.path(2)]) { done, total in
                    shown.append(done)
                    return done <= total
                }
                #expect(FolderWork.names(folder).sorted() == ["0", "2"])
                #expect(try ImageRig.contents(chain.path(0)) == chain.models[1])
            case .intoChild:
                try DiskMerge.run(chain.path(2), direction, removesParent: true) { done, _ in
                    shown.append(done)
                    return true
                }
                #expect(FolderWork.names(folder).sorted() == ["0", "2"])
                #expect(try ImageRig.contents(chain.path(0)) == chain.models[0])
            }
            #expect(shown == shown.sorted() && !shown.isEmpty)
            #expect(try DiskImage.layer(path: chain.path(2), writable: false).chain.count == 2)
            #expect(try ImageRig.contents(chain.path(2)) == chain.models[2])
            // And once more: nothing below is left.
            try DiskMerge.run(chain.path(2), direction, removesParent: true)
            let last = direction == .intoParent ? chain.path(0) : chain.path(2)
            #expect(FolderWork.names(folder) == [String(last.suffix(1))])
            #expect(try ImageRig.contents(last) == chain.models[2])
        }
    }

    @Test("cancelled at any moment, all is as it was", arguments: [ImageFormat.vdi, .qcow2, .vmdk, .vhd], [DiskMerge.Direction.intoParent, .intoChild])
    func cancel(format: ImageFormat, direction: DiskMerge.Direction) throws {
        try withTemporaryFolder { folder in
            var dice = Dice(10)
            let chain = try MergeRig(folder, format, &dice)
            for stop in [0, 1, 3, 6] {
                var calls = 0
                do {
                    try DiskMerge.run(chain.path(1), direction, grandchildren: direction == .intoParent ? [chain.path(2)] : []) { _, _ in
                        calls += 1
                        return calls <= stop
                    }
                    #expect(calls <= stop)
                    return
                } catch let error as MachineError {
                    #expect(error == DiskMerge.cancelled)
                }
                #expect(FolderWork.names(folder).sorted() == ["0", "1", "2"])
                for number in 0..<3 { #expect(try ImageRig.contents(chain.path(number)) == chain.models[number]) }
            }
        }
    }
}
