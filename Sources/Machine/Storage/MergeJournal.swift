import Foundation
import Hardware

/// What a merge is about, in a file beside the image that is written. Paths are relative to its folder.
struct MergeJournal: Codable {
    static let suffix = ".merge"

    /// Not in the file: the folder may have been moved.
    var target = ""
    var direction: DiskMerge.Direction
    var child = ""
    var parent = ""
    var grandchildren: [String] = []
    /// What the parent stands on.
    var below: String?
    var removesParent = false
    /// All data is copied and on the host's medium: it will be finished.
    var isDecided = false
    /// The parent's when it is finished.
    var modification: [UInt8]

    private enum CodingKeys: CodingKey { case direction, child, parent, grandchildren, below, removesParent, isDecided, modification }

    init(target: String, direction: DiskMerge.Direction, modification: [UInt8]) {
        (self.target, self.direction, self.modification) = (target, direction, modification)
    }

    /// - Returns: nil when whoever merges is still at work.
    /// - Throws: `.failed` for a file that is no journal.
    init?(reading target: String) throws(MachineError) {
        let path = target + MergeJournal.suffix
        let bytes = try WholeFile.read(path, what: "journal of a merge", limit: 1 << 20)
        guard let journal = try? JSONDecoder().decode(MergeJournal.self, from: Data(bytes)), journal.modification.count == 16 else {
            throw .failed("'\(path)' is not the journal of a merge; remove it when you know that the images are whole.")
        }
        self = journal
        self.target = target
        // The target is locked by a merge that goes on.
        do throws(MediaError) {
            _ = try HostFile(path: target, writable: true)
        } catch {
            if case .locked = error { return nil }
            throw .failed(error.description)
        }
    }

    var path: String { target + MergeJournal.suffix }
    var undoPath: String { target + ".undo" }
    func relative(_ path: String) -> String { DiskChain.relative(path, fromFolderOf: target) }
    func absolute(_ path: String) -> String { path.hasPrefix("/") ? path : WholeFile.directory(of: target) + "/" + path }

    func save() throws(MachineError) {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys]
        let temporary = path + ".\(getpid()).tmp"
        unlink(temporary)
        guard let data = try? encoder.encode(self), let file = try? HostFile(creating: temporary), file.write(0, Array(data)), file.flush(),
            HostFile.rename(temporary, path)
        else { throw .failed("'\(path)' cannot be written: \(WholeFile.reason()).") }
        HostFile.syncFolder(of: path)
    }

    func remove() {
        HostFile.unlink(undoPath)
        // The undo file has no meaning without the journal, the journal has one without the undo file: all was rolled back or finished.
        HostFile.unlink(path)
        HostFile.syncFolder(of: path)
    }

    /// - Parameter alone: nothing of what the image stands on.
    static func layer(_ path: String, alone: Bool, locks: Bool = true) throws(MachineError) -> any ImageLayer {
        do {
            return try alone ? DiskChain.alone(path, locks: locks) : DiskChain.merging(path, locks: locks)
        } catch {
            throw .badInput(error.description)
        }
    }

    /// The steps after the decision; each may be done again.
    func finish() throws(MachineError) {
        switch direction {
        case .intoParent:
            let parent = absolute(self.parent)
            try ImageLink(path: parent).setModification(modification)
            do {
                let layer = try DiskChain.quietly(parent)
                for path in grandchildren { try ImageLink(path: absolute(path)).set(layer) }
            }
            HostFile.unlink(absolute(child))
            HostFile.syncFolder(of: absolute(child))
        case .intoChild:
            do {
                let layer: (any ImageLayer)? = if let below { try DiskChain.quietly(absolute(below)) } else { nil }
                try ImageLink(path: absolute(child)).set(layer)
            }
            if removesParent {
                HostFile.unlink(absolute(parent))
                HostFile.syncFolder(of: absolute(parent))
            }
        }
        remove()
    }

    func rollBack() throws(MachineError) {
        if direction == .intoParent, access(undoPath, F_OK) == 0 {
            let bottom = try MergeJournal.layer(target, alone: false)
            guard let undo = try? MergeUndo(reading: undoPath), undo.roll(back: bottom), bottom.flush() else {
                throw .failed("'\(target)' cannot be made what it was before the merge: \(WholeFile.reason()).")
            }
        }
        remove()
    }
}

/// What the parent had where it is written over.
///
/// Records one after the other: a mark, the kind (0 data, 1 zeros), first sector, number of sectors, a checksum of the data, a checksum of the
/// record, the data.
final class MergeUndo {
    private let file: HostFile
    private var end: UInt64 = 0
    private static let mark: UInt64 = 0x4F44_4E55_5452_4956
    private static let headBytes = 40

    init(creating path: String) throws(MachineError) {
        HostFile.unlink(path)
        guard let file = try? HostFile(creating: path) else { throw .failed("'\(path)' cannot be made: \(WholeFile.reason()).") }
        self.file = file
        HostFile.syncFolder(of: path)
    }

    init(reading path: String) throws(MediaError) { file = try HostFile(path: path, writable: false) }

    func flush() -> Bool { file.flush() }

    /// - Returns: bytes written; nil on an error.
    func keep(_ sector: UInt64, _ count: UInt64, of layer: any ImageLayer, _ buffer: UnsafeMutableRawBufferPointer) -> UInt64? {
        var done: UInt64 = 0, written: UInt64 = 0
        while done < count {
            let at = sector + done
            guard let extent = layer.visibleExtent(at, limit: min(count - done, UInt64(buffer.count) / 512))?.extent else { return nil }
            var data = UnsafeRawBufferPointer(start: nil, count: 0)
            if extent.kind == .data {
                let piece = UnsafeMutableRawBufferPointer(rebasing: buffer[0..<Int(extent.sectors) * 512])
                guard layer.read(sector: at, into: piece) else { return nil }
                data = UnsafeRawBufferPointer(piece)
            }
            var head = [UInt8].zeros(MergeUndo.headBytes)
            head.putLittle(0, MergeUndo.mark, 8)
            head.putLittle(8, extent.kind == .data ? 0 : 1, 4)
            head.putLittle(12, UInt64(Unpacking.sum(data)), 4)
            head.putLittle(16, at, 8)
            head.putLittle(24, extent.sectors, 8)
            head.putLittle(32, UInt64(head.part(0, 32).withUnsafeBytes { Unpacking.sum($0) }), 4)
            guard file.write(end, head), data.isEmpty || file.write(end + UInt64(head.count), from: data) else { return nil }
            end += UInt64(head.count + data.count)
            written += UInt64(head.count + data.count)
            done += extent.sectors
        }
        return written
    }

    /// Puts everything back. A record that is not whole was not waited for, and nothing written over.
    func roll(back layer: any ImageLayer) -> Bool {
        var at: UInt64 = 0
        let length = max(file.bytes, end)
        while at + UInt64(MergeUndo.headBytes) <= length {
            var head = [UInt8].zeros(MergeUndo.headBytes)
            guard head.withUnsafeMutableBytes({ file.read(at, into: $0, padded: true) }) else { return false }
            guard head.little(0, 8) == MergeUndo.mark,
                head.little(32, 4) == UInt64(head.part(0, 32).withUnsafeBytes { Unpacking.sum($0) })
            else { return true }
            let sector = head.little(16, 8), count = head.little(24, 8)
            guard sector <= layer.sectorCount, count <= layer.sectorCount - sector else { return true }
            at += UInt64(head.count)
            guard head.little(8, 4) == 0 else {
                guard layer.zero(sector: sector, count: count, discard: true) else { return false }
                continue
            }
            guard count <= 4096, at + count * 512 <= length else { return true }
            var data = [UInt8].zeros(Int(count) * 512)
            guard data.withUnsafeMutableBytes({ file.read(at, into: $0, padded: true) }) else { return false }
            guard UInt64(data.withUnsafeBytes { Unpacking.sum($0) }) == head.little(12, 4) else { return true }
            guard data.withUnsafeBytes({ layer.write(sector: sector, from: $0) }) else { return false }
            at += UInt64(data.count)
        }
        return true
    }
}
